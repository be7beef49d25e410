"""`base: common.yaml`: what is merged, what messages name, and what cannot be a base."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from search.config.document import read_values
from search.config.stages import load_config
from search.errors import ConfigError

COMMON = """\
name: common
task: segmentation
objective: {metric: miou, mode: max}
trial:
  data: {source: digits}
  model: {name: unet, width: 8}
  optimizer: {name: adamw, lr: {loguniform: [1e-4, 1e-1]}}
virtual_epoch: {steps: 20}
budget: {trials: 24, max_virtual_epochs: 27}
scheduler: {name: asha, grace_period: 1}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "common.yaml").write_text(COMMON)
    return tmp_path


def written(name: str, text: str) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
    return name


def test_a_file_is_merged_over_its_base_as_stages_are(folder: Path) -> None:
    own = "trial: {model: {width: 16}, optimizer: {lr: 1e-3}}\nscheduler: {name: none}\n"
    loaded = load_config(written("configs/wide.yaml", f"base: ../common.yaml\n{own}"))
    assert loaded.name == "wide"  # the run of another file is another run
    assert loaded.first.task == "segmentation"
    trial = loaded.raw["trial"]
    assert trial["model"] == {"name": "unet", "width": 16}
    assert trial["optimizer"] == {"name": "adamw", "lr": 1e-3}
    assert loaded.raw["scheduler"]["name"] == "none"
    assert "base" not in loaded.raw


def test_a_base_may_have_a_base_and_overrides_are_last(folder: Path) -> None:
    written("configs/middle.yaml", "base: ../common.yaml\nbudget: {trials: 12, time: 1h}\n")
    file = written("configs/deep/last.yaml", "base: ../middle.yaml\nbudget: {trials: 6}\n")
    loaded = load_config(file, ["budget.max_virtual_epochs=3"])
    assert {key: loaded.raw["budget"][key] for key in ("trials", "time", "max_virtual_epochs")} == {
        "trials": 6,
        "time": "1h",
        "max_virtual_epochs": 3,
    }


def problems(file: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load_config(file, overrides)
    return str(raised.value).splitlines()


def test_messages_name_the_file_and_line_of_each_value(folder: Path) -> None:
    (folder / "common.yaml").write_text(COMMON.replace("width: 8", "widht: 8"))
    file = written("configs/a.yaml", "base: ../common.yaml\nbudget: {trails: 3}\n")
    assert problems(file, "trial.optimizer.lr=high") == [
        "configs/a.yaml:2: budget.trails: unknown key 'trails'; did you mean 'trials'?",
        "common.yaml:6: trial.model.widht: unknown key 'widht'; did you mean 'width'?",
        "--set trial.optimizer.lr=high: trial.optimizer.lr: received 'high'; must be a number",
    ]


def test_a_value_over_another_has_its_own_line(folder: Path) -> None:
    file = written("configs/a.yaml", "base: ../common.yaml\n\ntrial:\n  model: {width: wide}\n")
    (line,) = problems(file)
    assert line.startswith("configs/a.yaml:4: trial.model.width: received 'wide'")


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("../comon.yaml", "there is no file comon.yaml; did you mean ../common.yaml?"),
        ("elsewhere/x.yaml", "there is no file configs/elsewhere/x.yaml"),
        ("[a.yaml, b.yaml]", "must be one file, relative to this one, such as common.yaml; a base may have"),
        ("3", "received 3; must be one file, relative to this one"),
        ("..", "is a folder; must be a file"),
        ("a.yaml", "configs/a.yaml -> configs/a.yaml: a file cannot be its own base"),
        ("../circle.yaml", "configs/a.yaml -> circle.yaml -> configs/a.yaml: a file"),
        (f"{'x' * 300}.yaml", "there is no file configs/xxx"),
    ],
)
def test_what_is_no_base(base: str, message: str, folder: Path) -> None:
    written("circle.yaml", "\nbase: configs/a.yaml\n")
    (line,) = problems(written("configs/a.yaml", f"\nbase: {base}\n"))
    assert message in line
    where = "circle.yaml:2: base: " if "circle" in base else "configs/a.yaml:2: base: "
    assert line.startswith(where)


def test_a_base_that_is_broken_or_no_mapping_is_named(folder: Path) -> None:
    file = written("a.yaml", "base: list.yaml\n")
    written("list.yaml", "- 1\n")
    assert problems(file) == ["list.yaml: must be a mapping (key: value), received [1]"]
    written("list.yaml", "a: [\n")
    assert problems(file)[0].startswith("list.yaml:")


def test_files_that_the_program_wrote_have_no_base(folder: Path) -> None:
    file = Path(written("trial.yaml", "base: resnet50\nlr: 0.1\n"))
    assert read_values(file) == {"base": "resnet50", "lr": 0.1}
    assert os.path.exists(file)
