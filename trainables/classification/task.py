"""The classification task: what the trainer asks for, put together from this package's parts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.classification.confusion_picture import confusion_picture
from trainables.classification.data import load_arrays, read_class_sheets
from trainables.classification.loss import ClassificationLoss, balanced_weights
from trainables.classification.metrics import ClassificationMetrics
from trainables.classification.options import (
    ClassCSVOptions,
    ClassificationOptions,
    ClassShardsOptions,
    ImagesOptions,
)
from trainables.data.source import Batch, JoinedSource
from trainables.data.stream import Order
from trainables.images.class_shards import ShardImages
from trainables.images.class_source import ClassificationSource
from trainables.inspect.class_folder import ImageFolderInspection
from trainables.inspect.inspection import Inspection
from trainables.inspect.table import TableInspection
from trainables.networks.cnn import CNN
from trainables.networks.mlp import MLP
from trainables.networks.options import MLPOptions, ResNetOptions
from trainables.networks.resnet import ResNet
from trainables.optim.parameter_groups import Layer
from trainables.options import TrialOptions
from trainables.task import Arrays, Task


class ClassificationTask(Task):
    """Every image, or row of a table, gets a class. Batches are those of `ClassificationSource`."""

    Options = ClassificationOptions
    options: ClassificationOptions

    def __init__(self, options: TrialOptions, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(options, arrays)
        self.class_names = tuple(str(name) for name in arrays["class_names"])
        self._loss = ClassificationLoss(self._class_weights(), self.options.loss.label_smoothing)
        self._last_metrics: ClassificationMetrics | None = None

    @classmethod
    def load_data(cls, options: TrialOptions) -> Arrays:
        assert isinstance(options, ClassificationOptions)
        return load_arrays(options.data)

    @classmethod
    def inspect(cls, options: TrialOptions) -> Inspection | None:
        assert isinstance(options, ClassificationOptions)
        if isinstance(options.data, ImagesOptions):
            return ImageFolderInspection(options.data)
        if isinstance(options.data, ClassCSVOptions):
            return TableInspection(read_class_sheets(options.data), options.data, of_classes=True)
        return None

    def preprocessing(self) -> dict[str, Any]:
        return json.loads(str(self.arrays["preprocessing"]))

    def train_data(self) -> ClassificationSource:
        return self._source("train", trained=True)

    def valid_data(self) -> ClassificationSource:
        return self._source("valid", trained=False)

    def all_data(self) -> JoinedSource | ClassificationSource:
        # Augmented and mixed alike, each sample with one of its own part.
        if "train_shards" in self.arrays:
            return self._shard_source("train", "valid", trained=True)
        return JoinedSource(self.train_data(), self._source("valid", trained=True))

    @property
    def num_workers(self) -> int:
        return self.options.data.workers if isinstance(self.options.data, ClassShardsOptions) else 0

    def build_model(self) -> nn.Module:
        model, num_channels = self.options.model, self.arrays["train_inputs"].shape[-1]
        arguments: dict[str, Any] = model.model_dump(exclude={"name"})
        if isinstance(model, MLPOptions):
            return MLP(in_features=num_channels, out_features=len(self.class_names), **arguments)
        network = ResNet if isinstance(model, ResNetOptions) else CNN
        return network(in_channels=num_channels, num_classes=len(self.class_names), **arguments)

    def layers(self, model: nn.Module) -> Sequence[Layer]:
        assert isinstance(model, CNN | ResNet | MLP)
        return model.layers()

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        return self._loss.mean(outputs, batch)

    def loss_weight(self, batch: Batch) -> Tensor:
        return self._loss.weight(batch)

    def metrics(self) -> ClassificationMetrics:
        self._last_metrics = ClassificationMetrics(len(self.class_names))
        return self._last_metrics

    def images(self, model: nn.Module, device: torch.device) -> dict[str, np.ndarray]:
        """`confusion`: the confusion matrix of the last validation."""
        if self._last_metrics is None:
            return {}
        return {"confusion": confusion_picture(self._last_metrics.confusion(), self.class_names)}

    def _source(self, part: str, *, trained: bool) -> ClassificationSource:
        if "train_shards" in self.arrays:
            return self._shard_source(part, trained=trained)
        return self._source_of(self.arrays[f"{part}_inputs"], self.arrays[f"{part}_labels"], trained=trained)

    def _shard_source(self, *parts: str, trained: bool) -> ClassificationSource:
        """Of these parts, one after another."""
        assert isinstance(self.options.data, ClassShardsOptions)
        samples = ShardImages(self.arrays, parts, self.options.data)
        return self._source_of(samples.images, samples.labels, trained=trained, order=samples.order)

    def _source_of(
        self, inputs: Any, labels: Any, *, trained: bool, order: Order | None = None
    ) -> ClassificationSource:
        arrays = self.arrays
        return ClassificationSource(
            inputs,
            labels,
            order=order,
            mean=arrays.get("mean"),
            std=arrays.get("std"),
            augment=self.options.augment if trained else None,
            mixup=self.options.loss.mixup if trained else 0.0,
        )

    def _class_weights(self) -> np.ndarray | None:
        weights = self.options.loss.class_weights
        if weights == "none":
            return None
        if weights == "balanced":
            return balanced_weights(self.arrays["train_labels"], len(self.class_names))
        if len(weights) != len(self.class_names):
            raise ValueError(
                f"loss.class_weights has {len(weights)} numbers; there are {len(self.class_names)} classes: "
                f"{', '.join(self.class_names)}"
            )
        return np.array(weights)
