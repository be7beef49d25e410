"""Augmentation by functions of the user's own and by libraries: the right pixels, the same ones each time."""

from __future__ import annotations

import pickle
import random
import re
from typing import Any

import numpy as np
import pytest
import torch

from trainables.classification.mixup import ClassificationSource
from trainables.classification.options import AugmentOptions
from trainables.images.augmentation.options import JointAugmentOptions
from trainables.images.augmentation.transforms import Transforms
from trainables.images.samples import StackedSamples
from trainables.images.source import SegmentationSource
from trainables.imported_options import ImportedJointTransform, ImportedTransform

DRAWS = np.random.default_rng(3).random((12, 8))


def images_and_masks(number: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Images whose red channel is their mask."""
    rng = np.random.default_rng(0)
    masks = np.kron(rng.integers(0, 4, (number, 4, 4)), np.ones((1, 8, 8))).astype(np.uint8)
    images = rng.integers(0, 256, (number, 32, 32, 3)).astype(np.uint8)
    images[..., 0] = masks * 60
    return images, masks


def joint(**transforms: dict[str, Any]) -> Transforms:
    return Transforms({key: ImportedJointTransform(**options) for key, options in transforms.items()})


def turned(images: np.ndarray, masks: np.ndarray, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    return joint(own=options).joint(images, masks, DRAWS[: len(images)])


def test_a_function_gets_image_mask_and_generator_and_its_result_is_what_is_trained_on() -> None:
    images, masks = images_and_masks()
    new_images, new_masks = turned(images, masks, name="own_parts:quarter_turns")
    assert np.array_equal(new_images[..., 0], new_masks * 60)
    turns = [
        next(k for k in range(4) if np.array_equal(np.rot90(image, k), new))
        for image, new in zip(images, new_images, strict=True)
    ]
    assert len(set(turns)) == 4
    only = turned(images, masks, name="own_parts:quarter_turns", most=0)
    assert np.array_equal(only[0], images)


LIBRARIES: list[dict[str, Any]] = [
    {"name": "albumentations:Affine", "rotate": (-90, 90), "scale": (0.7, 1.3), "p": 1.0},
    {"name": "kornia.augmentation:RandomRotation", "degrees": 90.0, "p": 1.0},
]


@pytest.mark.parametrize("options", LIBRARIES, ids=["albumentations", "kornia"])
def test_a_library_turns_image_and_mask_alike_and_leaves_labels(options: dict[str, Any]) -> None:
    images, masks = images_and_masks()
    new_images, new_masks = turned(images, masks, **options)
    assert not np.array_equal(new_masks, masks)
    assert set(np.unique(new_masks)) <= set(range(4))
    # Inside of a label's area interpolation changes nothing.
    agree = np.abs(new_images[..., 0].astype(int) - new_masks.astype(int) * 60) <= 1
    assert agree.mean() > 0.8


@pytest.mark.parametrize(
    "options",
    [*LIBRARIES, {"name": "own_parts:quarter_turns"}, {"name": "own_parts:global_noise"}],
    ids=lambda options: options["name"],
)
def test_a_sample_is_the_same_in_any_batch_and_process_and_global_numbers_are_left_alone(
    options: dict[str, Any],
) -> None:
    images, masks = images_and_masks()
    transforms = joint(own=options)
    whole = transforms.joint(images, masks, DRAWS)
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    copied = pickle.loads(pickle.dumps(transforms))
    part = copied.joint(images[5:7], masks[5:7], DRAWS[5:7])
    assert random.getstate() == states[0]
    assert np.random.get_state()[1].tolist() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    for one, other in zip(part, whole, strict=True):
        assert np.array_equal(one, other[5:7])
    again = transforms.joint(images, masks, 1.0 - DRAWS)
    assert not np.array_equal(again[0], whole[0])


def test_transforms_follow_each_other_in_their_order() -> None:
    images, masks = images_and_masks(2)
    both = joint(
        turn={"name": "own_parts:quarter_turns", "most": 0},
        crop={"name": "albumentations:CenterCrop", "height": 8, "width": 8},
    )
    new_images, new_masks = both.joint(images, masks, DRAWS[:2])
    assert np.array_equal(new_images, images[:, 12:20, 12:20])
    assert np.array_equal(new_masks, masks[:, 12:20, 12:20])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "own_parts:as_float"}, "returned float64 [32, 32, 3] and uint8 [32, 32]; must be"),
        ({"name": "own_parts:image_only"}, "returned uint8 [32, 32, 3]; must be an image and a mask"),
        ({"name": "own_parts:half_image"}, "returned an image uint8 [16, 16, 3] and a mask uint8 [32, 32]"),
        ({"name": "own_parts:some_size"}, "; a batch needs one size"),
        ({"name": "own_parts:fails"}, "and a mask uint8 [32, 32] raised RuntimeError: no pixels today"),
        ({"name": "albumentations:Normalize"}, "returned float32 [32, 32, 3] and uint8 [32, 32]; must be"),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_what_is_no_image_or_mask_is_refused_with_what_came(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        turned(*images_and_masks(), **options)


def test_segmentation_trains_on_them_after_its_own_crop_and_validation_does_not() -> None:
    images, masks = images_and_masks()
    transforms = {"own": ImportedJointTransform(name="own_parts:quarter_turns")}
    augment = JointAugmentOptions(crop=16, transforms=transforms)
    plain, other = (
        SegmentationSource(
            StackedSamples(images, masks), np.zeros(3, np.float32), np.ones(3, np.float32), each
        )
        for each in (JointAugmentOptions(crop=16, horizontal_flip=1e-9), augment)
    )
    before, after = (source.batch(np.arange(12), DRAWS) for source in (plain, other))
    own = Transforms(transforms).joint(before[0].permute(0, 2, 3, 1).numpy() * 255, before[1].numpy(), DRAWS)
    assert torch.equal(after[1], torch.from_numpy(own[1]))
    assert torch.allclose(after[0].permute(0, 2, 3, 1) * 255, torch.from_numpy(own[0]), atol=1e-3)
    whole = other.batch(np.arange(12), None)
    assert torch.equal(whole[1], torch.from_numpy(masks.astype(np.int64)))


def test_classification_trains_on_them_alone() -> None:
    images, _ = images_and_masks()
    augment = AugmentOptions(transforms={"grey": ImportedTransform(name="own_parts:grey")})
    zero, one = np.zeros(3, np.float32), np.ones(3, np.float32)
    source = ClassificationSource(StackedSamples(images, np.zeros(12, np.int64)), zero, one, augment)
    batch, _ = source.batch(np.arange(12), DRAWS)
    assert torch.equal(batch[:, 0], batch[:, 1])
    means = torch.from_numpy(images.mean(axis=3).astype(np.uint8) / 255.0).float()
    assert torch.allclose(batch[:, 0], means, atol=1e-6)
    whole, _ = source.batch(np.arange(12), None)
    assert not torch.equal(whole[:, 0], whole[:, 1])
