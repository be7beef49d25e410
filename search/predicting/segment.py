"""Masks of images: as PNG with a palette, and overlays and probabilities beside them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from torch import Tensor

from search.errors import RefusedError
from search.predicting.images import InputImage, Pixels, read_images, same_sizes
from search.predicting.inputs import InputRecord
from trainables.data.threads import in_threads, num_threads
from trainables.files import atomic_file, atomic_write
from trainables.images.masks.packed import packed
from trainables.pictures import coloured, palette, shown_channels
from trainables.predicting.inference import Inference
from trainables.predicting.model import MemoryLimitError, OutputError, memory_limits
from trainables.predicting.segmenter import Segmenter

CLASSES = "classes.json"


@dataclass(frozen=True)
class Layout:
    """Where what is predicted of an image lies."""

    out: Path
    inference: Inference

    @property
    def is_multilabel(self) -> bool:
        return self.inference.labels == "multilabel"

    @property
    def palette(self) -> np.ndarray:
        """The colour of each number in a mask: uint8 [256, 3]."""
        colours = palette()
        if self.inference.colours is not None:
            colours[: len(self.inference.colours)] = self.inference.colours
        return colours

    def coloured(self, labels: np.ndarray) -> np.ndarray:
        """Classes uint8 [H, W], or those that may overlap [H, W, K], as colours uint8 [H, W, 3]."""
        if labels.ndim == 2:
            return coloured(labels, colours=self.palette)
        return coloured(packed(list(np.moveaxis(labels.astype(bool), -1, 0))), labels.shape[-1])

    def masks(self, image: InputImage) -> list[Path]:
        """One file, or one for each of the classes that may overlap."""
        folders = class_folders(self.inference.classes or ()) if self.is_multilabel else [""]
        return [self.out / "masks" / folder / f"{image.stem}.png" for folder in folders]

    def overlay(self, image: InputImage) -> Path:
        return self.out / "overlays" / f"{image.stem}.png"

    def probabilities(self, image: InputImage) -> Path:
        return self.out / "probabilities" / f"{image.stem}.npy"

    def read(self, image: InputImage) -> np.ndarray:
        """The predicted masks: uint8 [H, W] of classes, or bool [H, W, K] of classes that may overlap."""
        # Not Image.open, which refuses more pixels than an image of a stranger may have.
        planes = [np.asarray(PngImagePlugin.PngImageFile(file)) for file in self.masks(image)]
        return planes[0] if self.inference.labels == "multiclass" else np.stack(planes, axis=-1).astype(bool)


def class_folders(classes: Sequence[str]) -> list[str]:
    """The folder of each class below `masks/`: its name, but a slash, and a point with which it begins, is _.

    Raises:
        RefusedError: two classes would have one.
    """
    found = {name: re.sub(r"^\.|/|\0", "_", name) or "_" for name in classes}
    for name, folder in found.items():
        if same := [other for other in found if other != name and found[other] == folder]:
            raise RefusedError(
                f"the masks of the classes {name!r} and {same[0]!r} would both be masks/{folder}: rename "
                "one of them in `classes` of the export's inference.json"
            )
    return list(found.values())


@dataclass(frozen=True)
class Wanted:
    """What is written beside masks."""

    overlay: bool = False
    probabilities: bool = False


def segment(
    model: Segmenter,
    images: Sequence[InputImage],
    layout: Layout,
    wanted: Wanted,
    progress: Callable[[int, int], None],
) -> tuple[int, int, dict[str, str]]:
    """Predict the images that have no mask yet, or have changed since.

    Args:
        progress: called with the number of images that are done, and of all.

    Returns:
        How many were predicted, how many were there, and what is wrong with each of the others.
    """
    atomic_write(layout.out / CLASSES, json.dumps({"classes": list(model.classes.tolist())}, indent=2) + "\n")
    record = InputRecord(layout.out, images)
    todo = [image for image in images if not (record.is_same(image) and _is_there(image, layout, wanted))]
    kept = len(images) - len(todo)
    done, failed = kept, dict[str, str]()
    for group in read_images(todo, model.read, model.batch_size):
        sound: list[tuple[InputImage, Pixels]] = []
        for image, outcome in group:
            if isinstance(outcome, ValueError):
                failed[image.name] = without_file(outcome, image)
                done += 1
            else:
                sound.append((image, outcome))
        for pairs in same_sizes(sound, lambda pixels: model.fits_a_window(*pixels.shape[:2])):
            for (image, _), problem in zip(pairs, _written(model, pairs, layout, wanted), strict=True):
                if problem:
                    failed[image.name] = problem
                else:
                    record.add([image.name])
                done += 1
                progress(done, len(images))
    return len(todo) - len(failed), kept, failed


def without_file(error: ValueError, image: InputImage) -> str:
    """What is wrong, without the name of the file before it."""
    return str(error).removeprefix(f"{image.file}: ")


def _with_way_out(error: ValueError, image: InputImage) -> str:
    way_out = "; --window 512 predicts it in parts" if isinstance(error, MemoryLimitError) else ""
    return without_file(error, image) + way_out


def _is_there(image: InputImage, layout: Layout, wanted: Wanted) -> bool:
    files = layout.masks(image)
    files += [layout.overlay(image)] if wanted.overlay else []
    files += [layout.probabilities(image)] if wanted.probabilities else []
    return all(file.is_file() for file in files)


def _written(
    model: Segmenter, pairs: Sequence[tuple[InputImage, Pixels]], layout: Layout, wanted: Wanted
) -> Iterator[str]:
    """Predict images, several of one size, and write them; yields what is wrong with each, or nothing.

    Those that are predicted together are written by threads, which mostly wait for the disk.
    """
    pixels = [each for _, each in pairs]
    logits = _together(model, pixels) if len(pairs) > 1 else None
    strips = [model.strips(each) for each in pixels] if logits is None else [iter([each]) for each in logits]

    def write(number: int) -> str:
        image = pairs[number][0]
        try:
            with memory_limits():
                _write(model, image, pixels[number], strips[number], layout, wanted)
        except ValueError as error:  # also of a value that is only now read
            return _with_way_out(error, image)
        return ""

    yield from in_threads(write, len(pairs), 1 if logits is None else min(num_threads(), len(pairs)))


def _together(model: Segmenter, pixels: Sequence[Pixels]) -> Tensor | None:
    """Logits [N, K, H, W]; None where the memory holds fewer, or one of the images gives no numbers."""
    try:
        with memory_limits():
            return model.whole(np.stack([np.asarray(each) for each in pixels]))
    except (MemoryLimitError, OutputError):
        return None


def _write(
    model: Segmenter,
    image: InputImage,
    pixels: Pixels,
    strips: Iterator[Tensor],
    layout: Layout,
    wanted: Wanted,
) -> None:
    """All files of an image, those of its masks last: with them it is done."""
    height, width = pixels.shape[:2]
    labels = np.empty((height, width, *((len(model.classes),) if model.overlapping else ())), np.uint8)
    with ExitStack() as stack:
        probabilities = None
        if wanted.probabilities:
            partial = stack.enter_context(atomic_file(_with_folder(layout.probabilities(image))))
            shape = height, width, len(model.classes)
            probabilities = np.lib.format.open_memmap(partial, mode="w+", dtype=np.float16, shape=shape)
        top = 0
        for strip in strips:
            rows = slice(top, top + strip.shape[1])
            labels[rows] = model.labels(strip)
            if probabilities is not None:
                probabilities[rows] = model.probabilities(strip)
            top += strip.shape[1]
        if probabilities is not None:
            probabilities.flush()
    if wanted.overlay:
        shown = model.inference.images.shown if model.inference.images else (0, 1, 2)
        both = overlaid(rgb_of(np.asarray(pixels), shown), layout.coloured(labels))
        with atomic_file(_with_folder(layout.overlay(image))) as partial:
            Image.fromarray(both).save(partial, format="PNG")
    planes = [labels] if not model.overlapping else np.moveaxis(labels, -1, 0)
    for file, plane in zip(layout.masks(image), planes, strict=True):
        _write_mask(_with_folder(file), np.ascontiguousarray(plane), layout)


def _write_mask(file: Path, labels: np.ndarray, layout: Layout) -> None:
    picture = Image.fromarray(labels).convert("L")
    picture.putpalette(layout.palette.tobytes())
    texts = PngImagePlugin.PngInfo()
    texts.add_text("classes", json.dumps(layout.inference.classes))
    with atomic_file(file) as partial:
        picture.save(partial, format="PNG", pnginfo=texts)


def rgb_of(pixels: np.ndarray, shown: Sequence[int]) -> np.ndarray:
    """What a picture shows of an image uint8 [H, W, C]: uint8 [H, W, 3]."""
    levels = shown_channels(pixels / np.float32(255.0), shown).clip(0.0, 1.0)
    rgb = (levels * 255.0).round().astype(np.uint8)
    return rgb if rgb.shape[-1] == 3 else rgb.repeat(3, axis=-1)


def overlaid(rgb: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """An image and the colours of its classes, half of each: uint8 [H, W, 3]."""
    both = rgb.astype(np.uint16) + colours
    return (both // 2).astype(np.uint8)


def _with_folder(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file
