"""Augmentations of images with masks: both move together, exactly where that is possible."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from trainables.images.augmentation.degrade import at_low_resolution, blurred, noisy
from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.images.augmentation.options import ElasticOptions, JointAugmentOptions
from trainables.images.augmentation.warp import Warp, elastic_field, warped
from trainables.images.samples import FlatSamples, StackedSamples
from trainables.images.source import SegmentationSource

ZERO, ONE = np.zeros(3, np.float32), np.ones(3, np.float32)
FILL = np.array([7, 8, 9], np.uint8)
DRAWS = np.random.default_rng(1).random((64, 8))

EACH: dict[str, dict[str, Any]] = {
    "rotate_90": {"rotate_90": 0.8},
    "rotation": {"rotation": {"p": 0.8, "degrees": 40}},
    "elastic": {"elastic": {"p": 0.8, "alpha": 60, "sigma": 5}},
    "blur": {"blur": {"p": 0.8, "sigma": 3}},
    "low_resolution": {"low_resolution": {"p": 0.8, "zoom": 0.3}},
    "noise": {"noise": {"p": 0.8, "std": 0.3}},
    "mosaic": {"mosaic": {"p": 0.8}},
    "cutmix": {"cutmix": {"p": 0.8}},
    "cutout": {"cutout": {"p": 0.8, "holes": 2}},
    "oversample": {"crop": 24, "oversample": {"p": 0.8}},
    "everything": {
        "crop": 24, "scale_min": 0.6, "scale_max": 1.6, "horizontal_flip": 0.5, "rotate_90": 0.5,
        "oversample": {}, "rotation": {}, "elastic": {"alpha": 20, "sigma": 4}, "blur": {}, "noise": {},
        "low_resolution": {}, "mosaic": {}, "cutmix": {}, "cutout": {}, "gamma": 0.2,
    },
}  # fmt: skip
MOVING = ("rotate_90", "rotation", "elastic", "mosaic", "cutmix", "oversample")


def options(values: dict[str, Any]) -> JointAugmentOptions:
    return JointAugmentOptions.model_validate(values)


def photographs(count: int = 8, side: int = 40, *, width: int | None = None) -> np.ndarray:
    """Smooth images uint8 [count, side, width, 3]."""
    noise = np.random.default_rng(0).random((count, side, width or side, 3))
    smooth = ndimage.gaussian_filter(noise, (0, 3, 3, 0))
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return (smooth * 255).round().astype(np.uint8)


def source(values: dict[str, Any], images: np.ndarray, masks: np.ndarray) -> SegmentationSource:
    for array in (images, masks):
        array.flags.writeable = False
    shown = np.unique(masks[masks != IGNORE]).tolist()
    return SegmentationSource(StackedSamples(images, masks), ZERO, ONE, options(values), shown)


def augmented(
    values: dict[str, Any], images: np.ndarray, masks: np.ndarray, draws: np.ndarray = DRAWS
) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 [64, h, w, 3] and masks."""
    numbers = np.arange(len(draws)) % len(images)
    pixels, labels = source(values, images, masks).batch(numbers, draws)
    return (pixels.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8), labels.numpy()


@pytest.mark.parametrize("values", [EACH[name] for name in MOVING], ids=MOVING)
def test_a_marker_moves_in_image_and_mask_together(values: dict[str, Any]) -> None:
    """A square that is bright in the image and a class in the mask stays in one place of both."""
    images, masks = np.zeros((8, 40, 40, 3), np.uint8), np.zeros((8, 40, 40), np.uint8)
    for number in range(8):
        rows, columns = slice(5 + 2 * number, 14 + 2 * number), slice(20 - 2 * number, 29 - 2 * number)
        images[number, rows, columns], masks[number, rows, columns] = 255, 3
    plain = images.copy()
    pixels, labels = augmented(values, images, masks)
    same_place = 0
    for image, mask, before in zip(pixels, labels, np.tile(plain, (8, 1, 1, 1)), strict=True):
        bright, marked = image[..., 0] > 127, mask == 3
        same_place += image.shape == before.shape and bool((image == before).all())
        assert marked.any() or values.get("mosaic") or values.get("cutmix") or values.get("crop")
        assert (bright != marked).sum() <= 0.1 * 81  # where half a pixel decides
    assert same_place < 40


