"""Images of 12 and 16 bits, turned ones, and ones with much beside their pixels: their values are right."""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from mask_folders import load, loaded, options_of
from PIL import Image

from trainables.images.decode import Reading
from trainables.images.depth import ValueRange
from trainables.images.options import MaskFolderOptions
from trainables.images.samples import LoadedImages
from trainables.inspect.images import MaskInspection

GREY, GREY_ALPHA, RGB, RGBA = 0, 4, 2, 6
"""Colour types of PNG."""


def png(values: np.ndarray, colour_type: int) -> bytes:
    """A PNG of 16 bits a channel, uint16 [H, W, C], written here as Pillow writes greys only."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*of) for of in chunks)


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def folder(root: Path, images: list[bytes], size: tuple[int, int] = (6, 8)) -> Path:
    """Images, each with a mask of three classes."""
    for number, image in enumerate(images):
        for name in ("images", "masks"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / f"images/{number}.png").write_bytes(image)
        mask = np.random.default_rng(number).integers(0, 3, size, np.uint8)
        Image.fromarray(mask).save(root / f"masks/{number}.png")
    return root


def deep_images(low: int, high: int, count: int = 6, channels: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(low + high)
    images = [rng.integers(low, high + 1, (6, 8, channels)).astype(np.uint16) for _ in range(count)]
    images[0][0, 0], images[0][0, 1] = low, high
    return images


def of_all(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Training and validation images together, as a sorted list of arrays."""
    return np.concatenate([arrays["train_inputs"], arrays["valid_inputs"]])


def same_images(found: np.ndarray, expected: list[np.ndarray]) -> bool:
    return sorted(image.tobytes() for image in found) == sorted(image.tobytes() for image in expected)


@pytest.mark.parametrize(("low", "high"), [(0, 4095), (0, 200), (0, 65535), (31000, 34000)])
def test_the_values_that_deep_images_use_become_0_to_255(tmp_path: Path, low: int, high: int) -> None:
    images = deep_images(low, high)
    folder(tmp_path, [png(image, GREY) for image in images])
    lines: list[str] = []
    arrays = load(tmp_path, progress=lines.append, channels=1, valid_fraction=0.01)
    low, high = arrays["value_range"].astype(int)
    expected = [np.rint((i.astype(float).clip(low, high) - low) * 255 / (high - low)) for i in images]
    assert same_images(of_all(arrays), [image.astype(np.uint8) for image in expected])
    assert any(f"data.range: [{low}, {high}]" in line for line in lines)
    assert of_all(arrays).max() == 255
    described = loaded(arrays).described("classes")
    assert described["range"] == [low, high]
    assert described["how"].startswith("values from range[0] to range[1] become 0 to 255")


@pytest.mark.parametrize(("colour_type", "channels"), [(RGB, 3), (RGBA, 4)])
def test_all_16_bits_of_colours_are_read(tmp_path: Path, colour_type: int, channels: int) -> None:
    images = deep_images(0, 4095, channels=channels)
    folder(tmp_path, [png(image, colour_type) for image in images])
    found = Reading(channels=3).values(tmp_path / "images/0.png")
    np.testing.assert_array_equal(found, images[0][..., :3])
    arrays = load(tmp_path, range=[0, 4095])
    expected = [np.rint(image[..., :3] * (255 / 4095)).astype(np.uint8) for image in images]
    assert same_images(of_all(arrays), expected)


def test_an_opened_image_of_which_pillow_holds_half_of_the_bits_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "image.png"
    file.write_bytes(png(np.full((4, 5, 3), 300, np.uint16), RGB))
    with Image.open(file) as opened:
        for _ in range(2):
            with pytest.raises(ValueError, match="has 16 bits, of which Pillow holds 8; give its path"):
                Reading(channels=3).of_picture(opened)
            opened.load()  # after which it looks like one of 8 bits


def test_a_set_range_holds_for_images_of_8_bits_too(tmp_path: Path) -> None:
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    file = tmp_path / "image.png"
    Image.fromarray(grey).save(file)
    read = Reading(channels=1, value_range=options_of(tmp_path, range=[0, 47]).value_range).pixels(file)
    np.testing.assert_array_equal(read[..., 0], np.rint(grey * (255 / 47)))
    for name in ("8bit", "16bit", "auto"):
        named = Reading(channels=1, value_range=options_of(tmp_path, range=name).value_range)
        np.testing.assert_array_equal(named.pixels(file)[..., 0], grey)


