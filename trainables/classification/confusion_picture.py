"""A confusion matrix as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

CELL, GAP, MARGIN, FONT_SIZE = 44, 1, 10, 14
LONGEST_NAME = 24
"""Characters of a class's name that are shown."""
MOST_CLASSES = 30
"""Rows and columns; of more classes those with the most errors are shown, the rest together."""
WHITE, BLACK, GREY = (255, 255, 255), (0, 0, 0), (225, 225, 225)
RIGHT, WRONG = (8, 81, 156), (165, 15, 21)
"""Blue of the diagonal and red beside it, where all samples of a row are."""


def confusion_picture(confusion: np.ndarray, class_names: Sequence[str]) -> np.ndarray:
    """Rows the truth, columns the prediction; numbers are samples, colours their share of the row.

    Args:
        confusion: int64 [K, K].
        class_names: K names.

    Returns:
        uint8 [H, W, 3].
    """
    confusion, names = _fewer(confusion, [_short(name) for name in class_names])
    font = ImageFont.load_default(FONT_SIZE)
    longest = max(int(font.getlength(name)) for name in names) + MARGIN
    title = FONT_SIZE + MARGIN
    left, top = title + longest + MARGIN, title + longest + MARGIN
    side = len(names) * CELL
    picture = Image.new("RGB", (left + side + MARGIN, top + side + MARGIN), WHITE)
    draw = ImageDraw.Draw(picture)
    draw.text((left + side // 2, MARGIN), "predicted", BLACK, font, anchor="ma")
    _upright(picture, "true", font, (MARGIN, top + side // 2))
    for number, name in enumerate(names):
        middle = number * CELL + CELL // 2
        draw.text((left - MARGIN, top + middle), name, BLACK, font, anchor="rm")
        if font.getlength(name) < CELL - 6:
            draw.text((left + middle, top - MARGIN), name, BLACK, font, anchor="ms")
        else:
            length = int(font.getlength(name))
            _upright(picture, name, font, (left + middle - FONT_SIZE // 2, top - MARGIN - length // 2))
    _cells(draw, confusion, font, (left, top))
    return np.asarray(picture)


def _cells(draw: ImageDraw.ImageDraw, confusion: np.ndarray, font: Font, corner: tuple[int, int]) -> None:
    totals = confusion.sum(axis=1)
    for row, column in np.ndindex(*confusion.shape):
        count = int(confusion[row, column])
        share = count / totals[row] if totals[row] else 0.0
        x, y = corner[0] + column * CELL, corner[1] + row * CELL
        colour = _blend(RIGHT if row == column else WRONG, share)
        draw.rectangle((x, y, x + CELL - GAP, y + CELL - GAP), colour, outline=GREY)
        if count:
            shade = WHITE if share > 0.5 else BLACK
            draw.text((x + CELL // 2, y + CELL // 2), _shown(count), shade, font, anchor="mm")


def _blend(colour: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """White for 0, the colour for 1; even a small share is seen."""
    strength = share**0.5
    red, green, blue = (round(255 + (channel - 255) * strength) for channel in colour)
    return red, green, blue


def _shown(count: int) -> str:
    """At most four characters, to fit into a cell."""
    for unit, size in (("M", 1_000_000), ("k", 1_000)):
        if count >= 10 * size:
            return f"{count // size}{unit}"
    return str(count)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _upright(picture: Image.Image, text: str, font: Font, at: tuple[int, int]) -> None:
    """Draw text that reads from below; `at` is the middle of its left edge."""
    size = int(font.getlength(text)) + 2, FONT_SIZE + 6
    strip = Image.new("RGB", size, WHITE)
    ImageDraw.Draw(strip).text((1, size[1] // 2), text, BLACK, font, anchor="lm")
    picture.paste(strip.rotate(90, expand=True), (at[0], at[1] - size[0] // 2))


def _fewer(confusion: np.ndarray, names: list[str]) -> tuple[np.ndarray, list[str]]:
    """With more classes than can be read, those with the most errors and all others together."""
    if len(names) <= MOST_CLASSES:
        return confusion, names
    errors = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * confusion.diagonal()
    kept = np.sort(np.argsort(-errors, kind="stable")[: MOST_CLASSES - 1])
    group = np.full(len(names), len(kept))
    group[kept] = np.arange(len(kept))
    fewer = np.zeros((MOST_CLASSES, MOST_CLASSES), np.int64)
    np.add.at(fewer, (group[:, None], group[None, :]), confusion)
    return fewer, [*(names[number] for number in kept), f"{len(names) - len(kept)} others"]
