"""The folder layouts that people have, written as their owners publish them, with their traps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from layout_folders import (
    SIZE,
    classes_of,
    labels,
    load,
    nnunet_root,
    options_of,
    pairs_of,
    save,
    save_image,
    stems_of,
)
from PIL import Image

from trainables.images.layouts import voc
from trainables.images.layouts.cityscapes import CLASSES, CityscapesLayout
from trainables.images.layouts.find import LAYOUTS, layout_of
from trainables.images.layouts.root import DataRoot
from trainables.images.options import MaskFolderOptions
from trainables.pictures import palette

# Pascal VOC


@pytest.fixture
def pascal(tmp_path):
    """Three images in lists and one that has no mask, as most of Pascal VOC."""
    root = tmp_path / "VOC2012"
    for number, name in enumerate(["2007_000032", "2007_000039", "2007_000063", "2008_000001"]):
        save_image(root / f"JPEGImages/{name}.jpg", number)
        if number < 3:
            save(root / f"SegmentationClass/{name}.png", labels(0, 15, 255, 20 - number), palette())
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    (root / "ImageSets/Segmentation/train.txt").write_text("2007_000039\n2007_000032\n")
    (root / "ImageSets/Segmentation/val.txt").write_text("2007_000063\n")
    (root / "Annotations").mkdir()
    return root


def test_pascal_voc_is_read_by_palette_index_and_its_void_is_ignored(pascal):
    said = []
    arrays = load(pascal, said=said)
    np.testing.assert_array_equal(classes_of(arrays), [labels(0, 15, 255, 20), labels(0, 15, 255, 19)])
    assert list(arrays["class_names"])[15] == "person"
    assert len(arrays["class_names"]) == len(voc.NAMES) == 21
    assert arrays["class_counts"].sum() == 2 * (48 - 6)
    assert said[:1] == [
        f"{pascal}: layout voc, with its 21 classes; 2 images to train and 1 to validate (data.layout)"
    ]
    assert said[1].startswith(f"{pascal}: classes aeroplane, bicycle, bird, boat, bottle")
    assert said[1].endswith("and 6 more occur in no training or validation sample")
    assert said[2:] == [
        f"{pascal}: class sofa occurs in no training sample",
        f"{pascal}: classes train, tvmonitor occur in no validation sample",
    ]


def test_classes_of_ones_own_in_the_layout_of_pascal_voc(pascal):
    with pytest.raises(ValueError, match=r"2007_000032\.png: holds label 20 in .* classes are 0 to 15"):
        load(pascal, num_classes=16)
    arrays = load(pascal, mask_values={15: 1, 18: 2, 19: 2, 20: 2})
    assert list(arrays["class_names"]) == ["0", "1", "2"]
    np.testing.assert_array_equal(classes_of(arrays)[0], labels(0, 1, 255, 2))
    (pascal / "classes.txt").write_text("\n".join(f"kind{number}" for number in range(21)))
    assert load(pascal)["class_names"][20] == "kind20"


def test_other_lists_of_pascal_voc_may_be_named(pascal):
    (pascal / "ImageSets/Segmentation/trainaug.txt").write_text("2007_000032\n")
    found = pairs_of(pascal, train_list="ImageSets/Segmentation/trainaug.txt")
    assert stems_of(found) == {"train": ["2007_000032"], "valid": ["2007_000063"]}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda root: (root / "SegmentationClass/2007_000032.png").unlink(),
            r"train\.txt: names 1 files that",
        ),
        (lambda root: (root / "ImageSets/Segmentation/val.txt").unlink(), r"val\.txt: does not exist"),
        (lambda root: (root / "ImageSets/Segmentation/train.txt").unlink(), r"train\.txt: does not exist"),
        (
            lambda root: [file.unlink() for file in (root / "ImageSets/Segmentation").iterdir()],
            r"Segmentation: holds no train\.txt; layout voc takes the split from lists",
        ),
    ],
)
def test_wrong_pascal_voc_is_refused(pascal, spoil, message):
    spoil(pascal)
    with pytest.raises(ValueError, match=message):
        load(pascal)


def test_an_orphan_of_pascal_voc_keeps_its_place_where_it_may_be_skipped(pascal):
    (pascal / "SegmentationClass/2007_000032.png").unlink()
    arrays = load(pascal, max_skipped=1)
    np.testing.assert_array_equal(arrays["train_shapes"], [(0, 0), SIZE])


def as_jpeg(file):
    picture = Image.open(file).convert("L")
    file.unlink()
    picture.save(file.with_suffix(".jpg"))


def test_masks_saved_as_jpeg_are_refused_with_the_reason(pascal):
    as_jpeg(pascal / "SegmentationClass/2007_000032.png")
    with pytest.raises(ValueError, match=r"2007_000032\.jpg: is a JPEG; .* because JPEG alters labels"):
        load(pascal)


# Cityscapes


@pytest.fixture
def city(tmp_path):
    """Two cities to train, one to validate, a test part with empty masks, and the other kinds of masks."""
    root = tmp_path / "cityscapes"
    places = {"train/aachen": 2, "train/ulm": 1, "val/lindau": 1, "test/berlin": 1}
    for place, count in places.items():
        for number in range(count):
            name = f"{place.split('/')[1]}_{number:06}_000019"
            save_image(root / f"leftImg8bit/{place}/{name}_leftImg8bit.png", number)
            stem = root / f"gtFine/{place}/{name}_gtFine"
            save(stem.with_name(stem.name + "_labelIds.png"), labels(0, 7, 33, 29, 24))
            save(stem.with_name(stem.name + "_instanceIds.png"), np.full(SIZE, 24001, np.uint16))
            save(stem.with_name(stem.name + "_color.png"), np.zeros((*SIZE, 4), np.uint8))
            stem.with_name(stem.name + "_polygons.json").write_text("{}")
    return root


def add_train_ids(root):
    for file in list((root / "gtFine").rglob("*_labelIds.png")):
        save(file.with_name(file.name.replace("labelIds", "labelTrainIds")), labels(255, 0, 18, 255, 11))


@pytest.mark.parametrize("train_ids", [True, False])
def test_cityscapes_has_19_classes_from_train_ids_or_from_ids(city, train_ids):
    if train_ids:
        add_train_ids(city)
    arrays = load(city)
    assert list(arrays["class_names"]) == list(CLASSES)
    assert len(CLASSES) == 19
    assert (len(arrays["train_targets"]), len(arrays["valid_targets"])) == (3, 1)
    assert (arrays["class_names"][11], arrays["class_names"][18]) == ("person", "bicycle")
    for part in ("train", "valid"):
        for mask in classes_of(arrays, part):
            np.testing.assert_array_equal(mask, labels(255, 0, 18, 255, 11))
    suffix = "labelTrainIds" if train_ids else "labelIds"
    assert all(pair.target.stem.endswith(suffix) for pair in pairs_of(city)["train"])


def test_all_34_ids_of_cityscapes_become_the_19_train_ids(city):
    ids = CityscapesLayout().convention(DataRoot(options_of(city))).labels
    assert sorted(ids) == list(range(34))
    assert [label for label, wanted in ids.items() if wanted == 255] == [
        0, 1, 2, 3, 4, 5, 6, 9, 10, 14, 15, 16, 18, 29, 30,
    ]  # fmt: skip
    assert sorted(wanted for wanted in ids.values() if wanted != 255) == list(range(19))


def test_wrong_cityscapes_is_refused(city):
    file = city / "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png"
    save(file, labels(7, 34))
    with pytest.raises(
        ValueError,
        match=r"gtFine_labelIds\.png: holds label 34 in \d+ pixels; classes are 0 to 18",
    ):
        load(city)
    file.unlink()
    with pytest.raises(ValueError, match=r"without a mask: \S*ulm_000000_000019_leftImg8bit\.png.*_labelIds"):
        load(city)
    assert sorted(map(tuple, load(city, max_skipped=1)["train_shapes"])) == [(0, 0), SIZE, SIZE]
    (city / "leftImg8bit/val").rename(city / "leftImg8bit/valid")
    with pytest.raises(ValueError, match=r"leftImg8bit/val: does not exist; layout cityscapes expects"):
        load(city, max_skipped=1)


# ADE20K


@pytest.fixture
def scenes(tmp_path):
    root = tmp_path / "ADEChallengeData2016"
    for part, count in (("training", 2), ("validation", 1)):
        for number in range(count):
            save_image(root / f"images/{part}/ADE_{part}_{number:08}.jpg", number)
            save(root / f"annotations/{part}/ADE_{part}_{number:08}.png", labels(0, 1, 150, 13 + number))
    return root


def write_object_info(root, names):
    rows = [f"{number}\t0.1\t10\t1\t{name}" for number, name in enumerate(names, 1)]
    (root / "objectInfo150.txt").write_text("\n".join(["Idx\tRatio\tTrain\tVal\tName", *rows]) + "\n")


def test_ade20k_has_void_0_and_classes_from_1(scenes):
    arrays = load(scenes)
    np.testing.assert_array_equal(classes_of(arrays), [labels(255, 0, 149, 12), labels(255, 0, 149, 13)])
    assert len(arrays["class_names"]) == 150
    write_object_info(scenes, ["wall", "building, edifice", *(f"thing{n}" for n in range(147)), "flag"])
    assert list(load(scenes)["class_names"][[0, 1, 149]]) == ["wall", "building", "flag"]


def test_wrong_ade20k_is_refused(scenes):
    write_object_info(scenes, ["wall"])
    with pytest.raises(ValueError, match=r"objectInfo150\.txt: has 1 classes .* there must be 150"):
        load(scenes)
    (scenes / "objectInfo150.txt").unlink()
    mask = scenes / "annotations/training/ADE_training_00000000.png"
    save(mask, labels(1, 151))
    with pytest.raises(ValueError, match=r"00000000\.png: holds label 151 in .*; set data\.ignore_index"):
        load(scenes)
    mask.unlink()
    with pytest.raises(ValueError, match=r"images without a mask: \S*ADE_training_00000000\.jpg"):
        load(scenes)
    (scenes / "annotations/validation").rename(scenes / "annotations/val")
    with pytest.raises(ValueError, match="annotations/validation: does not exist; layout ade20k expects"):
        load(scenes, max_skipped=1)


# All of them


def test_each_layout_is_recognized_and_may_be_named(pascal, city, scenes, tmp_path):
    roots = {"voc": pascal, "cityscapes": city, "ade20k": scenes, "nnunet": nnunet_root(tmp_path)}
    for name, root in roots.items():
        assert layout_of(DataRoot(options_of(root)), options_of(root)).name == name
        said = []
        load(root, name, said=said)
        assert not [line for line in said if "occur" not in line]
        # Who asks for plain folders may have those of Pascal VOC or ADE20K.
        others = set(LAYOUTS) - {name, *(["folders"] if name in ("voc", "ade20k") else [])}
        for other in sorted(others):
            with pytest.raises(ValueError, match=rf"holds .*; layout {other} is "):
                pairs_of(root, layout=other)
    assert set(MaskFolderOptions.model_fields["layout"].annotation.__args__) == {"auto", *LAYOUTS}


def test_a_folder_that_could_be_several_must_be_told(pascal, tmp_path):
    for folder in ("images", "masks"):
        (pascal / folder).mkdir()
    with pytest.raises(ValueError, match=r"may have the layouts folders, voc; set data\.layout to one"):
        load(pascal)
    assert len(load(pascal, "voc")["train_inputs"]) == 2


def test_whoever_names_the_folders_gets_those(pascal):
    (pascal / "JPEGImages/2008_000001.jpg").unlink()
    arrays = load(pascal, images_folder="JPEGImages", masks_folder="SegmentationClass")
    assert len(arrays["train_inputs"]) + len(arrays["valid_inputs"]) == 3
    assert len(arrays["class_names"]) == 21
    assert arrays["class_names"][0] == "0"


def test_a_folder_of_no_layout_is_told_all_of_them(tmp_path):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ValueError, match=r"holds pictures; expected images/ and masks/") as caught:
        load(tmp_path)
    for name in ("trainannot", "JPEGImages", "leftImg8bit", "annotations", "imagesTr"):
        assert name in str(caught.value)


def test_lists_are_refused_where_they_mean_nothing(scenes):
    with pytest.raises(
        ValueError, match=r"data\.train_list and data\.valid_list have no effect in layout ade20k"
    ):
        pairs_of(scenes, train_list="train.txt")


LINKED = {
    "voc": "SegmentationClass/2007_000032.png",
    "cityscapes": "gtFine/train/ulm/ulm_000000_000019_gtFine_labelIds.png",
    "ade20k": "images/validation/ADE_validation_00000000.jpg",
    "nnunet": "dataset.json",
}


@pytest.mark.parametrize("name", LINKED)
def test_links_out_of_the_root_are_refused(name, pascal, city, scenes, tmp_path):
    root = {"voc": pascal, "cityscapes": city, "ade20k": scenes}.get(name) or nnunet_root(tmp_path)
    outside = tmp_path / f"outside{Path(LINKED[name]).suffix}"
    (root / LINKED[name]).rename(outside)
    (root / LINKED[name]).symlink_to(outside)
    with pytest.raises(
        ValueError, match=rf"{Path(LINKED[name]).name}: leads to {outside}, outside of data\.root"
    ):
        load(root)


def test_two_channels_of_one_file_are_refused_where_the_layout_is_found(pascal):
    with pytest.raises(
        ValueError, match=r"comes in 1 files and data\.channels is 2; it must be 1 or 3 for one"
    ):
        load(pascal, channels=2)


@pytest.mark.parametrize(("given", "place"), [("a/images", "a"), (".", "a"), ("b", "b/c/d")])
def test_a_root_too_high_or_too_low_is_told_with_the_place_of_the_data(
    given: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_image(Path(place, "images/1.png"))
    save(Path(place, "masks/1.png"), labels(0, 1))
    with pytest.raises(ValueError, match=f"are those of {place}: set data.root to that folder"):
        layout_of(DataRoot(options_of(given)), options_of(given))
    assert layout_of(DataRoot(options_of(place)), options_of(place)).name == "folders"
