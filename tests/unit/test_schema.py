"""The JSON Schema of configurations: the real files are valid, typical mistakes are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import init_folders as made
import pytest
from click.testing import CliRunner
from jsonschema import Draft7Validator
from rooms import ROOT

from search.cli.main import cli
from search.commands.init.command import init
from search.commands.schema import BUNDLED, NAME, schema, text
from search.config.document import read_document

FILES = sorted([*(ROOT / "configs").glob("*.yaml"), *(ROOT / "examples").glob("*.yaml")])
PLAIN = {
    "task": "segmentation",
    "objective": {"metric": "miou", "mode": "max"},
    "virtual_epoch": {"steps": 20},
    "trial": {},
}


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    Draft7Validator.check_schema(schema())
    return Draft7Validator(schema())


def errors(validator: Draft7Validator, tree: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(tree)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_configurations_of_the_repository_are_valid_and_name_the_schema(
    file: Path, validator: Draft7Validator
) -> None:
    assert errors(validator, read_document(file).tree) == []
    head, _, path = file.read_text().splitlines()[0].partition("=")
    assert head == "# yaml-language-server: $schema"
    assert (file.parent / path).resolve() == BUNDLED


def test_the_file_in_the_package_is_that_of_this_version() -> None:
    assert BUNDLED.read_text() == text(), "run: tune-search schema --out search/config.schema.json"


def test_what_init_writes_is_valid_and_names_the_schema_beside_it(
    tmp_path: Path, validator: Draft7Validator
) -> None:
    made.listed(tmp_path / "masks")
    made.classes(tmp_path / "classes")
    made.table(tmp_path / "a.csv", "a,b,y", [[*row, row[0]] for row in made.numbers()])
    for name in ("masks", "classes", "a.csv"):
        file = init(tmp_path / name, out=tmp_path / f"{name}.yaml").file
        assert errors(validator, read_document(file).tree) == []
        assert file.read_text().startswith(f"# yaml-language-server: $schema={NAME}\n")
    assert (tmp_path / NAME).read_text() == text()


@pytest.mark.parametrize(
    "changes",
    [
        {"trial": {"batchsize": 16}},
        {"trial": {"batch_size": "large"}},
        {"trial": {"optimizer": {"lr": "high"}}},
        {"trial": {"optimizer": {"lr": {"loguniform": [1e-4]}}}},
        {"trial": {"optimizer": {"lr": {"loguniform": [1e-4, "high"]}}}},
        {"trial": {"model": {"name": "unet", "widht": 16}}},
        {"trial": {"model": {"name": "unt"}}},
        {"trial": {"model": {"name": "unet", "width": {"choice": [16, "wide"]}}}},
        {"trial": {"model": {"choice": [{"name": "unet", "widht": 16}]}}},
        {"trial": {"data": {"source": "folder"}}},
        {"budget": {"trails": 3}},
        {"sampler": {"name": "tpe", "sed": 0}},
        {"budget": {"time": 30}},
        {"task": "segmentatoin"},
        {"virtual_epochs": {"steps": 3}},
        {"trial": None},
    ],
    ids=str,
)
def test_mistakes_are_invalid(changes: dict[str, Any], validator: Draft7Validator) -> None:
    assert errors(validator, PLAIN) == []
    assert errors(validator, PLAIN | changes)


@pytest.mark.parametrize(
    "trial",
    [
        {"model": {"name": "monai.networks.nets:UNet", "channels": {"choice": [[16, 32], [32, 64]]}}},
        {"model": {"name": {"choice": ["unet", "segformer"]}}},
        {"model": {"choice": [{"name": "unet", "width": {"randint": [8, 32]}}, {"name": "a.b:Net", "w": 3}]}},
        {"model": {"name": "unet", "weights": "a.safetensors"}},
        {"loss": {"terms": {"edges": {"name": "a.b:Loss", "coefficient": {"uniform": [0, 1]}}}}},
        {"batch_size": "auto"},
        {"batch_size": {"lograndint": [4, "auto"]}},
        {"freeze": ["encoder.*", {"match": "a", "until": 100}]},
        {"optimizer": {"name": "sgd", "momentum": {"uniform": [0, 0.99]}, "groups": [{"match": "a.*"}]}},
        {"data": {"source": "shards", "train": "a.tar", "valid": ["b.tar"], "num_classes": 3}},
    ],
    ids=str,
)
def test_each_value_may_be_a_domain_and_each_name_a_path(
    trial: dict[str, Any], validator: Draft7Validator
) -> None:
    assert errors(validator, {**PLAIN, "trial": trial}) == []


def test_docstrings_are_the_text_under_the_cursor() -> None:
    defs = schema()["$defs"]
    assert defs["OptimizerOptions"]["properties"]["lr"]["description"].startswith("Peak learning rate")
    assert defs["UNetOptions"]["description"] == "U-Net (arXiv:1505.04597)."


def test_it_is_printed_or_written_and_replaces_only_itself(tmp_path: Path) -> None:
    printed = CliRunner().invoke(cli, ["schema"])
    assert json.loads(printed.output)["title"] == "A configuration of tune-search"
    file = tmp_path / "a.json"
    file.write_text("{}")
    refused = CliRunner().invoke(cli, ["schema", "--out", str(file)])
    assert "exists and is no schema of tune-search" in str(refused.exception)
    file.unlink()
    for _ in range(2):
        assert CliRunner().invoke(cli, ["schema", "--out", str(file)]).exit_code == 0
    assert file.read_text() == text()
