"""Large data: what is decoded before a search, and how much memory a batch of crops takes."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from mask_folders import load, names, samples, write
from PIL import Image

from trainables.images import samples as samples_module
from trainables.images.augmentation.options import JointAugmentOptions
from trainables.images.options import MaskDatasetsOptions
from trainables.images.source import SegmentationSource

NUM_TRAIN, NUM_VALID = 40, 12


@pytest.fixture
def large(tmp_path):
    """Fifty-two samples, of which the tests decode three of each part."""
    for part, number in (("train", NUM_TRAIN), ("val", NUM_VALID)):
        for n in range(number):
            write(tmp_path, f"{n:02}", n, size=(6 + n % 3, 8), images=f"{part}/images", masks=f"{part}/masks")
    return tmp_path


def load_sample(root, **options):
    return load(root, **{"max_memory": 0, "sample_size": 3, "num_classes": 3, **options})


def test_statistics_are_those_of_a_sample_and_the_same_each_time(large):
    said = []
    arrays = load_sample(large, progress=said.append)
    assert len(said) == 1
    assert said[0].endswith(
        "statistics are those of 6 of them, and wrong files are found when they are needed (data.scan)"
    )
    whole = samples(arrays, "train")
    images, masks = whole.read(np.arange(NUM_TRAIN))
    drawn = sorted(np.random.default_rng(0).choice(NUM_TRAIN, 3, replace=False))
    pixels = np.concatenate([images[n].reshape(-1, 3) for n in drawn]) / 255.0
    np.testing.assert_allclose(arrays["mean"], pixels.mean(0), rtol=1e-5)
    np.testing.assert_allclose(arrays["std"], pixels.std(0), rtol=1e-5)
    counted = np.bincount(np.concatenate([masks[n].ravel() for n in drawn]), minlength=3)
    np.testing.assert_array_equal(arrays["class_counts"], counted)
    again = load_sample(large, progress=[].append)
    assert all((again[name] == arrays[name]).all() for name in arrays if not name.endswith("_files_found"))


def test_sizes_and_order_are_those_of_all_files(large):
    sampled, whole = load_sample(large, progress=[].append), load(large, max_memory=0)
    for part in ("train", "valid"):
        assert names(sampled, part) == names(whole, part)
        np.testing.assert_array_equal(sampled[f"{part}_shapes"], whole[f"{part}_shapes"])


@pytest.mark.parametrize(
    "options", [{"max_memory": 2**20}, {"sample_size": 26}, {"scan": "all"}], ids=["fits", "few", "all"]
)
def test_all_is_decoded_where_it_fits_where_it_is_little_and_where_that_is_asked_for(large, options):
    (large / "train/images/07.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"train/images/07\.png: is empty"):
        load_sample(large, **options)


def test_a_wrong_file_outside_of_the_sample_is_found_when_it_is_needed(large):
    drawn = set(np.random.default_rng(0).choice(NUM_TRAIN, 3, replace=False).tolist())
    number = min(set(range(NUM_TRAIN)) - drawn)
    (large / f"train/images/{number:02}.png").write_bytes(b"")
    arrays = load_sample(large, progress=[].append)
    with pytest.raises(ValueError, match=rf"images/{number:02}\.png: is empty"):
        samples(arrays, "train").read(np.array([number]))
    assert samples(arrays, "train", limit=1).read(np.array([number]))[1][0].shape == (0, 0)
    (large / f"train/masks/{min(drawn):02}.png").unlink()
    with pytest.raises(ValueError, match=rf"masks/{min(drawn):02}\.png|images without a mask"):
        load_sample(large)


def test_a_header_is_read_of_every_mask(large):
    (large / "val/masks/11.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"val/masks/11\.png: is empty"):
        load_sample(large, sample_size=1)


def test_without_known_classes_all_is_decoded_and_a_line_tells_how_to_begin_at_once(large):
    said = []
    arrays = load_sample(large, num_classes=None, progress=said.append)
    assert list(arrays["class_names"]) == ["0", "1", "2"]
    assert said == [
        "52 samples need 0.0 GB decoded, and all are decoded once to find their classes; "
        "set data.num_classes or data.class_names to begin at once"
    ]
    with pytest.raises(ValueError, match=r"data\.scan is sample, so .*: set data\.num_classes or"):
        load_sample(large, num_classes=None, scan="sample")


def test_a_sample_may_be_asked_for_where_all_would_fit(large):
    arrays = load_sample(large, max_memory=2**30, scan="sample", progress=[].append)
    assert "train_image_files" in arrays
    with pytest.raises(ValueError, match="the classes must be known"):
        MaskDatasetsOptions(source="datasets", root="x", scan="sample")


def test_a_turned_image_has_the_size_of_its_mask(large):
    """A header knows nothing of EXIF, which turns the image of 8x6 to the mask's 6x8."""
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.fromarray(np.zeros((8, 6, 3), np.uint8)).save(large / "train/images/00.png", exif=tags)
    arrays = load_sample(large, progress=[].append)
    assert samples(arrays, "train").read(np.array([0]))[0][0].shape == (6, 8, 3)


def test_crops_of_large_images_hold_no_more_whole_images_than_threads(tmp_path, monkeypatch):
    """Ten images of 3 MB and their masks; a batch of all of them takes a few MB with one thread."""
    mask = np.zeros((1000, 1000), np.uint8)
    mask[500:] = 1
    for number in range(13):
        for kind, pixels in (("images", np.zeros((1000, 1000, 3), np.uint8)), ("masks", mask)):
            (tmp_path / kind).mkdir(exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / kind / f"{number:02}.png", compress_level=1)
    arrays = load(tmp_path, max_memory=0)
    monkeypatch.setattr(samples_module, "num_threads", lambda: 1)
    augmentation = JointAugmentOptions(crop=32, horizontal_flip=0.5)
    source = SegmentationSource(samples(arrays, "train"), arrays["mean"], arrays["std"], augmentation)
    randoms = np.random.default_rng(0).random((10, source.num_randoms))
    tracemalloc.start()
    images, _ = source.batch(np.arange(10), randoms)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert images.shape == (10, 3, 32, 32)
    assert peak < 20 * 2**20  # three copies of one image and of the labels; all images would be 40 MB


def test_paths_of_a_read_sample_are_those_of_the_folder(large):
    arrays = load_sample(large, progress=[].append)
    assert Path(arrays["train_image_files"][3, 0]) == large / "train/images/03.png"
