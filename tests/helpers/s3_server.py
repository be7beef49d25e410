"""A real S3 server on loopback (moto's), and a proxy before it that does to requests what networks do."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

BUCKET = "bucket"


@dataclass(frozen=True)
class Request:
    """What a client asks for."""

    method: str
    path: str
    """With the query."""

    @property
    def is_list(self) -> bool:
        return self.method == "GET" and "list-type=2" in self.path


@dataclass
class Proxy:
    """What happens to requests; each of these is asked for every one, and nothing happens by default."""

    endpoint: str
    refuse: Callable[[Request], tuple[int, str] | None] = lambda request: None
    """Status and S3's code of an error, in the place of an answer."""
    cut: Callable[[Request], bool] = lambda request: False
    """The connection ends when half of the body has gone to the server."""
    delay: Callable[[Request], float] = lambda request: 0.0
    """Seconds before the server is asked."""
    hide: Callable[[str], bool] = lambda key: False
    """Keys that a listing does not have yet."""
    requests: list[Request] = field(default_factory=list)

    def reset(self) -> None:
        fresh = Proxy(self.endpoint)
        for name in ("refuse", "cut", "delay", "hide", "requests"):
            setattr(self, name, getattr(fresh, name))


@contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A server with an empty bucket, which this process and those that it starts find by the environment."""
    fsspec = pytest.importorskip("s3fs", reason="needs the extra s3").S3FileSystem
    moto = pytest.importorskip("moto.server", reason="needs moto[server]")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    _forget(port)
    proxy = Proxy("")
    front = ThreadingHTTPServer(("127.0.0.1", 0), _handler(proxy, port))
    thread = threading.Thread(target=front.serve_forever, daemon=True)
    thread.start()
    proxy.endpoint = f"http://127.0.0.1:{front.server_port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-the-test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "SECRET-of-the-test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # The tries again that are tested are those of this program.
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    fsspec.clear_instance_cache()
    try:
        fsspec(use_listings_cache=False).mkdir(BUCKET)
        yield proxy
    finally:
        fsspec.clear_instance_cache()
        front.shutdown()
        front.server_close()
        server.stop()


def _forget(port: int) -> None:
    """What former servers of this process have kept: moto has one memory for all."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/moto-api/reset")
    assert connection.getresponse().status == 200
    connection.close()


def _handler(proxy: Proxy, port: int) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            request = Request(self.command, self.path)
            proxy.requests.append(request)
            threading.Event().wait(proxy.delay(request))
            if (refusal := proxy.refuse(request)) is not None:
                self._answer(refusal[0], _error(*refusal), {"Content-Type": "application/xml"})
                return
            server = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            headers = dict(self.headers.items())
            if proxy.cut(request):
                self._send_half(server, headers, body)
                return
            server.request(self.command, self.path, body, headers)
            answer = server.getresponse()
            content = answer.read()
            if request.is_list:
                content = _without(content, proxy.hide)
            skipped = ("content-length", "transfer-encoding", "connection", "date", "server")
            kept = {name: text for name, text in answer.getheaders() if name.lower() not in skipped}
            self._answer(answer.status, content, kept, answer.getheader("Content-Length"))
            server.close()

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _any  # noqa: N815

        def _answer(
            self, status: int, content: bytes, headers: dict[str, str], length: str | None = None
        ) -> None:
            is_head = self.command == "HEAD"
            self.send_response(status)
            for name, text in headers.items():
                self.send_header(name, text)
            self.send_header("Content-Length", (length or "0") if is_head else str(len(content)))
            self.end_headers()
            if not is_head:
                self.wfile.write(content)

        def _send_half(
            self, server: http.client.HTTPConnection, headers: dict[str, str], body: bytes
        ) -> None:
            server.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, text in headers.items():
                server.putheader(name, text)
            server.endheaders()
            server.send(body[: len(body) // 2])
            server.close()
            self.close_connection = True
            with suppress(OSError):
                self.connection.shutdown(2)

    return Handler


def _without(content: bytes, hide: Callable[[str], bool]) -> bytes:
    def kept(found: re.Match[bytes]) -> bytes:
        key = re.search(rb"<Key>(.*?)</Key>", found[0])
        return b"" if key and hide(key[1].decode()) else found[0]

    return re.sub(rb"<Contents>.*?</Contents>", kept, content, flags=re.DOTALL)


def _error(status: int, code: str) -> bytes:
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code>'
        f"<Message>{code} of the test</Message><RequestId>0</RequestId></Error>"
    ).encode()
