"""A network of one's own in a file beside the configuration: searched, exported, retrained."""

from __future__ import annotations

import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from in_process import search_locally
from safetensors.torch import load_file

import search
from search.errors import SearchError
from search.screen.texts.summary import retraining_text
from search.text import number_text

NET = """
from torch import nn

class Net(nn.Sequential):
    def __init__(self, classes, width=2):
        super().__init__(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, classes, 1))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "net_beside", raising=False)
    (tmp_path / "net_beside.py").write_text(NET)
    return tmp_path


def config() -> dict[str, Any]:
    return {
        "name": "own",
        "task": "segmentation",
        "objective": {"metric": "miou", "mode": "max"},
        "virtual_epoch": {"steps": 2},
        "budget": {"trials": 2, "max_virtual_epochs": 2},
        "trial": {
            "data": {"source": "digits", "size": 16, "num_train": 8, "num_valid": 4},
            "model": {"name": "net_beside:Net", "classes": 11, "width": {"choice": [2, 3]}},
            "batch_size": 2,
        },
    }


def test_the_readme_of_an_export_holds_the_lines_that_load_the_model(folder: Path) -> None:
    exported = search.export(search_locally(config(), results=folder / "results").folder)
    blocks = re.findall(r"```python\n(.*?)```", (exported.folder / "README.md").read_text(), re.DOTALL)
    (code,) = (block for block in blocks if "load_file" in block)
    names: dict[str, Any] = {}
    exec(code.replace('"model.safetensors"', repr(str(exported.folder / "model.safetensors"))), names)
    assert type(names["model"]).__name__ == "Net"
    assert names["model"](torch.zeros(1, 1, 8, 8)).shape == (1, 11, 8, 8)


def test_a_file_that_changed_since_the_export_is_told_before_it_is_retrained(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    exported = search.export(search_locally(config(), results=folder / "results").folder)
    with caplog.at_level(logging.WARNING):
        search.retrain(exported.folder, virtual_epochs=1, out=folder / "same")
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
        (folder / "net_beside.py").write_text(NET + "# other\n")
        search.retrain(exported.folder, virtual_epochs=1, out=folder / "other")
    (warning,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert (
        warning.getMessage()
        == "the code of net_beside:Net has changed since the export: values may not compare"
    )


def test_a_search_begins_from_a_former_export_with_a_frozen_part_and_rates_by_part(folder: Path) -> None:
    exported = search.export(search_locally(config(), results=folder / "results").folder).folder
    former = load_file(exported / "model.safetensors")
    width = former["0.weight"].shape[0]
    tuned = config() | {"name": "tuned"}
    tuned["trial"] |= {
        "model": {
            "name": "net_beside:Net",
            "classes": 11,
            "width": width,
            "weights": str(exported / "model.safetensors"),
        },
        "freeze": ["0.*"],
        "optimizer": {"groups": [{"match": "*.bias", "lr_factor": {"loguniform": [0.1, 10.0]}}]},
    }
    again = search.export(search_locally(tuned, results=folder / "results").folder).folder
    weights = load_file(again / "model.safetensors")
    assert torch.equal(weights["0.weight"], former["0.weight"])
    assert not torch.equal(weights["2.weight"], former["2.weight"])
    (exported / "model.safetensors").rename(folder / "gone.safetensors")
    assert search.export(folder / "results" / "tuned").folder == again  # needs the file no more
    tuned["trial"]["freeze"] = ["encoder.*"]
    with pytest.raises(
        SearchError, match=r"freeze: 'encoder\.\*' matches no parameter of Net, which has 0\.weight"
    ):
        search_locally(tuned | {"name": "wrong"}, results=folder / "results")


def test_check_tries_each_option_and_names_what_the_wrong_one_has_otherwise(folder: Path) -> None:
    wrong = config()
    net = {"name": "net_beside:Net"}
    wrong["trial"]["model"] = {"choice": [{**net, "classes": 11}, {**net, "classes": 10, "width": 3}]}
    phases: list[str] = []
    with pytest.raises(SearchError) as error:
        search.check(wrong, phase=phases.append)
    assert "returned [2, 10, 16, 16]; must be [2, 11, 16, 16]" in str(error.value)
    assert str(error.value).endswith("this was tried: trial.model.classes 10, trial.model.width 3")
    assert "trying trial.model net_beside:Net" in phases


def test_a_retraining_says_what_the_export_had_before(folder: Path) -> None:
    exported = search.export(search_locally(config(), results=folder / "results").folder)
    done = search.retrain(exported.folder, virtual_epochs=1)
    assert done.before == exported.value
    assert f", {number_text(exported.value)} before\nexported to" in retraining_text(done, "")


def test_a_network_of_monai_is_searched_with_its_channels_and_exported(folder: Path) -> None:
    monai = config()
    monai["trial"]["model"] = {
        "name": "monai.networks.nets:UNet",
        "spatial_dims": 2,
        "in_channels": 1,
        "out_channels": 11,
        "channels": {"choice": [[4, 8], [4, 8, 8]]},
        "strides": [2, 2],
    }
    exported = search.export(search_locally(monai, results=folder / "results").folder)
    assert "from monai.networks.nets import UNet" in (exported.folder / "README.md").read_text()
