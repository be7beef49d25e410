"""Pictures of the best, the median and the worst trial, from their TensorBoard events."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event

from search.reports.opened import Stage
from search.study.trial import TrialRecord
from search.text import number_text

_WIDEST, _HIGHEST = 900, 900
"""Pixels of a picture in the page."""
_MOST_BYTES, _LEAST = 120_000, 200
"""Of a picture; one that is larger is made smaller, down to so many pixels of its longer side."""
_MOST_TAGS = 2
_FEWEST_TRIALS = 3


@dataclass(frozen=True)
class Picture:
    """One picture of a trial's validation."""

    which: str
    """`best`, `median` or `worst`."""
    trial: int
    caption: str
    source: str
    """As the `src` of an HTML image, the picture itself."""


def pictures_of(stage: Stage) -> list[Picture]:
    """Of trials of these three ranks the last pictures up to their best virtual epoch; empty without any."""
    return [
        Picture(which, record.number, caption, source)
        for which, record in _three(stage.ranked)
        for caption, png in _last_pictures(stage, record)
        if (source := _embedded(png)) is not None
    ]


def _three(ranked: list[TrialRecord]) -> list[tuple[str, TrialRecord]]:
    if len(ranked) < _FEWEST_TRIALS:
        return [("best", record) for record in ranked[:1]]
    return [("best", ranked[0]), ("median", ranked[len(ranked) // 2]), ("worst", ranked[-1])]


def _last_pictures(stage: Stage, record: TrialRecord) -> Iterator[tuple[str, bytes]]:
    mode = stage.config.objective.mode
    at = record.best_virtual_epoch(mode)
    assert record.lengths is not None
    last = record.lengths.end_step(at)
    newest: dict[str, tuple[int, bytes]] = {}
    for step, tag, png in _images(stage.folder.trial(record.number)):
        if step <= last and step >= newest.get(tag, (-1, b""))[0]:
            newest[tag] = step, png
    value = f"{stage.config.objective.metric} {number_text(record.value(mode))}"
    for tag, (step, png) in list(newest.items())[:_MOST_TAGS]:
        yield f"trial {record.number}, {tag} at step {step:,}; {value} at virtual epoch {at}", png


def _images(folder: Path) -> Iterator[tuple[int, str, bytes]]:
    """Step, tag and PNG of each picture in the events of a trial, in the order in which they were written."""
    for file in sorted(folder.glob("events.out.tfevents.*")):
        for raw in RawEventFileLoader(str(file)).Load():
            event = Event.FromString(raw)
            for value in event.summary.value:
                if value.HasField("image"):
                    yield event.step, value.tag, value.image.encoded_image_string


def _embedded(png: bytes) -> str | None:
    """The picture as a data URI, smaller where it is large; None if it cannot be read."""
    try:
        with Image.open(io.BytesIO(png)) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError):
        return None
    image.thumbnail((_WIDEST, _HIGHEST))
    encoded, kind = _encoded(image, "PNG"), "png"
    while len(encoded) > _MOST_BYTES and max(image.size) > _LEAST:  # photographs, and noise
        encoded, kind = _encoded(image, "JPEG"), "jpeg"
        image.thumbnail((image.width * 3 // 4, image.height * 3 // 4))
    return f"data:image/{kind};base64,{base64.b64encode(encoded).decode()}"


def _encoded(image: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format=kind, optimize=True)
    return stream.getvalue()
