"""What decides the validation data cannot be searched: the trial with the easiest samples would win."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from search.config.checks import check_trial
from search.config.tasks import load_task
from search.space.parse import parse_space

CSV = {"source": "csv", "path": "rows.csv", "target": "y"}
FOLDER = {"source": "folder", "root": "scans"}
CLASSES = {"source": "images", "root": "photos"}
SHARDS = {"source": "shards", "train": "train-*.tar", "valid": "valid-*.tar", "class_names": ["a", "b"]}
SAVED = {"source": "datasets", "root": "saved"}
FOLDED = {"folds": 3}
SEEDS = {"randint": [0, 9]}
SHARES = {"uniform": [0.1, 0.3]}


class Split:
    """Stands for a data set with a split of its own."""

    def __init__(self, split: str, split_seed: int = 0) -> None:
        self.split, self.split_seed = split, split_seed


def problems(task: str, trial: Mapping[str, Any]) -> list[str]:
    table = task == "classification" and trial["data"].get("source") in ("csv", "breast_cancer")
    model = {"model": {"name": "mlp"}} if table else {}
    found = check_trial(parse_space({**model, **trial}), load_task(task))
    return [f"{each.path}: {each.message}" for each in found]


@pytest.mark.parametrize(
    ("task", "data", "key", "domain"),
    [
        ("classification", {"source": "digits"}, "split_seed", SEEDS),
        ("classification", {"source": "breast_cancer"}, "valid_fraction", SHARES),
        ("classification", CSV, "split_seed", SEEDS),
        ("classification", CSV, "valid_path", {"choice": ["one.csv", "other.csv"]}),
        ("classification", {**CSV, **FOLDED}, "group", {"choice": ["patient", "day"]}),
        ("classification", CLASSES, "split_seed", SEEDS),
        ("classification", SHARDS, "valid", {"choice": ["a.tar", "b.tar"]}),
        ("classification", {**SHARDS, **FOLDED}, "train", {"choice": ["a.tar", "b.tar"]}),
        ("classification", SAVED, "valid_split", {"choice": ["valid", "test"]}),
        ("classification", {**SAVED, **FOLDED}, "train_split", {"choice": ["train", "more"]}),
        ("regression", {"source": "diabetes"}, "split_seed", SEEDS),
        ("regression", CSV, "valid_fraction", SHARES),
        ("regression", CSV, "missing_targets", {"choice": ["error", "drop"]}),
        ("segmentation", FOLDER, "valid_fraction", SHARES),
        ("segmentation", FOLDER, "split_seed", SEEDS),
        ("segmentation", FOLDER, "valid_list", {"choice": ["val.txt", "easy.txt"]}),
        ("segmentation", {**FOLDER, "layout": "nnunet"}, "fold", {"choice": [0, 1]}),
        ("segmentation", FOLDER, "folds", {"choice": [None, 5]}),
        ("segmentation", {"source": "digits"}, "seed", SEEDS),
        ("segmentation", {"source": "digits"}, "noise", {"uniform": [0.0, 0.5]}),
        ("gan", {}, "seed", SEEDS),
    ],
)
def test_a_searched_key_that_decides_the_split_is_refused(
    task: str, data: dict[str, Any], key: str, domain: dict[str, Any]
) -> None:
    assert problems(task, {"data": data}) == []
    (found,) = problems(task, {"data": {**data, key: domain}})
    assert found.startswith(f"trial.data.{key}: is searched, and values on different validation data do not")
    assert f"give {key} one value" in found


def test_the_rule_holds_where_a_choice_changes_other_keys_with_it() -> None:
    options = [{**CLASSES, "channels": 1}, {**CLASSES, "channels": 3, "split_seed": 1}]
    (found,) = problems("classification", {"data": {"choice": options}})
    assert "give split_seed one value; `retrain --fold all` trains" in found


def test_measures_of_a_gan_are_one_for_all_trials() -> None:
    (found,) = problems("gan", {"data": {}, "evaluation": {"num_samples": {"choice": [100, 1000]}}})
    assert found.startswith("trial.evaluation.num_samples: is searched, and values on different validation")


def test_data_of_yours_are_refused_by_the_names_of_their_arguments() -> None:
    data: dict[str, Any] = {"source": f"{__name__}:Split", "class_names": ["a", "b"]}
    assert problems("classification", {"data": data}) == []
    data["split_seed"] = {"choice": [0, 1]}
    (found,) = problems("classification", {"data": data})
    assert "give split_seed one value" in found


@pytest.mark.parametrize(
    ("task", "data"),
    [
        ("classification", {**SHARDS, "train": {"choice": ["a.tar", ["a.tar", "b.tar"]]}}),
        ("classification", {**SAVED, "train_split": {"choice": ["train", "more"]}}),
        ("classification", {**CLASSES, "root": {"choice": ["plain", "cleaned"]}}),
        ("classification", {**CSV, "ignore_columns": {"choice": [[], ["day"]]}}),
        ("segmentation", {**FOLDER, "images_folder": {"choice": ["rgb", "infrared"]}}),
        ("segmentation", {"choice": [FOLDER, {"source": "digits"}]}),
    ],
)
def test_what_is_trained_on_and_how_it_is_read_may_be_searched(task: str, data: dict[str, Any]) -> None:
    assert problems(task, {"data": data}) == []
