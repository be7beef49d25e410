"""The segmentation task: what the trainer asks for, put together from this package's parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.data import Batch, JoinedSource, to_device
from trainables.options import TrialOptions
from trainables.parameter_groups import Layer
from trainables.segmentation.augment import IGNORE, Augmentation
from trainables.segmentation.digits import load_digits_arrays
from trainables.segmentation.folder import load_folder_arrays
from trainables.segmentation.layout import Layout
from trainables.segmentation.losses import MixedLoss, median_frequency_weights
from trainables.segmentation.metrics import ConfusionMetrics
from trainables.segmentation.options import FolderOptions, SegmentationOptions, UNetOptions
from trainables.segmentation.samples import samples_of, skipped_of
from trainables.segmentation.segformer import Segformer, build_segformer
from trainables.segmentation.sheet import sample_sheet
from trainables.segmentation.source import SegmentationSource
from trainables.segmentation.unet import UNet
from trainables.task import Arrays, Task

NUM_SHOWN = 4
"""Validation samples on the sheet."""


class SegmentationTask(Task):
    """Every pixel gets a class. A batch is (images float32 [N, C, H, W], masks int64 [N, H, W])."""

    Options = SegmentationOptions
    options: SegmentationOptions

    def __init__(self, options: TrialOptions, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(options, arrays)
        self.class_names = tuple(str(name) for name in arrays["class_names"])
        data = self.options.data
        self._skipped = skipped_of(arrays, data.skip_limit if isinstance(data, FolderOptions) else 0)
        self._loss = MixedLoss(
            {name: getattr(self.options.loss, name) for name in ("cross_entropy", "dice", "focal")},
            class_weights=self._class_weights(),
            label_smoothing=self.options.loss.label_smoothing,
            focal_gamma=self.options.loss.focal_gamma,
            ignore_index=IGNORE,
        )

    @classmethod
    def load_data(cls, options: TrialOptions) -> Arrays:
        assert isinstance(options, SegmentationOptions)
        data = options.data
        if not isinstance(data, FolderOptions):
            return load_digits_arrays(**data.model_dump(exclude={"source"}))
        of_layout = data.model_dump(include=set(Layout.__dataclass_fields__))
        return load_folder_arrays(
            Path(data.root),
            Layout(**of_layout),
            channels=data.channels,
            num_classes=data.num_classes,
            class_names=data.class_names,
            ignore_index=data.ignore_index,
            mask_values=data.mask_values,
            max_memory=data.max_memory,
            imagenet_statistics=data.normalization == "imagenet",
            max_skipped=data.skip_limit,
        )

    def train_data(self) -> SegmentationSource:
        return self._source("train", self._augmentation())

    def valid_data(self) -> SegmentationSource:
        return self._source("valid", None)

    def all_data(self) -> JoinedSource:
        # Augmented alike: whole validation images would not fit into one batch with crops.
        return JoinedSource(self.train_data(), self._source("valid", self._augmentation()))

    def build_model(self) -> nn.Module:
        model = self.options.model
        arguments: dict[str, Any] = model.model_dump(exclude={"name"})
        sizes: dict[str, Any] = {
            "in_channels": len(self.arrays["mean"]),
            "num_classes": len(self.class_names),
        }
        if isinstance(model, UNetOptions):
            return UNet(**(sizes | arguments))
        return build_segformer(**(sizes | arguments))

    def layers(self, model: nn.Module) -> Sequence[Layer]:
        assert isinstance(model, UNet | Segformer)
        return model.layers()

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        return self._loss.means(outputs, batch[1])

    def loss_weight(self, batch: Batch) -> Tensor:
        return self._loss.weights(batch[1])

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of the entries of `loss`."""
        return tuple(self._loss.terms)

    def metrics(self) -> ConfusionMetrics:
        return ConfusionMetrics(self.class_names, IGNORE)

    def images(self, model: nn.Module, device: torch.device) -> dict[str, np.ndarray]:
        """`validation`: image, truth and prediction of a few samples, ignored pixels white."""
        source = self.valid_data()
        chosen = np.unique(np.linspace(0, len(source) - 1, NUM_SHOWN).round().astype(np.int64))
        images, masks = source.batch(chosen, None)
        was_training = model.training
        model.eval()
        with torch.inference_mode():
            batch = to_device((images, masks), device, self.options.channels_last)
            predicted = self.forward(model, batch).argmax(dim=1).cpu().numpy()
        model.train(was_training)
        pixels = images.permute(0, 2, 3, 1).numpy() * self.arrays["std"] + self.arrays["mean"]
        return {"validation": sample_sheet(pixels, masks.numpy(), predicted)}

    def _augmentation(self) -> Augmentation:
        return Augmentation(**self.options.augment.model_dump())

    def _source(self, part: str, augmentation: Augmentation | None) -> SegmentationSource:
        samples = samples_of(self.arrays, part, self._skipped)
        return SegmentationSource(samples, self.arrays["mean"], self.arrays["std"], augmentation)

    def _class_weights(self) -> np.ndarray | None:
        weights = self.options.loss.class_weights
        if weights == "none":
            return None
        if weights == "median_frequency":
            return median_frequency_weights(self.arrays["class_pixels"])
        if len(weights) != len(self.class_names):
            raise ValueError(
                f"loss.class_weights has {len(weights)} numbers; there are {len(self.class_names)} classes: "
                f"{', '.join(self.class_names)}"
            )
        return np.array(weights)
