"""Data sets of the library `datasets`, saved by the tests with save_to_disk."""

import importlib.util
import io
import sys

import numpy as np
import pytest
from mask_folders import samples
from PIL import Image

from trainables.images.loading import load_images
from trainables.images.options import MaskDatasetsOptions
from trainables.images.scan import to_stderr
from trainables.segmentation.options import SegmentationOptions
from trainables.segmentation.task import SegmentationTask

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("datasets") is None, reason="the extra `datasets` is not installed"
)


SIZES = {"train": [(6, 8), (7, 9), (6, 8)], "validation": [(6, 8)], "test": [(5, 5), (4, 4)]}


def png(pixels):
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return {"bytes": content.getvalue(), "path": None}


def written(split):
    """Images and masks of a split."""
    rng = np.random.default_rng(len(split))
    images = [rng.integers(0, 256, (*size, 3), np.uint8) for size in SIZES[split]]
    return images, [rng.integers(0, 3, size, np.uint8) for size in SIZES[split]]


def save(root, splits=("train", "validation", "test"), columns=("image", "mask"), change=None):
    """`change` gets the rows of the training split."""
    from datasets import Dataset, DatasetDict, Features, Value
    from datasets import Image as ImageFeature

    features = Features({columns[0]: ImageFeature(), columns[1]: ImageFeature(), "note": Value("string")})
    found = {}
    for split in splits:
        rows = [
            {columns[0]: png(image), columns[1]: png(mask), "note": split}
            for image, mask in zip(*written(split), strict=True)
        ]
        if change is not None and split == "train":
            change(rows)
        found[split] = Dataset.from_list(rows, features=features)
    DatasetDict(found).save_to_disk(str(root))
    return root


def load(root, progress=to_stderr, max_skipped=0, **options):
    skipping = {"bad_samples": "skip", "max_skipped": max_skipped} if max_skipped else {}
    chosen = MaskDatasetsOptions(source="datasets", root=str(root), **skipping, **options)
    return load_images(chosen, progress)


@needs_library
@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["memory", "disk"])
def test_rows_are_images_and_masks(tmp_path, max_memory):
    arrays = load(save(tmp_path / "saved"), max_memory=max_memory)
    for part, split in (("train", "train"), ("valid", "validation")):
        images, masks = samples(arrays, part, options=MaskDatasetsOptions).read(np.arange(len(SIZES[split])))
        for found, expected in zip((*images, *masks), (*written(split)[0], *written(split)[1]), strict=True):
            np.testing.assert_array_equal(found, expected)
    assert list(arrays["class_names"]) == ["0", "1", "2"]
    assert ("train_rows" in arrays) == (max_memory == 0)


@needs_library
def test_the_validation_split_is_found_or_named(tmp_path):
    root = save(tmp_path / "saved")
    assert len(load(root, valid_split="test", max_memory=0)["valid_shapes"]) == 2
    root = save(tmp_path / "other", splits=("train", "test"))
    assert len(load(root, max_memory=0)["valid_shapes"]) == 2
    with pytest.raises(ValueError, match=r"has no split 'dev' for data\.valid_split, but train, test"):
        load(root, valid_split="dev")
    with pytest.raises(ValueError, match=r"valid_split is train like data\.train_split; they must differ"):
        load(root, valid_split="train")
    with pytest.raises(
        ValueError, match=r"has the splits train, none of validation, .*; set data\.valid_split"
    ):
        load(save(tmp_path / "alone", splits=("train",)))


@needs_library
def test_other_columns_may_be_named(tmp_path):
    root = save(tmp_path / "saved", columns=("photo", "label"))
    assert len(load(root, image_column="photo", mask_column="label", max_memory=0)["train_shapes"]) == 3
    with pytest.raises(
        ValueError, match=r"saved\[train\]: has no column 'image', but photo, label, note; set"
    ):
        load(root)
    with pytest.raises(ValueError, match=r"column 'note' is Value.*; it must be of the feature Image"):
        load(root, image_column="photo", mask_column="note")


def jpeg_mask(rows):
    content = io.BytesIO()
    Image.fromarray(np.zeros((7, 9), np.uint8)).save(content, "JPEG")
    rows[1]["mask"] = {"bytes": content.getvalue(), "path": None}


def far_label(rows):
    rows[1]["mask"] = png(np.full((7, 9), 37, np.uint8))


def other_size(rows):
    rows[1]["mask"] = png(np.zeros((7, 8), np.uint8))


def no_mask(rows):
    rows[1]["mask"] = None


def no_image(rows):
    rows[1]["image"] = {"bytes": b"no image", "path": None}


@needs_library
@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["memory", "disk"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (jpeg_mask, r"saved\[train\]\[1\]\[mask\]: is a JPEG; masks must be PNG, because JPEG alters labels"),
        (far_label, r"saved\[train\]\[1\]\[mask\]: holds label 37 in 63 pixels; classes are 0 to 2"),
        (other_size, r"\[mask\]: is 8x7, its image \S*saved\[train\]\[1\]\[image\] 9x7; sizes must agree"),
        (no_mask, r"saved\[train\]\[1\]\[mask\]: is empty"),
        (no_image, r"saved\[train\]\[1\]\[image\]: is none of PNG, JPEG, TIFF, WebP and .npy"),
    ],
)
def test_a_wrong_row_is_named_or_skipped(tmp_path, change, message, max_memory):
    root = save(tmp_path / "saved", change=change)
    with pytest.raises(ValueError, match=message):
        load(root, num_classes=3, max_memory=max_memory)
    arrays = load(root, num_classes=3, max_memory=max_memory, max_skipped=1, progress=[].append)
    np.testing.assert_array_equal(arrays["train_shapes"], [(6, 8), (0, 0), (6, 8)])
    assert list(arrays["skipped_files"]) == [f"{root}[train][1][image]"]


@needs_library
def test_what_is_no_saved_data_set_is_refused(tmp_path):
    from datasets import Dataset

    with pytest.raises(ValueError, match="must be a folder written by save_to_disk"):
        load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: is not a dataset written by save_to_disk"):
        load(tmp_path / "empty")
    Dataset.from_dict({"image": ["a"]}).save_to_disk(str(tmp_path / "single"))
    with pytest.raises(ValueError, match="single: has no splits; save a DatasetDict"):
        load(tmp_path / "single")


def test_without_the_library_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    options = SegmentationOptions.model_validate({"data": {"source": "datasets", "root": str(tmp_path)}})
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'tune-search\[datasets\]'"):
        SegmentationTask.load_data(options)
