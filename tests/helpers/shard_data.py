"""Small shards for tests; worker processes import this, so it imports little."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from trainables.shards import Sample, ShardIndex, ShardSource, ShardWriter, find_shards, index_shards


def npy(value) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(value))
    return file.getvalue()


def png(pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def pictures(folder: Path, num_train: int = 20, num_valid: int = 6, side: int = 8) -> Path:
    """Shards of grey levels with noise; the class says how bright."""
    rng = np.random.default_rng(0)
    for part, count in (("train", num_train), ("valid", num_valid)):
        with ShardWriter(folder, part, per_shard=6) as writer:
            for number in range(count):
                pixels = rng.integers(0, 60, (side, side, 3)) + 90 * (number % 3)
                content = {"png": png(pixels.astype(np.uint8)), "cls": str(number % 3).encode()}
                writer.write(f"{part}{number:03d}", content)
    return folder


def numbered_shards(folder: Path, counts: Sequence[int], prefix: str = "train") -> list[Path]:
    """Shards with so many samples each, whose .npy numbers them through and whose .cls is that modulo 3."""
    files, number = [], 0
    for shard, count in enumerate(counts):
        with ShardWriter(folder, f"{prefix}-{shard:02d}", per_shard=10**6) as writer:
            for _ in range(count):
                writer.write(f"{number:05d}", {"npy": npy(number), "cls": str(number % 3).encode()})
                number += 1
        files += writer.files
    return files


def index_of(folder: Path) -> ShardIndex:
    return index_shards(find_shards(str(folder)))[0]


def numbers_of(samples: Sequence[Sample], randoms: np.ndarray | None):
    """A batch: the numbers of the samples, and their random numbers."""
    numbers = torch.tensor([int(sample.array("npy")) for sample in samples])
    return numbers, torch.zeros(len(samples), 0) if randoms is None else torch.from_numpy(randoms)


def number_of(sample: Sample) -> int:
    return int(sample.array("npy"))


def source_of(folder: Path, shuffle: int = 10) -> ShardSource:
    return ShardSource(index_of(folder), numbers_of, shuffle=shuffle, num_randoms=2)


def squares(
    folder: Path, num_train: int = 24, num_valid: int = 8, per_shard: int = 7, size: int = 16
) -> Path:
    """Shards of images with a bright rectangle that is class 1, JPEG and PNG; returns the folder."""
    rng = np.random.default_rng(0)
    for part, count in (("train", num_train), ("valid", num_valid)):
        with ShardWriter(folder, part, per_shard=per_shard) as writer:
            for number in range(count):
                mask = np.zeros((size, size), np.uint8)
                left = int(rng.integers(size - 6))
                mask[:, left : left + 6] = 1
                image = (mask[..., None] * 120 + rng.integers(0, 100, (size, size, 3))).astype(np.uint8)
                file = io.BytesIO()
                Image.fromarray(image).save(file, "JPEG")
                writer.write(f"{part}{number:04d}", {"jpg": file.getvalue(), "mask.png": png(mask)})
    return folder


def tar_of(file: Path, members: Sequence[tuple[tarfile.TarInfo | str, bytes]], **options) -> Path:
    """A tar file of these members as they are."""
    with tarfile.open(file, "w", **options) as archive:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file
