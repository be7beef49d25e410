"""A folder of images and masks with every kind of damage that people's data have, written file by file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from search.commands.check_data import DataCheck

SIZE = (24, 32)
"""Height and width."""
NUM_TRAIN, NUM_VALID = 28, 8


def intact_folder(root: Path) -> Path:
    """Street scenes in small: road, car and sky, 28 to train on and 8 to validate on."""
    for part, count, first in (("train", NUM_TRAIN, 0), ("val", NUM_VALID, 100)):
        for kind in ("images", "masks"):
            (root / part / kind).mkdir(parents=True)
        for number in range(count):
            write_pair(root, f"{part}/{{}}/{number:03}", seed=first + number)
    (root / "classes.txt").write_text("road\ncar\nsky\n")
    return root


def write_pair(root: Path, name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros(SIZE, np.uint8)
    mask[: 8 + seed % 5] = 2
    mask[14:20, 4 + seed % 8 : 16] = 1
    mask[-1] = 255
    colours = np.array([[90, 90, 90], [200, 40, 40], [120, 160, 230]], np.uint8)[mask.clip(0, 2)]
    noise = rng.integers(0, 30, (*SIZE, 3), np.uint8)
    Image.fromarray(colours + noise).save(root / f"{name.format('images')}.png")
    Image.fromarray(mask).save(root / f"{name.format('masks')}.png")


def mask_of(root: Path, name: str) -> np.ndarray:
    return np.asarray(Image.open(root / f"{name}.png")).copy()


def save_mask(root: Path, name: str, labels: np.ndarray) -> None:
    Image.fromarray(labels).save(root / f"{name}.png")


def _image_cut_short(root: Path) -> None:
    file = root / "train/images/000.png"
    file.write_bytes(file.read_bytes()[:-200])


def _text_for_an_image(root: Path) -> None:
    (root / "train/images/001.png").write_text("<html>404 Not Found</html>")


def _link_to_nowhere(root: Path) -> None:
    file = root / "train/masks/002.png"
    file.unlink()
    file.symlink_to("nowhere.png")


def _empty_files(root: Path) -> None:
    (root / "train/images/003.png").write_bytes(b"")
    (root / "val/masks/001.png").write_bytes(b"")


def _mask_with_colours(root: Path) -> None:
    file = root / "train/masks/004.png"
    colours = np.array([[0, 0, 0], [128, 64, 128], [70, 130, 180]], np.uint8)
    Image.fromarray(colours[np.minimum(np.asarray(Image.open(file)), 2)]).save(file)


def _sizes_that_differ(root: Path) -> None:
    file = root / "train/masks/005.png"
    Image.open(file).resize((16, 12), Image.Resampling.NEAREST).save(file)


def _labels_that_are_no_class(root: Path) -> None:
    labels = mask_of(root, "train/masks/006")
    labels[0, :20], labels[1, :3] = 37, 41
    save_mask(root, "train/masks/006", labels)
    save_mask(root, "val/masks/002", np.full(SIZE, 300, np.uint16))


def _mask_saved_as_jpeg(root: Path) -> None:
    file = root / "train/masks/007.png"
    Image.open(file).save(file.with_suffix(".jpg"))
    file.unlink()


def _lost_masks(root: Path) -> None:
    for number in range(8, 13):
        (root / f"train/masks/{number:03}.png").unlink()


def _lost_image(root: Path) -> None:
    (root / "val/images/003.png").unlink()


def _training_image_in_validation(root: Path) -> None:
    """The same pixels in another file."""
    Image.open(root / "train/images/020.png").save(root / "val/images/004.png", compress_level=0)


def _mask_of_ignored_pixels(root: Path) -> None:
    save_mask(root, "train/masks/013", np.full(SIZE, 255, np.uint8))


def _binary_mask(root: Path) -> None:
    save_mask(
        root, "train/masks/014", np.where(mask_of(root, "train/masks/014") == 1, 255, 0).astype(np.uint8)
    )


def _images_in_other_modes(root: Path) -> None:
    for number, mode in ((15, "RGBA"), (16, "L")):
        file = root / f"train/images/{number:03}.png"
        Image.open(file).convert(mode).save(file)


def _class_that_is_not_validated(root: Path) -> None:
    for file in (root / "val/masks").iterdir():
        name = f"val/masks/{file.stem}"
        if file.stat().st_size and (labels := mask_of(root, name)).dtype == np.uint8:
            save_mask(root, name, np.where(labels == 1, 0, labels).astype(np.uint8))


DAMAGE: list[tuple[Callable[[Path], None], str, set[str]]] = [
    (_image_cut_short, "unreadable file", {"train/images/000.png"}),
    (_text_for_an_image, "unreadable file", {"train/images/001.png"}),
    (_link_to_nowhere, "unreadable file", {"train/masks/002.png"}),
    (_empty_files, "empty file", {"train/images/003.png", "val/masks/001.png"}),
    (_mask_with_colours, "mask with colours", {"train/masks/004.png"}),
    (_sizes_that_differ, "sizes differ", {"train/masks/005.png"}),
    (_labels_that_are_no_class, "label out of range", {"train/masks/006.png", "val/masks/002.png"}),
    (_mask_saved_as_jpeg, "mask saved with loss", {"train/masks/007.jpg"}),
    (_lost_masks, "image without a mask", {f"train/images/{n:03}.png" for n in range(8, 13)}),
    (_lost_image, "mask without an image", {"val/masks/003.png"}),
    (_training_image_in_validation, "data leakage", {"val/images/004.png"}),
    (_mask_of_ignored_pixels, "only ignored pixels", {"train/masks/013.png"}),
    (_binary_mask, "mask of 0 and 255", {"train/masks/014.png"}),
    (_images_in_other_modes, "converted image", {"train/images/015.png", "train/images/016.png"}),
    (_class_that_is_not_validated, "class without samples", {"class car"}),
]
"""What does it, the kind that it is, and the files that are to be named."""


def broken_folder(root: Path) -> Path:
    """All of it in one folder."""
    intact_folder(root)
    for spoil, _, _ in DAMAGE:
        spoil(root)
    return root


def folder_config(root: Path, **data: object) -> dict[str, object]:
    return {
        "name": "streets",
        "task": "segmentation",
        "objective": {"metric": "miou", "mode": "max"},
        "trial": {"data": {"source": "folder", "root": str(root), **data}},
        "virtual_epoch": {"epochs": 1},
        "budget": {"trials": 1, "max_virtual_epochs": 1},
    }


def named(found: DataCheck, kind: str) -> set[str]:
    """Files of the findings of one kind, below the folder of the data."""
    return {f.where.removeprefix(f"{found.root}/") for f in found.findings if f.kind.name == kind}


def messages(found: DataCheck) -> list[str]:
    return [finding.message for finding in found.findings]
