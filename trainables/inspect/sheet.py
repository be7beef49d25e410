"""A sheet of samples as training gets them, for a person to see at a glance whether they were read right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trainables.data.source import Batch, BatchSource
from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.images.masks.packed import counts_of_classes
from trainables.pictures import FIRST_CHANNELS, coloured, palette, shown_channels

NUM_SAMPLES = 6
_SIDE = 240
"""Pixels of a side from which on images are thinned."""
_CELL = 2.0
"""Side of an image in inches, at 100 pixels an inch."""
_MOST_CLASSES = 40
"""Names in the legend: of the classes that occur on the sheet."""
_LONGEST_NAME = 24
_OPACITY = 0.6


@dataclass(frozen=True)
class Row:
    """Images of one row of the sheet: uint8 [H, W, 3], with a title each."""

    name: str
    images: Sequence[np.ndarray]
    titles: Sequence[str]


def sheet_of(
    source: BatchSource,
    mean: np.ndarray,
    std: np.ndarray,
    class_names: Sequence[str],
    *,
    with_masks: bool,
    overlapping: bool = False,
    shown: Sequence[int] = FIRST_CHANNELS,
) -> np.ndarray | None:
    """Some training images with their masks or classes, as they are and augmented: uint8 [H, W, 3].

    Args:
        source: of batches of images [B, C, H, W], normalized by `mean` and `std`, and masks or classes.
        overlapping: whether masks are packed classes, see `images.masks.packed`.
        shown: channels as red, green and blue.
    """
    chosen = np.unique(np.linspace(0, len(source) - 1, NUM_SAMPLES).round().astype(np.int64))
    draws = np.random.default_rng(0).random((len(chosen), source.num_randoms))
    kinds: list[tuple[str, Callable[[int], np.ndarray | None]]] = [("as read", lambda place: None)]
    if source.num_randoms:
        kinds.append(("augmented", lambda place: draws[place : place + 1]))
    rows, labels = list[Row](), set[int]()
    for kind, randoms in kinds:
        batches = [source.batch(chosen[n : n + 1], randoms(n)) for n in range(len(chosen))]
        images = [_pixels(batch, mean, std, shown) for batch in batches]
        targets = [batch[1][0].numpy() for batch in batches]
        if with_masks:
            titles = [f"{image.shape[1]}x{image.shape[0]}" for image in images]
            rows.append(Row(kind, [_thinned(image) for image in images], titles))
            overlap = len(class_names) if overlapping else None
            masked = [_overlaid(*pair, overlap) for pair in zip(images, targets, strict=True)]
            rows.append(Row(f"{kind}, with mask", masked, [""] * len(masked)))
            labels.update(*(_held(mask, overlap) for mask in targets))
        else:
            titles = [_title(batch, class_names) for batch in batches]
            rows.append(Row(kind, [_thinned(image) for image in images], titles))
    first = 1 if overlapping else 0  # the background of classes that overlap has the first colour
    names = {label: class_names[label - first] for label in sorted(labels - {IGNORE})}
    legend = names | ({IGNORE: "ignored"} if IGNORE in labels else {})
    return drawn(rows, legend, numbered=not overlapping)


def drawn(rows: Sequence[Row], legend: dict[int, str], *, numbered: bool = True) -> np.ndarray:
    """The sheet: uint8 [H, W, 3].

    Args:
        legend: names by the number of their colour.
        numbered: whether that is the number of the class too, and shown.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    shapes = [np.max([image.shape[:2] for image in row.images], axis=0) for row in rows]
    ratios = [float(np.clip(height / width, 0.25, 1.5)) for height, width in shapes]
    names = dict(list(legend.items())[:_MOST_CLASSES])
    lines = -(-len(names) // 5)
    bottom = 0.24 * lines + (0.3 if names else 0.05)
    height = _CELL * sum(ratios) + 0.25 * len(rows) + bottom
    figure = Figure(figsize=(0.4 + (_CELL + 0.1) * NUM_SAMPLES, height), dpi=100, facecolor="0.85")
    canvas = FigureCanvasAgg(figure)
    grid = figure.subplots(len(rows), NUM_SAMPLES, squeeze=False, height_ratios=ratios)
    figure.subplots_adjust(0.03, bottom / height, 0.99, 1 - 0.25 / height, wspace=0.05, hspace=0.12)
    for row, axes in zip(rows, grid, strict=True):
        for number, ax in enumerate(axes):
            ax.set_axis_off()
            if number < len(row.images):
                ax.imshow(row.images[number], interpolation="nearest", vmin=0, vmax=255)
                ax.set_title(_short(row.titles[number]), fontsize=8, pad=2, parse_math=False)
        place = axes[0].get_position()
        figure.text(
            0.01, (place.y0 + place.y1) / 2, row.name, rotation=90, ha="left", va="center", fontsize=8
        )
    if names:
        colours = palette() / 255.0
        patches = [Patch(facecolor=colours[label], edgecolor="black") for label in names]
        plain = [not numbered or label == IGNORE or name == str(label) for label, name in names.items()]
        texts = [
            _short(name if is_plain else f"{label} {name}")
            for is_plain, (label, name) in zip(plain, names.items(), strict=True)
        ]
        if len(legend) > len(names):
            patches.append(Patch(facecolor="none"))
            texts.append(f"and {len(legend) - len(names)} more")
        shown = figure.legend(patches, texts, loc="lower center", ncols=5, fontsize=9, frameon=False)
        for text in shown.get_texts():
            text.set_parse_math(False)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _held(mask: np.ndarray, overlapping: int | None) -> Sequence[int]:
    """Labels in a mask; of classes that overlap the numbers of their colours."""
    if overlapping is None:
        return np.unique(mask).tolist()
    counts = counts_of_classes(mask, overlapping)
    return [number if number == IGNORE else number + 1 for number in counts]


def _pixels(batch: Batch, mean: np.ndarray, std: np.ndarray, shown: Sequence[int]) -> np.ndarray:
    """The first image of a batch: uint8 [H, W, 3], see `shown_channels`."""
    image = shown_channels(batch[0][0].permute(1, 2, 0).numpy() * std + mean, shown)
    pixels = (image.clip(0.0, 1.0) * 255.0).round().astype(np.uint8)
    return pixels if pixels.shape[-1] == 3 else pixels[..., :1].repeat(3, axis=-1)


def _thinned(pixels: np.ndarray) -> np.ndarray:
    step = -(-max(pixels.shape[:2]) // _SIDE)
    return pixels[::step, ::step]


def _overlaid(image: np.ndarray, mask: np.ndarray, overlapping: int | None) -> np.ndarray:
    """The image in grey, with the colours of its mask over it."""
    grey, labels = _thinned(image).mean(axis=-1, keepdims=True), _thinned(mask)
    opacity = np.where(labels == IGNORE, 1.0, _OPACITY)[..., None]
    return (grey * (1 - opacity) + coloured(labels, overlapping) * opacity).round().astype(np.uint8)


def _title(batch: Batch, class_names: Sequence[str]) -> str:
    """The class of a sample; with mixup both, and the share of the first."""
    names = [class_names[int(labels[0])] if labels[0] >= 0 else "skipped" for labels in batch[1:3]]
    return names[0] if len(batch) < 4 else f"{float(batch[3][0]):.0%} {names[0]}, else {names[1]}"


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
