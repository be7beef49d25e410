"""Small data that tests change between two runs of a search, and tasks that read them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from mask_folders import write
from tiny_tasks import DigitsTask

from trainables.data.fingerprint import of_files


def make_images(root: Path, first: int, end: int) -> None:
    """Images and masks numbered from `first`, without `end`."""
    for number in range(first, end):
        write(root, f"{number:03d}", seed=number, size=(16, 16))


def images_config(root: Path, **changes: Any) -> dict[str, Any]:
    """A search over segmentations of the images in `root`; `changes` replace whole sections."""
    data = {"source": "folder", "root": str(root), "num_classes": 3, **changes.pop("data", {})}
    return {
        "name": "run",
        "task": "segmentation",
        "objective": {"metric": "miou", "mode": "max"},
        "trial": {
            "data": data,
            "model": {"name": "unet", "width": 2, "depth": 1},
            "optimizer": {"lr": {"loguniform": [1e-3, 1e-1]}},
            "batch_size": 4,
        },
        "virtual_epoch": {"steps": 2},
        "budget": {"trials": 3, "max_virtual_epochs": 3},
        "checkpoint": {"keep_trials": 9},
        **changes,
    }


def table(file: Path, rows: int) -> None:
    lines = [f"{number},{number % 7},{number * 0.5}" for number in range(rows)]
    file.write_text("a,b,target\n" + "\n".join(lines) + "\n")


def keep_time(file: Path, content: bytes) -> None:
    """Other contents of the same size, as if they had been written when the others were."""
    before = file.stat()
    assert len(content) == before.st_size
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


class FileTask(DigitsTask):
    """Digits of the rows that a file names, decoded by `load_data`; weights are named by an option."""

    @classmethod
    def load_data(cls, options: Any) -> dict[str, np.ndarray]:
        arrays = super().load_data(options)
        number = int(Path(options.data["rows"]).read_text())
        return {**arrays, "x": arrays["x"] * number}

    @classmethod
    def prepare(cls, options: Any, arrays: Any) -> dict[str, np.ndarray]:
        return {"mean": arrays["x"].mean(keepdims=True)}

    def metrics(self) -> Any:
        assert np.isclose(self.arrays["mean"], self.arrays["x"].mean()), "prepared for other data"
        return super().metrics()


class TextTask(DigitsTask):
    """Gives a text of its own as a fingerprint."""

    @classmethod
    def data_fingerprint(cls, options: Any) -> Any:
        return Path(options.data["version"]).read_text()


class ListTask(DigitsTask):
    """Gives the fingerprint of files."""

    @classmethod
    def data_fingerprint(cls, options: Any) -> Any:
        root = Path(options.data["root"])
        return of_files({"recordings": sorted(root.iterdir())}, root)


class WrongTask(DigitsTask):
    @classmethod
    def data_fingerprint(cls, options: Any) -> Any:
        return ["a.wav"]


class ElsewhereTask(DigitsTask):
    """Reads its data where the search does not look."""

    @classmethod
    def load_data(cls, options: Any) -> dict[str, np.ndarray]:
        return {}

    def train_data(self) -> Any:
        return tuple(array[:1200] for array in DigitsTask.load_data(self.options).values())

    def valid_data(self) -> Any:
        return tuple(array[1200:] for array in DigitsTask.load_data(self.options).values())
