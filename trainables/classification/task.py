"""The classification task: what the trainer asks for, put together from this package's parts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.classification.confusion_picture import confusion_picture
from trainables.classification.data import HOW_TO_READ, fingerprint, load_arrays, read_class_sheets
from trainables.classification.loss import ClassificationLoss, ImportedClassLoss, balanced_weights
from trainables.classification.metrics import ClassificationMetrics
from trainables.classification.mixup import ClassificationSource, RowSource
from trainables.classification.options import ClassCSVOptions, ClassificationOptions, LossOptions
from trainables.data.fingerprint import Fingerprint
from trainables.data.source import Batch, JoinedSource
from trainables.images.classes import given_class_weights
from trainables.images.options import ClassOptions, ClassShardsOptions, ImageOptions
from trainables.images.samples import LoadedImages, size_of
from trainables.images.targets import NO_CLASS
from trainables.imported_options import ImportedCall, ImportedData, ImportedModel
from trainables.inspect.images import ClassInspection
from trainables.inspect.inspection import Inspection
from trainables.inspect.sheet import sheet_of
from trainables.inspect.table import TableInspection
from trainables.networks.cnn import CNN
from trainables.networks.mlp import MLP
from trainables.networks.options import MLPOptions, ResNetOptions
from trainables.networks.resnet import ResNet
from trainables.options import TrialOptions
from trainables.pictures import FIRST_CHANNELS
from trainables.supervised.datasets import OwnData, OwnSource
from trainables.supervised.task import SupervisedTask, build_imported
from trainables.task import Arrays

Source = ClassificationSource | RowSource | OwnSource


class ClassificationTask(SupervisedTask):
    """Every image, or row of a table, gets a class. Batches are those of `mixed_batch`."""

    Options = ClassificationOptions
    options: ClassificationOptions
    ignore_index = NO_CLASS
    output_name = "logits"
    output_values = "logits of the classes, not probabilities"
    metric_names = ("accuracy", "balanced_accuracy", "macro_f1", "calibration_error")

    def __init__(self, options: TrialOptions, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(options, arrays)
        data = self.options.data
        self.class_names = tuple(str(name) for name in arrays["class_names"])
        self._images: LoadedImages | OwnData | None = None
        if isinstance(data, ImportedData):
            self._images = OwnData(arrays, data)
        elif "mean" in arrays:
            self._images = LoadedImages(arrays, data if isinstance(data, ImageOptions) else None)
        loss = self.options.loss
        self._loss: ClassificationLoss | ImportedClassLoss = (
            ImportedClassLoss(loss)
            if isinstance(loss, ImportedCall)
            else ClassificationLoss(self._class_weights(loss), loss.label_smoothing)
        )
        self._last_metrics: ClassificationMetrics | None = None

    @classmethod
    def load_data(cls, options: TrialOptions) -> Arrays:
        assert isinstance(options, ClassificationOptions)
        return load_arrays(options.data)

    @classmethod
    def data_fingerprint(cls, options: TrialOptions) -> Fingerprint | None:
        assert isinstance(options, ClassificationOptions)
        return fingerprint(options.data)

    @classmethod
    def inspect(cls, options: TrialOptions) -> Inspection | None:
        assert isinstance(options, ClassificationOptions)
        if isinstance(options.data, ClassOptions):
            return ClassInspection(options.data)
        if isinstance(options.data, ClassCSVOptions):
            return TableInspection(read_class_sheets(options.data), options.data, of_classes=True)
        return None

    @property
    def skipped_samples(self) -> Mapping[str, str]:
        return {} if self._images is None else self._images.skipped.reasons

    @property
    def num_workers(self) -> int:
        return 0 if self._images is None else self._images.num_workers

    def preprocessing(self) -> dict[str, Any]:
        if self._images is None:
            return json.loads(str(self.arrays["preprocessing"]))
        if isinstance(self._images, OwnData):
            return self._images.described(HOW_TO_READ)
        height, width = size_of(self._images.samples("train").shapes)
        described = self._images.described(HOW_TO_READ)
        if not isinstance(self.options.data, ClassOptions):
            return {**described, "height": height, "width": width}
        resize = self.options.data.resize
        if resize is not None:
            cut = "the shorter side is scaled to `resize` and the middle square kept; "
            described["how"] = cut + described["how"]
        return {**described, "resize": resize, "height": height, "width": width}

    def train_data(self) -> Source:
        return self._source("train", trained=True)

    def valid_data(self) -> Source:
        return self._source("valid", trained=False)

    def all_data(self) -> JoinedSource | Source:
        # Augmented and mixed alike, each sample with one of its own part.
        if isinstance(self.options.data, ClassShardsOptions):
            return self._source("train", "valid", trained=True)
        return JoinedSource(self.train_data(), self._source("valid", trained=True))

    def build_model(self) -> nn.Module:
        model, num_classes = self.options.model, len(self.class_names)
        if isinstance(model, ImportedModel):
            return build_imported(model)
        if isinstance(model, MLPOptions):
            own = isinstance(self._images, OwnData)
            shape = self.arrays["input_shape"] if own else self.arrays["train_inputs"].shape
            return MLP(in_features=int(shape[-1]), out_features=num_classes, **model.arguments)
        assert self._images is not None
        network = ResNet if isinstance(model, ResNetOptions) else CNN
        return network(in_channels=len(self._images.mean), num_classes=num_classes, **model.arguments)

    def output_shape(self, batch: Batch) -> tuple[int, ...]:
        return len(batch[0]), len(self.class_names)

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        return self._loss.mean(outputs, batch)

    def loss_weight(self, batch: Batch) -> Tensor:
        return self._loss.weight(batch)

    def built_in_metrics(self) -> ClassificationMetrics:
        self._last_metrics = ClassificationMetrics(len(self.class_names))
        return self._last_metrics

    def images(self, model: nn.Module, device: torch.device) -> dict[str, np.ndarray]:
        """`confusion`: the confusion matrix of the last validation."""
        if self._last_metrics is None:
            return {}
        return {"confusion": confusion_picture(self._last_metrics.confusion(), self.class_names)}

    def data_picture(self) -> np.ndarray | None:
        images, source = self._images, self.train_data()
        if images is None or (isinstance(images, OwnData) and len(images.input_shape) != 3):
            return None
        data = self.options.data
        shown = data.shown_channels if isinstance(data, ImageOptions) else FIRST_CHANNELS
        return sheet_of(source, images.mean, images.std, self.class_names, with_masks=False, shown=shown)

    def _source(self, *parts: str, trained: bool) -> Source:
        loss = self.options.loss
        mixup = loss.mixup if trained and isinstance(loss, LossOptions) else 0.0
        if self._images is None:
            rows, labels = (self.arrays[f"{parts[0]}_{kind}"] for kind in ("inputs", "targets"))
            return RowSource(rows, labels, mixup)
        images = self._images
        if isinstance(images, OwnData):
            return images.source(parts[0])
        augment = self.options.augment if trained else None
        return ClassificationSource(images.samples(*parts), images.mean, images.std, augment, mixup)

    def _class_weights(self, loss: LossOptions) -> np.ndarray | None:
        weights = loss.class_weights
        if weights == "balanced":
            return balanced_weights(self.arrays["class_counts"])
        return None if weights == "none" else given_class_weights(weights, self.class_names)
