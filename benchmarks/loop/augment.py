"""Milliseconds of an augmentation of a 512x512 RGB image and its mask, beside albumentations and kornia.

    python -m benchmarks.loop.augment           a table, and augment.json beside it

Each is applied to every sample, with the same strength for all. Time is that of the processor, one thread.
`crop of 512` takes it from an image of 4096x4096 in memory; the peers are told to crop first. Ours is the
time of a batch less that of one which is only read and normalized. albumentations and kornia are in the
extra `test`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import albumentations
import cv2
import kornia.augmentation as kornia
import numpy as np
import torch

from benchmarks import measuring
from trainables.images.augmentation.options import JointAugmentOptions
from trainables.images.samples import StackedSamples
from trainables.images.source import SegmentationSource

SIDE, LARGE, CLASSES = 512, 4096, 20
PER_ROUND = 8
"""Samples of one measurement."""

Augmentation = tuple[dict[str, Any], Any, Any]
"""Ours, albumentations' and kornia's; None where there is none."""


def _augmentations() -> dict[str, Augmentation]:
    a, k, every = albumentations, kornia, {"p": 1.0}
    return {
        "flips": (
            {"horizontal_flip": 1.0, "vertical_flip": 1.0},
            a.Compose([a.HorizontalFlip(p=1), a.VerticalFlip(p=1)]),
            k.AugmentationSequential(
                k.RandomHorizontalFlip(p=1), k.RandomVerticalFlip(p=1), data_keys=["input", "mask"]
            ),
        ),
        "rotation": (
            {"rotation": {**every, "degrees": 15}},
            a.Rotate(15, border_mode=cv2.BORDER_CONSTANT, p=1),
            k.RandomRotation(15, p=1),
        ),
        "elastic": (
            {"elastic": {**every, "alpha": 200, "sigma": 10}},
            a.ElasticTransform(alpha=200, sigma=10, noise_distribution="uniform", p=1),
            k.RandomElasticTransform((63, 63), (10.0, 10.0), (0.4, 0.4), p=1),
        ),
        "scale, rotation and elastic": (
            {"crop": SIDE, "scale_min": 0.8, "scale_max": 1.25, "rotation": every, "elastic": every},
            a.Compose(
                [
                    a.Affine(scale=(0.8, 1.25), rotate=(-15, 15), p=1),
                    a.ElasticTransform(alpha=200, sigma=10, noise_distribution="uniform", p=1),
                ]
            ),
            k.AugmentationSequential(
                k.RandomAffine(15, scale=(0.8, 1.25), p=1),
                k.RandomElasticTransform((63, 63), (10.0, 10.0), (0.4, 0.4), p=1),
                data_keys=["input", "mask"],
            ),
        ),
        "blur": (
            {"blur": {**every, "sigma": 1.5}},
            a.GaussianBlur(blur_limit=0, sigma_limit=(0.0, 1.5), p=1),
            k.RandomGaussianBlur((13, 13), (0.1, 1.5), p=1),
        ),
        "low resolution": (
            {"low_resolution": every},
            a.Downscale(scale_range=(0.5, 1.0), p=1),
            None,
        ),
        "noise": (
            {"noise": every},
            a.GaussNoise(std_range=(0.0, 0.1), p=1),
            k.RandomGaussianNoise(std=0.05, p=1),
        ),
        "cutout": (
            {"cutout": every},
            a.CoarseDropout(num_holes_range=(1, 1), hole_height_range=(0.25, 0.25), p=1),
            k.RandomErasing(scale=(0.06, 0.06), p=1),
        ),
        "cutmix": ({"cutmix": every}, None, None),
        "mosaic": ({"mosaic": every}, None, None),
    }


def _large() -> dict[str, Augmentation]:
    a = albumentations
    return {
        "crop of 512": ({"crop": SIDE}, a.RandomCrop(SIDE, SIDE), None),
        "crop of 512, rotation and elastic": (
            {"crop": SIDE, "rotation": {"p": 1.0}, "elastic": {"p": 1.0}},
            a.Compose(
                [
                    a.RandomCrop(SIDE, SIDE),
                    a.Rotate(15, border_mode=cv2.BORDER_CONSTANT, p=1),
                    a.ElasticTransform(alpha=200, sigma=10, noise_distribution="uniform", p=1),
                ]
            ),
            None,
        ),
        "crop of 512 that shows a class": (
            {"crop": SIDE, "oversample": {"p": 1.0, "classes": [1]}},
            a.CropNonEmptyMaskIfExists(SIDE, SIDE, ignore_values=[n for n in range(CLASSES) if n != 1]),
            None,
        ),
    }


def _samples(side: int, count: int) -> StackedSamples:
    """Photographs would be no faster: nothing depends on the values but which class is where."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, side, side, 3), np.uint8)
    blocks = rng.integers(0, CLASSES, (count, side // 32, side // 32), np.uint8)
    return StackedSamples(images, blocks.repeat(32, 1).repeat(32, 2))


def _ours(samples: StackedSamples, values: dict[str, Any]) -> Callable[[], float]:
    """Without the normalization, which all of them need alike."""
    augment = JointAugmentOptions.model_validate(values)
    plain = JointAugmentOptions.model_validate({"horizontal_flip": 1e-12})
    zero, one = np.zeros(3, np.float32), np.ones(3, np.float32)
    source = SegmentationSource(samples, zero, one, augment, [1])
    small = StackedSamples(samples.inputs[:, :SIDE, :SIDE], samples.targets[:, :SIDE, :SIDE])
    bare = SegmentationSource(small, zero, one, plain)
    draws = np.random.default_rng(1)

    def run() -> float:
        randoms = draws.random((PER_ROUND, 8))
        numbers = np.arange(PER_ROUND) % len(samples.inputs)
        return _cpu(lambda: source.batch(numbers, randoms)) - _cpu(lambda: bare.batch(numbers, randoms))

    return run


def _albumentations(samples: StackedSamples, made: Any) -> Callable[[], float]:
    whole = made if isinstance(made, albumentations.BaseCompose) else albumentations.Compose([made])

    def run() -> float:
        def each() -> None:
            for number in range(PER_ROUND):
                place = number % len(samples.inputs)
                whole(image=samples.inputs[place], mask=samples.targets[place])

        return _cpu(each)

    return run


def _kornia(samples: StackedSamples, made: Any) -> Callable[[], float]:
    """On tensors float32, as it wants them; making those is not counted."""
    is_whole = isinstance(made, kornia.AugmentationSequential)
    whole = made if is_whole else kornia.AugmentationSequential(made, data_keys=["input", "mask"])
    images = torch.from_numpy(samples.inputs).permute(0, 3, 1, 2).float().contiguous() / 255.0
    masks = torch.from_numpy(samples.targets)[:, None].float()

    def run() -> float:
        def each() -> None:
            for number in range(PER_ROUND):
                place = number % len(images)
                whole(images[place : place + 1], masks[place : place + 1])

        return _cpu(each)

    return run


def _cpu(work: Callable[[], Any]) -> float:
    """Milliseconds of one sample."""
    started = time.process_time()
    work()
    return 1e3 * (time.process_time() - started) / PER_ROUND


def main() -> None:
    options = measuring.parser(str(__doc__).split("\n")[0], "python -m benchmarks.loop.augment", pairs=9)
    arguments = options.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    rows, summary, measurements = list[list[Any]](), dict[str, Any](), dict[str, Any]()
    for side, count, of_side in ((SIDE, 8, _augmentations()), (LARGE, 2, _large())):
        samples = _samples(side, count)
        for name, (values, peer, other) in of_side.items():
            candidates = {"ours": _ours(samples, values)}
            candidates |= {} if peer is None else {"albumentations": _albumentations(samples, peer)}
            candidates |= {} if other is None else {"kornia": _kornia(samples, other)}
            measured = measuring.alternate(candidates, arguments.pairs)
            found = {who: measuring.spread(each) for who, each in measured.items()}
            rows.append([name, *(found.get(who, "") for who in ("ours", "albumentations", "kornia"))])
            summary[name], measurements[name] = found, measured
    measuring.print_table("Milliseconds of a sample", ["", "ours", "albumentations", "kornia"], rows)
    measuring.write_results(
        settings={"side": SIDE, "large": LARGE, "per_round": PER_ROUND, "pairs": arguments.pairs},
        measurements=measurements,
        summary=summary,
        packages=["torch", "numpy", "scipy", "albumentations", "opencv-python-headless", "kornia"],
        out=arguments.out,
    )


if __name__ == "__main__":
    main()
