"""With what a run was made, what has changed since, and where it was started."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import tiny_tasks
from tiny_tasks import search_config

from search.config.config import Config
from search.config.stages import load_config
from search.run.before.provenance import own_code, record_provenance, task_source, working_folder
from search.run.disk.folder import RunFolder


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """An empty run; the working folder is `here`, beside it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = RunFolder(tmp_path / "run")
    folder.create()
    return folder


@pytest.fixture
def config() -> Config:
    return load_config(search_config()).first


def entries(run: RunFolder) -> list[dict[str, Any]]:
    return json.loads(run.provenance.read_text())["sessions"]


def edit(run: RunFolder, **versions: str) -> None:
    """Change what was recorded last."""
    content = json.loads(run.provenance.read_text())
    content["sessions"][-1]["versions"].update(versions)
    run.provenance.write_text(json.dumps(content))


def test_the_first_record_says_all_and_nothing_has_changed(run: RunFolder, config: Config) -> None:
    assert record_provenance(config, run) == []
    (entry,) = entries(run)
    file = Path(tiny_tasks.__file__)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert entry["task"] == {"class": "tiny_tasks:DigitsTask", "file": str(file), "sha256": digest}
    assert entry["working_folder"] == os.getcwd()
    assert entry["versions"]["python"] == platform.python_version()
    assert [entry["versions"][name] for name in ("ray", "optuna", "torch")] == [
        version("ray"),
        version("optuna"),
        sys.modules["torch"].__version__,
    ]
    assert entry["began"].endswith(" UTC")


def test_where_nothing_differs_nothing_is_added(run: RunFolder, config: Config) -> None:
    record_provenance(config, run)
    before = run.provenance.read_bytes()
    assert record_provenance(config, run) == []
    assert run.provenance.read_bytes() == before


def test_another_version_is_told_once_with_both_and_the_old_one_is_kept(
    run: RunFolder, config: Config
) -> None:
    record_provenance(config, run)
    edit(run, torch="1.0", optuna="0.9")
    now = {name: version(name) for name in ("optuna",)} | {"torch": sys.modules["torch"].__version__}
    assert record_provenance(config, run) == [
        f"optuna was 0.9 and is {now['optuna']} now",
        f"torch was 1.0 and is {now['torch']} now",
    ]
    assert [entry["versions"]["torch"] for entry in entries(run)] == ["1.0", now["torch"]]
    assert record_provenance(config, run) == []


def test_a_library_that_is_new_or_gone_is_told(run: RunFolder, config: Config) -> None:
    record_provenance(config, run)
    content = json.loads(run.provenance.read_text())
    del content["sessions"][0]["versions"]["numpy"]
    content["sessions"][0]["versions"]["quantum"] = "3.1"
    run.provenance.write_text(json.dumps(content))
    numpy = sys.modules["numpy"].__version__
    assert record_provenance(config, run) == [
        f"numpy was not there and is {numpy} now",
        "quantum was 3.1 and is not there now",
    ]


def test_a_task_whose_file_has_changed_is_told_with_the_file(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "task_of_mine.py"
    file.write_text("from tiny_tasks import DigitsTask\nclass Mine(DigitsTask):\n    pass\n")
    config = load_config(search_config(task="task_of_mine:Mine")).first
    record_provenance(config, run)
    file.write_text(file.read_text() + "# more\n")
    assert record_provenance(config, run) == [f"the code of task_of_mine:Mine in {file} has changed"]
    assert task_source(config)["sha256"] == entries(run)[-1]["task"]["sha256"]


def test_what_is_imported_by_its_path_is_recorded_with_its_file_or_package_and_a_change_is_told(
    run: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "net_of_mine.py"
    file.write_text("from torch import nn\ndef net():\n    return nn.Conv2d(1, 11, 1)\n")
    loss = {"terms": {"own": {"name": "torch.nn:CrossEntropyLoss"}}}
    model = {"choice": [{"name": "net_of_mine:net"}, {"name": "unet"}]}
    trial = {"data": {"source": "digits"}, "model": model, "loss": loss}
    raw = search_config(task="segmentation", trial=trial) | {"objective": {"metric": "miou", "mode": "max"}}
    config = load_config(raw).first
    assert record_provenance(config, run) == []
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert entries(run)[0]["imported"] == {
        "net_of_mine:net": {"file": str(file), "sha256": digest},
        "torch.nn:CrossEntropyLoss": {"package": "torch", "version": version("torch")},
    }
    torch_version = f"torch {version('torch')}"
    assert own_code(config) == {"net_of_mine:net": digest, "torch.nn:CrossEntropyLoss": torch_version}
    file.write_text(file.read_text() + "# more\n")
    content = json.loads(run.provenance.read_text())
    content["sessions"][-1]["imported"]["torch.nn:CrossEntropyLoss"]["version"] = "1.0"
    run.provenance.write_text(json.dumps(content))
    assert record_provenance(config, run) == [
        f"the code of net_of_mine:net in {file} has changed",
        f"torch.nn:CrossEntropyLoss is of torch {version('torch')}, and was of 1.0",
    ]
    assert record_provenance(config, run) == []


def test_another_working_folder_is_recorded_and_is_no_news(
    run: RunFolder, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_provenance(config, run)
    monkeypatch.chdir(tmp_path)
    assert record_provenance(config, run) == []
    assert [Path(entry["working_folder"]) for entry in entries(run)] == [tmp_path / "here", tmp_path]


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"sessions": 3}', '{"sessions": ["x"]}', '{"sessions": [{}]}',
     '{"sessions": [{"versions": [], "task": {}, "working_folder": 3}]}'],
)  # fmt: skip
def test_a_damaged_record_is_begun_again(run: RunFolder, config: Config, content: str) -> None:
    run.provenance.write_text(content)
    here = os.getcwd()
    with working_folder(run):
        assert os.getcwd() == here
    assert record_provenance(config, run) == []
    assert entries(run)[-1]["working_folder"] == here


# Where it was started


def test_a_run_is_gone_on_with_where_it_was_started(
    run: RunFolder, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_provenance(config, run)
    monkeypatch.chdir(tmp_path)
    with working_folder(run):
        assert Path.cwd() == tmp_path / "here"
    assert Path.cwd() == tmp_path


def test_a_run_whose_folder_was_moved_still_knows_where_it_was_started(
    run: RunFolder, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_provenance(config, run)
    monkeypatch.chdir(tmp_path)
    with working_folder(RunFolder(run.path.rename(tmp_path / "moved"))):
        assert Path.cwd() == tmp_path / "here"


def test_where_that_is_gone_or_was_never_recorded_one_stays_where_one_is(
    run: RunFolder, config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with working_folder(run):
        assert Path.cwd() == tmp_path
    monkeypatch.chdir(tmp_path / "here")
    record_provenance(config, run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").rmdir()
    with working_folder(run):
        assert Path.cwd() == tmp_path
