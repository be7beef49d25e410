"""nnU-Net's layout: channels, folds, dataset.json."""

from __future__ import annotations

import io
import json
import pickle
import re
from collections import OrderedDict
from contextlib import redirect_stdout
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from layout_folders import (
    SIZE,
    classes_of,
    describe,
    labels,
    load,
    nnunet_root,
    options_of,
    pairs_of,
    save,
    stems_of,
)
from PIL import Image

from trainables.images.loading import find_images
from trainables.images.samples import LoadedImages
from trainables.segmentation.task import SegmentationTask


def test_nnunet_has_the_classes_of_dataset_json_and_ignores_its_ignore_label(tmp_path):
    arrays = load(nnunet_root(tmp_path))
    assert list(arrays["class_names"]) == ["background", "wire", "box"]
    assert (len(arrays["train_inputs"]), len(arrays["valid_inputs"])) == (4, 1)
    np.testing.assert_array_equal(classes_of(arrays)[0], labels(0, 1, 2, 255))
    assert "wire_100" not in str(pairs_of(tmp_path / "Dataset120_Wires"))


@pytest.mark.parametrize("channels", [2, 3])
@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["memory", "disk"])
def test_nnunet_stacks_the_files_of_a_case(tmp_path, channels, max_memory):
    root = nnunet_root(tmp_path, channels)
    arrays = load(root, channels=channels, max_memory=max_memory)
    read = LoadedImages(arrays, options_of(root, channels=channels)).samples("train").read(np.arange(4))[0]
    for image, pair in zip(read, pairs_of(root)["train"], strict=True):
        files = [root / f"imagesTr/{pair.target.stem}_{channel:04}.png" for channel in range(channels)]
        np.testing.assert_array_equal(image, np.stack([np.asarray(Image.open(file)) for file in files], -1))
    assert arrays["mean"].shape == (channels,)
    with pytest.raises(ValueError, match=rf"comes in {channels} files and data\.channels is 1;"):
        load(root, channels=1)


def test_a_label_without_its_image_is_skipped_also_where_images_have_several_channels(tmp_path):
    root = nnunet_root(tmp_path, 2)
    for channel in range(2):
        (root / f"imagesTr/wire_002_{channel:04}.png").unlink()
    arrays = load(root, channels=2, max_skipped=1)
    assert [Path(file).name for file in arrays["skipped_files"]] == ["wire_002_0000.*"]


def test_nnunet_in_tiff_is_read_as_in_png(tmp_path):
    root = nnunet_root(tmp_path / "png", 2)
    expected = load(root, channels=2)
    for file in [*root.glob("imagesTr/*.png"), *root.glob("labelsTr/*.png")]:
        Image.open(file).save(file.with_suffix(".tif"))
        file.unlink()
    describe(root, file_ending=".tif", labels={"background": 0, "wire": 1, "box": 2, "ignore": 3})
    arrays = load(root, channels=2)
    np.testing.assert_array_equal(arrays["train_inputs"], expected["train_inputs"])
    np.testing.assert_array_equal(arrays["train_targets"], expected["train_targets"])


def test_a_trial_on_two_channels_of_nnunet(tmp_path):
    root = nnunet_root(tmp_path, 2)
    options = SegmentationTask.Options.model_validate(
        {"data": {"source": "folder", "root": str(root), "layout": "nnunet", "channels": 2, "max_memory": 0}}
    )
    task = SegmentationTask(options, SegmentationTask.load_data(options))
    batch = task.valid_data().batch(np.arange(1), None)
    assert task.forward(task.build_model(), batch).shape == (1, 3, *SIZE)
    assert set(task.images(task.build_model(), batch[0].device)) == {"validation"}


def test_nnunet_splits_as_the_fold_says(tmp_path):
    root = nnunet_root(tmp_path)
    cases = [f"wire_{number:03}" for number in range(5)]
    folds = [{"train": cases[1:], "val": cases[:1]}, {"train": cases[:2], "val": cases[3:]}]
    (root / "splits_final.json").write_text(json.dumps(folds))
    for fold in (0, 1):
        found = stems_of(pairs_of(root, fold=fold))
        assert [name.removesuffix("_0000") for name in found["train"]] == folds[fold]["train"]
        assert [name.removesuffix("_0000") for name in found["valid"]] == folds[fold]["val"]
    with pytest.raises(ValueError, match=r"splits_final\.json: has 2 folds and data\.fold is 2"):
        pairs_of(root, fold=2)


@pytest.mark.parametrize(
    ("folds", "message"),
    [
        ([{"train": ["wire_000"], "val": ["wire_000"]}], "share 1 names, such as wire_000"),
        ([{"train": ["wire_000"], "val": ["wire_009"]}], "names 1 cases that do not exist: wire_009"),
        ([{"train": ["wire_000"], "val": []}], "train or val of fold 0 is empty"),
        ([{"train": ["wire_000"]}], r'must be a list of \{"train"'),
        ("nonsense", r'must be a list of \{"train"'),
    ],
)
def test_wrong_folds_are_refused(tmp_path, folds, message):
    root = nnunet_root(tmp_path)
    (root / "splits_final.json").write_text(json.dumps(folds))
    with pytest.raises(ValueError, match=message):
        pairs_of(root)


