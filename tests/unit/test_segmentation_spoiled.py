"""Wrong samples and folders: each is named, or skipped where that is configured."""

import struct
from pathlib import Path

import numpy as np
import pytest
from mask_folders import load, loaded, names, parts, samples, write
from PIL import Image
from spoiled_images import (
    WRONG_SAMPLES,
    classes_in_latin_1,
    label_no_class,
    link_out,
    linked_classes_out,
    linked_folder_out,
    linked_list_out,
    linked_loop,
    no_images,
    no_masks_folder,
    other_format,
    png_chunk,
    too_many_classes,
    two_of_a_name,
)

from trainables.images.decode import Reading


@pytest.fixture
def root(tmp_path):
    for number in range(5):
        write(tmp_path, f"{number:02}", seed=number)
    return tmp_path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["memory", "disk"])
@pytest.mark.parametrize(
    ("spoil", "message"), WRONG_SAMPLES, ids=lambda value: getattr(value, "__name__", "")
)
def test_a_wrong_sample_is_an_error_that_names_the_file(root, spoil, message, max_memory):
    spoil(root)
    with pytest.raises(ValueError, match=message):
        load(root, num_classes=3, max_memory=max_memory)


@pytest.mark.parametrize("max_skipped", [0, 5], ids=["raise", "skip"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (two_of_a_name, r"images/02\.png: has the same name as 02\.jpg"),
        (other_format, r"images/02\.bmp: is \.bmp; images must be PNG, JPEG, TIFF, WebP or \.npy"),
        (link_out, r"images/02\.png: leads to \S*-outside\.png, outside of data\.root"),
        (linked_list_out, r"train\.txt: leads to \S*-outside\.txt, outside of data\.root"),
        (linked_classes_out, r"classes\.txt: leads to \S*-outside\.txt, outside of data\.root"),
        (classes_in_latin_1, r"classes\.txt:2: not UTF-8 text \(byte 0xfc\); save the file as UTF-8"),
        (too_many_classes, r"classes\.txt has 256 names; there must be 2 to 255 classes"),
        (linked_folder_out, r"images: leads to \S*-outside, outside of data\.root"),
        (linked_loop, r"images/again: is a link to a folder that was already read"),
        (no_images, r"images: holds no image in PNG, JPEG, TIFF, WebP or \.npy"),
        (no_masks_folder, r"holds answers, images; expected images/ and masks/"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_wrong_folder_is_an_error_whatever_may_be_skipped(root, spoil, message, max_skipped):
    spoil(root)
    with pytest.raises(ValueError, match=message):
        load(root, max_skipped=max_skipped)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
def test_damaged_bytes_are_an_error_that_names_the_file_or_still_an_image(tmp_path, suffix):
    """Whatever Pillow makes of them; checksums are made right again, so that its decoders see the damage."""
    rng = np.random.default_rng(0)
    file = tmp_path / f"a.{suffix}"
    tags = Image.Exif()
    tags[0x0112 if suffix != "tif" else 0x010E] = 6 if suffix != "tif" else "made by a camera"
    Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8)).save(file, exif=tags)
    original, refused = file.read_bytes(), []
    for _ in range(200):
        damaged = bytearray(original)
        for place in rng.integers(0, len(damaged), rng.integers(1, 6)):
            damaged[place : place + rng.integers(0, 3)] = rng.bytes(rng.integers(0, 4))
        file.write_bytes(with_checksums(bytes(damaged)))
        try:
            assert Reading(channels=3).pixels(file).dtype == np.uint8
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > 50
    assert all(message.startswith(f"{file}: ") for message in refused)


def with_checksums(png):
    """The bytes with the sum of every PNG chunk made right."""
    parts, at = [png[:8]], 8
    while png.startswith(b"\x89PNG") and at + 12 <= len(png):
        length = struct.unpack(">I", png[at : at + 4])[0]
        parts.append(png_chunk(png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return b"".join([*parts, png[at:]])


WHERE_02_IS = {"train": ["00", "01", "02", "03"], "val": ["04", "05"]}


@pytest.fixture
def listed(tmp_path):
    """Six samples with lists of names; 02 is the third one trained on."""
    for number in range(6):
        write(tmp_path, f"{number:02}", seed=number)
    for part, of_part in WHERE_02_IS.items():
        (tmp_path / f"{part}.txt").write_text("\n".join(of_part))
    return tmp_path


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["memory", "disk"])
@pytest.mark.parametrize("spoil", [spoil for spoil, _ in WRONG_SAMPLES])
def test_a_skipped_sample_keeps_its_place_without_pixels_and_the_others_are_as_before(
    listed, spoil, max_memory
):
    whole, said = load(listed, num_classes=3), []
    spoil(listed)
    arrays = load(listed, num_classes=3, max_memory=max_memory, max_skipped=1, progress=said.append)
    found = samples(arrays, "train", limit=1)
    np.testing.assert_array_equal(found.shapes, [(6, 8), (6, 8), (0, 0), (6, 8)])
    images, masks = found.read(np.arange(4))
    assert (images[2].shape, masks[2].shape) == ((0, 0, 3), (0, 0))
    kept = [0, 1, 3]
    np.testing.assert_array_equal([images[index] for index in kept], whole["train_inputs"][kept])
    np.testing.assert_array_equal([masks[index] for index in kept], whole["train_targets"][kept])
    pixels = whole["train_inputs"][kept].reshape(-1, 3) / 255.0
    np.testing.assert_allclose(arrays["mean"], pixels.mean(0), rtol=1e-5)
    np.testing.assert_array_equal(arrays["class_counts"], np.bincount(whole["train_targets"][kept].ravel()))
    line = said[-1]  # before it, what a list names in vain
    assert line.startswith("1 of 6 samples are skipped: ")
    assert "/02." in line
    assert "\n" not in line


def test_more_than_may_be_skipped_are_listed(root):
    (root / "images/00.png").write_text("no image")
    label_no_class(root)
    with pytest.raises(
        ValueError, match=r"2 of 5 samples are wrong, and data\.max_skipped is 1:\n"
    ) as caught:
        load(root, num_classes=3, max_skipped=1)
    assert "images/00.png: is none of" in str(caught.value)
    assert "masks/02.png: holds label 37" in str(caught.value)
    load(root, num_classes=3, max_skipped=2)


def test_the_line_about_skipped_samples_has_the_first_of_many(root, capsys):
    for number in range(4):
        (root / f"images/{number:02}.png").write_text("no image")
    write(root, "05")
    write(root, "06")
    load(root, max_skipped=10, valid_fraction=0.3)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("4 of 7 samples are skipped: ")
    assert line.endswith("; and 1 more")
    assert line.count(".png: is none of") == 3


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_a_lost_file_changes_no_split_and_no_order_where_it_may_be_skipped(tmp_path, kind):
    for number in range(10):
        write(tmp_path, f"{number:02}", number)
    before = parts(tmp_path)
    (tmp_path / f"{kind}/04.png").unlink()
    arrays = load(tmp_path, max_memory=0, max_skipped=1, progress=[].append)
    assert (names(arrays, "train"), names(arrays, "valid")) == before


def test_a_part_of_which_all_is_skipped_is_an_error(tmp_path):
    for part in ("train", "val"):
        write(tmp_path, "a", images=f"{part}/images", masks=f"{part}/masks")
    (tmp_path / "val/images/a.png").write_text("no image")
    with pytest.raises(ValueError, match="none of the validation samples can be used: each is skipped"):
        load(tmp_path, max_skipped=1, progress=[].append)


def test_a_mask_that_no_image_can_have_is_an_error_also_where_orphans_may_be_skipped(tmp_path):
    for name in ("car", "bus"):
        write(tmp_path, name)
        (tmp_path / f"masks/{name}.png").rename(tmp_path / f"masks/{name}_mask.png")
    Image.new("L", (8, 6)).save(tmp_path / "masks/car.png")
    with pytest.raises(ValueError, match=r"masks without an image: \S*masks/car\.png"):
        load(tmp_path, mask_suffix="_mask", max_skipped=5)


def shrink(file):
    Image.new("RGB", (3, 3)).save(file)


def cut_short(file):
    file.write_bytes(file.read_bytes()[:60])


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (Path.unlink, "there is no such file"),
        (cut_short, "cannot be decoded, it may be cut short"),
        (shrink, "sizes must agree"),
    ],
)
def test_a_file_that_breaks_after_loading_is_an_error_or_skipped_each_time(root, spoil, reason):
    arrays = load(root, max_memory=0)
    broken = Path(arrays["train_image_files"][1, 0])
    spoil(broken)
    with pytest.raises(ValueError, match=rf"{broken.name}.*{reason}"):
        samples(arrays, "train").read(np.arange(3))
    lenient = samples(arrays, "train", limit=1)
    for _ in range(2):
        images, masks = lenient.read(np.array([1, 0, 1]))
        assert [mask.shape for mask in masks] == [(0, 0), (6, 8), (0, 0)]
        assert [image.shape for image in images] == [(0, 0, 3), (6, 8, 3), (0, 0, 3)]


