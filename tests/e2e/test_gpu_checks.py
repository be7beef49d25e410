"""`make gpu` in real processes: checks that hang or kill theirs, and those that a CPU can show."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from importlib.metadata import version
from pathlib import Path

import odd_checks
import pytest

from benchmarks.gpu.run import main
from benchmarks.gpu.runner import CheckProcess, make_all

QUICK = (
    "gradients/regression",
    "gradients/unet/bf16",
    "accumulation/gan/fp32",
    "on_cpu/classification/fp16",
    "overflow/regression",
    "scalers/gan",
    "diverged",
    "labels",
    "repeat/classification/bf16",
    "resume/gan/fp16",
    "share",
)


def test_a_check_that_dies_or_hangs_is_a_failed_line_and_the_next_is_made(tmp_path: Path) -> None:
    start = partial(CheckProcess, "cpu", tmp_path / "run.log", "odd_checks")
    checks = [check for check in odd_checks.CHECKS if check.name in ("dies", "leaves", "hangs", "prints")]
    lines = list(make_all(checks, start, seconds=300, on_gpu=False))
    assert [line.status for line in lines] == ["failed", "failed", "failed", "passed"]
    assert [line.note for line in lines[:3]] == [
        "its process died (SIGKILL)",
        "its process died (exit code 7)",
        "it took longer than 1 s",
    ]
    log = (tmp_path / "run.log").read_text()
    assert "this is no answer" in log
    assert "nor is this" in log


def test_what_a_cpu_can_show_passes_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = [part for name in QUICK for part in ("--only", name)]
    code = main(["--device", "cpu", "--out", str(tmp_path / "run.json"), "--seconds", "500", *only])
    output = capsys.readouterr().out
    assert code == 0, output
    content = json.loads((tmp_path / "run.json").read_text())
    assert {"device", "revision", "changed", "command", "began"} <= set(content)
    assert content["versions"]["torch"] == version("torch")
    assert {"python", "ray", "optuna"} <= set(content["versions"])
    status = {check["check"]: check["status"] for check in content["checks"]}
    assert status.pop("share/four") == status.pop("labels/asserted") == "skipped"
    assert {name for name in status if not name.startswith("share/")} >= {
        "gradients/regression/fp16",
        "diverged/bf16",
        "labels/decoded",
    }
    assert all(state == "passed" for name, state in status.items() if not name.startswith("share/"))


@pytest.mark.timeout(1200)  # two searches, of which each start takes a minute on busy cores
def test_trials_share_declared_gpus_through_ray(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    only = ["--only", "trials/too_much", "--only", "trials/packing"]
    code = main(["--device", "cpu", "--out", str(tmp_path / "run.json"), "--seconds", "1100", *only])
    assert code == 0, capsys.readouterr().out


def test_its_help_has_examples_that_are_commands_of_it() -> None:
    command = [sys.executable, "-m", "benchmarks.gpu.run", "--help"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for line in ("--list", "--only gradients --only repeat/unet", "--device cpu --only share"):
        assert f"python -m benchmarks.gpu.run {line}" in text
