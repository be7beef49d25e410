"""The program as a person runs it: in its own process, with real signals, and a local Ray of its own."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TESTS, wait_for_line
from ruamel.yaml import YAML
from safetensors.torch import load_file
from test_search import optuna_study
from tiny_tasks import search_config

import search

Program = Callable[..., subprocess.Popen[str]]


def run(*args: str, cwd: Path = TESTS) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from search.cli import main; main()", *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def write_config(folder: Path, **sections: Any) -> Path:
    file = folder / "digits.yaml"
    with file.open("w") as out:
        YAML(typ="safe").dump(search_config(**sections), out)
    return file


def test_help_answers_in_a_third_of_a_second_without_torch_or_ray() -> None:
    command = [sys.executable, "-c", "from search.cli import main; main(['--help'])"]
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        seconds.append(time.perf_counter() - began)
    assert "tune-search configs/seg.yaml" in output
    assert min(seconds) < 0.3
    heavy = "import sys, search.cli; print({'torch', 'ray', 'optuna', 'pydantic'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", heavy], text=True).strip() == "set()"


@pytest.mark.parametrize("command", ["search", "check", "export", "retrain", "resume"])
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
        "virtual_epoch: {steps: 20, passes: 1}\n"
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
    # Processor seconds: what else runs on this machine is not what is measured.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    shown = run("check", str(TESTS.parent / "configs" / "seg.yaml"), cwd=tmp_path)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert shown.returncode == 0, shown.stderr
    for text in ("miou", "rungs at 1, 3, 9", "loguniform 0.0001 .. 0.1", "2048 samples", "24, up to 27"):
        assert text in shown.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10
    assert list(tmp_path.iterdir()) == []


def test_interrupted_and_killed_a_search_ends_as_if_nothing_had_been(
    tmp_path: Path, program: Program, ray_session: None
) -> None:
    """Ctrl-C, then SIGKILL of the whole group, then the same command: against one that nobody disturbed."""
    sections = {
        "resources": {"cpus_per_trial": 1, "concurrent_trials": 1},
        "virtual_epoch": {"steps": 60},
        "budget": {"trials": 9, "virtual_epochs": 9},
    }
    config = str(write_config(tmp_path, **sections))
    command = (config, "--results", str(tmp_path / "disturbed"))

    first = program(*command)
    wait_for_line(first, "trial 2 virtual epoch")
    os.kill(first.pid, signal.SIGINT)
    output = first.communicate(timeout=60)[0]
    assert first.returncode == 130
    assert "tune-search resume" in output

    second = program(*command)
    wait_for_line(second, "virtual epoch 2/9")
    os.killpg(second.pid, signal.SIGKILL)
    second.communicate(timeout=60)
    assert second.returncode == -signal.SIGKILL

    third = program(*command)
    output = third.communicate(timeout=120)[0]
    assert third.returncode == 0, output
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", output)

    calm = search.search(search_config(**sections), results=tmp_path / "calm")
    disturbed = json.loads((tmp_path / "disturbed" / "digits" / "summary.json").read_text())
    studies = [optuna_study(tmp_path / name / "digits").trials for name in ("calm", "disturbed")]
    kept = [[(t.params, t.intermediate_values, t.value, t.state) for t in trials] for trials in studies]
    assert kept[0] == kept[1]
    assert calm.best is not None
    assert disturbed["best"] == {**vars(calm.best)}
    weights = [
        load_file(tmp_path / name / "digits" / calm.best.checkpoint / "model.safetensors")
        for name in ("calm", "disturbed")
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_termination_saves_and_exits_143(tmp_path: Path, program: Program) -> None:
    config = str(write_config(tmp_path, virtual_epoch={"steps": 600}))
    process = program(config, "--results", str(tmp_path))
    wait_for_line(process, "virtual epoch 1/9")
    refused = run(config, "--results", str(tmp_path))
    assert refused.returncode == 1
    assert f"process {process.pid} " in refused.stderr
    process.send_signal(signal.SIGTERM)
    output = process.communicate(timeout=60)[0]
    assert process.returncode == 143
    summary = json.loads((tmp_path / "digits" / "summary.json").read_text())
    assert summary["status"] == "terminated"
    assert "search terminated: SIGTERM" in output
    for trial in optuna_study(tmp_path / "digits").trials:
        folder = tmp_path / "digits" / "trials" / f"{trial.number:04d}"
        newest = max((int(p.name[-6:]) for p in folder.glob("checkpoint_*")), default=0)
        assert newest == len(trial.intermediate_values)


def test_results_that_cannot_be_written_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shown = run(str(write_config(tmp_path)), "--results", str(tmp_path / "file"))
    assert shown.returncode == 1
    assert len(shown.stderr.strip().splitlines()) == 1
    assert "choose another with --results" in shown.stderr
