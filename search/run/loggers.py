"""The processes that write a search elsewhere: started with it, told of its end, and never waited for long.

`tune-search log` runs in each, so that what is slow, down or wrong there does not touch the search.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any, Concatenate, ParamSpec

from search.config.sections.loggers import loggers_of
from search.config.stages import SearchConfig
from search.run.disk.folder import RunFolder
from search.run.outcome.summary import Summary
from search.study.journal import this_process
from search.text import command

STAMP_END = "| "
"""Between the time and the text of a line in the log of a logger."""
WAIT_SECONDS = 5.0
"""After the end of a search, for its loggers."""
MOST_STARTS = 4
"""Of a logger in one search: one that is killed again and again would take memory from the trials."""
_LOOK_SECONDS = 1.0
_RUNNING: dict[Path, list[Logging]] = {}
"""Of the searches of this process, by their folders."""
_P = ParamSpec("_P")


@dataclass
class Logging:
    """A process that writes a search elsewhere."""

    name: str
    """mlflow, wandb, trackio or notify"""
    process: subprocess.Popen[str] = field(repr=False)
    settings: Mapping[str, Any] = field(repr=False)
    num_starts: int = 1

    def begin(self) -> None:
        """Tell it what to write."""
        self.say(json.dumps({"by": this_process(), "logger": self.settings}))

    def say(self, line: str) -> None:
        """Tell it something; it may have ended long ago."""
        assert self.process.stdin is not None
        with suppress(OSError, ValueError):
            self.process.stdin.write(f"{line}\n")
            self.process.stdin.flush()

    def end(self) -> None:
        """Tell it that the search is over."""
        assert self.process.stdin is not None
        with suppress(OSError):
            self.process.stdin.close()


def loggers_folder(folder: RunFolder) -> Path:
    """Where they have their logs and locks."""
    return folder.path / "loggers"


def with_loggers(
    search: Callable[Concatenate[SearchConfig, RunFolder, _P], Summary],
) -> Callable[Concatenate[SearchConfig, RunFolder, _P], Summary]:
    """A search that starts its loggers, and tells them how it ends; `end_loggers` ends them."""

    @functools.wraps(search)
    def logged(config: SearchConfig, folder: RunFolder, /, *args: _P.args, **how: _P.kwargs) -> Summary:
        _start(config, folder)
        try:
            with _started_again(folder):
                summary = search(config, folder, *args, **how)
        except BaseException as error:
            said = "interrupted" if isinstance(error, KeyboardInterrupt) else f"failed: {_line(error)}"
            for logging in _RUNNING.pop(folder.path, []):
                logging.say(said)
                logging.end()
            raise
        for logging in _RUNNING.get(folder.path, []):
            logging.say(summary.status)
        return summary

    return logged


def end_loggers(folder: RunFolder, *, wait: bool = True) -> list[str]:
    """Tell the loggers of a search that is over to end; returns a line on each: where it is written, or not.

    Args:
        folder: of the run.
        wait: up to five seconds for them all.
    """
    all_of_run = _RUNNING.pop(folder.path, [])
    for logging in all_of_run:
        logging.end()
    deadline = time.monotonic() + (WAIT_SECONDS if wait else 0.0)
    return [_outcome(logging, folder, deadline) for logging in all_of_run]


def _outcome(logging: Logging, folder: RunFolder, deadline: float) -> str:
    again = command("log", folder.path, "--to", logging.name)
    try:
        code = logging.process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return (
            f"{logging.name}: process {logging.process.pid} still writes; if it is ended, `{again}` goes on"
        )
    log = loggers_folder(folder) / f"{logging.name}.log"
    if code == 0:
        *_, last = log.read_text(encoding="utf-8", errors="replace").splitlines() or [""]
        return f"{logging.name}: {last.partition(STAMP_END)[2]}"
    return f"{logging.name}: not all is written, see {log}; `{again}` writes the rest"


def _start(config: SearchConfig, folder: RunFolder) -> None:
    for name, settings in loggers_of(config.raw).items():
        folder.create()
        loggers_folder(folder).mkdir(mode=0o700, exist_ok=True)
        logging = Logging(name, _process(name, folder), settings)
        logging.begin()
        _RUNNING.setdefault(folder.path, []).append(logging)


def _process(name: str, folder: RunFolder) -> subprocess.Popen[str]:
    with (loggers_folder(folder) / f"{name}.log").open("a", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "search", "log", str(folder.path), "--to", name, "--piped"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C is for the search, which then tells it
            env=_environment(),
        )


@contextmanager
def _started_again(folder: RunFolder) -> Iterator[None]:
    """Start those again that are killed, as by the kernel for memory; not those that give up."""
    over = Event()

    def watch() -> None:
        while not over.wait(_LOOK_SECONDS):
            for logging in _RUNNING.get(folder.path, []):
                if (logging.process.poll() or 0) < 0 and logging.num_starts < MOST_STARTS:
                    logging.process, logging.num_starts = (
                        _process(logging.name, folder),
                        logging.num_starts + 1,
                    )
                    logging.begin()

    thread = Thread(target=watch, name="loggers", daemon=True)
    if folder.path in _RUNNING:
        thread.start()
    try:
        yield
    finally:
        over.set()
        if thread.ident is not None:
            thread.join()


def _environment() -> dict[str, str]:
    """The processors are the trials', and W&B's own process that of a task that logs by itself."""
    kept = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    own, given = str(Path(__file__).parents[2]), kept.get("PYTHONPATH")  # also where it is not installed
    path = own if given is None else f"{own}{os.pathsep}{given}"
    return {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def _line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
