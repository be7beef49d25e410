"""The segmentation task: what the trainer asks for, put together from this package's parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.data.source import Batch, JoinedSource, to_device
from trainables.images.augment import IGNORE, Augmentation, pad_together
from trainables.images.hf_datasets import load_table_arrays
from trainables.images.layouts.find import Layout
from trainables.images.mask_folder import load_folder_arrays
from trainables.images.mask_shards import load_shard_arrays, shard_samples_of
from trainables.images.samples import Samples, samples_of, skipped_of
from trainables.images.source import SegmentationSource
from trainables.inspect.mask_folder import FolderInspection
from trainables.networks.segformer import Segformer, build_segformer
from trainables.networks.unet import UNet
from trainables.optim.parameter_groups import Layer
from trainables.options import TrialOptions
from trainables.segmentation.digits import load_digits_arrays
from trainables.segmentation.losses import MixedLoss, median_frequency_weights
from trainables.segmentation.metrics import ConfusionMetrics
from trainables.segmentation.options import (
    FolderOptions,
    ImageOptions,
    SegmentationOptions,
    ShardsOptions,
    UNetOptions,
)
from trainables.segmentation.sheet import sample_sheet
from trainables.segmentation.windows import window_logits
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
        self._skipped = skipped_of(arrays, data.skip_limit if isinstance(data, ImageOptions) else 0)
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
        if not isinstance(data, ImageOptions):
            return load_digits_arrays(**data.model_dump(exclude={"source"}))
        common: dict[str, Any] = {
            "channels": data.channels,
            "num_classes": data.num_classes,
            "class_names": data.class_names,
            "ignore_index": data.ignore_index,
            "mask_values": data.mask_values,
            "max_memory": data.max_memory,
            "imagenet_statistics": data.normalization == "imagenet",
            "max_skipped": data.skip_limit,
            "scan": data.scan,
            "sample_size": data.sample_size,
        }
        if isinstance(data, FolderOptions):
            layout = Layout(**data.model_dump(include=set(Layout.__dataclass_fields__)))
            return load_folder_arrays(Path(data.root), layout, **common)
        if isinstance(data, ShardsOptions):
            where = data.model_dump(include={"root", "train", "valid", "image", "mask", "shuffle"})
            return load_shard_arrays(**where, **{k: v for k, v in common.items() if k != "max_memory"})
        where = data.model_dump(include={"image_column", "mask_column", "train_split", "valid_split"})
        return load_table_arrays(Path(data.root), **where, **common)

    @classmethod
    def inspect(cls, options: TrialOptions) -> FolderInspection | None:
        assert isinstance(options, SegmentationOptions)
        data = options.data
        if not isinstance(data, FolderOptions):
            return None
        return FolderInspection(
            Path(data.root),
            Layout(**data.model_dump(include=set(Layout.__dataclass_fields__))),
            channels=data.channels,
            num_classes=data.num_classes,
            class_names=data.class_names,
            ignore_index=data.ignore_index,
            mask_values=data.mask_values,
        )

    def train_data(self) -> SegmentationSource:
        return self._source("train", self._augmentation())

    def valid_data(self) -> SegmentationSource:
        return self._source("valid", None)

    def all_data(self) -> JoinedSource | SegmentationSource:
        # Augmented alike: whole validation images would not fit into one batch with crops.
        if "train_shards" in self.arrays:
            return self._source("train", self._augmentation(), "valid")
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

    @property
    def num_workers(self) -> int:
        data = self.options.data
        on_disk = "train_images" not in self.arrays
        return data.workers if isinstance(data, ImageOptions) and on_disk else 0

    @property
    def valid_batch_size(self) -> int:
        """One image where the batches are windows of it."""
        return super().valid_batch_size if self.options.validation.window is None else 1

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits; of a model that does not train, from windows if `validation.window` is set."""
        windows = self.options.validation
        if model.training or windows.window is None:
            return super().forward(model, batch)
        return window_logits(
            lambda crops: Task.forward(self, model, (crops,)),
            batch[0],
            window=windows.window,
            overlap=windows.overlap,
            batch_size=self.options.valid_batch_size,
        )

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        return self._loss.means(outputs, batch[1])

    def loss_weight(self, batch: Batch) -> Tensor:
        return self._loss.weights(batch[1])

    @property
    def skipped_samples(self) -> Mapping[str, str]:
        return self._skipped.reasons

    @property
    def loss_terms(self) -> tuple[str, ...]:
        """Names of the entries of `loss`."""
        return tuple(self._loss.terms)

    def metrics(self) -> ConfusionMetrics:
        return ConfusionMetrics(self.class_names, IGNORE)

    def preprocessing(self) -> dict[str, Any]:
        return {
            "how": "a pixel of each channel is (value / 255 - mean) / std, images are [N, C, H, W]; argmax "
            "of the outputs over their second dimension gives the numbers of `class_names`",
            "channels": len(self.arrays["mean"]),
            "mean": self.arrays["mean"].tolist(),
            "std": self.arrays["std"].tolist(),
            "class_names": list(self.class_names),
        }

    def images(self, model: nn.Module, device: torch.device) -> dict[str, np.ndarray]:
        """`validation`: image, truth and prediction of a few samples, ignored pixels white."""
        source = self.valid_data()
        chosen = np.unique(np.linspace(0, len(source) - 1, NUM_SHOWN).round().astype(np.int64))
        was_training = model.training
        model.eval()
        shown: tuple[list[np.ndarray], ...] = ([], [], [])
        with torch.inference_mode():
            for start in range(0, len(chosen), self.valid_batch_size):
                images, masks = source.batch(chosen[start : start + self.valid_batch_size], None)
                batch = to_device((images, masks), device, self.options.channels_last)
                predicted = self.forward(model, batch).argmax(dim=1).cpu().numpy()
                for column, found in zip(
                    shown, (_pixels_last(images), masks.numpy(), predicted), strict=True
                ):
                    column.extend(found)
        model.train(was_training)
        pixels = pad_together(shown[0], 0) * self.arrays["std"] + self.arrays["mean"]
        truth, predictions = pad_together(shown[1], IGNORE), pad_together(shown[2], 0)
        return {"validation": sample_sheet(pixels, truth, predictions)}

    def _augmentation(self) -> Augmentation:
        return Augmentation(**self.options.augment.model_dump())

    def _source(self, part: str, augmentation: Augmentation | None, *more_shards: str) -> SegmentationSource:
        if "train_shards" in self.arrays:
            samples: Samples = shard_samples_of(self.arrays, (part, *more_shards), self._skipped)
        else:
            samples = samples_of(self.arrays, part, self._skipped)
        mean, std = self.arrays["mean"], self.arrays["std"]
        return SegmentationSource(samples, mean, std, augmentation, self._skipped)

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


def _pixels_last(images: Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()
