"""Batches of any form: tensors, and tuples, lists, mappings and dataclasses of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils.data import default_collate

from trainables.findings import a_type

Batch = Any
"""A tensor, or tuples, lists, mappings and dataclasses of tensors; by convention (inputs, targets)."""


def inputs_of(batch: Batch, task: str) -> Any:
    """What a model gets if the task does not say: the first part of a batch, or the tensor that it is.

    Raises:
        TypeError: the parts of the batch have names; it says what to override in the task.
    """
    if isinstance(batch, torch.Tensor):
        return batch
    if isinstance(batch, list | tuple) and batch:
        return batch[0]
    parts = [str(name) for name, _ in _parts(batch)]
    named = '["{}"]' if isinstance(batch, Mapping) else ".{}"
    first, second = (named.format(name) for name in (*parts, "inputs", "targets")[:2])
    of = f" of {', '.join(parts)}" if parts else ""
    raise TypeError(
        f"a batch is {a_type(batch)}{of}, and forward() takes batch[0]. Say in {task} what the "
        f"model gets, and take batch{second} for batch[1] in loss() and in update() of metrics():\n"
        "    def forward(self, model, batch):\n"
        f"        return model(batch{first})"
    )


def num_samples(batch: Batch) -> int:
    """The length of the first tensor in a batch; of several inputs, or inputs in a list, that of the targets.

    Raises:
        TypeError: there is none.
    """
    parts = list(batch) if isinstance(batch, list | tuple) else [batch]
    if parts and isinstance(parts[0], list | tuple) and not isinstance(parts[-1], torch.Tensor):
        return len(parts[0])  # images of different sizes, for one
    tensors = [parts[-1]] if parts and isinstance(parts[0], list | tuple) else _tensors(batch)
    for tensor in tensors:
        if tensor.dim():
            return len(tensor)
    raise TypeError(
        f"a batch is {a_type(batch)} without a tensor that has rows; override loss_weight() to "
        "return its number of samples"
    )


def to_device(batch: Batch, device: torch.device, channels_last: bool = False) -> Batch:
    """The batch with every tensor on `device`; image batches [N, C, H, W] in channels-last order if asked."""
    if isinstance(batch, torch.Tensor):
        if channels_last and batch.dim() == 4 and batch.is_floating_point():
            return batch.to(device, non_blocking=True, memory_format=torch.channels_last)
        return batch if batch.device == device else batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device, channels_last) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return like(batch, [to_device(value, device, channels_last) for value in batch])
    if callable(getattr(batch, "to", None)):  # as those of transformers and PyTorch Geometric
        return batch.to(device)
    if isinstance(batch, Mapping) or _is_dataclass(batch):
        return _rebuilt(batch, {key: to_device(part, device, channels_last) for key, part in _parts(batch)})
    return batch


def collated(samples: Sequence[Any]) -> Batch:
    """A batch of samples, as torch makes it; also of dataclasses."""
    if not samples or not _is_dataclass(samples[0]):
        try:
            return default_collate(list(samples))
        except (TypeError, RuntimeError) as error:
            if (lacking := sum(_holds_none(sample) for sample in samples)) > 0:
                raise TypeError(
                    f"{lacking} of {len(samples)} samples of a batch are None or hold None, which no batch "
                    "can: leave such samples out where the dataset is built, or give a number instead"
                ) from error
            raise
    parts = {name: collated([getattr(each, name) for each in samples]) for name, _ in _parts(samples[0])}
    return _rebuilt(samples[0], parts)


def _holds_none(sample: Any) -> bool:
    parts = sample if isinstance(sample, list | tuple) else [part for _, part in _parts(sample)]
    return sample is None or (not isinstance(sample, str) and any(map(_holds_none, parts)))


def like(model: list[Any] | tuple[Any, ...], values: list[Any]) -> Any:
    """The values as the list, tuple or named tuple that `model` is."""
    return type(model)(*values) if hasattr(model, "_fields") else type(model)(values)


def _is_dataclass(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _parts(batch: Any) -> list[tuple[Any, Any]]:
    """Names and values of what a mapping or a dataclass holds."""
    if isinstance(batch, Mapping):
        return list(batch.items())
    return [(field.name, getattr(batch, field.name)) for field in _fields(batch)]


def _fields(value: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(value) if _is_dataclass(value) else ()


def _rebuilt(model: Any, parts: dict[Any, Any]) -> Any:
    """A dataclass like `model` with these parts, or a dict of them."""
    if isinstance(model, Mapping):
        return parts
    names = [field.name for field in _fields(model) if field.init]
    return dataclasses.replace(model, **{name: parts[name] for name in names})


def _tensors(batch: Any) -> Iterator[torch.Tensor]:
    if isinstance(batch, torch.Tensor):
        yield batch
    elif isinstance(batch, list | tuple):
        for part in batch:
            yield from _tensors(part)
    else:
        for _, part in _parts(batch):
            yield from _tensors(part)
