"""A real HTTP server in a thread that answers as it is told: with a status, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Answering(ThreadingHTTPServer):
    """Keeps the JSON that it is sent."""

    daemon_threads = True

    def __init__(self, status: int | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.received = status, list[Any]()
        self.asked, self.closing = threading.Event(), threading.Event()

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def titles(self) -> list[str]:
        """Of the messages of Apprise."""
        return [message["title"] for message in self.received]


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        self.server.asked.set()
        if self.server.status is None:
            self.server.closing.wait()
            return
        self.send_response(self.server.status)
        self.end_headers()

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.server.status == 200:
            self.server.received.append(json.loads(content))
        self.do_GET()

    def log_message(self, *words: Any) -> None:
        pass


@contextmanager
def answering(status: int | None) -> Iterator[Answering]:
    """A server that answers with a status; with None it takes requests and never answers."""
    server = Answering(status)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
