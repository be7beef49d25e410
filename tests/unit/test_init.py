"""`init`: what is recognized in a folder, what is written for it, and what is said where nothing is."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import init_folders as made
import pytest
from click.testing import CliRunner

from search.cli.main import cli
from search.commands.init.command import init
from search.config.stages import load_config
from search.errors import SearchError

SHARDS = [f"train-{number:06}.tar" for number in range(3)]
MASK_FOLDERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "pairs": (made.pairs, {}),
    "parts": (partial(made.pairs, images="{part}/images/{}.png", masks="{part}/masks/{}.png"), {}),
    "parts_below": (partial(made.pairs, images="images/{part}/{}.png", masks="masks/{part}/{}.png"), {}),
    "listed": (made.listed, {}),
    "voc": (made.voc, {}),
    "cityscapes": (made.cityscapes, {}),
    "nnunet": (made.nnunet, {"channels": 1}),
    "grey": (partial(made.pairs, grey=True), {"channels": 1}),
    "binary": (partial(made.pairs, labels=(0, 255)), {"mask_values": {"255": 1}}),
    "coloured": (partial(made.pairs, coloured=True), {"colors": [[0, 0, 0], [0, 128, 0], [128, 0, 0]]}),
    "flat": (
        partial(made.pairs, images="{}.jpg", masks="{}_mask.png"),
        {"images_folder": ".", "masks_folder": ".", "mask_suffix": "_mask"},
    ),
    "named": (
        partial(made.pairs, images="photos/{}.jpg", masks="segmentation/{}.png"),
        {"images_folder": "photos", "masks_folder": "segmentation"},
    ),
}
CLASS_FOLDERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "classes": (made.classes, {}),
    "class_parts": (partial(made.classes, name="{part}/{of}/{}.png"), {}),
    "class_lists": (made.class_lists, {}),
    "sizes": (partial(made.classes, growing=True), {"resize": 120}),
}
FOLDERS = {**MASK_FOLDERS, **CLASS_FOLDERS}


def text_of(root: Path, name: str = "made") -> str:
    """What `init` writes for a folder; it is a whole configuration."""
    file = init(root, out=root.parent / f"{name}.yaml").file
    load_config(file)
    return file.read_text()


@pytest.mark.parametrize("kind", FOLDERS)
def test_each_layout_of_images_is_recognized(kind: str, tmp_path: Path) -> None:
    make, expected = FOLDERS[kind]
    make(tmp_path / "data")
    written = init(tmp_path / "data", out=tmp_path / "made.yaml")
    source = "folder" if kind in MASK_FOLDERS else "images"
    assert dict(written.recognized.data) == {"source": source, "root": str(tmp_path / "data"), **expected}
    assert load_config(written.file).first.task_path.endswith(
        "SegmentationTask" if kind in MASK_FOLDERS else "ClassificationTask"
    )


def test_names_of_classes_sizes_and_rare_classes_are_in_comments(tmp_path: Path) -> None:
    made.listed(tmp_path / "listed")
    assert "# images and masks: 12 to train, 4 to validate; 3 classes: sky, road, car" in text_of(
        tmp_path / "listed"
    )
    made.pairs(tmp_path / "wide", size=(700, 520), labels=(0,) * 39 + (1,))
    text = text_of(tmp_path / "wide", "wide")
    assert "# 512 px crop: the images are 700x520" in text
    assert "augment: {crop: 512," in text
    assert "class_weights: {choice: [none, median_frequency]}" in text
    made.classes(tmp_path / "rare", every=5)
    text = text_of(tmp_path / "rare", "rare")
    assert "metric: balanced_accuracy" in text
    assert "class_weights: {choice: [none, balanced]}" in text


def test_images_beside_masks_of_other_names_are_no_two_classes(tmp_path: Path) -> None:
    made.classes(tmp_path / "cats", name="{of}/{}.png")
    assert "task: classification" in text_of(tmp_path / "cats")
    made.pairs(tmp_path / "streets", images="rgb/{}.png", masks="gt/{}.png")
    text = text_of(tmp_path / "streets", "streets")
    assert "masks_folder: gt  " in text
    assert "task: segmentation" in text


def test_data_below_and_above_the_folder_are_found(tmp_path: Path) -> None:
    made.pairs(tmp_path / "downloads/set/version 1")
    assert f"root: {tmp_path}/downloads/set/version 1" in text_of(tmp_path / "downloads")
    inside = init(tmp_path / "downloads/set/version 1/images", out=tmp_path / "b.yaml")
    assert inside.recognized.data["root"] == f"{tmp_path}/downloads/set/version 1"
    made.classes(tmp_path / "downloads/other")
    with pytest.raises(
        SearchError, match="holds 2 data sets, in other, set; give one of them: `tune-search init"
    ):
        init(tmp_path / "downloads", out=tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("masks", "names", "expected"),
    [
        (False, [*SHARDS, "val-000000.tar"], {"valid": "val-000000.tar", "class_names": ["0", "1", "2"]}),
        (
            True,
            SHARDS,
            {"train": "train-{000000..000001}.tar", "valid": "train-000002.tar", "num_classes": 3},
        ),
    ],
)
def test_shards(masks: bool, names: list[str], expected: dict[str, Any], tmp_path: Path) -> None:
    made.shards(tmp_path / "shards", masks=masks, names=names)
    data = init(tmp_path / "shards", out=tmp_path / "made.yaml").recognized.data
    assert dict(data) == {
        "source": "shards",
        "root": str(tmp_path / "shards"),
        "train": "train-{000000..000002}.tar",
        **expected,
    }
    load_config(tmp_path / "made.yaml")


def test_a_saved_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"picture": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    )
    for number in range(8):
        made.image(tmp_path / f"{number}.png", number)
    pictures = [{"bytes": (tmp_path / f"{n}.png").read_bytes(), "path": None} for n in range(8)]
    rows = datasets.Dataset.from_dict({"picture": pictures, "label": [0, 1] * 4}, features)
    # Leakage is shown, and is no reason to write nothing.
    datasets.DatasetDict({"train": rows, "test": rows}).save_to_disk(tmp_path / "saved")
    data = init(tmp_path / "saved", out=tmp_path / "made.yaml").recognized.data
    assert dict(data) == {"source": "datasets", "root": str(tmp_path / "saved"), "image_column": "picture"}


ROWS = made.numbers()
TABLES: dict[str, tuple[str, list[list[object]], str, str, dict[str, Any]]] = {
    "last": ("id,a,b,kind", [[n, *r, "pq"[r[0] > 0]] for n, r in enumerate(ROWS)], ",", "classification", {}),
    "named": ("target,a,b", [[int(r[0] > 0), *r] for r in ROWS], ",", "classification", {"target": "target"}),
    "amount": ("a,b,price", [[*r, r[0] * 3 + 0.5] for r in ROWS], "\t", "regression", {}),
    "missing": (
        "a,b,y",
        [[*r, r[0] if n % 9 else ""] for n, r in enumerate(ROWS)],
        ",",
        "regression",
        {"missing_targets": "drop"},
    ),
    "names": (
        "a,name,kind",
        [[r[0], f"name {n}", "pq"[r[0] > 0]] for n, r in enumerate(ROWS)],
        ",",
        "classification",
        {"ignore_columns": ["name"]},
    ),
    "commas": (
        "a,b,y",
        [[str(cell).replace(".", ",") for cell in (*r, r[0])] for r in ROWS],
        ";",
        "regression",
        {"decimal": ","},
    ),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables(kind: str, tmp_path: Path) -> None:
    header, rows, delimiter, task, expected = TABLES[kind]
    made.table(tmp_path / "made.csv", header, rows, delimiter)
    written = init(tmp_path / "made.csv", out=tmp_path / "made.yaml")
    target = header.rpartition(",")[2]
    assert dict(written.recognized.data) == {
        "source": "csv",
        "path": str(tmp_path / "made.csv"),
        "target": target,
        **expected,
    }
    assert written.recognized.task == task
    load_config(written.file)


def test_the_rule_by_which_a_target_was_chosen_is_a_comment(tmp_path: Path) -> None:
    header, rows, *_ = TABLES["last"]
    made.table(tmp_path / "flowers.csv", header, rows)
    text = " ".join(text_of(tmp_path / "flowers.csv").replace("#", "").split())
    assert (
        "the last column, as none is called target, label, labels, class (or a, b); 2 texts, so a class"
        in text
    )


def test_tables_of_training_and_of_validation_or_test(tmp_path: Path) -> None:
    labelled: list[list[object]] = [[int(r[0] > 0), *r] for r in ROWS]
    made.table(tmp_path / "ships/train.csv", "survived,a,b", labelled)
    made.table(tmp_path / "ships/test.csv", "a,b", [list(r) for r in ROWS])
    text = text_of(tmp_path / "ships")
    assert "target: survived" in text
    assert "test.csv lacks it" in text
    made.table(tmp_path / "ships/val.csv", "survived,a,b", labelled)
    assert f"valid_path: {tmp_path}/ships/val.csv" in text_of(tmp_path / "ships", "two")


def _without_masks(root: Path) -> None:
    made.classes(root, name="images/{}.png")


def _orphans(root: Path) -> None:
    made.pairs(root)
    (root / "masks/003.png").unlink()


def _files(*names: str) -> Any:
    def make(root: Path) -> None:
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("{}")

    return make


def _tables(root: Path) -> None:
    for name in ("a.csv", "b.csv"):
        made.table(root / name, "a,y", [[1, 2], [2, 3]])


MISTAKES: dict[str, tuple[Any, str]] = {
    "nothing": (lambda root: root.mkdir(), "holds nothing; looked for images with masks"),
    "no masks": (_without_masks, "16 images in images/ and no folder of masks"),
    "orphan": (_orphans, "no mask is called 003.png; add the mask or remove the image"),
    "coco": (_files("annotations/instances_train.json"), "is of COCO, which is not read: save masks as PNG"),
    "parquet": (_files("a.parquet"), r"pandas.read_parquet\(...\).to_csv"),
    "several tables": (_tables, "holds 2 tables, a.csv, b.csv, and none is called train: .*tune-search init"),
    "names of images": (
        lambda root: made.table(root / "labels.csv", "file,y", [["1.png", 0], ["2.png", 1]]),
        "column 'file' holds names of images",
    ),
    "no target": (
        lambda root: made.table(root / "a.csv", "a,b", [[1, "x"], [1, "x"]]),
        "no column can be predicted",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_cannot_be_read_is_said_and_nothing_is_written(mistake: str, tmp_path: Path) -> None:
    make, message = MISTAKES[mistake]
    make(tmp_path / "data")
    with pytest.raises(SearchError, match=message):
        init(tmp_path / "data", out=tmp_path / "made.yaml")
    assert not (tmp_path / "made.yaml").exists()


def test_a_file_that_exists_is_kept_and_another_name_proposed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made.pairs(Path("my streets"))
    first = CliRunner().invoke(cli, ["init", "my streets"])
    assert first.exit_code == 0, first.output
    assert first.output.splitlines()[-2:] == [
        "  tune-search check my-streets.yaml",
        "  tune-search my-streets.yaml",
    ]
    before = Path("my-streets.yaml").read_bytes()
    with pytest.raises(SearchError) as raised:
        init("my streets")
    proposed = "tune-search init 'my streets' --out my-streets-2.yaml"
    assert str(raised.value) == (
        f"my-streets.yaml exists and is not overwritten; write another one: `{proposed}`"
    )
    assert Path("my-streets.yaml").read_bytes() == before
    assert init("my streets", out="my-streets-2.yaml").file.exists()
