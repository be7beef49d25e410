"""Batches of normalized images and their targets for the trainer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from trainables.data.stream import Order
from trainables.images.augmentation.crops import cropped
from trainables.images.augmentation.degrade import cut_out, degraded
from trainables.images.augmentation.flips_and_light import (
    IGNORE,
    flip,
    normalize,
    num_randoms,
    pad_together,
    rotate_90,
)
from trainables.images.augmentation.mixing import drawn_pastes
from trainables.images.augmentation.options import JointAugmentOptions
from trainables.images.augmentation.transforms import Transforms
from trainables.images.samples import Samples, StackedSamples, size_of


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
        return self._together(*self._samples.read(indices))

    def _together(self, images: list[np.ndarray], targets: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        if not any(image.size for image in images):
            images[0] = np.full((*self._some_shape, len(self._fill)), self._fill, np.uint8)
            targets[0] = np.full(self._some_shape, IGNORE, np.uint8) if targets[0].ndim else targets[0]
        together = pad_together(targets, IGNORE) if targets[0].ndim else np.array(targets)
        return pad_together(images, self._fill), together


class SegmentationSource(ImageSource):
    """A BatchSource: images float32 [B, C, H, W] and masks int64 [B, H, W].

    With random numbers samples are augmented; without, they are whole.

    Args:
        shown: classes of which `augment.oversample` shows one.
        overlapping: whether masks are packed classes, see `masks.packed`.

    Raises:
        ValueError: if an augmentation that needs a crop is given for these samples without one.
    """

    def __init__(
        self,
        samples: Samples,
        mean: np.ndarray,
        std: np.ndarray,
        augment: JointAugmentOptions | None = None,
        shown: Sequence[int] = (),
        overlapping: bool = False,
    ) -> None:
        super().__init__(samples, mean, std)
        if augment is not None and augment.crop is None:
            _check_sizes(samples, augment)
        self._augment, self._shown, self._overlapping = augment, shown, overlapping
        self._transforms = Transforms({} if augment is None else augment.transforms)
        self.num_randoms = 0 if augment is None else num_randoms(augment)

    def batch(self, indices: np.ndarray, randoms: np.ndarray | None) -> tuple[Tensor, Tensor]:
        augment = self._augment
        if randoms is None or augment is None or not self.num_randoms:
            images, masks = self._whole(indices)
            return _tensors(normalize(images, self._mean, self._std), masks)
        pastes = drawn_pastes(randoms, augment, len(self))
        rows = np.concatenate([randoms, pastes.randoms])
        images, masks = self._augmented(np.concatenate([indices, pastes.indices]), rows, augment)
        images, masks = pastes.onto(*flip(images, masks, rows, augment))
        if self._transforms:
            images, masks = self._transforms.joint(images, masks, randoms)
        light = normalize(images, self._mean, self._std, randoms, augment)
        return _tensors(cut_out(light, randoms, augment.cutout), masks)

    def _augmented(
        self, indices: np.ndarray, randoms: np.ndarray, augment: JointAugmentOptions
    ) -> tuple[np.ndarray, np.ndarray]:
        """Before what is done to a whole batch."""
        if not augment.changes_each:
            return self._whole(indices)

        def change(place: int, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            row = randoms[place]
            window, labels = cropped(
                image, mask, row, augment, self._fill, self._shown, overlapping=self._overlapping
            )
            window, labels = rotate_90(window, labels, row, augment)
            return _alone(degraded(window, row, augment), image), _alone(labels, mask)

        return self._together(*self._samples.read(indices, change))


def _alone(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """A copy of what is a view, and would keep all of an image in memory."""
    mapped = not isinstance(whole, np.ndarray)  # see `bands.Mapped`, whose parts are new
    return part if mapped or not np.may_share_memory(part, whole) else part.copy()


def _tensors(images: np.ndarray, masks: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(masks.astype(np.int64))


def _check_sizes(samples: Samples, augment: JointAugmentOptions) -> None:
    """Refuse what makes images of several sizes, which one batch cannot hold, or pastes those together."""
    set_crop = "set augment.crop to a side in pixels"
    if samples.order is not None:
        if augment.mosaic or augment.cutmix:
            which = "mosaic" if augment.mosaic else "cutmix"
            raise ValueError(
                f"augment.{which} puts parts of images of one size together, and sizes in shards are not "
                f"known: {set_crop}"
            )
        return
    if problem := several_sizes(samples.shapes[samples.shapes.any(axis=1)], augment):
        raise ValueError(f"{problem}; one batch needs one size: {set_crop}")


def several_sizes(shapes: np.ndarray, augment: JointAugmentOptions) -> str | None:
    """Why images without a crop do not fit into one batch; None where they do.

    Args:
        shapes: heights and widths of the training images, one or more: int64 [N, 2].
    """
    sizes = np.unique(shapes, axis=0)
    (low_h, low_w), (high_h, high_w) = sizes[0], sizes[-1]
    if len(sizes) > 1:
        return f"training images have {len(sizes)} sizes, from {low_w}x{low_h} to {high_w}x{high_h}"
    if augment.rotate_90 and low_h != low_w:
        return f"augment.rotate_90 turns images of {low_w}x{low_h} into {low_h}x{low_w}"
    return None
