"""Folders of images and masks: pairs, splits, labels and what is loaded of them."""

import struct
import zlib
from itertools import chain

import numpy as np
import pytest
from mask_folders import load, names, parts, samples, write
from PIL import Image
from spoiled_images import png_chunk


@pytest.fixture
def root(tmp_path):
    for number in range(5):
        write(tmp_path, f"{number:02}", seed=number)
    return tmp_path


def test_arrays_are_the_files(tmp_path):
    written = {
        part: [
            write(tmp_path, f"a/{part}{n}", n, images=f"images/{part}", masks=f"masks/{part}") for n in (1, 2)
        ]
        for part in ("train", "val")
    }
    arrays = load(tmp_path)
    for part, name in (("train", "train"), ("val", "valid")):
        np.testing.assert_array_equal(arrays[f"{name}_inputs"], [image for image, _ in written[part]])
        np.testing.assert_array_equal(arrays[f"{name}_targets"], [mask for _, mask in written[part]])
    assert list(arrays["class_names"]) == ["0", "1", "2"]
    pixels = arrays["train_inputs"].reshape(-1, 3) / 255.0
    np.testing.assert_allclose(arrays["mean"], pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(arrays["std"], pixels.std(0), rtol=1e-5)
    np.testing.assert_array_equal(arrays["class_counts"], np.bincount(arrays["train_targets"].ravel()))


@pytest.mark.parametrize(
    ("images", "masks"),
    [("{}/images", "{}/masks"), ("images/{}", "masks/{}"), ("{}", "{}annot")],
    ids=["split/images", "images/split", "camvid"],
)
@pytest.mark.parametrize("valid", ["val", "valid"])
def test_split_folders(tmp_path, images, masks, valid):
    for name, part in (("a", "train"), ("b", "train"), ("c", valid)):
        write(tmp_path, name, images=images.format(part), masks=masks.format(part))
    assert parts(tmp_path) == (["a", "b"], ["c"])


def test_split_lists_as_in_pascal_voc(tmp_path):
    for name in "abcd":
        write(tmp_path, name, images="JPEGImages", masks="SegmentationClass")
    (tmp_path / "JPEGImages" / "unlabelled.png").write_bytes((tmp_path / "JPEGImages/a.png").read_bytes())
    (tmp_path / "Sets").mkdir()
    (tmp_path / "Sets/train.txt").write_text("b\na.png\n\n")
    (tmp_path / "Sets/val.txt").write_text("d\n")
    folders = {"images_folder": "JPEGImages", "masks_folder": "SegmentationClass"}
    assert parts(tmp_path, **folders, train_list="Sets/train.txt", valid_list="Sets/val.txt") == (
        ["a", "b"],
        ["d"],
    )


def test_default_split_lists_are_found(root):
    (root / "train.txt").write_text("00\n01\n")
    (root / "val.txt").write_text("04\n")
    assert parts(root) == (["00", "01"], ["04"])


@pytest.mark.parametrize(
    ("train", "valid", "message"),
    [
        ("00\n01\n", "01\n", r"share 1 names, such as 01"),
        ("00\nnope\n", "01\n", r"train\.txt: names 2 files that do not exist: .*nope"),
        ("00\n../secret\n", "01\n", r"train\.txt:2: names \.\./secret, which points outside the folder"),
        ("00\nx/../../secret\n", "01\n", r"names x/\.\./\.\./secret, which points outside"),
        ("00\n/etc/passwd\n", "01\n", r"train\.txt:2: names /etc/passwd, which points outside the folder"),
        ("\n", "01\n", r"train\.txt: is empty"),
        ("00\n", None, r"val\.txt: does not exist"),
    ],
)
def test_wrong_split_lists_are_errors(root, train, valid, message):
    (root / "train.txt").write_text(train)
    if valid is not None:
        (root / "val.txt").write_text(valid)
    with pytest.raises(ValueError, match=message):
        load(root)


def test_split_by_hash_is_the_same_wherever_the_folder_lies(tmp_path):
    for place in ("here", "there"):
        for number in range(20):
            write(tmp_path / place, f"{number:02}")
    train, valid = parts(tmp_path / "here")
    assert (len(train), len(valid)) == (16, 4)
    assert sorted(train + valid) == [f"{number:02}" for number in range(20)]
    assert parts(tmp_path / "there") == (train, valid)
    assert parts(tmp_path / "here", split_seed=1) != (train, valid)
    assert len(parts(tmp_path / "here", valid_fraction=0.01)[1]) == 1


def test_different_sizes_lie_one_after_another(tmp_path):
    written = [write(tmp_path, f"{n}", n, size=(4 + n, 9 - n)) for n in range(4)]
    arrays = load(tmp_path)
    read = [samples(arrays, part) for part in ("train", "valid")]
    together = [pair for each in read for pair in zip(*each.read(np.arange(len(each.shapes))), strict=True)]
    assert len(together) == 4
    for image, mask in together:
        expected = next(pair for pair in written if pair[1].shape == mask.shape)
        np.testing.assert_array_equal(image, expected[0])
        np.testing.assert_array_equal(mask, expected[1])


@pytest.mark.parametrize(
    "sizes", [[(6, 8)] * 4, [(4, 9), (5, 8), (6, 7), (7, 6)]], ids=["equal", "different"]
)
def test_files_left_on_disk_give_the_same_samples_and_statistics(tmp_path, sizes):
    for number, size in enumerate(sizes):
        write(tmp_path, f"{number}", number, size=size)
    memory, disk = load(tmp_path), load(tmp_path, max_memory=10)
    assert "train_inputs" not in disk
    for name in ("mean", "std", "class_counts", "class_names"):
        np.testing.assert_array_equal(memory[name], disk[name])
    for part in ("train", "valid"):
        first, second = samples(memory, part), samples(disk, part)
        np.testing.assert_array_equal(first.shapes, second.shapes)
        everything = np.arange(len(first.shapes))
        for ours, theirs in zip(first.read(everything), second.read(everything), strict=True):
            for one, other in zip(ours, theirs, strict=True):
                np.testing.assert_array_equal(one, other)


def test_a_mask_that_changed_on_disk_is_refused_before_it_is_used(root):
    arrays = load(root, max_memory=0)
    Image.fromarray(np.full((6, 8), 9, np.uint8)).save(arrays["train_file_targets"][0])
    with pytest.raises(ValueError, match=r"holds label 9 in 48 pixels; classes are 0 to 2, ignored is 255"):
        samples(arrays, "train").read(np.array([0]))


def test_palette_masks_are_read_by_index(root):
    mask = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) % 3, mode="L").convert("P")
    mask.putpalette([255, 0, 0, 255, 0, 0, 7, 7, 7])
    mask.save(root / "masks/00.png")
    assert Image.open(root / "masks/00.png").mode == "P"
    arrays = load(root, max_memory=0)
    part = "train" if "00" in names(arrays, "train") else "valid"
    _, masks = samples(arrays, part).read(np.array([names(arrays, part).index("00")]))
    np.testing.assert_array_equal(masks[0], np.arange(48).reshape(6, 8) % 3)