def test_both_files_of_another_size_than_before_are_an_error(root):
    arrays = load(root, max_memory=0)
    name = Path(arrays["train_image_files"][0, 0]).stem
    write(root, name, size=(5, 5))
    with pytest.raises(ValueError, match=rf"images/{name}\.png: is now 5x5 and was 8x6; it changed"):
        samples(arrays, "train").read(np.array([0]))


def test_files_that_break_after_loading_count_together_with_those_before(listed):
    label_no_class(listed)
    arrays = load(listed, num_classes=3, max_memory=0, max_skipped=2, progress=[].append)
    images = loaded(arrays, limit=2)
    train, valid = (images.samples(part) for part in ("train", "valid"))
    (listed / "images/00.png").unlink()
    train.read(np.arange(4))
    (listed / "images/05.png").unlink()
    for _ in range(2):
        with pytest.raises(
            ValueError,
            match=r"images/05\.png: there is no .*; 3 samples are wrong and data\.max_skipped is 2",
        ):
            valid.read(np.arange(2))


def test_several_wrong_files_are_reported_together(root):
    for name in ("00", "02", "04"):
        (root / f"images/{name}.png").write_text("no image")
    for name in ("01", "03"):
        Image.new("L", (7, 6)).save(root / f"masks/{name}.png")
    with pytest.raises(ValueError, match="samples are wrong") as caught:
        load(root)
    for name in ("images/00.png", "masks/01.png", "images/02.png", "masks/03.png", "images/04.png"):
        assert f"{name}: is" in str(caught.value)
