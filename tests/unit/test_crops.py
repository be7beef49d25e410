"""Crops that are placed to show a class, and what is told of crops larger than all images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_trials import SEGMENTATION, small_trainer

from trainables.images.augmentation.crops import cropped, padded_crops
from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.images.augmentation.options import JointAugmentOptions
from trainables.images.classes import class_numbers
from trainables.segmentation.task import SegmentationTask

FILL = np.zeros(3, np.uint8)
DRAWS = np.random.default_rng(1).random((300, 8))


def options(**values: Any) -> JointAugmentOptions:
    return JointAugmentOptions.model_validate(values)


def speckled(side: int = 120, rare: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Classes 0 and 1 in halves, and a few single pixels of class 2; the image is its own place."""
    image = np.zeros((side, side, 3), np.uint8)
    image[..., 0], image[..., 1] = np.mgrid[:side, :side]
    mask = np.zeros((side, side), np.uint8)
    mask[:, side // 2 :] = 1
    rng = np.random.default_rng(0)
    mask[rng.integers(0, side, rare), rng.integers(0, side, rare)] = 2
    return image, mask


SHOWN = [
    {},
    {"rotation": {"p": 1, "degrees": 180}},
    {"elastic": {"p": 1, "alpha": 300, "sigma": 6}},
    {"scale_min": 1.5, "scale_max": 3.0},
    {
        "scale_min": 0.5,
        "scale_max": 2.0,
        "rotation": {"p": 1, "degrees": 90},
        "elastic": {"p": 1, "sigma": 4},
    },
]


@pytest.mark.parametrize("moved", SHOWN, ids=lambda moved: " ".join(moved) or "crop alone")
def test_an_oversampled_crop_shows_the_class_whatever_moves(moved: dict[str, Any]) -> None:
    image, mask = speckled()
    augment = options(crop=24, oversample={"p": 1}, **moved)
    pairs = [cropped(image, mask, row, augment, FILL, [2]) for row in DRAWS]
    assert all((labels == 2).any() for _, labels in pairs)
    anywhere = [cropped(image, mask, row, options(crop=24, **moved), FILL)[1] for row in DRAWS]
    assert np.mean([(labels == 2).any() for labels in anywhere]) < 0.4


def test_every_pixel_of_the_class_is_shown_anywhere_in_crops_that_stay_inside() -> None:
    image, mask = speckled()
    pairs = [cropped(image, mask, r, options(crop=24, oversample={"p": 1}), FILL, [2]) for r in DRAWS]
    shown = [(labels == 2).nonzero() for _, labels in pairs]
    places = {
        (int(window[y, x, 0]), int(window[y, x, 1]))
        for (window, _), (rows, columns) in zip(pairs, shown, strict=True)
        for y, x in zip(rows, columns, strict=True)
    }
    assert places == {(int(y), int(x)) for y, x in zip(*(mask == 2).nonzero(), strict=True)}
    assert len({int(rows[0]) for rows, _ in shown}) > 18
    assert all((labels != IGNORE).all() for _, labels in pairs)


def test_classes_of_the_image_are_shown_alike_and_those_that_it_lacks_never_matter() -> None:
    """Classes 0 and 1 have half of the pixels each, class 2 has one, and 3 to 9 are not there."""
    image, mask = speckled(rare=1)
    augment = options(crop=1, oversample={"p": 1})
    found = [int(cropped(image, mask, row, augment, FILL, range(10))[1][0, 0]) for row in DRAWS]
    assert np.bincount(found, minlength=3) == pytest.approx(100, abs=30)


def test_the_share_of_oversampled_crops_is_the_probability() -> None:
    image, mask = speckled(rare=1)
    augment = options(crop=4, oversample={})
    found = [bool((cropped(image, mask, row, augment, FILL, [2])[1] == 2).any()) for row in DRAWS]
    assert np.mean(found) == pytest.approx(0.33, abs=0.08)


def test_without_the_class_a_crop_is_that_of_no_oversampling() -> None:
    image, mask = speckled(rare=0)
    for row in DRAWS[:20]:
        found = cropped(image, mask, row, options(crop=24, oversample={"p": 1}), FILL, [2])
        plain = cropped(image, mask, row, options(crop=24), FILL)
        assert all(np.array_equal(*pair) for pair in zip(found, plain, strict=True))


def test_a_crop_larger_than_the_image_shows_the_class_too() -> None:
    image, mask = speckled(side=20, rare=1)
    for moved in SHOWN[:3]:
        augment = options(crop=40, oversample={"p": 1}, **moved)
        assert all((cropped(image, mask, row, augment, FILL, [2])[1] == 2).any() for row in DRAWS[:50])


class Touched(np.ndarray):
    """Counts the pixels that are taken from it."""

    largest = 0

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        Touched.largest = max(Touched.largest, getattr(part, "size", 1))
        return part


def test_of_a_large_image_only_the_pixels_of_the_crop_are_touched() -> None:
    Touched.largest = 0
    image = np.zeros((4000, 3000, 3), np.uint8).view(Touched)
    mask = np.zeros((4000, 3000), np.uint8)
    augment = options(crop=64, rotation={"p": 1, "degrees": 45}, elastic={"p": 1, "alpha": 20, "sigma": 5})
    for row in DRAWS[:5]:
        cropped(image, mask, row, augment, FILL)
    assert 3 * 64 * 64 < Touched.largest < 3 * 150 * 150


def test_classes_are_named_or_numbered_and_others_refused_with_those_there_are() -> None:
    names = ["road", "3", "tram"]
    assert class_numbers(["tram", 0, "3"], names) == [2, 0, 1]
    assert class_numbers([], names) == [0, 1, 2]
    for wrong in ("trams", 3, "0"):
        with pytest.raises(ValueError, match=f"classes names {wrong!r}; there are 3 classes.*road, 3, tram"):
            class_numbers([wrong], names)


def test_a_search_is_told_the_wrong_class_when_its_trainer_is_built() -> None:
    augment = {"crop": 16, "oversample": {"classes": ["eleven"]}}
    with pytest.raises(
        ValueError, match=r"augment\.oversample\.classes names 'eleven'; there are 11 classes"
    ):
        small_trainer(SegmentationTask, {**SEGMENTATION, "augment": augment})


def test_oversampling_needs_a_crop() -> None:
    with pytest.raises(ValueError, match="oversample places crops, and crop is none: set crop"):
        options(oversample={})


SHAPES = np.array([[300, 400], [0, 0], [310, 200]])


def test_a_crop_larger_than_all_images_is_told_with_what_would_fit() -> None:
    (line,) = padded_crops(SHAPES, options(crop=512, scale_min=0.5, scale_max=1.5))
    assert "augment.crop is 512 and all training images are smaller, the largest 400x300" in line
    assert "88% of it is image at most; set augment.crop to at most 450, or augment.scale_max to 1.71" in line
    assert not list(padded_crops(SHAPES, options(crop=450, scale_min=0.5, scale_max=1.5)))
    assert not list(padded_crops(SHAPES, options(crop=512, scale_max=1.71)))
    assert not list(padded_crops(SHAPES, options(crop=300)))
    assert list(padded_crops(SHAPES, options(crop=301)))
    assert not list(padded_crops(SHAPES, options()))


def test_it_is_told_once_when_the_data_are_loaded(capfd: pytest.CaptureFixture[str]) -> None:
    small_trainer(SegmentationTask, {**SEGMENTATION, "augment": {"crop": 24}})
    assert capfd.readouterr().err.count("augment.crop is 24 and all training images are smaller") == 1


def test_oversampling_trains_deterministically() -> None:
    trial = {**SEGMENTATION, "augment": {"crop": 12, "oversample": {"p": 0.5, "classes": [1, "3"]}}}
    first, second = (small_trainer(SegmentationTask, trial) for _ in range(2))
    for _ in range(3):
        for one, other in zip(first.stream.next_step(2), second.stream.next_step(2), strict=True):
            assert torch.equal(one[0], other[0])
            assert torch.equal(one[1], other[1])
