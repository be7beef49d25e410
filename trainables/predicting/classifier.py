"""Classification: the class of images, or of rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.images.decode import read_channels
from trainables.images.statistics import standardized
from trainables.predicting.model import ExportedModel
from trainables.predicting.pixels import as_pixels, fitted
from trainables.predicting.rows import as_rows


class Classifier(ExportedModel):
    """Predicts one class for each sample."""

    def predict(self, samples: Any) -> np.ndarray:
        """Numbers of the classes, int64 [N], or without dimensions of one sample; see `predict_proba`."""
        return self.predict_proba(samples).argmax(axis=-1)

    def predict_proba(self, samples: Any) -> np.ndarray:
        """The probability of each class: float32 [N, K], or [K] of one sample.

        Args:
            samples: images as `as_pixels` takes them, or rows as `as_rows` does.

        Raises:
            ValueError: they are other than those of the training.
        """
        inference = self.inference
        if inference.images is not None:
            pixels, alone = as_pixels(samples, inference.images)
            found = self.of_pixels(pixels)
        else:
            assert inference.rows is not None
            rows, alone = as_rows(samples, inference.rows)
            found = self.of_rows(rows)
        return found[0] if alone else found

    def read(self, file: Path) -> Any:
        """An image file as `of_images` takes it: uint8 [H, W, C] in the size of the training."""
        inputs = self.inference.images
        assert inputs is not None
        return fitted(np.asarray(read_channels([file], inputs.reading)), inputs)

    def of_images(self, images: Sequence[Any]) -> np.ndarray:
        """Probabilities float32 [N, K] of images that `read` has read."""
        return self.of_pixels(np.stack(images))

    def of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities float32 [N, K] of images uint8 [N, H, W, C] in the size of the training."""
        inputs = self.inference.images
        assert inputs is not None
        mean, std = (np.array(each, np.float32) for each in (inputs.mean, inputs.std))
        return self._softmax(self.as_inputs(standardized(pixels, mean, std)))

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """Probabilities float32 [N, K] of encoded rows float32 [N, F]."""
        return self._softmax(torch.from_numpy(rows))

    def _softmax(self, inputs: Tensor) -> np.ndarray:
        logits = self.outputs(inputs, (len(self.classes),))
        return logits.float().softmax(dim=1).cpu().numpy()
