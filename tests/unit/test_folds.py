"""Folds: which sample is in which, for every source; what is refused, and what does not move."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fold_data import class_folder, mask_folder, table
from layout_folders import nnunet_root
from mask_folders import write as write_pair
from PIL import Image
from pydantic import ValidationError
from shard_data import pictures

from trainables.build import load_arrays
from trainables.classification.data import read_class_sheets
from trainables.classification.options import ClassCSVOptions, ClassificationOptions
from trainables.classification.task import ClassificationTask
from trainables.data.notes import heard_notes
from trainables.folds.assign import fold_notes, fold_numbers, groups_in_names, make_folds
from trainables.folds.options import NameFolds
from trainables.images.found import FoundImages, locate_images
from trainables.images.options import ClassFolderOptions, MaskFolderOptions
from trainables.regression.options import RegressionOptions
from trainables.regression.task import RegressionTask
from trainables.segmentation.options import SegmentationOptions
from trainables.segmentation.task import SegmentationTask

Arrays = dict[str, np.ndarray]
TASKS: dict[str, Any] = {
    "classification": (ClassificationTask, ClassificationOptions),
    "regression": (RegressionTask, RegressionOptions),
    "segmentation": (SegmentationTask, SegmentationOptions),
}


def load(task: str, data: dict[str, Any], **sections: Any) -> Arrays:
    task_class, options = TASKS[task]
    return dict(load_arrays(task_class, options.parse({"data": data, **sections})))


def digest(*arrays: np.ndarray) -> str:
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def found(root: Path, **options: Any) -> FoundImages:
    return locate_images(MaskFolderOptions(source="folder", root=str(root), **options), 0)


def names_of(images: FoundImages, part: str) -> list[str]:
    reader = images.parts[part]
    return [Path(reader.name(number)).stem for number in range(len(reader))]


def folds_by_name(root: Path, **options: Any) -> dict[str, int]:
    """The fold of each sample: the one that validates it."""
    number = options["folds"]
    return {name: k for k in range(number) for name in names_of(found(root, fold=k, **options), "valid")}


# Without folds


@pytest.mark.parametrize(
    ("task", "data", "keys", "expected"),
    [
        (
            "classification",
            {"source": "digits"},
            ("train_inputs", "valid_inputs", "valid_targets"),
            "2c85724cafe5b5fe",
        ),
        (
            "segmentation",
            {"source": "digits", "num_train": 8, "num_valid": 4},
            ("train_inputs", "valid_targets"),
            "4104dd25b75ba5a3",
        ),
    ],
)
def test_without_folds_built_in_images_are_what_they_were_before_there_were_any(
    task: str, data: dict[str, Any], keys: tuple[str, ...], expected: str
) -> None:
    arrays = load(task, data)
    assert digest(*(arrays[key] for key in keys)) == expected


def test_without_folds_files_and_rows_are_split_as_before_there_were_any(tmp_path: Path) -> None:
    images = found(mask_folder(tmp_path / "masks"))
    classes = locate_images(
        ClassFolderOptions(source="images", root=str(class_folder(tmp_path / "classes"))), 0
    )
    rows = {"source": "csv", "path": str(table(tmp_path)), "target": "kind", "ignore_columns": ["patient"]}
    arrays = load("classification", rows, model={"name": "mlp"})
    cancer = load("classification", {"source": "breast_cancer"}, model={"name": "mlp"})
    split = {
        "masks": names_of(images, "valid"),
        "classes": names_of(classes, "valid"),
        "table": arrays["valid_targets"].tolist(),
        "cancer": digest(cancer["valid_targets"], cancer["train_targets"]),
        "diabetes": len(load("regression", {"source": "diabetes"})["valid_inputs"]),
    }
    assert split == {
        "masks": [
            *("patient00_1", "patient00_2", "patient01_2"),
            *("patient03_3", "patient04_1", "patient05_3"),
        ],
        "classes": ["0", "1", "1", "9"],
        "table": [0, 0, 0, 0, 0, 0, 1, 0, 1, 1, 0, 1],
        "cancer": "6d21b632d4f5e710",
        "diabetes": 88,
    }


# A fold


def test_a_fold_is_a_function_of_the_name_alone_and_known_for_ever() -> None:
    names = [f"images/{number}.png" for number in range(1000)]
    folds = fold_numbers(names, 5)
    assert folds[:10].tolist() == [3, 3, 0, 3, 4, 0, 4, 1, 1, 1]
    assert np.array_equal(fold_numbers(names[::-1], 5)[::-1], folds)
    assert np.bincount(folds).min() > 160, "1000 names in 5 folds"
    assert fold_numbers(["Zo\u00eb"], 1000) == fold_numbers(["Zoe\u0308"], 1000), (
        "as Linux and as macOS write it"
    )


@pytest.mark.parametrize("task", ["classification", "segmentation", "regression"])
def test_the_folds_of_built_in_data_cover_every_sample_once(task: str) -> None:
    source = {"classification": "digits", "segmentation": "digits", "regression": "diabetes"}[task]
    total = 0
    for fold in range(3):
        arrays = load(task, {"source": source, "folds": 3, "fold": fold})
        total += len(arrays["valid_inputs"])
    assert total == {"classification": 1797, "segmentation": 3 * 128, "regression": 442}[task]


def test_a_new_image_moves_no_other(tmp_path: Path) -> None:
    root = mask_folder(tmp_path / "a")
    before = folds_by_name(root, folds=3)
    assert len(before) == 30
    for number in range(20):
        write_pair(root, f"new{number}", number)
    after = folds_by_name(root, folds=3)
    assert len(after) == 50
    assert before == {name: after[name] for name in before}


def test_the_folds_of_a_folder_are_the_same_wherever_it_lies(tmp_path: Path) -> None:
    before = folds_by_name(mask_folder(tmp_path / "a"), folds=3)
    shutil.copytree(tmp_path / "a", tmp_path / "elsewhere/b")
    assert folds_by_name(tmp_path / "elsewhere/b", folds=3) == before


def test_new_rows_of_a_table_move_no_other_and_repeated_rows_are_in_one_fold(tmp_path: Path) -> None:
    file = table(tmp_path)
    data = {"source": "csv", "path": str(file), "target": "kind", "folds": 3, "ignore_columns": ["patient"]}

    def folds_of() -> dict[str, set[int]]:
        folds: dict[str, set[int]] = {}
        for fold in range(3):
            parsed = ClassificationOptions.parse({"data": {**data, "fold": fold}, "model": {"name": "mlp"}})
            assert isinstance(parsed.data, ClassCSVOptions)
            sheets = read_class_sheets(parsed.data)
            for row in zip(*sheets.valid.columns.values(), strict=True):
                folds.setdefault(",".join(row), set()).add(fold)
        return folds

    before = folds_of()
    header, *lines = file.read_text().splitlines()
    file.write_text("\n".join([header, "p99,7,7,ill", *lines, *lines[:5]]) + "\n")
    after = folds_of()
    assert before == {row: after[row] for row in before}
    assert {len(folds) for folds in after.values()} == {1}


# Groups


@pytest.mark.parametrize("group", ["(patient\\d+)_", "/(p[a-z]+\\d\\d)"])
def test_no_group_is_in_two_folds(tmp_path: Path, group: str) -> None:
    root = mask_folder(tmp_path, patients=30, slices=3)
    folds = folds_by_name(root, folds=3, group=group)
    of_patient: dict[str, set[int]] = {}
    for name, fold in folds.items():
        of_patient.setdefault(name.partition("_")[0], set()).add(fold)
    assert len(of_patient) == 30
    assert Counter(map(len, of_patient.values())) == {1: 30}
    for fold in range(3):
        images = found(root, folds=3, fold=fold, group=group)
        train, valid = (
            {name.partition("_")[0] for name in names_of(images, part)} for part in ("train", "valid")
        )
        assert not train & valid


def test_a_folder_is_a_group(tmp_path: Path) -> None:
    for patient in range(12):
        for number in range(3):
            write_pair(tmp_path, f"p{patient}/{number}", patient)
    images = found(tmp_path, folds=3, group="folder")
    held = {
        part: {Path(images.parts[part].name(n)).parent.name for n in range(len(images.parts[part]))}
        for part in ("train", "valid")
    }
    assert not held["train"] & held["valid"]
    assert len(held["train"] | held["valid"]) == 12


def test_a_column_of_a_table_is_a_group_and_no_input(tmp_path: Path) -> None:
    data = {"source": "csv", "path": str(table(tmp_path)), "target": "kind", "folds": 3, "group": "patient"}
    with heard_notes() as notes:
        arrays = load("classification", data, model={"name": "mlp"})
    assert arrays["train_inputs"].shape[1] == 2
    assert any("60 samples of 12 groups in 3 folds" in note for note in notes)
    assert len(arrays["train_inputs"]) % 5 == 0, "each patient has five rows"


def test_names_without_the_group_are_refused_with_examples() -> None:
    with pytest.raises(ValueError, match=r"not found in 2 of 3 names, such as c\.png, d\.png"):
        groups_in_names("(p\\d+)", ["p1.png", "c.png", "d.png"], "data")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"folds": 1}, "greater than or equal to 2"),
        ({"folds": 3, "fold": 3}, "fold is 3 and folds 3; folds are numbered from 0 to 2"),
        ({"group": "(a)"}, "group has no effect without folds"),
        ({"folds": 3, "group": "patient"}, "has 0 pairs of parentheses"),
        ({"folds": 3, "group": "(a)(b)"}, "has 2 pairs of parentheses"),
        ({"folds": 3, "group": "(a"}, "is no regular expression"),
        ({"folds": 3, "valid_fraction": 0.1}, "valid_fraction has no meaning with folds"),
    ],
)
def test_wrong_folds_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        MaskFolderOptions(source="folder", root="data", **options)


def test_a_fold_without_folds_is_refused_but_for_the_splits_of_nnunet() -> None:
    with pytest.raises(ValidationError, match="fold is 2 and there are no folds"):
        ClassFolderOptions(source="images", root="data", fold=2)
    assert MaskFolderOptions(source="folder", root="data", fold=2).folds is None


def test_a_table_with_a_second_file_or_rows_without_a_group_is_refused(tmp_path: Path) -> None:
    file = table(tmp_path)
    data = {"source": "csv", "path": str(file), "target": "kind", "folds": 3}
    with pytest.raises(ValidationError, match="folds are made of one file"):
        load("classification", {**data, "valid_path": str(file)}, model={"name": "mlp"})
    with pytest.raises(ValueError, match=r"has no column 'patent' \(data.group\); did you mean 'patient'"):
        load("classification", {**data, "group": "patent"}, model={"name": "mlp"})
    file.write_text(file.read_text() + ",0.5,0.5,ill\n")
    with pytest.raises(
        ValueError, match=r"table.csv:62: column 'patient': is empty; every row must have a group"
    ):
        load("classification", {**data, "group": "patient"}, model={"name": "mlp"})


def test_an_empty_fold_is_refused_and_the_way_out_told() -> None:
    options = NameFolds(folds=5)
    with pytest.raises(ValueError, match=r"holds 6 samples in 2 groups.* set data.folds: 2 and .*seed: \d+"):
        make_folds(options, list("abcdef"), "data", list("xxxyyy"))
    with pytest.raises(ValueError, match=r"6 samples in 1 group, .*: folds need two groups or more: correct"):
        make_folds(options, list("abcdef"), "data", list("xxxxxx"))


@pytest.mark.parametrize(("one", "other"), [("1", "1.0"), ("07", "7"), ("Anna", "anna"), ("a b", "a  b")])
def test_groups_in_different_folds_that_may_be_one_are_told(one: str, other: str) -> None:
    groups = [one, other, *"cdefgh"]
    seed = next(n for n in range(99) if np.ptp(fold_numbers([one, other], 2, n)))
    folds = make_folds(NameFolds(folds=2, split_seed=seed), groups, "data", groups)
    assert [note for note in fold_notes(folds, "data") if "write them alike" in note] == [
        f"data: {one!r} and {other!r} are different groups, in different folds (data.group): if they are the "
        "same, write them alike, or values are too good"
    ]
    assert not any("alike" in note for note in fold_notes(make_folds(NameFolds(folds=2), groups, "data"), ""))


def test_unequal_folds_and_classes_that_a_fold_lacks_are_told() -> None:
    groups = [f"p{n % 4}" for n in range(40)] + ["q"] * 60
    numbers = list(map(str, range(100)))
    with pytest.raises(
        ValueError, match=r"fold 0 of 2 is empty: data\.split_seed: 10 makes folds of 60 \+ 40 samples"
    ):
        make_folds(NameFolds(folds=2), numbers, "data", groups)
    folds = make_folds(NameFolds(folds=2, split_seed=3), numbers, "data", groups)
    classes = ["one" if group == "q" else "usual" for group in groups]
    notes = list(fold_notes(folds, "data", classes))
    assert notes[0].startswith("data: 100 samples of 5 groups in 2 folds of ")
    assert any("without fold" in note and "class one" in note for note in notes)
    assert any("no sample to validate of class one" in note for note in notes)


@pytest.mark.parametrize("number", [2, 9, 60])
def test_folds_for_few_groups_are_named_with_a_seed_that_parts_them(number: int) -> None:
    groups = [f"p{n % number}" for n in range(300)]
    numbers = list(map(str, range(300)))
    with pytest.raises(ValueError, match=r"set data\.folds") as refused:
        make_folds(NameFolds(folds=number + 1), numbers, "data", groups)
    named = re.search(r"data\.folds: (\d+) and data\.split_seed: (\d+)", str(refused.value))
    assert named is not None
    folds = make_folds(NameFolds(folds=int(named[1]), split_seed=int(named[2])), numbers, "data", groups)
    assert folds.count <= number


# Data with a split of their own


def test_training_and_validation_folders_are_joined_and_that_is_told(tmp_path: Path) -> None:
    for part, number in (("train", 20), ("val", 10)):
        for each in range(number):
            write_pair(tmp_path, f"{part}{each}", each, images=f"images/{part}", masks=f"masks/{part}")
    images = found(tmp_path, folds=3)
    assert {name[:3] for name in names_of(images, "valid")} == {"tra", "val"}
    assert sum(len(reader) for reader in images.parts.values()) == 30
    assert any(
        "its training and validation data, 20 and 10 samples, are joined" in note for note in images.notes
    )


def test_a_folder_without_a_split_says_nothing_of_valid_fraction(tmp_path: Path) -> None:
    notes = found(mask_folder(tmp_path), folds=3).notes
    assert not any("valid_fraction" in note or "joined" in note for note in notes)
    assert any("30 samples in 3 folds of " in note for note in notes)


def test_the_folds_of_nnunet_are_those_of_its_file(tmp_path: Path) -> None:
    root = nnunet_root(tmp_path)
    cases = [f"wire_{number:03}" for number in range(5)]
    splits = [{"train": [c for c in cases if c not in val], "val": val} for val in (cases[:3], cases[3:])]
    (root / "splits_final.json").write_text(json.dumps(splits))
    images = found(root, folds=2, fold=1)
    assert names_of(images, "valid") == ["wire_003_0000", "wire_004_0000"]
    assert images.folds["train"].tolist() == [0, 0, 0]
    with pytest.raises(
        ValueError, match=r"has 2 folds, which are taken, and data\.folds is 3: set data.folds to 2"
    ):
        found(root, folds=3)
    splits[1]["val"] = cases[2:]
    (root / "splits_final.json").write_text(json.dumps(splits))
    with pytest.raises(ValueError, match="wire_002 is in val of the folds 0 and 1"):
        found(root, folds=2)


def test_images_by_class_are_in_folds(tmp_path: Path) -> None:
    root = class_folder(tmp_path)
    data = {"source": "images", "root": str(root), "folds": 3}
    lengths = [len(load("classification", {**data, "fold": fold})["valid_targets"]) for fold in range(3)]
    assert sum(lengths) == 24


@pytest.mark.parametrize("valid", [None, "valid-*.tar"])
def test_shards_are_in_folds_by_key(tmp_path: Path, valid: str | None) -> None:
    root = pictures(tmp_path)
    data: dict[str, Any] = {
        "source": "shards",
        "root": str(root),
        "train": "train-*.tar",
        "folds": 3,
        "shuffle": 4,
    }
    data |= {"class_names": ["dark", "middle", "bright"], **({} if valid is None else {"valid": valid})}
    seen: list[int] = []
    for fold in range(3):
        options = ClassificationOptions.parse(
            {"data": {**data, "fold": fold}, "model": {"name": "cnn", "width": 4}}
        )
        task = ClassificationTask(options, load_arrays(ClassificationTask, options))
        train, held_out = task.train_data(), task.valid_data()
        assert len(train) + len(held_out) == (20 if valid is None else 26)
        inputs, _ = held_out.batch(np.arange(len(held_out)), None)
        again, _ = train.batch(np.arange(len(train)), None)
        seen.append(len(inputs))
        known = {image.numpy().tobytes() for image in again}
        assert not known & {image.numpy().tobytes() for image in inputs}
    assert sum(seen) == (20 if valid is None else 26)


def test_shards_without_validation_need_folds() -> None:
    with pytest.raises(ValidationError, match="valid is missing"):
        ClassificationOptions.parse(
            {
                "data": {"source": "shards", "train": "a.tar", "class_names": ["a", "b"]},
                "model": {"name": "cnn"},
            }
        )


@pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="the extra `datasets` is not installed"
)
@pytest.mark.parametrize("splits", [("train",), ("train", "validation"), ("train", "test")])
@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["memory", "disk"])
def test_saved_data_sets_are_in_folds_by_row_or_column(
    tmp_path: Path, splits: tuple[str, ...], max_memory: int
) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
    from datasets import Image as ImageFeature

    features = Features(
        {"image": ImageFeature(), "label": ClassLabel(names=["a", "b"]), "patient": Value("int32")}
    )

    def rows(number: int) -> Any:
        images = [Image.fromarray(np.full((4, 4, 3), n, np.uint8)) for n in range(number)]
        held = {
            "image": images,
            "label": [n % 2 for n in range(number)],
            "patient": [n // 2 for n in range(number)],
        }
        return Dataset.from_dict(held, features=features)

    DatasetDict({split: rows(24) for split in splits}).save_to_disk(tmp_path / "saved")
    total = 48 if "validation" in splits else 24
    data = {"source": "datasets", "root": str(tmp_path / "saved"), "folds": 3, "max_memory": max_memory}
    numbers: list[int] = []
    for fold in range(3):
        for group in (None, "patient"):
            chosen = {**data, "fold": fold, **({"group": group} if group else {})}
            options = ClassificationOptions.parse({"data": chosen})
            task = ClassificationTask(options, load_arrays(ClassificationTask, options))
            assert len(task.train_data()) + len(task.valid_data()) == total
            _, labels = task.valid_data().batch(np.arange(len(task.valid_data())), None)
            if group:
                assert labels.sum() * 2 == len(labels), "each patient has one row of each class"
            else:
                numbers.append(len(labels))
    assert sum(numbers) == total
    with pytest.raises(ValueError, match=r"has no column 'person' \(data.group\)"):
        load("classification", {**data, "group": "person"})


# Fingerprint


@pytest.mark.parametrize("change", [{"folds": 4}, {"fold": 1}, {"group": "(patient\\d+)_"}])
def test_the_fingerprint_holds_the_folds(tmp_path: Path, change: dict[str, Any]) -> None:
    root = mask_folder(tmp_path, patients=12, slices=2)

    def fingerprint(data: dict[str, Any]) -> str:
        options = SegmentationOptions.parse({"data": {"source": "folder", "root": str(root), **data}})
        known = SegmentationTask.data_fingerprint(options)
        assert known is not None
        return known.sha256

    assert fingerprint({"folds": 3}) != fingerprint({"folds": 3, **change})
    assert fingerprint({"folds": 3}) == fingerprint({"folds": 3})
