"""What a run computes once: kept whole or not at all, verified, and the same for everybody who needs it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from tiny_tasks import DigitsTask


class PreparingTask(DigitsTask):
    """Prepares an array by drawing it, and notes how often and with how many threads."""

    calls = 0
    threads = 0

    @classmethod
    def prepare(cls, options, arrays):
        cls.calls += 1
        cls.threads = torch.get_num_threads()
        return {"drawn": torch.randn(5).numpy() + arrays["x"].mean()}


@pytest.fixture(autouse=True)
def no_calls():
    PreparingTask.calls = 0


KILLED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from trainables.data.prepared import read_arrays, write_arrays
from trainables.files import list_partial

folder, ARRAYS = Path(sys.argv[1]), {"x": np.arange(9.0)}
point, whole = 1, 0
while True:
    file = folder / f"{point}.safetensors"
    child = os.fork()
    if not child:
        left = [point]
        def count(event, arguments):
            if event in ("open", "os.link", "os.remove", "os.rename") and str(folder) in str(arguments[0]):
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(count)
        write_arrays(file, ARRAYS)
        os._exit(0)
    killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    if file.exists():
        assert set(read_arrays(file)) == set(ARRAYS)
        whole += 1
    if not killed:
        break
    point += 1
assert list_partial(folder)
print(point, whole)
"""


def test_a_kill_at_any_point_leaves_no_file_or_a_whole_one(tmp_path):
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    points, whole = map(int, done.stdout.split())
    assert points >= 4
    assert 2 <= whole < points
