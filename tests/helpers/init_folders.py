"""Small data of each kind that the program reads, as people have them: made in a folder by name."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

NUM = 16
TRAIN = 12
PALETTE = np.array([(0, 0, 0), (128, 0, 0), (0, 128, 0)], np.uint8)
Size = tuple[int, int]


def image(file: Path, number: int, size: Size = (32, 24), *, grey: bool = False) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    shape = (height, width) if grey else (height, width, 3)
    Image.fromarray(np.random.default_rng(number).integers(0, 255, shape, dtype=np.uint8)).save(file)


def mask(
    file: Path, labels: Sequence[int] = (0, 1, 2), size: Size = (32, 24), *, coloured: bool = False
) -> None:
    """Vertical stripes of these labels."""
    file.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    row = np.array(labels, np.uint8)[np.arange(width) * len(labels) // width]
    pixels = np.repeat(row[None], height, axis=0)
    Image.fromarray(PALETTE[pixels] if coloured else pixels).save(file)


def _part(number: int) -> str:
    return "train" if number < TRAIN else "val"


def _lists(folder: Path, name: Callable[[int], str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.txt").write_text("\n".join(map(name, range(TRAIN))))
    (folder / "val.txt").write_text("\n".join(map(name, range(TRAIN, NUM))))


def pairs(root: Path, images: str = "images/{}.png", masks: str = "masks/{}.png", **options: object) -> None:
    """Images and masks under these names, in which `{part}` is train or val."""
    grey = bool(options.pop("grey", False))
    size = options.get("size", (32, 24))
    for number in range(NUM):
        name, part = f"{number:03}", _part(number)
        image(root / images.format(name, part=part), number, size, grey=grey)  # type: ignore[arg-type]
        mask(root / masks.format(name, part=part), **options)  # type: ignore[arg-type]


def listed(root: Path) -> None:
    pairs(root)
    _lists(root, "{:03}".format)
    (root / "classes.txt").write_text("sky\nroad\ncar\n")


def voc(root: Path) -> None:
    pairs(root, "JPEGImages/{}.jpg", "SegmentationClass/{}.png")
    _lists(root / "ImageSets/Segmentation", "{:03}".format)


def cityscapes(root: Path) -> None:
    stem = "{part}/aachen/aachen_000{}_000019_"
    pairs(
        root,
        f"leftImg8bit/{stem}leftImg8bit.png",
        f"gtFine/{stem}gtFine_labelIds.png",
        labels=(7, 8, 11, 26),
        size=(320, 160),
    )


def nnunet(root: Path) -> None:
    pairs(root, "imagesTr/case{}_0000.png", "labelsTr/case{}.png", grey=True)
    labels = {"background": 0, "liver": 1, "spleen": 2}
    described = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": NUM, "file_ending": ".png"}
    (root / "dataset.json").write_text(json.dumps(described))


def classes(root: Path, name: str = "{of}/{}.png", every: int = 2, growing: bool = False) -> None:
    for number in range(NUM):
        of = "dog" if number % every else "cat"
        size = (130 + number, 120) if growing else (32, 24)
        image(root / name.format(f"{number:03}", of=of, part=_part(number)), number, size)


def class_lists(root: Path) -> None:
    classes(root)
    _lists(root, lambda number: f"{'dog' if number % 2 else 'cat'}/{number:03}.png")


def shards(root: Path, *, masks: bool, names: Sequence[str]) -> None:
    root.mkdir(parents=True)
    for shard, name in enumerate(names):
        with tarfile.open(root / name, "w") as tar:
            for number in range(NUM):
                content = io.BytesIO()
                pixels = np.random.default_rng((shard, number)).integers(0, 255, (24, 32, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(content, "JPEG")
                target = io.BytesIO(str(number % 3).encode())
                if masks:
                    target = io.BytesIO()
                    Image.fromarray(np.repeat(np.arange(32, dtype=np.uint8)[None] // 12, 24, 0)).save(
                        target, "PNG"
                    )
                for suffix, member in (("jpg", content), ("mask.png" if masks else "cls", target)):
                    info = tarfile.TarInfo(f"{number:04}.{suffix}")
                    info.size = len(member.getvalue())
                    tar.addfile(info, io.BytesIO(member.getvalue()))


def table(file: Path, header: str, rows: Sequence[Sequence[object]], delimiter: str = ",") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = [header.split(","), *([str(cell) for cell in row] for row in rows)]
    file.write_text("\n".join(delimiter.join(cells) for cells in lines) + "\n")


def numbers(count: int = 120) -> list[tuple[float, float]]:
    return [tuple(row) for row in np.random.default_rng(0).normal(size=(count, 2)).round(4).tolist()]
