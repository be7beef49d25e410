"""TIFF and WebP are read with the very values that were saved, or refused; other formats are named."""

from __future__ import annotations

import struct
import sys
import tarfile
import zlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from mask_folders import load, options_of, write
from PIL import Image

from trainables.findings import SampleError
from trainables.images.decode import Reading, header_size, read_header
from trainables.images.fingerprint import image_fingerprint
from trainables.images.loading import load_images
from trainables.images.masks.colours import ColourTable
from trainables.images.masks.reading import read_mask
from trainables.images.options import ClassFolderOptions, MaskShardsOptions
from trainables.images.samples import LoadedImages

BLACK_IS_0, RGB, CMYK = 1, 2, 5
PHOTOMETRIC, ORIENTATION, PLANES, SUBFILE, EXTRA = 262, 274, 284, 254, 338
MASK = np.random.default_rng(0).integers(0, 4, (6, 8), np.uint8)


def tiff(
    *pages: np.ndarray, order: str = "<", compressed: bool = False, tags: Mapping[int, int] | None = None
) -> bytes:
    """Pages [H, W] or [H, W, C], written here as Pillow writes few kinds; `tags` are of the last page."""
    content = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    for number, page in enumerate(pages):
        channels = page.shape[2] if page.ndim == 3 else 1
        pixels = page.astype(page.dtype.newbyteorder(order)).tobytes()
        strip = zlib.compress(pixels) if compressed else pixels
        kind = {"u": 1, "i": 2, "f": 3}[page.dtype.kind]
        photometric = {1: BLACK_IS_0, 2: BLACK_IS_0, 3: RGB, 4: RGB}[channels]
        held: dict[int, list[int]] = {
            256: [page.shape[1]], 257: [page.shape[0]], 258: [8 * page.itemsize] * channels,
            259: [8 if compressed else 1], PHOTOMETRIC: [photometric], 273: [0], 277: [channels],
            278: [page.shape[0]], 279: [len(strip)], 339: [kind] * channels,
        }  # fmt: skip
        if number == len(pages) - 1:
            held |= {tag: [value] for tag, value in (tags or {}).items()}
        begin = len(content)
        after = begin + 2 + 12 * len(held) + 4
        entries, extra = b"", b""
        for tag, values in sorted(held.items()):
            values = [after] if tag == 273 else values
            code, letter = (4, "I") if tag in (256, 257, 273, 278, 279) else (3, "H")
            packed = struct.pack(f"{order}{len(values)}{letter}", *values)
            if len(packed) > 4:
                extra, packed = extra + packed, struct.pack(f"{order}I", after + len(strip) + len(extra))
            entries += struct.pack(f"{order}HHI", tag, code, len(values)) + packed.ljust(4, b"\0")
        end = after + len(strip) + len(extra)
        following = end if number < len(pages) - 1 else 0
        content += struct.pack(f"{order}H", len(held)) + entries + struct.pack(f"{order}I", following)
        content += strip + extra
    return content


def numbers(dtype: str, *channels: int) -> np.ndarray:
    rng, shape = np.random.default_rng(1), (6, 8, *channels)
    if dtype == "float32":
        return rng.normal(size=shape).astype(dtype)
    bounds = np.iinfo(dtype)
    return rng.integers(max(bounds.min, -500), min(bounds.max, 2**31 - 1), shape, endpoint=True).astype(dtype)


def saved(folder: Path, content: bytes, name: str = "file.tif") -> Path:
    (folder / name).write_bytes(content)
    return folder / name


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("dtype", "channels"),
    [("uint8", ()), ("uint16", ()), ("int16", ()), ("int32", ()), ("float32", ()), ("uint8", (3,))],
)
def test_a_tiff_has_the_values_that_were_saved_or_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    dtype: str,
    channels: tuple[int, ...],
    *,
    compressed: bool,
    order: str,
) -> None:
    values = numbers(dtype, *channels)
    file = saved(tmp_path, tiff(values, order=order, compressed=compressed))
    reading = Reading(channels=3 if channels else 1)
    # Pillow swaps the bytes of these twice.
    if order == ">" and compressed and dtype in ("int16", "int32", "float32"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, "tifffile", None)
            with pytest.raises(SampleError, match="compressed, with the high byte of each number first; sav"):
                reading.values(file)
    np.testing.assert_array_equal(reading.values(file), values)
    assert header_size(file) == (6, 8)
    deep = {"uint8": "L", "uint16": "16-bit L", "int16": "16-bit L", "int32": "32-bit L"}
    assert read_header(file).mode == ("RGB" if channels else deep.get(dtype, "32-bit float"))


@pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "CMYK"])
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "packbits"])
def test_pillow_reads_what_it_has_written(tmp_path: Path, mode: str, compression: str | None) -> None:
    image = Image.fromarray(numbers("uint8", 3)).convert(mode)
    image.save(tmp_path / "file.tif", compression=compression)
    np.testing.assert_array_equal(Reading(channels=3).pixels(tmp_path / "file.tif"), image.convert("RGB"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tiff(MASK, MASK), "is a TIFF of 2 pages; save the one that is meant"),
        (tiff(numbers("uint16", 3)), "has 3 channels of 16 bits; save it as PNG"),
        (tiff(numbers("uint16"), tags={PHOTOMETRIC: 0}), "has 16 bits and 0 for white"),
        (tiff(numbers("int8")), "has 8 bits with a sign"),
        (tiff(numbers("uint8", 4), tags={EXTRA: 0}), "has 4 channels, some of no stated meaning"),
        (tiff(MASK, tags={ORIENTATION: 6}), r"is to be turned \(Orientation 6\); save it upright"),
        (tiff(numbers("float32").astype("float64")), "or of a kind that is not read; it must have one page"),
        (tiff(np.full((6, 8), np.nan, np.float32)), "holds 48 numbers that are NaN or infinite, of 48"),
    ],
)
def test_a_tiff_that_would_be_misread_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "tifffile", None)  # as where it is not installed
    file = saved(tmp_path, content)
    with pytest.raises(SampleError, match=message):
        Reading(channels=1).values(file)


def test_smaller_copies_of_a_tiff_are_not_pages(tmp_path: Path) -> None:
    file = saved(tmp_path, tiff(MASK, MASK[::2, ::2], tags={SUBFILE: 1}))
    np.testing.assert_array_equal(read_mask(file), MASK)


def test_an_animation_is_refused(tmp_path: Path) -> None:
    pictures = [Image.fromarray(numbers("uint8", 3)), Image.fromarray(255 - numbers("uint8", 3))]
    for name in ("file.png", "file.webp"):
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:])
        with pytest.raises(SampleError, match="is animated, 2 pictures; save the one that is meant"):
            Reading(channels=3).pixels(tmp_path / name)


# Masks


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32"])
def test_labels_of_a_tiff_are_those_that_were_saved(tmp_path: Path, dtype: str) -> None:
    np.testing.assert_array_equal(read_mask(saved(tmp_path, tiff(MASK.astype(dtype)))), MASK)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (MASK.astype(np.int16) - 1, r"holds label -1 in \d+ pixels; labels must be whole numbers from 0"),
        (MASK.astype(np.float32) / 4, r"holds label 0\.\d+ in \d+ pixels, .* must be whole numbers"),
        (MASK.astype(np.int32) * 256, r"holds label \d{3} in \d+ pixels"),
        (np.full((6, 8), np.nan, np.float32), r"holds label nan in 48 pixels"),
    ],
)
def test_numbers_that_are_no_labels_are_refused(tmp_path: Path, labels: np.ndarray, message: str) -> None:
    with pytest.raises(SampleError, match=message):
        read_mask(saved(tmp_path, tiff(labels)))


def test_a_mask_whose_numbers_were_altered_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match="is a TIFF with 0 for white, of which programs read different"):
        read_mask(saved(tmp_path, tiff(MASK, tags={PHOTOMETRIC: 0})))
    for name, options, message in (
        ("lossy.webp", {}, "is a WebP saved with loss, which alters labels; save masks from their source"),
        ("jpeg.tif", {"compression": "jpeg"}, "is a TIFF compressed as JPEG, which alters labels; save"),
        ("jpeg.jpg", {}, "is a JPEG; masks must be PNG, because JPEG alters labels"),
    ):
        Image.fromarray(MASK).save(tmp_path / name, **options)
        with pytest.raises(SampleError, match=message):
            read_mask(tmp_path / name)


@pytest.mark.parametrize("profile", [b"", b"abc" * 33], ids=["plain", "extended"])
def test_labels_of_a_webp_without_loss_are_those_that_were_saved(tmp_path: Path, profile: bytes) -> None:
    Image.fromarray(MASK).save(tmp_path / "mask.webp", lossless=True, icc_profile=profile)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.webp"), MASK)
    colours = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0], [7, 7, 9]], np.uint8)
    Image.fromarray(colours[MASK]).save(tmp_path / "mask.webp", lossless=True)
    table = ColourTable(tuple((int(r), int(g), int(b)) for r, g, b in colours))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.webp", table), MASK)