def test_16bit_is_the_upper_byte_as_other_programs_show_it(tmp_path: Path) -> None:
    grey = np.arange(48, dtype=np.uint16).reshape(6, 8) * 5
    folder(tmp_path, [png(grey[..., None] * 257, GREY)])
    read = Reading(channels=1, value_range=options_of(tmp_path, range="16bit").value_range)
    np.testing.assert_array_equal(read.pixels(tmp_path / "images/0.png")[..., 0], grey)


def test_streamed_images_have_the_same_range(tmp_path: Path) -> None:
    folder(tmp_path, [png(image, GREY) for image in deep_images(0, 900)])
    kept, streamed = (load(tmp_path, max_memory=memory) for memory in (2**30, 0))
    options = options_of(tmp_path, max_memory=0)
    reader = LoadedImages(streamed, options).samples("train")
    images, _ = reader.read(np.arange(len(reader.shapes)))
    np.testing.assert_array_equal(np.stack(images), kept["train_inputs"])


def test_a_deep_image_among_others_that_was_not_looked_at_is_refused(tmp_path: Path) -> None:
    folder(tmp_path, [png(deep_images(0, 900)[0], GREY)])
    with pytest.raises(ValueError, match=r"0\.png: has more than 8 bits a channel.* 8; set data\.range"):
        Reading(channels=1).pixels(tmp_path / "images/0.png")


def test_greys_with_transparency_of_16_bits_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, [png(image, GREY_ALPHA) for image in deep_images(0, 900, channels=2)])
    with pytest.raises(ValueError, match=r"16-bit greys with transparency.*; save it without"):
        load(tmp_path, range=[0, 900])


@pytest.mark.parametrize("odd", [65535, 60000])
def test_a_few_values_that_take_most_of_the_range_are_told_with_a_range_without_them(
    tmp_path: Path, odd: int
) -> None:
    images = deep_images(100, 700)
    for image in images:
        image[0, 0] = odd
    folder(tmp_path, [png(image, GREY) for image in images])
    lines: list[str] = []
    load(tmp_path, progress=lines.append, channels=1)
    (found,) = re.findall(r"lie between .* set data\.(range: \[.*?\])", lines[0])
    low, high = yaml.safe_load(found)["range"]
    assert 100 <= low < 120
    assert 680 < high <= 700
    assert load(tmp_path, channels=1, **yaml.safe_load(found))["value_range"].tolist() == [low, high]
    lines.clear()
    load(folder(tmp_path / "plain", [png(image, GREY) for image in deep_images(0, 900)]), lines.append)
    assert "lie between" not in lines[0]


def test_8_bits_among_deeper_ones_are_told_and_16bit_makes_them_alike(tmp_path: Path) -> None:
    grey = [np.random.default_rng(n).integers(0, 256, (6, 8, 1)).astype(np.uint16) for n in range(6)]
    folder(tmp_path, [png(grey[number] * 257, GREY) for number in range(6)])
    for number in (0, 3):
        Image.fromarray(grey[number][..., 0].astype(np.uint8)).save(tmp_path / f"images/{number}.png")
    lines: list[str] = []
    load(tmp_path, lines.append, channels=1)
    assert (
        "2 of the images looked at have 8 bits and stay as they are: where 255 in them is 65535" in lines[0]
    )
    arrays = load(tmp_path, channels=1, range="16bit")
    assert same_images(of_all(arrays), [image.astype(np.uint8) for image in grey])


@pytest.mark.parametrize("value", [[5, 5], [255, 0]])
def test_a_range_must_ascend(tmp_path: Path, value: list[int]) -> None:
    with pytest.raises(ValueError, match="the second must be larger than the first"):
        options_of(tmp_path, range=value)


def test_what_is_clipped_is_counted() -> None:
    values = np.array([[-1, 0, 5, 10, 11]])
    assert ValueRange(0, 10).outside(values) == 0.4
    assert ValueRange(0, 10).scaled(values).tolist() == [[0, 0, 128, 255, 255]]


# What check --data says of it


def kinds_found(root: Path, **options: Any) -> set[tuple[str, str]]:
    inspection = MaskInspection(MaskFolderOptions(source="folder", root=str(root), **options))
    contents = [inspection.look(number) for number in range(len(inspection.samples))]
    found = [*inspection.conclude(contents).findings, *(f for held in contents for f in held.findings)]
    return {(finding.kind.name, finding.message) for finding in found}