@pytest.mark.parametrize("values", EACH.values(), ids=EACH)
def test_masks_hold_only_classes_of_their_samples_and_what_is_ignored(values: dict[str, Any]) -> None:
    images = photographs()
    masks = np.array([3, 90, 200], np.uint8)[images[..., 0] // 86]
    _, labels = augmented(values, images, masks)
    assert set(np.unique(labels)) <= {3, 90, 200, IGNORE}


@pytest.mark.parametrize("values", EACH.values(), ids=EACH)
def test_a_sample_is_a_function_of_its_number_and_random_numbers_alone(values: dict[str, Any]) -> None:
    images = photographs()
    data = source(values, images, images[..., 0] // 64)
    together = data.batch(np.arange(8), DRAWS[:8])
    again = data.batch(np.arange(8), DRAWS[:8])
    for row in range(8):
        alone = data.batch(np.array([row]), DRAWS[row : row + 1])
        for part in range(2):
            assert torch.equal(alone[part][0], together[part][row])
            assert torch.equal(again[part][row], together[part][row])


@pytest.mark.parametrize("values", EACH.values(), ids=EACH)
def test_about_as_many_samples_change_as_the_probability_says(values: dict[str, Any]) -> None:
    images = photographs()
    masks = images[..., 0] // 64
    draws = np.random.default_rng(2).random((400, 8))
    crop = {"crop": values["crop"]} if "crop" in values else {"horizontal_flip": 1e-12}
    before, after = (augmented(each, images, masks, draws) for each in (crop, values))
    changed = [not (a == b).all() for a, b in zip(before[0], after[0], strict=True)]
    assert np.mean(changed) == pytest.approx(1.0 if "gamma" in values else 0.8, abs=0.12)


@pytest.mark.parametrize(
    "values",
    [
        {"rotation": {"p": 1, "degrees": 0}},
        {"elastic": {"p": 1, "alpha": 0}},
        {"blur": {"p": 1, "sigma": 0}},
        {"low_resolution": {"p": 1, "zoom": 1}},
        {"noise": {"p": 1, "std": 0}},
        {name: {"p": 0} for name in ("rotation", "elastic", "blur", "noise", "mosaic", "cutmix", "cutout")},
    ],
    ids=lambda values: " ".join(values),
)
@pytest.mark.parametrize(
    "crop", [{}, {"crop": 24, "scale_min": 0.5, "scale_max": 2.0}], ids=["whole", "crop"]
)
def test_zero_strength_and_zero_probability_change_no_bit(
    values: dict[str, Any], crop: dict[str, Any]
) -> None:
    images = photographs()
    masks = images[..., 0] // 64
    before = source({"brightness": 0.1, **crop}, images, masks).batch(np.arange(8), DRAWS[:8])
    after = source({"brightness": 0.1, **crop, **values}, images, masks).batch(np.arange(8), DRAWS[:8])
    assert all(torch.equal(*pair) for pair in zip(before, after, strict=True))


def test_one_augmentation_more_leaves_the_others_alike() -> None:
    images = photographs()
    masks = images[..., 0] // 64
    turned = {"rotation": {"p": 0.7}, "elastic": {"p": 0.3, "alpha": 30, "sigma": 5}}
    _, before = augmented(turned, images, masks)
    _, after = augmented({**turned, "blur": {}, "noise": {}, "cutout": {}, "gamma": 0.5}, images, masks)
    assert np.array_equal(before, after)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("side", [17, 24])
def test_a_rotation_by_right_angles_is_that_of_numpy(turns: int, side: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
    middle = (side / 2, side / 2)
    moved, labels = warped(
        image, image[..., 0], Warp(turns * math.pi / 2, None),
        size=(side, side), factor=1.0, fixed=middle, source=middle, fill=FILL, outside=IGNORE,
    )  # fmt: skip
    assert np.array_equal(moved, np.rot90(image, turns))
    assert np.array_equal(labels, np.rot90(image[..., 0], turns))


def test_turns_by_90_degrees_are_those_of_numpy_each_as_often() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1, 9, 9, 3), np.uint8)
    masks = images[..., 0] // 64
    turned = [np.rot90(images[0], turns) for turns in range(4)]
    draws = np.random.default_rng(3).random((600, 8))
    pixels, labels = augmented({"rotate_90": 0.75}, images, masks, draws)
    found = [next(n for n, each in enumerate(turned) if (each == image).all()) for image in pixels]
    assert np.array_equal(pixels[..., 0] // 64, labels)
    assert np.bincount(found, minlength=4) == pytest.approx(150, abs=40)


@pytest.mark.parametrize("factor", [0.6, 1.0, 1.7])
@pytest.mark.parametrize("displaced", [False, True])
def test_scale_rotation_and_elastic_are_one_interpolation_as_scipy_does_it(
    factor: float, displaced: bool
) -> None:
    image = photographs(1, 60, width=80)[0]
    mask = (image[..., 0] // 32).astype(np.uint8)
    size, turn, fixed, place = (40, 50), 0.4, (13.5, 20.0), (8.25, 11.5)
    bent = np.random.default_rng(0).normal(0, 2, (2, *size)).astype(np.float32) if displaced else None
    moved, labels = warped(
        image, mask, Warp(turn, bent), size=size, factor=factor, fixed=fixed, source=place,
        fill=FILL, outside=IGNORE,
    )  # fmt: skip
    down, right = np.meshgrid(np.arange(40) + 0.5 - fixed[0], np.arange(50) + 0.5 - fixed[1], indexing="ij")
    if bent is not None:
        down, right = down + bent[0], right + bent[1]
    rows = place[0] + factor * (math.cos(turn) * down + math.sin(turn) * right)
    columns = place[1] + factor * (math.cos(turn) * right - math.sin(turn) * down)
    where = np.stack([rows, columns]) - 0.5
    for channel in range(3):
        expected = ndimage.map_coordinates(
            image[..., channel].astype(float), where, order=1, mode="grid-constant", cval=FILL[channel]
        )
        assert np.abs(moved[..., channel] - expected).max() <= 0.51
    nearest = ndimage.map_coordinates(mask, where, order=0, mode="grid-constant", cval=IGNORE)
    assert (labels != nearest).mean() < 0.001
    assert (labels == IGNORE).any()
    assert (labels != IGNORE).any()


def test_displacements_of_any_size_need_the_memory_of_the_image_only() -> None:
    images = photographs(2)
    _, labels = augmented({"elastic": {"p": 1, "alpha": 1e9, "sigma": 1}}, images, images[..., 0] // 64)
    assert (labels == IGNORE).mean() > 0.9


@pytest.mark.parametrize("sigma", [2.0, 4.0, 12.0])
def test_displacements_are_those_of_noise_smoothed_at_every_pixel(sigma: float) -> None:
    """Simard et al. 2003, computed by scipy without knots: as large, and as smooth."""
    size, alpha = (300, 320), 100.0
    rng = np.random.default_rng(0)
    found = np.stack([elastic_field(rng, size, ElasticOptions(alpha=alpha, sigma=sigma)) for _ in range(8)])
    noise = rng.uniform(-1, 1, found.shape)
    expected = alpha * ndimage.gaussian_filter(noise, (0, 0, sigma, sigma), mode="wrap")
    assert found.std() == pytest.approx(expected.std(), rel=0.08)
    assert found.std() == pytest.approx(0.163 * alpha / sigma, rel=0.08)
    lag = round(sigma)
    alike = [(each[..., lag:] * each[..., :-lag]).mean() / (each**2).mean() for each in (found, expected)]
    assert alike[0] == pytest.approx(alike[1], abs=0.05)


@pytest.mark.parametrize("sigma", [0.2, 0.9, 2.5, 30.0])
def test_blur_is_scipys_gaussian_filter(sigma: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (31, 47, 3), np.uint8)
    expected = ndimage.gaussian_filter(image.astype(float), (sigma, sigma, 0), mode="reflect")
    assert np.abs(blurred(image, sigma) - expected).max() <= 0.51


def test_low_resolution_takes_the_nearest_pixels_and_interpolates_between_them() -> None:
    image = photographs(1, 40)[0]
    middles = image[2::5, 2::5].astype(float)
    where = np.meshgrid(*[(np.arange(40) + 0.5) / 5 - 0.5] * 2, indexing="ij")
    for channel in range(3):
        expected = ndimage.map_coordinates(middles[..., channel], where, order=1, mode="nearest")
        assert np.abs(at_low_resolution(image, 0.2)[..., channel] - expected).max() <= 1.01


def test_noise_is_gaussian_of_its_deviation_in_every_channel_alone() -> None:
    image = np.full((200, 200, 3), 128, np.uint8)
    noise = noisy(image, 0.05, seed=3).astype(float) - 128
    assert noise.std((0, 1)) == pytest.approx(0.05 * 255, rel=0.02)
    assert noise.mean((0, 1)) == pytest.approx(0, abs=0.3)
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.02


def test_cutout_is_the_mean_colour_and_keeps_the_mask() -> None:
    images = np.full((4, 40, 60, 3), 200, np.uint8)
    masks = np.ones((4, 40, 60), np.uint8)
    data = SegmentationSource(
        StackedSamples(images, masks), ONE / 2, ONE / 4, options({"cutout": {"p": 1, "size": 0.5}})
    )
    pixels, labels = data.batch(np.arange(64) % 4, DRAWS)
    holes = (pixels == 0).all(dim=1)
    assert (labels == 1).all()
    assert holes.any(dim=2).any(dim=1).all()
    assert int(holes.sum(dim=(1, 2)).max()) == 400
    assert torch.allclose(pixels[:, 0][~holes], torch.tensor((200 / 255 - 0.5) * 4))


@pytest.mark.parametrize(("name", "others"), [("mosaic", 3), ("cutmix", 1)])
def test_parts_of_other_samples_come_with_their_masks_from_the_same_place(name: str, others: int) -> None:
    """Each pixel of a sample holds the sample's number and its own place."""
    count, side = 200, 20
    images = np.zeros((count, side, side, 3), np.uint8)
    images[..., 0] = np.arange(count)[:, None, None]
    images[..., 1], images[..., 2] = np.mgrid[:side, :side]
    masks = images[..., 0].copy()
    pixels, labels = augmented({name: {"p": 1}}, images, masks)
    assert np.array_equal(pixels[..., 0], labels)
    assert (pixels[..., 1:] == images[0, ..., 1:]).all()
    numbers = [np.unique(each) for each in labels]
    assert max(len(each) for each in numbers) == 1 + others
    assert len(np.unique(np.concatenate(numbers))) > (100 if others == 3 else 90)


def test_the_rectangle_of_cutmix_is_as_large_as_its_distribution_says() -> None:
    """Uniform shares, cut at the borders: 0.5 uncut, and less since the middle lies anywhere."""
    images = np.zeros((2, 50, 50, 3), np.uint8)
    images[1] = 255
    draws = np.random.default_rng(0).random((600, 8))
    numbers = np.zeros(600, int)
    data = source({"cutmix": {"p": 1}}, images, images[..., 0] // 255)
    share = data.batch(numbers, draws)[1].double().mean().item() * 2  # every other is the sample itself
    rng = np.random.default_rng(1)
    half, middle = np.sqrt(rng.random((100_000, 1))) / 2, rng.random((100_000, 2))
    expected = np.prod((middle + half).clip(max=1) - (middle - half).clip(min=0), axis=1).mean()
    assert share == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("values", EACH.values(), ids=EACH)
def test_a_skipped_sample_is_all_padding_or_parts_of_others(values: dict[str, Any]) -> None:
    masks = np.ones(8 * 16, np.uint8)
    samples = FlatSamples(
        np.full(8 * 16 * 3, 200, np.uint8), masks, np.array([[8, 8], [0, 0], [8, 8]]),
        np.array([0, 64, 64]), 3,
    )  # fmt: skip
    data = SegmentationSource(samples, ONE / 2, ONE, options({"crop": 8, **values}), [1])
    _, labels = data.batch(np.arange(30) % 3, DRAWS[:30])
    alone = "mosaic" not in values and "cutmix" not in values
    assert bool((labels[1::3] == IGNORE).all()) is alone


def test_images_that_are_not_square_are_turned_by_90_degrees_only_with_a_crop() -> None:
    images = photographs(2, 20, width=30)
    with pytest.raises(ValueError, match=r"rotate_90 turns images of 30x20 into 20x30.*set augment\.crop"):
        source({"rotate_90": 0.5}, images, images[..., 0])
    augmented({"rotate_90": 0.5, "crop": 20}, images, images[..., 0])
    source({"rotation": {}}, images, images[..., 0])


class Ordered(StackedSamples):
    order = object()  # type: ignore[assignment]


@pytest.mark.parametrize("name", ["mosaic", "cutmix"])
def test_samples_of_unknown_sizes_are_put_together_only_with_a_crop(name: str) -> None:
    images = photographs(2)
    samples = Ordered(images, images[..., 0])
    with pytest.raises(ValueError, match=f"augment.{name} puts parts.*set augment.crop"):
        SegmentationSource(samples, ZERO, ONE, options({name: {}}))
    SegmentationSource(samples, ZERO, ONE, options({name: {}, "crop": 20}))
