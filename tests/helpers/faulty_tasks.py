"""Tasks with something wrong about their data: loaders that give nothing, or a worker that dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from tiny_tasks import DigitsTask
from torch.utils.data import DataLoader, Dataset, IterableDataset, SequentialSampler, TensorDataset


class Stream(IterableDataset[Any]):
    """Samples without a length."""

    def __init__(self, samples: TensorDataset) -> None:
        self.samples = samples

    def __iter__(self) -> Iterator[Any]:
        return (self.samples[index] for index in range(len(self.samples)))


class OneShot(IterableDataset[Any]):
    """Gives its samples to whoever asks first."""

    def __init__(self, samples: TensorDataset) -> None:
        self.samples = iter(Stream(samples))

    def __iter__(self) -> Iterator[Any]:
        return self.samples


class Overstated(IterableDataset[Any]):
    """Says that it has a hundred samples for each that it has."""

    def __init__(self, samples: TensorDataset) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return 100 * len(self.samples)

    def __iter__(self) -> Iterator[Any]:
        return iter(Stream(self.samples))


TRAINING: dict[str, Callable[[TensorDataset], Any]] = {
    "unsized": lambda samples: DataLoader(Stream(samples), batch_size=16),
    "overstated": lambda samples: DataLoader(Overstated(samples), batch_size=16),
    "short": lambda samples: DataLoader(samples, batch_size=64),
    "short, drop_last": lambda samples: DataLoader(samples, batch_size=64, drop_last=True),
    "short arrays": lambda samples: tuple(tensor[:3] for tensor in samples.tensors),
    "empty arrays": lambda samples: tuple(tensor[:0] for tensor in samples.tensors),
    "empty": lambda samples: DataLoader(TensorDataset(torch.zeros(0)), sampler=SequentialSampler([])),
    "empty, unsized": lambda samples: DataLoader(Stream(TensorDataset(torch.zeros(0)))),
    "generator": lambda samples: (sample for sample in samples),
    "one-shot": lambda samples: DataLoader(OneShot(samples), batch_size=16),
}
VALIDATION: dict[str, Callable[[TensorDataset], Any]] = {
    "empty": lambda samples: TensorDataset(torch.zeros(0)),
    "loader": lambda samples: DataLoader(samples),
    "generator": lambda samples: (sample for sample in samples),
}


class LoaderTask(DigitsTask):
    """Forty digits, given as `data.training` and `data.validation` say."""

    def train_data(self) -> Any:
        return self._as(TRAINING, "training", super().train_data())

    def valid_data(self) -> Any:
        return self._as(VALIDATION, "validation", super().valid_data())

    def _as(self, known: dict[str, Any], part: str, arrays: Any) -> Any:
        samples = TensorDataset(*(torch.tensor(array[:40]) for array in arrays))
        return known[self.options.data[part]](samples) if part in self.options.data else samples


class MortalSamples(Dataset[Any]):
    """After 30 of them the process that reads them is killed, once in all."""

    def __init__(self, x: Any, y: Any, folder: Path) -> None:
        self.x, self.y, self.folder = x, y, folder
        self.num_read = 0

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Any:
        (self.folder / f"reader-{os.getpid()}").touch()
        self.num_read += 1
        if self.num_read == 30 and self._first():
            os.kill(os.getpid(), signal.SIGKILL)
        return self.x[index], self.y[index]

    def _first(self) -> bool:
        try:
            (self.folder / "died").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class DyingWorkerTask(DigitsTask):
    """Reads sixty digits in a worker process that stays for all epochs. `model.label` changes nothing."""

    def train_data(self) -> Any:
        x, y = super().train_data()
        return DataLoader(
            MortalSamples(x[:60], y[:60], Path(self.options.data["folder"])),
            batch_size=4,
            shuffle=True,
            generator=torch.Generator().manual_seed(self.options.seed),
            num_workers=1,
            persistent_workers=True,
        )
