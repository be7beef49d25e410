"""What README shows is what works: its task, its configuration, its commands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from programs import ROOT
from pydantic import BaseModel

import search
from search.config.schema import Budget, Checkpoint, Plateau

README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def write_lanes(path: Path) -> None:
    """600 images of 32x32 with one bright, slightly slanted lane each."""
    rng = np.random.default_rng(0)
    lanes = rng.uniform(6, 26, 600)
    rows, columns = np.mgrid[:32, :32]
    centre = lanes[:, None, None] + rng.uniform(-0.2, 0.2, 600)[:, None, None] * (rows - 16)
    light = 200 * np.exp(-((columns - centre) ** 2) / 4) + rng.uniform(0, 50, (600, 32, 32))
    np.savez(path, images=light.astype(np.uint8), lanes=lanes)


def test_the_task_of_the_readme_is_short_and_runs(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = next(block for block in blocks("python") if "class LaneTask" in block)
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    (tmp_path / "my_project").mkdir()
    (tmp_path / "my_project" / "lanes.py").write_text(code)
    (tmp_path / "lanes.yaml").write_text(next(b for b in blocks("yaml") if "LaneTask" in b))
    write_lanes(tmp_path / "lanes.npz")
    monkeypatch.chdir(tmp_path)
    found = search.search("lanes.yaml")
    assert found.folder == tmp_path / "results" / "lanes"
    assert found.best is not None
    assert found.best.value < 3.0  # pixels; a constant guess is off by 5
    assert search.export(found.folder).value == pytest.approx(found.best.value, rel=1e-3)


def test_the_first_lines_name_the_two_commands() -> None:
    first_screen = "\n".join(README.splitlines()[:40])
    for command in ("make search", "make test", "tune-search configs/seg.yaml", "tensorboard --logdir"):
        assert command in first_screen


def test_the_configurations_of_the_readme_are_right(tmp_path: Path) -> None:
    from search.config.stages import load_config

    (tmp_path / "seg.yaml").write_text(next(b for b in blocks("yaml") if b.startswith("name: seg")))
    config = load_config(tmp_path / "seg.yaml").first
    assert config.points_to_evaluate == [{"optimizer": "adamw", "optimizer.adamw.lr": 1e-3}]
    assert config.budget.steps == 100_000


@pytest.mark.parametrize("block", [b for b in blocks("yaml") if b.startswith(("task:", "trial:"))])
def test_the_parts_of_configurations_in_the_readme_are_right(
    block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from search.config.stages import load_config

    (tmp_path / "my_losses.py").write_text("def boundary(outputs, targets): ...\n")
    monkeypatch.chdir(tmp_path)
    task = "" if block.startswith("task:") else "task: segmentation\n"
    rest = "objective: {metric: valid_loss, mode: min}\nvirtual_epoch: {steps: 20}\n"
    (tmp_path / "part.yaml").write_text(task + block + rest)
    assert load_config(tmp_path / "part.yaml").first.space.candidates()


@pytest.mark.parametrize(
    ("section", "options"), [("budget", Budget), ("plateau", Plateau), ("checkpoint", Checkpoint)]
)
def test_the_keys_that_the_readme_lists_are_those_of_the_section(
    section: str, options: type[BaseModel]
) -> None:
    (row,) = re.findall(rf"^\| `{section}` \| (.*) \|$", README, re.MULTILINE)
    assert {key.partition(":")[0] for key in re.findall(r"`(.*?)`", row)} <= set(options.model_fields)
