"""Limits on time that hold for a process whatever it does: real processes that hang, one way or another."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 60.0

PROGRAM = """
import ctypes, os, signal, subprocess, sys, threading, time
from pathlib import Path
from trainables.process.watchdog import Watchdog

watchdog = Watchdog()
note = Path(sys.argv[1])

def say(text):
    print(text, flush=True)

def child():
    return watchdog._process.pid
"""
SPIN = "while True: pass"
HANGS = {
    "a loop": SPIN,
    # PyDLL keeps the lock of Python while it is inside: no other thread can run.
    "a library that keeps the lock of Python": "ctypes.PyDLL(None).pause()",
    "SIGSTOP": "os.kill(os.getpid(), signal.SIGSTOP)",
    "a deadlock": "lock = threading.Lock(); lock.acquire(); lock.acquire()",
    "a thread that never ends": "t = threading.Thread(target=threading.Event().wait); t.start(); t.join()",
    "a child that never ends": "subprocess.run([sys.executable, '-c', 'while True: input()'])",
}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Runs a program in a process group of its own; `watchdog`, `note`, `say` and `child` are there."""
    started = []

    def run(text: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM + text, str(tmp_path / "note")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait(until: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not until():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.01)


def is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("how", HANGS)
def test_a_process_that_hangs_is_ended_after_its_limit_and_the_note_says_so(
    tmp_path: Path, start: Callable[[str], subprocess.Popen[str]], how: str
) -> None:
    began = time.monotonic()
    process = start(f"with watchdog.limit(0.8, note, 'hung'):\n    {HANGS[how]}")
    assert process.wait(LIMIT_SECONDS) == -signal.SIGKILL
    assert time.monotonic() - began >= 0.8
    assert (tmp_path / "note").read_text() == "hung"


def test_what_is_quick_is_left_alone_however_long_the_time_between(
    tmp_path: Path, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = start("""
for _ in range(3):
    with watchdog.limit(0.6, note, 'hung'):
        pass
    end = time.monotonic() + 1.0
    while time.monotonic() < end: pass
say('done')
""")
    assert answer(process) == "done"
    assert process.wait(LIMIT_SECONDS) == 0
    assert not (tmp_path / "note").exists()


def test_each_limit_begins_anew(tmp_path: Path, start: Callable[[str], subprocess.Popen[str]]) -> None:
    process = start("""
for _ in range(4):
    with watchdog.limit(2.0, note, 'hung'):
        end = time.monotonic() + 0.6
        while time.monotonic() < end: pass
""")
    assert process.wait(LIMIT_SECONDS) == 0
    assert not (tmp_path / "note").exists()


def test_an_exception_inside_ends_the_limit_and_epochs(
    tmp_path: Path, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = start("""
try:
    with watchdog.limit(0.4, note, 'hung'):
        raise KeyError('x')
except KeyError:
    end = time.monotonic() + 1.0
    while time.monotonic() < end: pass
    say('caught')
""")
    assert answer(process) == "caught"
    assert process.wait(LIMIT_SECONDS) == 0


def test_several_limits_use_one_child_and_close_ends_it(
    start: Callable[[str], subprocess.Popen[str]],
) -> None:
    process = start("""
children = set()
for _ in range(5):
    with watchdog.limit(30, note, 'hung'):
        children.add(child())
say(' '.join(map(str, children)))
input()
watchdog.close()
watchdog.close()
say('closed')
input()
""")
    children = answer(process).split()
    assert len(children) == 1
    assert is_there(int(children[0]))
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert answer(process) == "closed"
    assert not is_there(int(children[0]))


def test_no_limit_starts_no_child(start: Callable[[str], subprocess.Popen[str]]) -> None:
    process = start("""
with watchdog.limit(None, note, 'hung'):
    say(watchdog._process)
watchdog.close()
""")
    assert answer(process) == "None"
    assert process.wait(LIMIT_SECONDS) == 0


def test_a_child_that_was_ended_is_replaced(
    tmp_path: Path, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = start("""
with watchdog.limit(30, note, 'hung'):
    watchdog._process.kill()
    watchdog._process.wait()
with watchdog.limit(0.4, note, 'hung'):
    while True: pass
""")
    assert process.wait(LIMIT_SECONDS) == -signal.SIGKILL
    assert (tmp_path / "note").read_text() == "hung"


ENDS = {
    "ends": "sys.exit()",
    "is killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "leaves in the middle of a limit": "os._exit(0)",
    # The forked one holds the other end of the pipe, and does not end.
    "is killed and leaves a process that it has forked": (
        "pid = os.fork()\n    if pid == 0: signal.pause()\n    os.kill(os.getpid(), signal.SIGKILL)"
    ),
}


@pytest.mark.parametrize("how", ENDS)
def test_the_child_ends_with_a_process_that(
    tmp_path: Path, start: Callable[[str], subprocess.Popen[str]], how: str
) -> None:
    process = start(f"with watchdog.limit(20, note, 'hung'):\n    say(child())\n    {ENDS[how]}")
    child = int(answer(process))
    process.wait(LIMIT_SECONDS)
    wait(lambda: not is_there(child), "the end of the child")
    assert not (tmp_path / "note").exists()


def test_ctrl_c_ends_the_process_but_not_the_child(
    tmp_path: Path, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = start("""
try:
    with watchdog.limit(30, note, 'hung'):
        say(child())
        while True: pass
except KeyboardInterrupt:
    say(watchdog._process.poll())
with watchdog.limit(0.4, note, 'hung'):
    signal.pause()
""")
    child = int(answer(process))
    wait(lambda: ignores_ctrl_c(child), "the child")
    os.killpg(process.pid, signal.SIGINT)
    assert answer(process) == "None"
    assert process.wait(LIMIT_SECONDS) == -signal.SIGKILL
    assert (tmp_path / "note").read_text() == "hung"


def ignores_ctrl_c(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    (ignored,) = (line.split()[1] for line in status.splitlines() if line.startswith("SigIgn"))
    return bool(int(ignored, 16) >> (signal.SIGINT - 1) & 1)


def test_time_in_which_all_stood_still_does_not_count(
    tmp_path: Path, start: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = start("""
with watchdog.limit(2.0, note, 'hung'):
    say(child())
    input()
say('done')
""")
    child = int(answer(process))
    wait(lambda: ignores_ctrl_c(child), "the child")
    os.killpg(process.pid, signal.SIGSTOP)
    woken = time.monotonic() + 2.5
    wait(lambda: time.monotonic() > woken, "the end of the pause")
    os.killpg(process.pid, signal.SIGCONT)
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
    assert answer(process) == "done"
    assert process.wait(LIMIT_SECONDS) == 0


def test_a_note_that_cannot_be_written_does_not_save_the_process(
    start: Callable[[str], subprocess.Popen[str]],
) -> None:
    process = start(f"with watchdog.limit(0.4, note / 'nowhere' / 'x', 'hung'):\n    {SPIN}")
    assert process.wait(LIMIT_SECONDS) == -signal.SIGKILL