def test_clipped_constant_dark_and_turned_images_are_found(tmp_path: Path) -> None:
    images = deep_images(0, 4095)
    images[1][:] = 7
    folder(tmp_path, [png(image, GREY) for image in images])
    found = kinds_found(tmp_path, channels=1, range=[0, 1000])
    assert ("image of one value", "each pixel is 2") in found
    assert any(name == "values outside of data.range" for name, _ in found)
    assert not any("read as" in message for _, message in found)
    assert ("grey images", "all 6 images are 16-bit L, read as RGB") in kinds_found(tmp_path)
    dark = folder(tmp_path / "dark", [png(image, GREY) for image in deep_images(0, 4095)])
    assert ("few values used", "all images lie between 0 and 16, of 0 to 255") in kinds_found(
        dark, range="16bit"
    )
    assert not any(name in ("few values used", "image of one value") for name, _ in kinds_found(dark))


# EXIF and what else lies beside the pixels


def turned(file: Path, orientation: int, stored: np.ndarray) -> None:
    tags = Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(stored).save(file, exif=tags)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_pillow_turns_them(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    stored = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    file = tmp_path / "image.png"
    turned(file, orientation, stored)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(file)))
    np.testing.assert_array_equal(Reading(channels=3).pixels(file), upright)
    np.testing.assert_array_equal(Reading(channels=3, upright=False).pixels(file), stored)


def test_a_mask_of_the_image_as_stored_is_explained_and_the_remedy_helps(tmp_path: Path) -> None:
    folder(tmp_path, [b""] * 3)
    images = [np.random.default_rng(n).integers(0, 256, (6, 8, 3), np.uint8) for n in range(3)]
    for number, image in enumerate(images):
        turned(tmp_path / f"images/{number}.png", 6, image)
    with pytest.raises(ValueError, match=r"is 8x6, its image .* 6x8, as its EXIF turns it.*tion: stored"):
        load(tmp_path)
    assert same_images(of_all(load(tmp_path, orientation="stored")), images)
    found = kinds_found(tmp_path)
    assert "mask of the image as stored" in {name for name, _ in found}
    assert ("image turned by its EXIF", "orientation 6") in found


def test_an_image_beyond_the_range_that_was_found_is_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [deep[..., 0] for deep in deep_images(0, 1000, count=3)]
    images[1] = images[1] * 4
    files = []
    for number, image in enumerate(images):
        files.append(tmp_path / f"{number}.png")
        files[-1].write_bytes(png(image[..., None], GREY))
    found = ValueRange(0, 1001)
    for is_found in (False, True):
        reading = Reading(channels=1, value_range=found, is_found=is_found)
        decoded = [reading.pixels(file) for file in files * 2]
        (told, *more) = capsys.readouterr().err.splitlines() or [""]
        assert not more
        assert told.startswith(f"{files[1]}: ") is reading.is_found
        assert ("set data.range: [0, " in told) is reading.is_found
        assert decoded[1].max() == 255


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "not fetched; run: git lfs pull"),
        (b"II*\0rest", "is a TIFF cut short, or of a kind that is not read"),
        (b"RIFF1234WEBPrest", "is a WebP, and must be"),
        (b"\0\0\0\x18ftypheic", "is a HEIC or a video"),
        (b"<!DOCTYPE html>", "is a page of HTML, .*: copy it again"),
        (b"no picture", "is none of PNG, JPEG, TIFF, WebP and .npy"),
    ],
)
def test_a_file_of_another_kind_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "0.png"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Reading(channels=3).pixels(file)


def test_turned_images_of_masks_are_told_as_square_ones_fit_both_ways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder(tmp_path, [b""] * 4, size=(8, 8))
    for number in range(4):
        image = np.random.default_rng(number).integers(0, 256, (8, 8, 3), np.uint8)
        turned(tmp_path / f"images/{number}.png", 6 if number else 1, image)
    load(tmp_path)
    said = (
        "3 of 4 images are turned as their EXIF says, and masks never are: if they fit the images as stored"
    )
    assert said in capsys.readouterr().err
    arrays = load(tmp_path, orientation="stored")
    assert "turned" not in capsys.readouterr().err
    described = LoadedImages(arrays, options_of(tmp_path, orientation="stored")).described("classes")
    assert described["orientation"] == "stored"
