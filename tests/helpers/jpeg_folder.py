"""A small folder of JPEG images and masks that stay on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainables.segmentation.task import SegmentationTask


def jpeg_folder(root: Path) -> Path:
    """Eight JPEG images to train on and four to validate on, 16x16, two classes."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 8), ("val", 4)):
        for kind in ("images", "masks"):
            (root / part / kind).mkdir(parents=True)
        for number in range(count):
            mask = np.zeros((16, 16), np.uint8)
            mask[:, number : number + 6] = 1
            image = mask[..., None] * 120 + rng.integers(0, 100, (16, 16, 3), np.uint8)
            Image.fromarray(image.astype(np.uint8)).save(root / f"{part}/images/{number}.jpg")
            Image.fromarray(mask).save(root / f"{part}/masks/{number}.png")
    return root


def folder_trial(root: Path, **data: Any) -> dict[str, Any]:
    """Of images that stay on disk."""
    return {
        "data": {"source": "folder", "root": str(root), "max_memory": 0, "normalization": "imagenet", **data},
        "model": {"name": "unet", "width": 4, "depth": 1},
        "augment": {"horizontal_flip": 0.5},
        "batch_size": 2,
    }


def cut_short(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-60])


class BreakingTask(SegmentationTask):
    """A training image is lost while the first trial validates."""

    def metrics(self) -> Any:
        (Path(self.options.data.root) / "train/images/2.jpg").unlink(missing_ok=True)  # type: ignore[union-attr]
        return super().metrics()
