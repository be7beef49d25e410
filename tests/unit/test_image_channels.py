"""Images of any number of channels: TIFF by tifffile, .npy and .npz, with the values that were saved."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from mask_folders import load, options_of
from PIL import Image

from trainables.data.threads import in_threads
from trainables.findings import SampleError
from trainables.images import bands
from trainables.images.augmentation.flips_and_light import num_randoms
from trainables.images.augmentation.options import JointAugmentOptions
from trainables.images.decode import Reading, header_size, read_header
from trainables.images.loading import load_images
from trainables.images.options import (
    ClassFolderOptions,
    ImageOptions,
    MaskShardsOptions,
)
from trainables.images.samples import LoadedImages
from trainables.images.source import SegmentationSource
from trainables.inspect.images import MaskInspection
from trainables.shards.__main__ import main as shards_main

Save = Callable[[Path, np.ndarray], None]
SHAPE = 12, 16


def numbers(dtype: str, channels: int = 5, seed: int = 0) -> np.ndarray:
    """Each channel with a range of its own."""
    rng = np.random.default_rng(seed)
    largest = 255 if dtype == "uint8" else 60000
    return (rng.random((*SHAPE, channels)) * np.linspace(0.2, 1, channels) * largest).astype(dtype)


def as_tiff(**options: object) -> Save:
    def save(file: Path, values: np.ndarray) -> None:
        planar = options.get("planarconfig") == "separate"
        array = np.ascontiguousarray(np.moveaxis(values, 2, 0)) if planar else values
        tifffile.imwrite(file, array, photometric="minisblack", **{"planarconfig": "contig", **options})

    return save


def dataset(root: Path, save: Save, suffix: str, number: int = 6, dtype: str = "uint16") -> list[np.ndarray]:
    images = [numbers(dtype, seed=seed) for seed in range(number)]
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for place, image in enumerate(images):
        save(root / f"images/{place}{suffix}", image)
        Image.fromarray((image[..., 0] > image[..., 0].mean()).astype(np.uint8)).save(
            root / f"masks/{place}.png"
        )
    return images


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [2, 3, 4, 7])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"planarconfig": "separate"},
        {"compression": "zlib"},
        {"compression": "lzma", "byteorder": ">"},
        {"bigtiff": True, "tile": (16, 16)},
    ],
    ids=["contiguous", "planar", "zlib", "lzma", "bigtiff"],
)
def test_a_tiff_has_the_values_that_were_saved(
    tmp_path: Path, dtype: str, channels: int, options: dict[str, object]
) -> None:
    values, file = numbers(dtype, channels), tmp_path / "a.tif"
    as_tiff(**options)(file, values)
    np.testing.assert_array_equal(Reading(channels=channels).values(file), values)
    assert header_size(file) == SHAPE
    bands = read_header(file).bands
    assert bands is None or (bands.channels, bands.dtype) == (channels, np.dtype(dtype))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32", "float64", "bool"])
@pytest.mark.parametrize("way", ["last", "first", "npz", "npz_of_several"])
def test_an_array_has_the_values_that_were_saved(tmp_path: Path, dtype: str, way: str) -> None:
    values = numbers("uint8").astype(dtype)
    file = tmp_path / ("a.npz" if way.startswith("npz") else "a.npy")
    if way == "npz":
        np.savez_compressed(file, values)
    elif way == "npz_of_several":
        np.savez(file, image=values, mask=values[..., 0])
    else:
        np.save(file, values if way == "last" else np.moveaxis(values, 2, 0))
    np.testing.assert_array_equal(Reading(channels=5).values(file), values)
    assert header_size(file) == SHAPE
    assert read_header(file).bands.channels == 5


def test_a_planar_array_of_equal_ends_needs_the_option(tmp_path: Path) -> None:
    values, file = numbers("uint8")[:5], tmp_path / "a.npy"
    np.save(file, values)
    with pytest.raises(SampleError, match=r"first and last side are equal.*set data.channels_first: true or"):
        Reading(channels=5).values(file)
    np.testing.assert_array_equal(Reading(channels=5, channels_first=False).values(file), values)
    first = Reading(channels=5, channels_first=True).values(file)
    np.testing.assert_array_equal(first, np.moveaxis(values, 0, 2))


def bytes_of(values: np.ndarray, **options: bool) -> bytes:
    content = io.BytesIO()
    np.save(content, values, **options)
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.npy", bytes_of(numbers("uint8"))[:200], "cannot be read, it may be cut short"),
        ("a.npy", b"", "is empty"),
        ("a.npy", bytes_of(np.array([{}]), allow_pickle=True), "Python objects, a pickle, which is not read"),
        ("a.npy", bytes_of(numbers("uint8").astype(complex)), "must hold real numbers"),
        ("a.npy", bytes_of(np.zeros((2, 3, 4, 5))), r"must be \[H, W\], \[H, W, C\] or \[C, H, W\]"),
        ("a.npz", b"PK no archive", "is no archive of NumPy"),
        ("a.npy", b"no array", "is no array of NumPy"),
        ("a.npy", bytes_of(np.full(SHAPE, np.nan)), "holds 192 numbers that are NaN or infinite, of 192"),
    ],
)
def test_what_is_no_image_is_refused_by_name(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SampleError, match=rf"{name}: .*{message}"):
        Reading(channels=1).values(tmp_path / name)


def test_an_archive_of_several_arrays_needs_the_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=numbers("uint8"), y=numbers("uint8"))
    with pytest.raises(SampleError, match=r"holds the arrays x, y; it must hold one, or one .* 'image'"):
        Reading(channels=5).values(tmp_path / "a.npz")


def test_a_tiff_that_only_imagecodecs_reads_is_refused_by_its_compression(tmp_path: Path) -> None:
    file = tmp_path / "a.tif"
    as_tiff()(file, numbers("uint16"))
    content = bytearray(file.read_bytes())
    content[content.index(struct.pack("<HHI", 259, 3, 1)) + 8] = 5
    file.write_bytes(content)
    with pytest.raises(SampleError, match=r"is a TIFF with COMPRESSION\.LZW.*; pip install imagecodecs, or"):
        Reading(channels=5).values(file)


def test_pages_are_no_channels_and_the_printed_line_makes_them_some(tmp_path: Path) -> None:
    values, file = numbers("uint16"), tmp_path / "a.tif"
    tifffile.imwrite(file, np.moveaxis(values, 2, 0), photometric="minisblack")
    with pytest.raises(SampleError, match=r"is a TIFF of 5 pages; .*planarconfig='contig'"):
        Reading(channels=5).values(file)
    tifffile.imwrite(file, values, photometric="minisblack", planarconfig="contig")
    np.testing.assert_array_equal(Reading(channels=5).values(file), values)


def test_each_channel_is_scaled_by_its_own_range_and_statistics_are_by_channel(tmp_path: Path) -> None:
    images = dataset(tmp_path, np.save, ".npy")
    lines: list[str] = []
    arrays = load(tmp_path, progress=lines.append)
    assert any("images have 5 channels of uint16" in line for line in lines)
    train = [images[int(Path(f).stem)] for f, *_ in load(tmp_path, max_memory=0)["train_image_files"]]
    values = np.array(train, float)
    low, high = values.min(axis=(0, 1, 2)), values.max(axis=(0, 1, 2))
    np.testing.assert_array_equal(arrays["value_range"], [low, high])
    expected = np.rint((values - low) / (high - low) * 255)
    assert np.abs(expected - arrays["train_inputs"]).max() <= 1
    np.testing.assert_allclose(arrays["mean"], (arrays["train_inputs"] / 255).mean(axis=(0, 1, 2)), 1e-5)
    np.testing.assert_allclose(arrays["std"], (arrays["train_inputs"] / 255).std(axis=(0, 1, 2)), 1e-5)


@pytest.mark.parametrize("max_memory", [0, 2**30])
def test_an_image_of_other_channels_is_named(tmp_path: Path, max_memory: int) -> None:
    dataset(tmp_path, np.save, ".npy")
    np.save(tmp_path / "images/3.npy", numbers("uint16", 4))
    with pytest.raises(ValueError, match=r"images/3\.npy: has 4 channels, and most images have 5; save all"):
        load(tmp_path, max_memory=max_memory)
    found = MaskInspection(options_of(tmp_path))
    contents = [found.look(number) for number in range(len(found.samples))]
    kinds = [(finding.kind.name, Path(finding.where).name) for c in contents for finding in c.findings]
    assert kinds == [("other number of channels", "3.npy")]
    with pytest.raises(ValueError, match=r"has 5 channels, and data\.channels is 3"):
        load(tmp_path, channels=3)
    with pytest.raises(ValueError, match=r"images have 5 channels, and data.normalization is imagenet"):
        load(tmp_path, normalization="imagenet")
    with pytest.raises(ValueError, match=r"data\.range has 2 pairs, and images have 5 channels; set one"):
        load(tmp_path, range=[[0, 1], [0, 1]])


def test_mixed_depths_are_found(tmp_path: Path) -> None:
    dataset(tmp_path, np.save, ".npy", dtype="uint8")
    np.save(tmp_path / "images/3.npy", numbers("float32"))
    lines: list[str] = []
    load(tmp_path, progress=lines.append)
    assert any("have 8 bits and stay as they are" in line for line in lines)


def test_masks_are_arrays_of_whole_numbers(tmp_path: Path) -> None:
    dataset(tmp_path, np.save, ".npy")
    before = load(tmp_path)["train_targets"]
    for file in (tmp_path / "masks").glob("*.png"):
        np.save(file.with_suffix(".npy"), np.asarray(Image.open(file)).astype(np.int64))
        file.unlink()
    np.testing.assert_array_equal(load(tmp_path)["train_targets"], before)
    np.save(tmp_path / "masks/1.npy", np.zeros(SHAPE, np.float32))
    with pytest.raises(ValueError, match=r"masks/1\.npy: holds float32, and a mask must hold whole"):
        load(tmp_path)
    np.save(tmp_path / "masks/1.npy", np.full(SHAPE, 300))
    with pytest.raises(ValueError, match=r"masks/1\.npy: holds label 300 in 192 pixels; labels must be"):
        load(tmp_path)


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_shards_hold_the_very_files(tmp_path: Path, suffix: str) -> None:
    save = np.save if suffix == ".npy" else as_tiff(compression="zlib")
    dataset(tmp_path / "a", save, suffix)
    arguments = [str(tmp_path / "a/images"), str(tmp_path / "a/masks"), str(tmp_path / "shards")]
    assert shards_main(["write", *arguments, "--per-shard", "3"]) == 0
    options = MaskShardsOptions(
        source="shards", root=str(tmp_path / "shards"), train="*0.tar", valid="*1.tar", num_classes=2
    )
    shards = LoadedImages(load_images(options), options).samples("train")
    images, masks = shards.read(np.arange(3))
    for number, (image, mask) in enumerate(zip(images, masks, strict=True)):
        reading = shards._decoder.reading
        expected = reading.pixels(tmp_path / f"a/images/{number}{suffix}")
        np.testing.assert_array_equal(image, expected)
        np.testing.assert_array_equal(mask, np.asarray(Image.open(tmp_path / f"a/masks/{number}.png")))


def test_images_with_classes_have_any_number_of_channels_and_are_resized(tmp_path: Path) -> None:
    for place, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for number in range(6):
            np.save(tmp_path / name / f"{number}.npy", numbers("uint16", 4, seed=6 * place + number))
    options = ClassFolderOptions(source="images", root=str(tmp_path), resize=8)
    arrays = load_images(options)
    assert arrays["train_inputs"].shape[1:] == (8, 8, 4)
    assert len(arrays["mean"]) == 4


def test_transparency_of_a_tiff_is_left_out_and_told(tmp_path: Path) -> None:
    """tifffile marks a fourth channel as such where the colours are called RGB."""

    def save(file: Path, values: np.ndarray) -> None:
        tifffile.imwrite(file, values[..., :4], photometric="rgb")

    images, lines = dataset(tmp_path, save, ".tif"), list[str]()
    arrays = load(tmp_path, progress=lines.append)
    assert f"{tmp_path}: 6 of 6 images have a channel of transparency, which is left out" in lines
    assert arrays["train_inputs"].shape[-1] == 3
    values = Reading(channels=3).values(tmp_path / "images/0.tif")
    np.testing.assert_array_equal(values, images[0][..., :3])


def test_an_array_on_disk_is_not_read_whole_for_a_crop(tmp_path: Path) -> None:
    """A sparse file of 4 GB whose pixels nobody could read at once in this time."""
    array = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (30000, 30000, 5))
    array[7, 9] = 3
    del array
    pixels = Reading(channels=5).pixels(tmp_path / "a.npy")
    assert not pixels.flags.owndata
    assert pixels[7, 9].tolist() == [3] * 5


def test_options_of_ranges() -> None:
    assert ImageOptions(range=[[0, 1], [2, 3]]).value_range.low == (0, 2)
    with pytest.raises(ValueError, match="is 3 to 2; the second must be larger"):
        ImageOptions(range=[[0, 1], [3, 2]])


def test_windows_of_arrays_on_disk_are_those_of_the_whole_and_bad_numbers_are_a_skipped_sample(
    tmp_path: Path,
) -> None:
    dataset(tmp_path, np.save, ".npy", dtype="float32")
    options = {"max_memory": 0, "channels": 5}
    arrays, crop = load(tmp_path, **options), JointAugmentOptions(crop=8)
    kept = load(tmp_path)
    randoms = np.random.default_rng(0).random((5, num_randoms(crop)))
    batches = []
    for held, options_of_it in ((arrays, options_of(tmp_path, **options)), (kept, options_of(tmp_path))):
        loaded = LoadedImages(held, options_of_it)
        source = SegmentationSource(loaded.samples("train"), loaded.mean, loaded.std, crop)
        batches.append(source.batch(np.arange(5), randoms))
        whole = source.batch(np.arange(5), None)
        batches.append(whole)
    for first, second in zip(batches[:2], batches[2:], strict=True):
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
    file = tmp_path / str(arrays["train_image_files"][2, 0])
    values = np.load(file)
    values[:] = np.nan
    arrays.pop("train_files_found")
    np.save(file, values)
    skipping = options_of(tmp_path, **options, bad_samples="skip", max_skipped=1)
    loaded = LoadedImages(arrays, skipping)
    source = SegmentationSource(loaded.samples("train"), loaded.mean, loaded.std, crop)
    images, masks = source.batch(np.arange(5), randoms)
    assert (masks[2] == 255).all()
    assert list(loaded.skipped.reasons) == [str(file)]
    np.testing.assert_array_equal(images[3].numpy(), batches[0][0][3].numpy())


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_one_thread_at_a_time_reads_a_header_of_numpy(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # CPython 3.11 counts the depth of what it parses for all threads together.
    files = [tmp_path / f"{number}{suffix}" for number in range(40)]
    for file in files:
        np.save(file, np.ones((8, 8, 5))) if suffix == ".npy" else np.savez(file, image=np.ones((8, 8, 5)))
    inside, together, load = [0], [0], np.load

    def counted(*arguments: Any, **named: Any) -> Any:
        inside[0] += 1
        together[0] = max(together[0], inside[0])
        threading.Event().wait(0.001)  # others come meanwhile
        try:
            return load(*arguments, **named)
        finally:
            inside[0] -= 1

    monkeypatch.setattr(np, "load", counted)
    assert len(list(in_threads(lambda number: bands.read_bands(files[number], None), len(files), 4))) == len(
        files
    )
    assert together == [1]
