"""Classification of images in files: beyond memory, with broken samples, and from saved data sets."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from shard_data import png

import search
from trainables.build import load_arrays
from trainables.classification.options import ClassificationOptions
from trainables.classification.task import ClassificationTask
from trainables.shards import ShardWriter

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="the extra `datasets` is not installed"
)


NAMES = ("cat", "dog", "eel")


AUGMENTED = {"augment": {"horizontal_flip": 0.5, "shift": 1}, "loss": {"mixup": 0.3}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eight images of each class to train on and three to validate on."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 3)):
        for level, name in enumerate(NAMES):
            folder = tmp_path / "animals" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 60, (8, 8, 3), np.uint8) + np.uint8(80 * level)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "animals"


def task_of(root: Path, more: dict[str, Any] | None = None, **data: Any) -> ClassificationTask:
    trial = {"data": {"source": "images", "root": str(root), **data}, **(more or {})}
    options = ClassificationOptions.model_validate(trial)
    arrays = load_arrays(ClassificationTask, options)
    for array in arrays.values():
        array.flags.writeable = False  # as they come out of Ray's object store
    return ClassificationTask(options, arrays)


def batches_of(task: ClassificationTask) -> list[torch.Tensor]:
    """Training samples as they are drawn, and validation samples."""
    train, valid = task.train_data(), task.valid_data()
    randoms = np.random.default_rng(1).random((7, train.num_randoms))
    drawn = [train.batch(np.arange(3, 10), randoms), train.batch(np.arange(3, 10), None)]
    return [tensor for batch in (*drawn, valid.batch(np.arange(len(valid)), None)) for tensor in batch]


@pytest.mark.parametrize("resize", [None, 6])
def test_images_left_on_disk_give_the_same_batches_statistics_and_weights(
    root: Path, resize: int | None
) -> None:
    more = {**AUGMENTED, "loss": {"mixup": 0.3, "class_weights": "balanced"}}
    memory, disk = (task_of(root, more, resize=resize, max_memory=size) for size in (2**30, 0))
    assert "train_inputs" in memory.arrays
    assert "train_inputs" not in disk.arrays
    assert memory.preprocessing() == disk.preprocessing()
    for one, other in zip(batches_of(memory), batches_of(disk), strict=True):
        assert torch.equal(one, other)
    batch = disk.train_data().batch(np.arange(5), None)
    logits = torch.linspace(-1, 1, 15).reshape(5, 3)
    assert torch.equal(disk.loss(logits, batch), memory.loss(logits, batch))


def test_a_sample_gives_the_statistics_and_all_files_the_class_weights(root: Path) -> None:
    for number in (0, 1, 2, 3, 4):
        (root / f"train/eel/{number}.png").unlink()
    task = task_of(root, max_memory=0, scan="sample", sample_size=2)
    assert task.arrays["class_counts"].tolist() == [8, 8, 3]
    whole = task_of(root, max_memory=0)
    assert not np.array_equal(task.arrays["mean"], whole.arrays["mean"])


def test_an_image_of_another_size_is_an_error_also_where_it_changes_after_loading(root: Path) -> None:
    task = task_of(root, max_memory=0)
    file = root / "train/cat/1.png"
    Image.new("RGB", (5, 4)).save(file)
    with pytest.raises(ValueError, match=r"cat/1\.png: is 5x4, and others are 8x8; .*set data\.resize"):
        task.train_data().batch(np.arange(3), None)
    with pytest.raises(ValueError, match=r"cat/1\.png: is 5x4, and \S*cat/0\.png 8x8"):
        task_of(root)


def spoil(root: Path) -> None:
    (root / "train/cat/3.png").write_bytes(b"")
    (root / "train/dog/0.png").write_text("no image")


@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["memory", "disk"])
def test_broken_images_keep_their_place_and_count_in_no_loss_and_no_metric(
    root: Path, max_memory: int
) -> None:
    whole = task_of(root)
    spoil(root)
    with pytest.raises(ValueError, match=r"2 of 33 samples are wrong:\n\S*cat/3\.png: is empty\n"):
        task_of(root, max_memory=max_memory)
    with pytest.raises(ValueError, match=r"2 of 33 samples are wrong, and data\.max_skipped is 1"):
        task_of(root, max_memory=max_memory, bad_samples="skip", max_skipped=1)
    task = task_of(root, max_memory=max_memory, bad_samples="skip")
    assert sorted(Path(name).parts[-2:] for name in task.skipped_samples) == [
        ("cat", "3.png"),
        ("dog", "0.png"),
    ]
    source, indices = task.train_data(), np.array([2, 3, 4, 8])
    images, labels = source.batch(indices, None)
    assert labels.tolist() == [0, -100, 0, -100]
    assert images[[1, 3]].abs().max() < 0.05  # the mean colour, but for its rounding
    assert torch.equal(whole.train_data().batch(indices, None)[1][[0, 2]], labels[[0, 2]])
    logits = torch.randn(4, 3)
    kept = logits[[0, 2]], (images[[0, 2]], labels[[0, 2]])
    torch.testing.assert_close(task.loss(logits, (images, labels)), task.loss(*kept))
    assert float(task.loss_weight((images, labels))) == 2.0
    metrics, expected = task.metrics(), task.metrics()
    metrics.update(logits, (images, labels))
    expected.update(*kept)
    assert metrics.compute() == expected.compute()


def test_a_batch_of_broken_images_alone_has_no_loss(root: Path) -> None:
    spoil(root)
    task = task_of(root, max_memory=0, bad_samples="skip")
    batch = task.train_data().batch(np.array([3, 8]), None)
    assert batch[0].shape == (2, 3, 8, 8)
    assert (float(task.loss(torch.randn(2, 3), batch)), float(task.loss_weight(batch))) == (0.0, 0.0)


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_of_a_mixture_with_a_broken_image_the_other_one_counts_by_its_share(root: Path, weights: str) -> None:
    spoil(root)
    task = task_of(root, {"loss": {"mixup": 0.4, "class_weights": weights}}, bad_samples="skip")
    source = task.train_data()
    randoms = np.full((2, source.num_randoms), 0.3)
    randoms[:, 3] = (8.5 / 24, 1.5 / 24)  # partners: dog/0, which is broken, and cat/1
    images, labels, others, share = source.batch(np.array([0, 3]), randoms)
    assert (labels.tolist(), others.tolist()) == ([0, -100], [-100, 0])
    of_cat = float(task._loss._weights.of(labels, labels == 0)[0])
    expected = of_cat * (share[0] + 1 - share[1])
    torch.testing.assert_close(task.loss_weight((images, labels, others, share)), expected)


def test_a_file_that_breaks_after_loading_is_counted_once_or_ends_the_trial(root: Path) -> None:
    task = task_of(root, max_memory=0, bad_samples="skip", max_skipped=1)
    (root / "train/cat/2.png").unlink()
    for _ in range(2):
        assert task.train_data().batch(np.arange(4), None)[1].tolist() == [0, 0, -100, 0]
    assert list(task.skipped_samples.values()) == ["there is no such file"]
    (root / "train/cat/0.png").unlink()
    with pytest.raises(ValueError, match=r"2 samples are wrong and data\.max_skipped is 1"):
        task.train_data().batch(np.arange(4), None)


def test_a_shard_that_ends_early_and_a_wrong_class_may_be_skipped(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 12), ("valid", 4)):
        with ShardWriter(tmp_path, part, per_shard=6) as writer:
            for number in range(count):
                pixels = rng.integers(0, 255, (32, 32, 3), np.uint8)
                label = "9" if (part, number) == ("train", 2) else str(number % 2)
                writer.write(f"{part}{number:02}", {"png": png(pixels), "cls": label.encode()})
    file = tmp_path / "train-000001.tar"
    file.write_bytes(file.read_bytes()[:9000])
    (tmp_path / "train-000001.tar.idx").unlink()
    data = {"source": "shards", "train": "train-*.tar", "valid": "valid-*.tar", "class_names": ["a", "b"]}
    with pytest.raises(ValueError, match=r"train-000001\.tar: ends .*set bad_samples: skip"):
        task_of(tmp_path, **data)
    task = task_of(tmp_path, **data, bad_samples="skip")
    assert sorted(Path(name.split(": ")[0]).name for name in task.skipped_samples) == [
        "train-000000.tar",
        "train-000001.tar",
    ]
    assert task.train_data().batch(np.arange(4), None)[1].tolist() == [0, 1, -100, 1]


def save(folder: Path, names: tuple[str, ...] | None = NAMES, change: Any = None) -> str:
    """Ten rows to train on and four to validate on, with a ClassLabel, or numbers without `names`."""
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
    from datasets import Image as ImageFeature

    label = Value("int64") if names is None else ClassLabel(names=list(names))
    found = {}
    for split, count in (("train", 10), ("test", 4)):
        rng = np.random.default_rng(count)
        rows = [
            {
                "image": {"bytes": png(rng.integers(0, 256, (8, 8, 3), np.uint8)), "path": None},
                "label": n % 3,
            }
            for n in range(count)
        ]
        if change is not None and split == "train":
            change(rows)
        features = Features({"image": ImageFeature(), "label": label})
        found[split] = Dataset.from_list(rows, features=features)
    DatasetDict(found).save_to_disk(str(folder))
    return str(folder)


@needs_library
@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["memory", "disk"])
def test_rows_are_images_with_the_classes_and_names_of_the_data_set(tmp_path: Path, max_memory: int) -> None:
    saved = Path(save(tmp_path / "saved"))
    task = task_of(saved, AUGMENTED, source="datasets", max_memory=max_memory)
    assert task.class_names == NAMES
    assert task.arrays["class_counts"].tolist() == [4, 3, 3]
    images, labels = task.valid_data().batch(np.arange(4), None)
    assert labels.tolist() == [0, 1, 2, 0]
    pixels = np.random.default_rng(4).integers(0, 256, (8, 8, 3), np.uint8)
    raw = images[0].permute(1, 2, 0).numpy() * task.arrays["std"] + task.arrays["mean"]
    np.testing.assert_array_equal((raw * 255).round(), pixels)
    assert len(batches_of(task)) == 8


@needs_library
def test_numbers_without_names_need_class_names(tmp_path: Path) -> None:
    saved = Path(save(tmp_path / "saved", names=None))
    with pytest.raises(ValueError, match=r"column 'label' has no names of classes; set data\.class_names"):
        task_of(saved, source="datasets")
    assert task_of(saved, source="datasets", class_names=["x", "y", "z"]).class_names == ("x", "y", "z")
    with pytest.raises(ValueError, match=r"\[label\]: is 2; with 2 classes it must be 0 to 1"):
        task_of(saved, source="datasets", class_names=["x", "y"])
    named = Path(save(tmp_path / "named"))
    with pytest.raises(ValueError, match=r"class_names is a, b, c, and \S* has cat, dog, eel: leave it out"):
        task_of(named, source="datasets", class_names=["a", "b", "c"])
    with pytest.raises(ValueError, match=r"column 'label' is ClassLabel.*; it must be of the feature Image"):
        task_of(named, source="datasets", label_column="image", image_column="label")
    with pytest.raises(ValueError, match=r"has no column 'class', but image, label; set data\.label_column"):
        task_of(named, source="datasets", label_column="class")


def no_label(rows: list[dict[str, Any]]) -> None:
    rows[2]["label"] = None


def no_image(rows: list[dict[str, Any]]) -> None:
    rows[2]["image"] = {"bytes": b"no image", "path": None}


@needs_library
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_label, r"\[train\]\[2\]\[label\]: is empty"),
        (no_image, r"\[2\]\[image\]: is none of PNG, JPEG, TIFF, WebP and .npy"),
    ],
)
def test_a_wrong_row_is_named_or_skipped(tmp_path: Path, change: Any, message: str) -> None:
    saved = Path(save(tmp_path / "saved", change=change))
    with pytest.raises(ValueError, match=message):
        task_of(saved, source="datasets")
    task = task_of(saved, source="datasets", bad_samples="skip", max_memory=0)
    assert list(task.skipped_samples) == [f"{saved}[train][2][image]"]
    assert task.train_data().batch(np.arange(4), None)[1].tolist() == [0, 1, -100, 0]


@needs_library
def test_a_saved_data_set_is_checked_row_by_row(tmp_path: Path) -> None:
    def spoil(rows: list[dict[str, Any]]) -> None:
        no_image(rows)
        rows[4]["image"] = rows[3]["image"]

    found = search.check_data(
        {
            "name": "animals",
            "task": "classification",
            "objective": {"metric": "accuracy", "mode": "max"},
            "trial": {"data": {"source": "datasets", "root": save(tmp_path / "saved", change=spoil)}},
            "virtual_epoch": {"steps": 1},
            "budget": {"trials": 1, "max_virtual_epochs": 1},
        }
    )
    assert {(finding.kind.name, finding.where.split("saved")[-1]) for finding in found.findings} == {
        ("unreadable file", "[train][2][image]"),
        ("in two classes", "[train][4][image]"),
    }
    assert [row.name for row in found.classes] == list(NAMES)
