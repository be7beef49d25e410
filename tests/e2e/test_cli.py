"""The program as a person runs it, in a process of its own; its searches are in test_faults_signals.py."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from programs import ROOT, run, write_config


def processor_seconds() -> float:
    """Of all processes that have ended: what else runs on this machine is not what is measured."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_answers_in_a_third_of_a_second_without_torch_or_ray() -> None:
    command = [sys.executable, "-c", "from search.cli.main import main; main(['--help'])"]
    seconds = []
    for _ in range(5):
        began = processor_seconds()
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        seconds.append(processor_seconds() - began)
    assert "tune-search configs/seg.yaml" in output
    assert min(seconds) < 0.3
    heavy = "import sys, search.cli.main; print({'torch', 'ray', 'optuna', 'pydantic'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", heavy], text=True).strip() == "set()"


@pytest.mark.parametrize(
    "command",
    ["search", "check", "export", "predict", "retrain", "resume", "verify", "batch-sizes", "clean"],
)
def test_each_command_explains_itself_with_an_example(command: str) -> None:
    shown = run(command, "--help")
    assert shown.returncode == 0
    assert f"tune-search {'configs' if command == 'search' else command}" in shown.stdout


def test_six_mistakes_give_six_messages_with_lines_and_no_trace(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "task: segmentation\n"
        "objective: {metric: miou, mode: maximum}\n"
        "trial:\n"
        "  model: {name: unet, widht: 16}\n"
        "  optimizer: {name: adamw, lr: {loguniform: [0, 1e-1]}}\n"
        "  batch_size: 0\n"
        "virtual_epoch: {steps: 20, epochs: 1}\n"
        "budget: {trails: 24}\n"
    )
    shown = run("bad.yaml", cwd=tmp_path)
    lines = shown.stderr.strip().splitlines()
    assert shown.returncode == 2
    assert [re.match(r"bad\.yaml:(\d+): (\S+):", line).groups() for line in lines] == [
        ("2", "objective.mode"),
        ("4", "trial.model.widht"),
        ("5", "trial.optimizer.lr"),
        ("6", "trial.batch_size"),
        ("7", "virtual_epoch"),
        ("8", "budget.trails"),
    ]
    assert "did you mean 'width'" in lines[1] or "nearest" in lines[1] or "width" in lines[1]
    assert "Traceback" not in shown.stdout + shown.stderr


def test_check_prints_the_plan_within_ten_seconds(tmp_path: Path) -> None:
    began = processor_seconds()
    subprocess.run([sys.executable, "-c", "import optuna, ray, torch"], check=True)
    imported = processor_seconds()
    shown = run("check", str(ROOT / "configs" / "seg.yaml"), cwd=tmp_path)
    checked = processor_seconds()
    assert shown.returncode == 0, shown.stderr
    for text in (
        "miou",
        "rungs at 3, 9",
        "loguniform 0.0001 .. 0.1",
        "2048 samples",
    ):
        assert text in shown.stdout
    (trials,) = re.findall(r"^trials +about (\d+), up to 27 virtual epochs each", shown.stdout, re.MULTILINE)
    assert 12 <= int(trials) <= 24
    # Ten seconds where these imports take two: the machine may be as slow as it likes.
    assert checked - imported < 5 * (imported - began)
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert written == ["results/seg/check/data.json", "results/seg/check/samples.png"]


def test_results_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shown = run(str(write_config(tmp_path)), "--results", str(tmp_path / "file"))
    assert shown.returncode == 1
    assert len(shown.stderr.strip().splitlines()) == 1
    assert "choose another with --results" in shown.stderr


@pytest.mark.parametrize("module", ["search", "search.cli.main"])
def test_the_program_is_a_module_too(module: str, tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-m", module, "chekc", "seg.yaml"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert shown.returncode == 2
    assert shown.stderr.startswith("Usage: tune-search ")
    assert "did you mean check?" in shown.stderr
