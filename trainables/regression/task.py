"""The regression task: what the trainer asks for, put together from this package's parts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.data.fingerprint import Fingerprint
from trainables.data.source import Batch
from trainables.imported_options import ImportedCall, ImportedModel, ImportedNumberData
from trainables.inspect.inspection import Inspection
from trainables.inspect.table import TableInspection
from trainables.networks.mlp import MLP
from trainables.options import TrialOptions
from trainables.regression.data import load_arrays, read_number_sheets
from trainables.regression.metrics import RegressionMetrics
from trainables.regression.options import HuberOptions, MAEOptions, NumberCSVOptions, RegressionOptions
from trainables.regression.own_data import OwnNumbers
from trainables.supervised.calls import ImportedLoss
from trainables.supervised.task import SupervisedTask, build_imported
from trainables.tables.read import table_fingerprint
from trainables.task import Arrays


class RegressionTask(SupervisedTask):
    """Every row gets a number. A batch is (inputs float32 [B, F] or those of a data
    set of the user's own, standardized targets float32 [B, 1])."""

    Options = RegressionOptions
    options: RegressionOptions
    output_name = "prediction"
    output_values = "standardized: times `std` plus `mean` of `target` in preprocessing.json"
    metric_names = ("mse", "rmse", "mae", "r2")

    def __init__(self, options: TrialOptions, arrays: Mapping[str, np.ndarray]) -> None:
        super().__init__(options, arrays)
        loss = self.options.loss
        self._imported = ImportedLoss(loss, None) if isinstance(loss, ImportedCall) else None

    @classmethod
    def load_data(cls, options: TrialOptions) -> Arrays:
        assert isinstance(options, RegressionOptions)
        return load_arrays(options.data)

    @classmethod
    def data_fingerprint(cls, options: TrialOptions) -> Fingerprint | None:
        assert isinstance(options, RegressionOptions)
        return table_fingerprint(options.data) if isinstance(options.data, NumberCSVOptions) else None

    @classmethod
    def inspect(cls, options: TrialOptions) -> Inspection | None:
        assert isinstance(options, RegressionOptions)
        if not isinstance(options.data, NumberCSVOptions):
            return None
        return TableInspection(read_number_sheets(options.data), options.data, of_classes=False)

    @property
    def num_workers(self) -> int:
        data = self.options.data
        return data.workers if isinstance(data, ImportedNumberData) else 0

    def preprocessing(self) -> dict[str, Any]:
        return json.loads(str(self.arrays["preprocessing"]))

    def train_data(self) -> Any:
        return self._part("train")

    def valid_data(self) -> Any:
        return self._part("valid")

    def build_model(self) -> nn.Module:
        model = self.options.model
        if isinstance(model, ImportedModel):
            return build_imported(model)
        own = isinstance(self.options.data, ImportedNumberData)
        shape = self.arrays["input_shape"].tolist() if own else self.arrays["train_inputs"].shape[1:]
        if len(shape) != 1:
            raise ValueError(
                f"model mlp takes rows of numbers, and the inputs are {list(shape)}: give model.name the "
                "path of a model that takes them"
            )
        return MLP(in_features=shape[0], out_features=1, **model.arguments)

    def output_shape(self, batch: Batch) -> tuple[int, ...]:
        return len(batch[0]), 1

    def loss(self, outputs: Any, batch: Batch) -> Tensor:
        loss, predicted, targets = self.options.loss, outputs.float(), batch[1]
        if self._imported is not None:
            return self._imported.mean(predicted, targets)
        if isinstance(loss, HuberOptions):
            return F.huber_loss(predicted, targets, delta=loss.delta)
        if isinstance(loss, MAEOptions):
            return F.l1_loss(predicted, targets)
        return F.mse_loss(predicted, targets)

    def in_units_of(self, other: SupervisedTask, outputs: Tensor, batch: Batch) -> tuple[Tensor, Batch]:
        """Standardized by the targets that the other task was trained on."""
        target = other.preprocessing()["target"]
        predicted, targets = (
            (values.double() - target["mean"]) / target["std"]
            for values in self.metric_arguments(outputs, batch)
        )
        return predicted, (batch[0], targets)

    def metric_arguments(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """Both in the target's own units."""
        target = self.preprocessing()["target"]
        mean, std = target["mean"], target["std"]
        return outputs.float() * std + mean, batch[1] * std + mean

    def _part(self, part: str) -> Any:
        data = self.options.data
        if isinstance(data, ImportedNumberData):
            target = self.preprocessing()["target"]
            return OwnNumbers(data, part, target["mean"], target["std"])
        return self.arrays[f"{part}_inputs"], self.arrays[f"{part}_targets"]

    def built_in_metrics(self) -> RegressionMetrics:
        return RegressionMetrics(float(self.arrays["target_std"]))