def stored_mask(root):
    """Labels of the mask of 00 as they were loaded."""
    arrays = load(root, max_memory=0)
    part = "train" if "00" in names(arrays, "train") else "valid"
    return samples(arrays, part).read(np.array([names(arrays, part).index("00")]))[1][0]


def grey_png(bits, rows):
    """A grey PNG of 2 or 4 bits a pixel, which Pillow reads but does not write."""
    height, width = rows.shape
    packed = b""
    for row in rows:
        digits = "".join(format(value, f"0{bits}b") for value in row)
        packed += b"\0" + int(digits, 2).to_bytes(len(digits) // 8, "big")
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(packed))
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("bits", [2, 4])
def test_masks_of_few_bits_keep_their_labels(root, bits):
    labels = np.arange(48, dtype=np.uint8).reshape(6, 8) % 3
    (root / "masks/00.png").write_bytes(grey_png(bits, labels))
    np.testing.assert_array_equal(stored_mask(root), labels)


def test_masks_of_16_bits_are_read_and_refused_above_255(root):
    labels = np.arange(48, dtype=np.uint16).reshape(6, 8) % 3
    Image.fromarray(labels).save(root / "masks/00.png")
    np.testing.assert_array_equal(stored_mask(root), labels)
    Image.fromarray(labels * 200).save(root / "masks/00.png")
    with pytest.raises(ValueError, match=r"00\.png: holds label 400 in 16 pixels; labels must be"):
        load(root)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_mode_are_converted(root, mode, channels):
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    picture = Image.fromarray(grey).convert(mode)
    (root / "images/00.png").unlink()
    suffix = "jpg" if mode == "CMYK" else "png"
    picture.save(root / f"images/00.{suffix}")
    arrays = load(root, channels=channels)
    together = np.concatenate([arrays["train_inputs"], arrays["valid_inputs"]])
    assert together.shape == (5, 6, 8, channels)
    if mode not in ("1", "CMYK"):
        assert any((image == grey[..., None]).all() for image in together)


