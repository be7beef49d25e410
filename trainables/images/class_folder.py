"""A folder of images for each class: found, split and decoded, or refused with the file that is wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from trainables.classification.options import ImagesOptions
from trainables.images.images import num_threads, read_image

SUFFIXES = (".png", ".jpg", ".jpeg")
VALID_NAMES = ("val", "valid", "validation")
SHOWN = 10
"""Problems that one message lists."""

Files = Mapping[str, Sequence[Path]]
"""Images by class, both sorted by name."""


@dataclass(frozen=True)
class ImageFolder:
    """Decoded images, uint8 [N, H, W, C], and labels, int64 [N], of training and of validation."""

    inputs: tuple[np.ndarray, np.ndarray]
    labels: tuple[np.ndarray, np.ndarray]
    class_names: list[str]


def load_image_folder(options: ImagesOptions) -> ImageFolder:
    """Decode every image.

    Raises:
        ValueError: naming the folder that is none of the layouts, or each file that cannot be used.
    """
    root = Path(options.root).expanduser()
    train, valid = find_images(root, valid_fraction=options.valid_fraction, seed=options.split_seed)
    names = list(train)
    files = [[file for name in names for file in part.get(name, ())] for part in (train, valid)]
    images = _decode([*files[0], *files[1]], options)
    cut = len(files[0])
    of_train, of_valid = (
        np.array([number for number, name in enumerate(names) for _ in part.get(name, ())], np.int64)
        for part in (train, valid)
    )
    return ImageFolder((images[:cut], images[cut:]), (of_train, of_valid), names)


def find_images(root: Path, *, valid_fraction: float, seed: int) -> tuple[Files, Files]:
    """The images of training and of validation by class.

    Without a folder for each, every class gives its share to validation, the names with the smallest hashes:
    the same ones wherever the folder lies, and whatever is added to other classes.

    Raises:
        ValueError: if the folder has no known layout, a class is empty or stands in validation only, or a
            file leads out of the folder.
    """
    if not root.is_dir():
        raise ValueError(f"data.root is {root}; it must be a folder with a folder of images for each class")
    if (root / "train").is_dir():
        valid_root = next((root / name for name in VALID_NAMES if (root / name).is_dir()), None)
        if valid_root is None:
            wanted = ", ".join(f"{name}/" for name in VALID_NAMES)
            raise ValueError(f"{root}: has train/ and none of {wanted}; a split folder needs both")
        train, valid = _classes(root, root / "train"), _classes(root, valid_root)
        unknown = [name for name in valid if name not in train]
        if unknown:
            raise ValueError(
                f"{valid_root / unknown[0]}: is a class that {root / 'train'} lacks, of {len(unknown)} such; "
                f"validation must have classes of the training: {_some(train)}"
            )
    else:
        train, valid = _split(_classes(root, root), valid_fraction, seed)
    if len(train) < 2:
        raise ValueError(f"{root}: holds the one class {next(iter(train))!r}; there must be two at least")
    if not any(valid.values()):
        raise ValueError(f"{root}: each class has one image; training and validation need one each at least")
    return train, valid


def _split(classes: Files, valid_fraction: float, seed: int) -> tuple[Files, Files]:
    train: dict[str, list[Path]] = {}
    valid: dict[str, list[Path]] = {}
    for name, files in classes.items():
        count = min(max(1, round(valid_fraction * len(files))), len(files) - 1)
        chosen = set(sorted(files, key=lambda file: _rank(file, seed))[:count])
        train[name] = [file for file in files if file not in chosen]
        valid[name] = [file for file in files if file in chosen]
    return train, valid


def _rank(file: Path, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{file.parent.name}/{file.name}".encode()).digest()


def _classes(root: Path, folder: Path) -> Files:
    """Images of each folder in this one; hidden entries are left out, and files that are no images."""
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    loose = [entry for entry in entries if entry.is_file() and _is_image(entry)]
    if loose:
        raise ValueError(
            f"{loose[0]}: lies in no class; images must lie in a folder of a class: {folder.name}/<class>/"
        )
    classes = {entry.name: _images(root, entry) for entry in entries if entry.is_dir()}
    if not classes:
        raise ValueError(f"{folder}: holds no folders; it must hold one for each class")
    return classes


def _images(root: Path, folder: Path) -> list[Path]:
    _check_inside(root, folder)
    files = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            raise ValueError(
                f"{entry}: is a folder inside of a class; its images must lie in {folder} itself"
            )
        if _is_image(entry):
            _check_inside(root, entry)
            files.append(entry)
    if not files:
        raise ValueError(f"{folder}: holds no PNG or JPEG image; fill it, or remove the class")
    return files


def _is_image(file: Path) -> bool:
    suffix = file.suffix.lower()
    if suffix in SUFFIXES:
        return True
    if suffix in Image.registered_extensions():
        raise ValueError(f"{file}: is {suffix}; images must be PNG or JPEG")
    return False


def _check_inside(root: Path, path: Path) -> None:
    resolved = path.resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise ValueError(f"{path}: leads to {resolved}, outside of data.root {root}; copy it into the folder")


def _decode(files: Sequence[Path], options: ImagesOptions) -> np.ndarray:
    """uint8 [N, H, W, C], or an error that names every file that cannot be decoded."""

    def read(file: Path) -> np.ndarray | ValueError:
        try:
            pixels = read_image(file, options.channels)
        except ValueError as error:
            return error
        return pixels if options.resize is None else resized(pixels, options.resize)

    stacked: np.ndarray | None = None
    problems: list[str] = []
    with ThreadPoolExecutor(num_threads()) as pool:
        first = files[0]
        for number, (file, pixels) in enumerate(zip(files, pool.map(read, files), strict=True)):
            if isinstance(pixels, ValueError):
                problems.append(str(pixels))
                continue
            if stacked is None:
                first, stacked = file, _room(len(files), pixels.shape, options.max_memory)
            if pixels.shape == stacked.shape[1:]:
                stacked[number] = pixels
            elif len(problems) <= SHOWN:
                sizes = (
                    f"{pixels.shape[1]}x{pixels.shape[0]}, and {first} {stacked.shape[2]}x{stacked.shape[1]}"
                )
                problems.append(
                    f"{file}: is {sizes}; all must have one size: set data.resize to a side in pixels"
                )
    if problems or stacked is None:
        if len(problems) == 1:
            raise ValueError(problems[0])
        more = f"\n… and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        listed = "\n".join(problems[:SHOWN])
        raise ValueError(f"{len(problems)} of {len(files)} images are wrong:\n{listed}{more}")
    return stacked


def _room(number: int, shape: tuple[int, ...], max_memory: int) -> np.ndarray:
    needed = number * int(np.prod(shape))
    if needed > max_memory:
        raise ValueError(
            f"{number} images of {shape[1]}x{shape[0]} take {needed:,} bytes and data.max_memory is "
            f"{max_memory:,}; set data.resize to a smaller side, or raise data.max_memory"
        )
    return np.empty((number, *shape), np.uint8)


def resized(pixels: np.ndarray, side: int) -> np.ndarray:
    """The shorter side scaled to `side`, and the middle square."""
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    fitted = ImageOps.fit(image, (side, side), method=Image.Resampling.BILINEAR)
    return np.asarray(fitted).reshape(side, side, pixels.shape[-1])


def _some(names: Files) -> str:
    listed = list(names)
    return ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")
