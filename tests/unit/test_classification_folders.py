"""A folder of images for each class: split, sizes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from class_tasks import folder_task, paint
from PIL import Image

from trainables.images.loading import find_images
from trainables.images.options import ClassFolderOptions

# Images in folders


def test_a_folder_per_class_is_split_by_the_hash_of_names(tmp_path: Path) -> None:
    paint(tmp_path / "one", {"cat": 10, "dog": 5})
    before = folder_task(tmp_path / "one")
    assert before.class_names == ("cat", "dog")
    assert [len(before.train_data()), len(before.valid_data())] == [12, 3]
    images, labels = before.valid_data().batch(np.arange(3), None)
    assert images.shape == (3, 3, 8, 8)
    assert labels.tolist() == [0, 0, 1]
    (tmp_path / "one").rename(tmp_path / "two")
    paint(tmp_path / "two", {"eel": 4})
    after = folder_task(tmp_path / "two")
    np.testing.assert_array_equal(after.arrays["valid_inputs"][:3], before.arrays["valid_inputs"])
    other = folder_task(tmp_path / "two", split_seed=1)
    assert not np.array_equal(other.arrays["valid_inputs"], after.arrays["valid_inputs"])


def test_a_folder_that_is_split_keeps_its_split(tmp_path: Path) -> None:
    paint(tmp_path / "train", {"a": 3, "b": 2})
    paint(tmp_path / "valid", {"b": 2})
    task = folder_task(tmp_path, channels=1)
    assert task.class_names == ("a", "b")
    assert task.valid_data().batch(np.arange(2), None)[1].tolist() == [1, 1]
    assert task.arrays["train_inputs"].shape == (5, 8, 8, 1)


def _lists(root: Path, form: str) -> None:
    """Lists of three cats and a dog, and of another cat and another dog."""
    paint(root, {"cat": 5, "dog": 2})
    for file, names in (("train.txt", ["cat/0", "cat/1", "cat/2", "dog/0"]), ("val.txt", ["cat/3", "dog/1"])):
        lines = [form.format(name, root=root, label=name[:3]) for name in names]
        (root / file).write_text("\r\n".join(lines))


@pytest.mark.parametrize(
    "form",
    [
        "{}",
        "{}.png",
        "./{}.png,{label}",
        "{root}/{}.png {label}",
        '"{}.png"\t{label}',
        "{}.png 8 8",
        "{root.name}/{}.png",
        "{}.PNG",
    ],
)
def test_lists_in_the_root_are_the_split(tmp_path: Path, form: str) -> None:
    _lists(tmp_path, form)
    options = ClassFolderOptions(source="images", root=str(tmp_path))
    found = find_images(options, 0)
    files = {
        part: [
            path.relative_to(tmp_path).as_posix()
            for number in range(len(reader))
            for path in reader.encoded(number).images
        ]
        for part, reader in found.parts.items()
    }
    assert files["train"] == ["cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png"]
    assert files["valid"] == ["cat/3.png", "dog/1.png"]
    assert any("1 images are in neither list and are not used" in note for note in found.notes)


@pytest.mark.parametrize(
    ("train", "valid", "message"),
    [
        ("cat/0\ncat/7", "dog/1", r"train\.txt: line 2, 'cat/7' names no image below .*, or rename the list"),
        ("cat/0", None, r"train\.txt: there is no val\.txt beside it; .*, or rename train\.txt"),
        ("cat/0\ndog/0", "cat/0", r"train\.txt and .*val\.txt share 1 names, such as .*cat/0\.png"),
        ("cat/0 1\ndog/0 1", "cat/1 1", r"train\.txt:2: has the class 1 for an image in dog/, and cat/ had"),
        ("cat/0", "dog/1", r"val\.txt: names images of dog, of which .*train\.txt names none"),
        ("", "dog/1", r"train\.txt: no line names an image"),
        ("cat/0", "cat/1", "holds the one class 'cat'"),
    ],
)
def test_lists_that_are_no_split_are_refused(
    tmp_path: Path, train: str, valid: str | None, message: str
) -> None:
    paint(tmp_path, {"cat": 3, "dog": 2})
    (tmp_path / "train.txt").write_text(train)
    if valid is not None:
        (tmp_path / "val.txt").write_text(valid)
    with pytest.raises(ValueError, match=message):
        folder_task(tmp_path)


def test_lists_that_are_not_read_or_disagree_with_the_folders_are_said(tmp_path: Path) -> None:
    paint(tmp_path / "a", {"cat": 3, "dog": 2})
    (tmp_path / "a/train.txt").write_text("cat/0 7\ncat/1 8\ndog/0 9")
    (tmp_path / "a/val.txt").write_text("cat/2 7")
    paint(tmp_path / "b/train", {"cat": 3, "dog": 2})
    paint(tmp_path / "b/val", {"cat": 3, "dog": 2})
    (tmp_path / "b/val.txt").write_text("cat/2")
    for name, said in (
        ("a", "have 7, 8 for cat/; only the folders are classes"),
        ("b", "val.txt are not read"),
    ):
        notes = find_images(ClassFolderOptions(source="images", root=str(tmp_path / name)), 0).notes
        assert any(said in note for note in notes)


def test_images_of_other_sizes_and_forms_are_read_with_resize(tmp_path: Path) -> None:
    paint(tmp_path, {"a": 2, "b": 2})
    stripes = np.zeros((20, 40, 3), np.uint8)
    stripes[:, 10:30] = 200  # the middle square
    Image.fromarray(stripes).save(tmp_path / "a" / "wide.JPG", quality=95)
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    (tmp_path / "a" / ".hidden.png").write_text("not an image")
    with pytest.raises(ValueError, match=r"wide\.JPG: is 40x20, and .*: is one|set data\.resize"):
        folder_task(tmp_path)
    task = folder_task(tmp_path, resize=10)
    pixels = np.concatenate([task.arrays["train_inputs"], task.arrays["valid_inputs"]])
    assert pixels.shape == (5, 10, 10, 3)
    assert any((np.abs(image[:, 1:-1].astype(int) - 200) < 12).all() for image in pixels)
    assert task.preprocessing()["resize"] == 10


def test_preprocessing_normalizes_raw_images_as_the_batches_are(tmp_path: Path) -> None:
    paint(tmp_path / "train", {"a": 3, "b": 2})
    paint(tmp_path / "val", {"a": 1})
    task = folder_task(tmp_path)
    preprocessing = json.loads(json.dumps(task.preprocessing()))
    with Image.open(tmp_path / "val" / "a" / "0.png") as image:
        pixels = (np.asarray(image) / 255 - preprocessing["mean"]) / preprocessing["std"]
    batch, _ = task.valid_data().batch(np.arange(1), None)
    np.testing.assert_allclose(batch[0].permute(1, 2, 0).numpy(), pixels, rtol=1e-4, atol=1e-5)
    assert (preprocessing["height"], preprocessing["width"], preprocessing["class_names"]) == (
        8,
        8,
        ["a", "b"],
    )


def test_a_folder_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    def refused(message: str, **data: Any) -> None:
        with pytest.raises(ValueError, match=message):
            folder_task(**{"root": tmp_path, **data})

    refused("holds no folders; it must hold one for each class")
    (tmp_path / "cat").mkdir()
    refused(r"cat: holds no image in PNG, JPEG, TIFF, WebP or .npy; fill it, or remove the class")
    Image.new("RGB", (8, 8)).save(tmp_path / "cat" / "1.png")
    refused("holds the one class 'cat'; there must be at least two")
    Image.new("RGB", (8, 8)).save(tmp_path / "2.png")
    refused(r"2\.png: belongs to no class; images must be in a folder of a class")
    (tmp_path / "2.png").unlink()
    paint(tmp_path, {"dog": 1})
    refused("each class has one image; training and validation need at least one each")
    (tmp_path / "dog" / "more").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "dog" / "more" / "1.png")
    refused(r"dog/more: is a folder inside a class")
    (tmp_path / "dog" / "more" / "1.png").unlink()
    (tmp_path / "dog" / "more").rename(tmp_path / "train")
    refused(r"has train/ and none of val/, valid/, validation/")
    refused("must be a folder with a folder of images", root=tmp_path / "nothing")


def test_a_class_that_only_the_validation_folder_has_is_named(tmp_path: Path) -> None:
    paint(tmp_path / "train", {"a": 1, "b": 1})
    paint(tmp_path / "val", {"b": 1, "bb": 1})
    with pytest.raises(ValueError, match=r"val/bb: is a class that .*train lacks.*: a, b"):
        folder_task(tmp_path)


def test_every_broken_image_is_named_before_training(tmp_path: Path) -> None:
    paint(tmp_path, {"a": 3, "b": 3})
    (tmp_path / "a" / "0.png").write_bytes((tmp_path / "a" / "0.png").read_bytes()[:60])
    (tmp_path / "b" / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"2 of 6 samples are wrong:\n.*a/0\.png: .*\n.*b/1\.png: is empty"):
        folder_task(tmp_path)
    (tmp_path / "b" / "x.gif").write_bytes(b"")
    with pytest.raises(ValueError, match=r"x\.gif: is \.gif; images must be PNG, JPEG, TIFF, WebP or .npy"):
        folder_task(tmp_path)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    paint(tmp_path / "data", {"a": 3, "b": 3})
    (tmp_path / "data" / "b" / "9.png").symlink_to(tmp_path / "data" / "a" / "0.png")
    assert len(folder_task(tmp_path / "data").train_data()) == 5
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (tmp_path / "data" / "b" / "8.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(ValueError, match=r"8\.png: leads to .*secret\.png, outside of data\.root"):
        folder_task(tmp_path / "data")
