"""Segmentation: the class of each pixel of images of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.images.bands import Mapped
from trainables.images.decode import read_channels
from trainables.images.statistics import standardized
from trainables.predicting.flips import FLIPS, flipped_logits
from trainables.predicting.inference import ExportError, Inference
from trainables.predicting.model import ExportedModel
from trainables.predicting.pixels import as_pixels
from trainables.predicting.windows import flipped_strips

LEAST_WINDOW = 8


class Segmenter(ExportedModel):
    """Predicts the class of each pixel, by the windows and over the flips of the validation.

    A `multiclass` model gives the number of one class for each pixel. One of `binary` or `multilabel` masks
    says yes or no for each class, yes above a probability of 0.5.
    """

    def __init__(self, inference: Inference, network: nn.Module, metrics: Mapping[str, float]) -> None:
        super().__init__(inference, network, metrics)
        assert inference.images is not None
        assert inference.windows is not None
        self.inputs, self.windows = inference.images, inference.windows
        self._mean, self._std = (np.array(each, np.float32) for each in (self.inputs.mean, self.inputs.std))
        self.overlapping = inference.labels != "multiclass"

    def set_windows(self, *, window: int | None = None, flips: str | None = None) -> None:
        """Change windows and flips from those of the validation.

        Args:
            window: side in pixels of square windows, at least 8.
            flips: none, horizontal, vertical or both: probabilities are averaged over these mirror images.

        Raises:
            ValueError: they are none of these.
        """
        if window is not None and window < LEAST_WINDOW:
            raise ValueError(f"window is {window}; must be {LEAST_WINDOW} pixels or more")
        if flips is not None and flips not in FLIPS:
            raise ValueError(f"flips is {flips!r}; must be one of {', '.join(FLIPS)}")
        now = self.windows
        self.windows = replace(now, window=window or now.window, flips=flips or now.flips)

    def predict(self, images: Any) -> np.ndarray:
        """The class of each pixel: uint8 [H, W], or of classes that may overlap bool [H, W, K].

        Args:
            images: a path, an image of Pillow or raw pixels [H, W, C]; a list of these, or [N, H, W, C],
                for which the result is [N, ...]; see `as_pixels`.

        Raises:
            ValueError: they are other than those of the training.
        """
        return self._of_all(images, self.labels)

    def predict_proba(self, images: Any) -> np.ndarray:
        """The probability of each class: float32 [H, W, K] or [N, H, W, K]; see `predict`."""
        return self._of_all(images, self.probabilities)

    def fits_a_window(self, height: int, width: int) -> bool:
        """Whether images of this size are predicted whole."""
        return self.windows.window is None or max(height, width) <= self.windows.window

    def read(self, file: Path) -> np.ndarray | Mapped:
        """An image file as `whole` and `strips` take it: uint8 [H, W, C], or what stands for it on disk."""
        return read_channels([file], self.inputs.reading)

    def whole(self, pixels: np.ndarray) -> Tensor:
        """Logits [N, K, H, W] of images uint8 [N, H, W, C] that are predicted whole."""
        inputs = self.as_inputs(standardized(pixels, self._mean, self._std))
        return flipped_logits(self._predict, inputs, self.windows.flips, overlapping=self.overlapping)

    def strips(self, image: np.ndarray | Mapped) -> Iterator[Tensor]:
        """Logits [K, h, W] of one image uint8 [H, W, C], strip by strip from its top to its bottom."""
        height, width = image.shape[:2]
        if self.fits_a_window(height, width):
            yield self.whole(np.asarray(image)[None])[0]
            return
        assert self.windows.window is not None

        def take(rows: slice, columns: slice) -> Tensor:
            return self.as_inputs(standardized(image[rows, columns][None], self._mean, self._std))[0]

        yield from flipped_strips(
            self._predict,
            take,
            (height, width),
            window=self.windows.window,
            overlap=self.windows.overlap,
            batch_size=self.batch_size,
            flips=self.windows.flips,
            overlapping=self.overlapping,
        )

    def labels(self, logits: Tensor) -> np.ndarray:
        """uint8 [h, W], or bool [h, W, K] of classes that may overlap, of logits [K, h, W]."""
        if self.overlapping:
            return (logits > 0).permute(1, 2, 0).cpu().numpy()
        return logits.argmax(dim=0).to(torch.uint8).cpu().numpy()

    def probabilities(self, logits: Tensor) -> np.ndarray:
        """float32 [h, W, K] of logits [K, h, W]."""
        found = logits.float().sigmoid() if self.overlapping else logits.float().softmax(dim=0)
        return found.permute(1, 2, 0).cpu().numpy()

    def _of_all(self, images: Any, read: Any) -> np.ndarray:
        pixels, alone = self._pixels(images)
        found = []
        if self.fits_a_window(*pixels.shape[1:3]):
            for first in range(0, len(pixels), self.batch_size):
                found += [read(logits) for logits in self.whole(pixels[first : first + self.batch_size])]
        else:
            found = [np.concatenate([read(part) for part in self.strips(image)]) for image in pixels]
        return found[0] if alone else np.stack(found)

    def _pixels(self, images: Any) -> tuple[np.ndarray, bool]:
        return as_pixels(images, self.inputs)

    def _predict(self, inputs: Tensor) -> Tensor:
        return self.outputs(inputs, (len(self.classes), *inputs.shape[2:]))


def set_windows(model: ExportedModel, window: int | None, flips: str | None) -> None:
    """Change the windows of a segmentation, where some are given.

    Raises:
        ExportError: the model is none, and has no windows.
    """
    if isinstance(model, Segmenter):
        model.set_windows(window=window, flips=flips)
    elif window is not None or flips is not None:
        raise ExportError(f"is of task {model.inference.task}, and windows and flips are of segmentation")
