"""What README and the pages beside it show is what works: the task, the configurations, the first lines."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from made_lanes import write_lanes
from page_blocks import blocks_of
from programs import ROOT
from pydantic import BaseModel

import search
from search.config.schema import Budget, Checkpoint, Plateau
from search.config.stages import load_config

README = (ROOT / "README.md").read_text()
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()


def blocks(page: str, language: str) -> list[str]:
    return [block.text for block in blocks_of(Path(page)) if block.language == language]


def test_the_task_of_the_documentation_is_short_and_runs(
    ray_session: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = next(block for block in blocks("docs/custom_task.md", "python") if "class LaneTask" in block)
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
    (tmp_path / "my_project").mkdir()
    (tmp_path / "my_project" / "lanes.py").write_text(code)
    (tmp_path / "lanes.yaml").write_text(
        next(b for b in blocks("docs/custom_task.md", "yaml") if "LaneTask" in b)
    )
    write_lanes(tmp_path / "lanes.npz")
    monkeypatch.chdir(tmp_path)
    found = search.search("lanes.yaml")
    assert found.folder == tmp_path / "results" / "lanes"
    assert found.best is not None
    assert found.best.value < 3.0  # pixels; a constant guess is off by 5
    assert search.export(found.folder).value == pytest.approx(found.best.value, rel=1e-3)


def test_the_readme_is_short() -> None:
    assert len(README.splitlines()) <= 130, "one screen and links: all else has a page in docs/"


def test_the_first_lines_name_the_two_commands() -> None:
    first_screen = "\n".join(README.splitlines()[:40])
    for command in ("make search", "make test", "tune-search configs/seg.yaml", "tensorboard --logdir"):
        assert command in first_screen


@pytest.mark.parametrize("page", ["README.md", "docs/configuration.md"])
def test_the_configurations_of_the_readme_are_right(page: str, tmp_path: Path) -> None:
    (tmp_path / "seg.yaml").write_text(next(b for b in blocks(page, "yaml") if b.startswith("name: seg")))
    config = load_config(tmp_path / "seg.yaml").first
    assert config.points_to_evaluate == [{"optimizer": "adamw", "optimizer.adamw.lr": 1e-3}]
    assert config.budget.steps == 100_000


@pytest.mark.parametrize("block", blocks("docs/your_data.md", "yaml"))
def test_the_parts_of_configurations_for_your_own_data_are_right(block: str, tmp_path: Path) -> None:
    task = "" if block.startswith("task:") else "task: segmentation\n"
    rest = "objective: {metric: valid_loss, mode: min}\nvirtual_epoch: {steps: 20}\n"
    (tmp_path / "part.yaml").write_text(task + block + rest)
    assert load_config(tmp_path / "part.yaml").first.space.candidates()


@pytest.mark.parametrize(
    ("section", "options"), [("budget", Budget), ("plateau", Plateau), ("checkpoint", Checkpoint)]
)
def test_the_keys_that_the_documentation_lists_are_those_of_the_section(
    section: str, options: type[BaseModel]
) -> None:
    (row,) = re.findall(rf"^\| `{section}` \| (.*) \|$", CONFIGURATION, re.MULTILINE)
    assert {key.partition(":")[0] for key in re.findall(r"`(.*?)`", row)} <= set(options.model_fields)