@pytest.mark.parametrize("channels", [2, 3, 4])
def test_labels_that_are_repeated_as_colours_are_read(tmp_path: Path, channels: int) -> None:
    pixels = np.repeat(MASK[..., None], channels, axis=-1)
    if channels != 3:
        pixels[..., -1] = 255
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.png"), MASK)
    pixels[0, 0, -1] = 254
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    with pytest.raises(SampleError, match=f"has {channels} channels"):
        read_mask(tmp_path / "mask.png")


# Folders


@pytest.mark.parametrize("suffix", [".tif", ".TIFF", ".webp"])
def test_a_folder_of_tiff_or_webp_is_that_of_png(tmp_path: Path, suffix: str) -> None:
    for number in range(5):
        image, mask = write(tmp_path / "png", number, seed=number)
        for folder, pixels in (("images", image), ("masks", mask)):
            (tmp_path / "other" / folder).mkdir(parents=True, exist_ok=True)
            options = {"lossless": True} if suffix == ".webp" else {}
            Image.fromarray(pixels).save(tmp_path / "other" / folder / f"{number}{suffix}", **options)
    expected, arrays = load(tmp_path / "png"), load(tmp_path / "other")
    assert expected.keys() == arrays.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(arrays[name], values)
    found = image_fingerprint(options_of(tmp_path / "other")).things
    assert {name.rpartition(".")[2] for name in found["training masks"]} == {suffix[1:]}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2.dcm", "is a DICOM; images must be PNG, JPEG, TIFF, WebP or .npy: convert it"),
        ("2.nii.gz", "is a NIfTI; images must be"),
        ("2.bmp", r"is \.bmp; images must be PNG, JPEG, TIFF, WebP or .npy"),
        ("2.CR2", "is a raw photograph"),
    ],
)
def test_images_of_other_formats_are_refused_by_name(tmp_path: Path, name: str, message: str) -> None:
    for number in range(3):
        write(tmp_path, number)
    (tmp_path / "images" / name).write_bytes(b"x")
    with pytest.raises(ValueError, match=message):
        load(tmp_path)


def test_arrays_beside_images_are_told_and_arrays_instead_of_images_refused(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path, number)
    np.save(tmp_path / "masks/0.npy", MASK)
    lines: list[str] = []
    load(tmp_path, progress=lines.append)
    what = "as no PNG, JPEG, TIFF, WebP or .npy, or arrays beside images"
    assert f"{tmp_path}: left out, {what}: masks/0.npy" in lines
    for file in (tmp_path / "masks").glob("*"):
        file.rename(file.with_suffix(".mat"))
    with pytest.raises(ValueError, match=r"masks: holds no image in .* but \.mat: convert them, as to PNG"):
        load(tmp_path)


def test_files_without_a_suffix_are_named_by_what_they_hold(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "IM0001").write_bytes(bytes(128) + b"DICM")
    options = ClassFolderOptions(source="images", root=str(tmp_path))
    from trainables.images.loading import find_images

    with pytest.raises(ValueError, match=r"cat: holds no image in .*; IM0001 is a DICOM, and must be PNG"):
        find_images(options, 0)


@pytest.mark.parametrize(("extension", "mask"), [("webp", "seg.png"), ("tif", "truth.tif")])
def test_shards_of_other_formats_are_read_and_their_names_are_options(
    tmp_path: Path, extension: str, mask: str
) -> None:
    formats = {"webp": "WEBP", "tif": "TIFF", "png": "PNG"}
    image = numbers("uint8", 3)
    for part in ("train", "valid"):
        with tarfile.open(tmp_path / f"{part}.tar", "w") as shard:
            for name, pixels in ((f"a.{extension}", image), (f"a.{mask}", MASK)):
                content = BytesIO()
                options = {"lossless": True} if extension == "webp" else {}
                Image.fromarray(pixels).save(content, formats[name.rpartition(".")[2]], **options)
                member = tarfile.TarInfo(name)
                member.size = len(content.getvalue())
                shard.addfile(member, BytesIO(content.getvalue()))
    places = {"source": "shards", "root": str(tmp_path), "train": "train.tar", "valid": "valid.tar"}
    with pytest.raises(
        ValueError, match=r"lacks .*; every sample must have it; data\.(image|mask) says what its"
    ):
        load_images(MaskShardsOptions(**places, num_classes=4))
    options = MaskShardsOptions(**places, num_classes=4, image=extension, mask=mask)
    (images, masks) = LoadedImages(load_images(options), options).samples("valid").read(np.arange(1))
    np.testing.assert_array_equal(images[0], image)
    np.testing.assert_array_equal(masks[0], MASK)
