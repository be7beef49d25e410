"""Batches of normalized images and their targets for the trainer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trainables.data.stream import Order
from trainables.images.augment import (
    IGNORE,
    flip,
    normalize,
    num_randoms,
    pad_together,
    scale_and_crop,
)
from trainables.images.options import JointAugmentOptions
from trainables.images.samples import Samples, StackedSamples, size_of
from trainables.images.transforms import Transforms


class ImageSource:
    """What sources of images with masks and with classes have in common.

    Args:
        mean, std: float32 [C], 1 being the value 255.
    """

    def __init__(self, samples: Samples, mean: np.ndarray, std: np.ndarray) -> None:
        self._samples, self._mean, self._std = samples, mean, std
        self._fill = (mean * 255.0).round().astype(np.uint8)
        self._some_shape = size_of(samples.shapes)

    def __len__(self) -> int:
        return len(self._samples.shapes)

    @property
    def order(self) -> Order | None:
        """The order of training, if it is not free."""
        return self._samples.order

    def take_findings(self) -> list[tuple[str, str]]:
        """In a worker process: what it has skipped since the last call."""
        return self._samples.skipped.take_noted()

    def add_findings(self, findings: Sequence[tuple[str, str]]) -> None:
        """Count what a worker has skipped.

        Raises:
            ValueError: if there are more than may be skipped.
        """
        for file, problem in findings:
            self._samples.skipped.add(file, ValueError(problem))

    def _whole(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Images uint8 [B, H, W, C] and masks [B, H, W] or classes [B].

        Samples of different sizes are padded to the largest with the mean colour and `IGNORE`; one that is
        skipped is all padding.
        """
        if isinstance(self._samples, StackedSamples):
            return self._samples.inputs[indices], self._samples.targets[indices]
        images, targets = self._samples.read(indices)
        if not any(image.size for image in images):
            images[0] = np.full((*self._some_shape, len(self._fill)), self._fill, np.uint8)
            targets[0] = np.full(self._some_shape, IGNORE, np.uint8) if targets[0].ndim else targets[0]
        together = pad_together(targets, IGNORE) if targets[0].ndim else np.array(targets)
        return pad_together(images, self._fill), together


class SegmentationSource(ImageSource):
    """A BatchSource: images float32 [B, C, H, W] and masks int64 [B, H, W].

    With random numbers samples are augmented; without, they are whole.

    Raises:
        ValueError: if an augmentation without a crop is given for samples of different sizes.
    """

    def __init__(
        self,
        samples: Samples,
        mean: np.ndarray,
        std: np.ndarray,
        augment: JointAugmentOptions | None = None,
    ) -> None:
        super().__init__(samples, mean, std)
        if samples.order is None and augment is not None and augment.crop is None:
            _check_one_size(samples.shapes)
        self._augment = augment
        self._transforms = Transforms({} if augment is None else augment.transforms)
        self.num_randoms = 0 if augment is None else num_randoms(augment)

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> tuple[Tensor, Tensor]:
        if randoms is None or self._augment is None or not self.num_randoms:
            images, masks = self._whole(indices)
            return _tensors(normalize(images, self._mean, self._std), masks)
        if self._augment.crop is None:
            images, masks = self._whole(indices)
        else:
            images, masks = self._crops(indices, randoms, self._augment)
        images, masks = flip(images, masks, randoms, self._augment)
        if self._transforms:
            images, masks = self._transforms.joint(images, masks, randoms)
        return _tensors(normalize(images, self._mean, self._std, randoms, self._augment), masks)

    def _crops(
        self, indices: np.ndarray, randoms: np.ndarray, augment: JointAugmentOptions
    ) -> tuple[np.ndarray, np.ndarray]:
        def crop(place: int, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            window, labels = scale_and_crop(image, mask, randoms[place], augment, self._fill)
            return window.copy(), labels.copy()  # A view would keep the whole image in memory.

        images, masks = self._samples.read(indices, crop)
        return np.stack(images), np.stack(masks)


def _tensors(images: np.ndarray, masks: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(masks.astype(np.int64))


def _check_one_size(shapes: np.ndarray) -> None:
    sizes = np.unique(shapes[shapes.any(axis=1)], axis=0)
    if len(sizes) > 1:
        (low_h, low_w), (high_h, high_w) = sizes[0], sizes[-1]
        raise ValueError(
            f"training images have {len(sizes)} sizes, from {low_w}x{low_h} to {high_w}x{high_h}; "
            "one batch needs one size: set augment.crop to a side in pixels"
        )
