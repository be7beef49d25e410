"""The segmentation task: what the trainer asks for, put together from this package's parts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.data.fingerprint import Fingerprint
from trainables.data.source import Batch, JoinedSource, to_device
from trainables.images.augmentation.crops import padded_crops
from trainables.images.augmentation.flips_and_light import IGNORE, pad_together
from trainables.images.augmentation.options import JointAugmentOptions, OversampleOptions
from trainables.images.classes import class_numbers, given_class_weights
from trainables.images.fingerprint import image_fingerprint
from trainables.images.loading import load_images
from trainables.images.masks.packed import packed_tensor
from trainables.images.options import ImageOptions, MaskOptions, MaskShardsOptions
from trainables.images.samples import LoadedImages
from trainables.images.scan import to_stderr
from trainables.images.source import SegmentationSource
from trainables.imported_options import ImportedData, ImportedModel
from trainables.inspect.images import MaskInspection
from trainables.inspect.sheet import sheet_of
from trainables.networks.segformer import build_segformer
from trainables.networks.unet import UNet
from trainables.options import TrialOptions
from trainables.pictures import FIRST_CHANNELS, sample_grid, shown_channels
from trainables.predicting.flips import flipped_logits
from trainables.predicting.windows import window_logits
from trainables.segmentation.digits import load_digits_arrays
from trainables.segmentation.losses import TERMS, MixedLoss, median_frequency_weights
from trainables.segmentation.metrics import ConfusionMetrics, SigmoidMetrics
from trainables.segmentation.options import SegmentationOptions, UNetOptions
from trainables.segmentation.sigmoid_losses import SigmoidLoss, float_targets
from trainables.supervised.calls import ImportedLoss
from trainables.supervised.datasets import OwnData, OwnSource, load_own_data
from trainables.supervised.task import SupervisedTask, build_imported
from trainables.task import Arrays

Source = SegmentationSource | OwnSource

NUM_SHOWN = 4
"""Validation samples in the picture."""


class SegmentationTask(SupervisedTask):
    """Every pixel gets a class. A batch is (images float32 [N, C, H, W], masks int64 [N, H, W])."""

    Options = SegmentationOptions
    options: SegmentationOptions
    ignore_index = IGNORE
    free_dimensions = {0: "batch", 2: "height", 3: "width"}  # noqa: RUF012  # read-only
    output_name = "logits"
    output_values = "logits of the classes at each pixel, not probabilities"
    metric_names = ("miou", "mean_dice", "pixel_accuracy", "iou/", "dice/", "boundary_iou", "boundary_iou/")
    optional_metrics = {"boundary_iou": ("validation", "boundary_iou")}  # noqa: RUF012  # read-only

    def __init__(self, options: TrialOptions, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(options, arrays)
        data = self.options.data
        self._images: LoadedImages | OwnData = (
            OwnData(arrays, data)
            if isinstance(data, ImportedData)
            else LoadedImages(arrays, data if isinstance(data, ImageOptions) else None)
        )
        self.class_names = self._images.class_names
        self.overlapping = isinstance(data, MaskOptions) and data.labels != "multiclass"
        oversample = self.options.augment.oversample or OversampleOptions()
        self._shown = class_numbers(oversample.classes, self.class_names)
        loss, terms = self.options.loss, self.options.loss.terms
        made = partial(SigmoidLoss, len(self.class_names)) if self.overlapping else MixedLoss
        self._loss = made(
            coefficients={name: getattr(loss, name) for name in TERMS}
            | {name: term.coefficient for name, term in terms.items()},
            imported={name: ImportedLoss(term, IGNORE) for name, term in terms.items()},
            class_weights=self._class_weights(),
            label_smoothing=loss.label_smoothing,
            focal_gamma=loss.focal_gamma,
            ignore_index=IGNORE,
        )

    @classmethod
    def load_data(cls, options: TrialOptions) -> Arrays:
        assert isinstance(options, SegmentationOptions)
        data = options.data
        if isinstance(data, ImportedData):
            return load_own_data(data, masks=True, ignored=IGNORE)
        files = data if isinstance(data, ImageOptions) else None
        arrays = load_images(data) if isinstance(data, ImageOptions) else load_digits_arrays(data)
        if not isinstance(data, MaskShardsOptions):  # of which few sizes are known
            for line in padded_crops(LoadedImages(arrays, files).samples("train").shapes, options.augment):
                to_stderr(line)
        return arrays

    @classmethod
    def data_fingerprint(cls, options: TrialOptions) -> Fingerprint | None:
        assert isinstance(options, SegmentationOptions)
        return image_fingerprint(options.data) if isinstance(options.data, ImageOptions) else None

    @classmethod
    def inspect(cls, options: TrialOptions) -> MaskInspection | None:
        assert isinstance(options, SegmentationOptions)
        if not isinstance(options.data, MaskOptions):
            return None
        return MaskInspection(options.data, options.augment)

    def train_data(self) -> Source:
        return self._source("train", augment=self.options.augment)

    def valid_data(self) -> Source:
        return self._source("valid")

    def all_data(self) -> JoinedSource | Source:
        # Augmented alike: whole validation images would not fit into one batch with crops.
        augment = self.options.augment
        if isinstance(self.options.data, MaskShardsOptions):
            return self._source("train", "valid", augment=augment)
        return JoinedSource(self.train_data(), self._source("valid", augment=augment))

    def build_model(self) -> nn.Module:
        model = self.options.model
        if isinstance(model, ImportedModel):
            return build_imported(model)
        build = UNet if isinstance(model, UNetOptions) else build_segformer
        return build(in_channels=len(self._images.mean), num_classes=len(self.class_names), **model.arguments)

    @property
    def num_workers(self) -> int:
        return self._images.num_workers

    @property
    def valid_batch_size(self) -> int:
        """One image where the batches are windows of it."""
        return super().valid_batch_size if self.options.validation.window is None else 1

    def output_shape(self, batch: Batch) -> tuple[int, ...]:
        images = batch[0]
        return (len(images), len(self.class_names), *images.shape[2:])

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        """Logits; of a model that does not train, from windows and over flips as `validation` says."""
        validation = self.options.validation
        if model.training or (validation.window is None and validation.flips == "none"):
            return super().forward(model, batch)

        def predict(images: Tensor) -> Tensor:
            return SupervisedTask.forward(self, model, (images,))

        def predict_windows(images: Tensor) -> Tensor:
            if validation.window is None:
                return predict(images)
            return window_logits(
                predict,
                images,
                window=validation.window,
                overlap=validation.overlap,
                batch_size=self.options.valid_batch_size,
            )

        return flipped_logits(predict_windows, batch[0], validation.flips, overlapping=self.overlapping)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        return self._loss.means(outputs, batch[1])

    def loss_weight(self, batch: Batch) -> Tensor:
        return self._loss.weights(batch[1])

    @property
    def skipped_samples(self) -> Mapping[str, str]:
        return self._images.skipped.reasons

    def built_in_metrics(self) -> ConfusionMetrics | SigmoidMetrics:
        ratio = self.options.validation.boundary_iou
        if self.overlapping:
            return SigmoidMetrics(self.class_names, ratio)
        return ConfusionMetrics(self.class_names, IGNORE, ratio)

    def metric_arguments(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        if not self.overlapping:
            return super().metric_arguments(outputs, batch)
        return outputs, float_targets(batch[1], len(self.class_names)).long()

    def preprocessing(self) -> dict[str, Any]:
        flips, mean = self.options.validation.flips, "sigmoid" if self.overlapping else "softmax"
        averaged = "" if flips == "none" else f"; the metrics are of {mean} averaged over flips ({flips})"
        if self.overlapping:
            how = (
                "the sigmoid of each output is the probability of that one of `class_names`, whatever the "
                f"others are; above `threshold` it counts as yes{averaged}"
            )
            return {**self._images.described(how), "threshold": 0.5}
        return self._images.described(
            f"argmax of the outputs over their second dimension gives the numbers of `class_names`{averaged}"
        )

    def images(self, model: nn.Module, device: torch.device) -> dict[str, np.ndarray]:
        """`validation`: image, truth and prediction of a few samples, ignored pixels white."""
        source = self.valid_data()
        chosen = np.unique(np.linspace(0, len(source) - 1, NUM_SHOWN).round().astype(np.int64))
        was_training = model.training
        model.eval()
        shown: list[tuple[np.ndarray, ...]] = []
        with torch.inference_mode():
            for first in range(0, len(chosen), self.valid_batch_size):
                images, masks = source.batch(chosen[first : first + self.valid_batch_size], None)
                batch = to_device((images, masks), device, self.options.channels_last)
                predicted = self._predicted(self.forward(model, batch)).cpu()
                pixels_last = images.permute(0, 2, 3, 1)
                shown += zip(pixels_last.numpy(), masks.numpy(), predicted.numpy(), strict=True)
        model.train(was_training)
        inputs, truth, predictions = (
            pad_together(column, fill)
            for column, fill in zip(zip(*shown, strict=True), (0, IGNORE, 0), strict=True)
        )
        pixels = shown_channels(inputs * self._images.std + self._images.mean, self._pictured)
        overlapping = len(self.class_names) if self.overlapping else None
        return {"validation": sample_grid(pixels, truth, predictions, overlapping)}

    @property
    def _pictured(self) -> tuple[int, ...]:
        data = self.options.data
        return data.shown_channels if isinstance(data, ImageOptions) else FIRST_CHANNELS

    def _predicted(self, logits: Tensor) -> Tensor:
        """Labels int64 [N, H, W], or classes that overlap, packed."""
        return packed_tensor(logits > 0) if self.overlapping else logits.argmax(dim=1)

    def data_picture(self) -> np.ndarray | None:
        images = self._images
        return sheet_of(
            self.train_data(),
            images.mean,
            images.std,
            self.class_names,
            with_masks=True,
            overlapping=self.overlapping,
            shown=self._pictured,
        )

    def _source(self, *parts: str, augment: JointAugmentOptions | None = None) -> Source:
        images = self._images
        if isinstance(images, OwnData):
            return images.source(parts[0])
        return SegmentationSource(
            images.samples(*parts), images.mean, images.std, augment, self._shown, self.overlapping
        )

    def _class_weights(self) -> np.ndarray | None:
        weights = self.options.loss.class_weights
        if weights == "median_frequency":
            assert isinstance(self._images, LoadedImages)  # see SegmentationOptions
            return median_frequency_weights(self._images.class_counts)
        return None if weights == "none" else given_class_weights(weights, self.class_names)
