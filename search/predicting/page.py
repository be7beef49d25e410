"""index.html: the worst images of a prediction beside their masks, in one file that needs no other."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from PIL import Image

from search.predicting.images import InputImage
from search.predicting.score import Scores, Truth
from search.predicting.segment import Layout, rgb_of
from search.text import counted, number_text
from trainables.files import atomic_write
from trainables.pictures import coloured

PAGE = "index.html"
MOST_SHOWN = 40
"""Images; the others are in scores.csv."""
_SIDE = 220
"""Pixels of the larger side of a picture."""
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:24px auto;max-width:900px;padding:0 16px;color:#222;
background:#fff}
h1{font-size:22px;margin:0 0 4px}p{margin:4px 0 16px;color:#555}
table{border-collapse:collapse;margin:12px 0 28px}td,th{padding:4px 14px 4px 0;text-align:left;
font-weight:normal;border-bottom:1px solid #ddd;font-variant-numeric:tabular-nums}th{color:#555}
i{display:inline-block;width:12px;height:12px;margin-right:7px;border:1px solid #999;vertical-align:-1px}
figure{margin:0 0 22px}figcaption{margin-bottom:5px;overflow-wrap:anywhere}
figure div{display:flex;gap:8px;flex-wrap:wrap}
img{max-width:100%;image-rendering:pixelated;border:1px solid #999}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}p,th{color:#aaa}
td,th{border-color:#444}}
"""


def write_page(
    scores: Scores, truth: Truth, layout: Layout, title: str, progress: Callable[[int, int], None]
) -> None:
    """The metrics of all images by class, and the images, the worst first.

    Args:
        progress: called with the number of images that are done, and of all that are shown.
    """
    classes = layout.inference.classes or ()
    shown = scores.images[:MOST_SHOWN]
    count = counted(len(scores.images), "image")
    order = (
        f"The {len(shown)} worst of {count}"
        if len(shown) < len(scores.images)
        else f"{count}, the worst first"
    )
    if len(scores.images) == 1:
        order = "One image"
    figures: list[str] = []
    for number, (image, metrics) in enumerate(shown):
        figures += _figure(image, metrics, truth, layout)
        progress(number + 1, len(shown))
    lines = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(title)}</h1>",
        f"<p>mIoU {number_text(scores.metrics['miou'])} over the pixels of {count}; "
        f"pixel accuracy {number_text(scores.metrics['pixel_accuracy'])}</p>",
        *_table(scores.metrics, classes, layout),
        f"<p>{order}: image, mask (white does not count), prediction. All of them are in scores.csv.</p>",
        *figures,
        "</html>",
    ]
    atomic_write(layout.out / PAGE, "\n".join(lines) + "\n")


def _table(metrics: Mapping[str, float], classes: Sequence[str], layout: Layout) -> Iterator[str]:
    overlapping = layout.inference.labels != "multiclass"
    yield "<table><tr><th>class</th><th>IoU</th><th>Dice</th></tr>"
    for number, name in enumerate(classes):
        red, green, blue = layout.palette[number + overlapping].tolist()
        iou, dice = (
            number_text(metrics.get(f"{kind}/{name}")) or "does not occur" for kind in ("iou", "dice")
        )
        swatch = f'<i style="background:rgb({red},{green},{blue})"></i>'
        yield f"<tr><td>{swatch}{html.escape(name)}</td><td>{iou}</td><td>{dice}</td></tr>"
    yield "</table>"


def _figure(image: InputImage, metrics: Mapping[str, float], truth: Truth, layout: Layout) -> Iterator[str]:
    inference = layout.inference
    assert inference.images is not None
    pixels, target = truth.read(image)
    predicted = layout.read(image)
    step = max(1, -(-max(target.shape) // _SIDE))
    overlapping = None if inference.labels == "multiclass" else len(inference.classes or ())
    pictures = (
        rgb_of(np.asarray(pixels)[::step, ::step], inference.images.shown),
        coloured(target[::step, ::step], overlapping, layout.palette),
        layout.coloured(predicted[::step, ::step]),
    )
    height, width = target.shape
    yield f"<figure><figcaption>{html.escape(image.name)}, {width}x{height}: "
    yield f"mIoU {number_text(metrics['miou'])}, pixel accuracy {number_text(metrics['pixel_accuracy'])}"
    yield "</figcaption><div>"
    yield from (
        _img(picture, name) for picture, name in zip(pictures, ("image", "mask", "prediction"), strict=True)
    )
    yield "</div></figure>"


def _img(picture: np.ndarray, name: str) -> str:
    factor = max(1, _SIDE // max(picture.shape[:2]))
    height, width = picture.shape[0] * factor, picture.shape[1] * factor
    stored = io.BytesIO()
    photo = name == "image" and max(picture.shape[:2]) > 64
    Image.fromarray(picture).save(stored, format="JPEG" if photo else "PNG", quality=85)
    kind = "jpeg" if photo else "png"
    content = base64.b64encode(stored.getvalue()).decode()
    size = f'width="{width}" height="{height}"'
    return f'<img alt="{name}" title="{name}" {size} src="data:image/{kind};base64,{content}">'