@pytest.mark.parametrize("kind", ["jpg", "png", "png, after the pixels"])
def test_images_are_turned_upright_as_their_exif_says(tmp_path, kind):
    for number in range(2):
        write(tmp_path, f"{number}", number, size=(8, 6))
    tags = Image.Exif()
    tags[0x0112] = 6
    sideways = Image.fromarray(np.zeros((6, 8, 3), np.uint8))
    (tmp_path / "images/0.png").unlink()
    file = tmp_path / f"images/0.{kind[:3]}"
    if kind == "png, after the pixels":
        sideways.save(file)
        whole = file.read_bytes()
        file.write_bytes(whole[:-12] + png_chunk(b"eXIf", tags.tobytes()[6:]) + whole[-12:])
    else:
        sideways.save(file, exif=tags)
    arrays = load(tmp_path)
    assert arrays["train_inputs"].shape == arrays["valid_inputs"].shape == (1, 8, 6, 3)


def test_binary_masks_saved_as_0_and_255_are_explained_and_mapped(tmp_path):
    masks = [write(tmp_path, f"{n}", n, labels=(0, 255))[1] for n in range(4)]
    with pytest.raises(
        ValueError, match=r"masks hold only 0 and the ignored label; .*mask_values: \{255: 1\}"
    ):
        load(tmp_path)
    arrays = load(tmp_path, mask_values={255: 1})
    assert len(arrays["class_names"]) == 2
    assert arrays["train_targets"].sum() + arrays["valid_targets"].sum() == sum(
        (mask > 0).sum() for mask in masks
    )


def test_255_is_an_error_where_another_label_is_ignored(tmp_path):
    for number in range(2):
        write(tmp_path, f"{number}", number, labels=(0, 1, 255))
    with pytest.raises(
        ValueError,
        match=r"label 255 in \d+ pixels; .*, ignored is 0; set data\.ignore_index",
    ):
        load(tmp_path, ignore_index=0)


def test_ignored_labels_become_255_whatever_they_are_in_the_files(tmp_path):
    masks = np.stack([write(tmp_path, f"{n}", n, labels=(0, 1, 2))[1] for n in range(2)])
    arrays = load(tmp_path, ignore_index=0, mask_values={1: 0, 2: 1})
    together = np.concatenate([arrays["train_targets"], arrays["valid_targets"]])
    assert {value: int((together == value).sum()) for value in (255, 1)} == {
        255: int((masks < 2).sum()),
        1: int((masks == 2).sum()),
    }


def test_label_beyond_the_classes_names_the_file(root):
    write(root, "03", labels=(0, 7))
    with pytest.raises(ValueError, match=r"masks/03\.png: holds label 7 in \d+ pixels; classes are 0 to 2"):
        load(root, num_classes=3)
    assert len(load(root)["class_names"]) == 8


def test_class_names_are_given_or_in_a_file_and_must_agree(root):
    (root / "classes.txt").write_text("road\ncar\nsky\n")
    assert list(load(root)["class_names"]) == ["road", "car", "sky"]
    assert list(load(root, class_names=("a", "b", "c"))["class_names"]) == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"has 3 names and data\.num_classes is 4"):
        load(root, num_classes=4)
    with pytest.raises(ValueError, match="names a class twice"):
        load(root, class_names=("a", "b", "a"))


def test_mask_suffix_pairs_car_with_car_mask(tmp_path):
    for name in ("car", "bus"):
        write(tmp_path, name)
        (tmp_path / f"masks/{name}.png").rename(tmp_path / f"masks/{name}_mask.png")
    assert sorted(chain(*parts(tmp_path, mask_suffix="_mask"))) == ["bus", "car"]
    assert parts(tmp_path) == parts(tmp_path, mask_suffix="_mask")
    with pytest.raises(ValueError, match=r'images without a mask: .*bus\.png.*and mask_suffix: "_seg"'):
        load(tmp_path, mask_suffix="_seg")


def test_hidden_and_other_files_are_left_out(root):
    (root / "images/.DS_Store").write_bytes(b"x")
    (root / "images/notes.md").write_text("x")
    assert len(list(chain(*parts(root)))) == 5


def test_masks_without_a_labelled_pixel_are_an_error(tmp_path):
    for part, labels in (("train", (0, 1)), ("val", (255,))):
        write(tmp_path, "a", labels=labels, images=f"{part}/images", masks=f"{part}/masks")
    with pytest.raises(ValueError, match="every pixel of the validation masks is ignored, as label 255"):
        load(tmp_path)


def test_missing_root_is_an_error_with_its_path(tmp_path):
    with pytest.raises(ValueError, match=r"data\.root is \S*nowhere; it must be a folder"):
        load(tmp_path / "nowhere")


def test_nothing_is_said_while_loading_is_quick(root, capsys):
    said = []
    load(root, progress=said.append)
    assert said == []
    assert capsys.readouterr().err == ""