def test_folds_in_a_pickle_are_not_read_and_the_command_that_is_printed_converts_them(tmp_path):
    root = nnunet_root(tmp_path)
    cases = [f"wire_{number:03}" for number in range(5)]
    fold = OrderedDict(train=np.array(cases[1:]), val=np.array(cases[:1]))
    (root / "splits_final.pkl").write_bytes(pickle.dumps([fold]))
    with pytest.raises(ValueError, match=r"splits_final\.pkl: is a pickle, which is not read") as refused:
        pairs_of(root)
    script, pickled, written = re.search(r'-c "(.*)" < (\S+) > (\S+); else', str(refused.value)).groups()
    output = io.StringIO()
    stream = io.TextIOWrapper(io.BytesIO(Path(pickled).read_bytes()))
    with patch("sys.stdin", stream), redirect_stdout(output):
        exec(script, {})
    Path(written).write_text(output.getvalue())
    assert [name[:8] for name in stems_of(pairs_of(root))["valid"]] == cases[:1]


def test_labels_as_version_1_writes_them_are_read_and_said(tmp_path):
    root = nnunet_root(tmp_path)
    new = json.loads((root / "dataset.json").read_text())["labels"]
    describe(root, labels={str(number): name for name, number in new.items()})
    arrays, found = load(root), find_images(options_of(root), 0)
    assert list(arrays["class_names"]) == ["background", "wire", "box"]
    np.testing.assert_array_equal(classes_of(arrays)[0], labels(0, 1, 2, 255))
    assert any("as by version 1 of nnU-Net, and read as" in note for note in found.notes)
    describe(root, labels={"0": "wire", "1": "wire"})
    with pytest.raises(ValueError, match=r"labels \{'0': 'wire', '1': 'wire'\} name a class twice"):
        load(root)


def test_images_without_a_channel_in_their_names_are_cases(tmp_path):
    root = nnunet_root(tmp_path)
    with_channels = load(root)
    for file in list((root / "imagesTr").iterdir()):
        file.rename(file.with_name(file.name.replace("_0000", "")))
    without = load(root)
    assert without.keys() == with_channels.keys()
    for name in without:
        np.testing.assert_array_equal(without[name], with_channels[name])
    assert any("no name ends in _0000" in note for note in find_images(options_of(root), 0).notes)


def no_channel(root):
    (root / "imagesTr/wire_000_0000.png").rename(root / "imagesTr/wire.png")


def lost_channel(root):
    save(root / "imagesTr/wire_000_0001.png", labels(1))


def other_size(root):
    for number in range(5):
        save(root / f"imagesTr/wire_{number:03}_0001.png", np.zeros((6, 7), np.uint8))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: (root / "labelsTr/wire_002.png").unlink(),
            r"images without a mask: \S*wire_002_0000\.png",
        ),
        (
            lambda root: (root / "imagesTr/wire_002_0000.png").unlink(),
            r"masks without an image: \S*wire_002\.png",
        ),
        (no_channel, r"imagesTr/wire\.png: has no channel; names must end in _0000"),
        (lost_channel, r"imagesTr: lacks wire_001_0001, .*every case must have the same channels"),
        (other_size, r"wire_\d{3}_0001\.png: is 7x6, and \S*_0000\.png 8x6; sizes must agree"),
        (
            lambda root: (root / "dataset.json").unlink(),
            r"dataset\.json: does not exist; layout nnunet takes the",
        ),
        (lambda root: (root / "dataset.json").write_text("{"), r"dataset\.json: is not valid JSON"),
        (lambda root: (root / "dataset.json").write_text("[]"), r"dataset\.json: must be a JSON object"),
        (lambda root: describe(root, labels=3), r"dataset\.json: has no 'labels'"),
        (
            lambda root: describe(root, file_ending=".nii.gz"),
            r"file_ending is \.nii\.gz; only 2-D data in PNG, JPEG, TIFF, WebP or .npy can be read: save",
        ),
        (
            lambda root: describe(root, labels={"a": 0, "b": [1, 2]}),
            r"label b is \[1, 2\], a region .*, such as ",
        ),
        (lambda root: describe(root, labels={"a": 0, "b": 2}), r"labels are \[0, 2\]; they must be 0, 1, 2"),
        (lambda root: describe(root), r"holds label 3 in \d+ pixels; classes are 0 to 2"),
    ],
)
def test_wrong_nnunet_is_refused(tmp_path, spoil, message):
    root = nnunet_root(tmp_path)
    spoil(root)
    with pytest.raises(ValueError, match=message):
        load(root, channels=2 if spoil is other_size else 3)
