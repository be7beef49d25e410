"""A training function around transformers' Trainer: a small ViT for handwritten digits.

tune-search examples/transformers_vit.yaml
"""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset, TensorDataset
from transformers import EvalPrediction, Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

import search
from examples.digits import train_digits, valid_digits
from trainables.integrations.transformers import run, training_arguments


class Digits(Dataset[dict[str, Any]]):
    """Samples as models of transformers take them."""

    def __init__(self, samples: TensorDataset) -> None:
        self._images, self._labels = samples.tensors

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"pixel_values": self._images[index].reshape(1, 8, 8), "labels": self._labels[index]}


def accuracy(found: EvalPrediction) -> dict[str, float]:
    return {"accuracy": (found.predictions.argmax(axis=-1) == found.label_ids).mean()}


def train(trial: search.Trial, lr: float = 1e-3, batch_size: int = 32, width: int = 32) -> None:
    """The Trainer's own loop, schedule and optimizer; evaluated at the end of each virtual epoch."""
    config = ViTConfig(image_size=8, patch_size=2, num_channels=1, num_labels=10, hidden_size=width,
                       num_hidden_layers=2, num_attention_heads=4, intermediate_size=2 * width,
                       hidden_dropout_prob=0.1)  # fmt: skip
    args = TrainingArguments(
        **training_arguments(trial), learning_rate=lr, per_device_train_batch_size=batch_size
    )
    data = {"train_dataset": Digits(train_digits()), "eval_dataset": Digits(valid_digits())}
    run(trial, Trainer(ViTForImageClassification(config), args, compute_metrics=accuracy, **data))


if __name__ == "__main__":
    search.alone(train)
