"""Predicted masks against true ones: the metrics of the validation, of each image and of all together."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from search.errors import RefusedError
from search.predicting.exported import training_options
from search.predicting.images import InputImage, Pixels, find_images
from search.predicting.segment import Layout, class_folders, without_file
from search.run.disk.folder import write_json
from trainables.files import atomic_write
from trainables.images.decode import size_text
from trainables.images.masks.decoder import mask_decoder
from trainables.images.masks.labels import label_lookup
from trainables.images.options import MaskFolderOptions, MaskOptions
from trainables.images.targets import Encoded, MaskDecoder
from trainables.pairing import Affixes, find_pairing, tried
from trainables.predicting.inference import Inference
from trainables.predicting.model import memory_limits
from trainables.segmentation.metrics import ConfusionMetrics, SigmoidMetrics
from trainables.segmentation.options import SegmentationOptions

SCORES = "scores.csv"
METRICS_OF_ALL = "metrics.json"
_ROWS = 2**22
"""Pixels that are counted at once."""

Counts = ConfusionMetrics | SigmoidMetrics


@dataclass(frozen=True)
class Scores:
    """Of all images that have a mask."""

    metrics: Mapping[str, float]
    """Of all their pixels together."""
    images: Sequence[tuple[InputImage, Mapping[str, float]]]
    """The worst first."""


class Truth:
    """The true masks of images, read as those of the training were.

    Args:
        masks: the folder that holds them, named as the images.

    Raises:
        RefusedError: no image has a mask there, or it is not known what labels mean.
    """

    def __init__(self, export: Path, inference: Inference, images: Sequence[InputImage], masks: Path) -> None:
        options = training_options(export)
        assert isinstance(options, SegmentationOptions)
        self._ratio = options.validation.boundary_iou
        self._decoder = _decoder(export, inference, options)
        self._classes, self._labels = inference.classes or (), inference.labels
        self.samples = self._paired(images, masks, options)
        """What is read of each image that has a mask."""

    def _paired(
        self, images: Sequence[InputImage], masks: Path, options: SegmentationOptions
    ) -> dict[InputImage, Encoded]:
        names = {image.stem: image for image in find_images(masks, ())}
        if self._labels == "multilabel" and (by_class := self._by_class(images, names)):
            return by_class
        data = options.data
        given = {}
        if isinstance(data, MaskFolderOptions):
            keys = ("image_prefix", "image_suffix", "mask_prefix", "mask_suffix")
            given = {key: value for key in keys if (value := getattr(data, key)) is not None}
        stems = {image.stem: image for image in images}
        pairs = tried(Affixes(**given), stems, names).pairs
        if not pairs and (found := find_pairing(stems, names, given)):
            pairs = found.pairs
        if not pairs:
            raise RefusedError(
                f"no mask in {masks} has the name of an image: such as {next(iter(names))} and "
                f"{next(iter(stems))}; masks lie below --masks as the images below INPUT"
            )
        return {stems[of]: Encoded((stems[of].file,), names[mask].file) for of, mask in sorted(pairs.items())}

    def _by_class(
        self, images: Sequence[InputImage], names: Mapping[str, InputImage]
    ) -> dict[InputImage, Encoded]:
        """A file for each class, in a folder of its name, as `predict` writes them."""
        found = {}
        for image in images:
            files = [
                names.get(f"{name}/{image.stem}") or names.get(f"{folder}/{image.stem}")
                for name, folder in zip(self._classes, class_folders(self._classes), strict=True)
            ]
            masks = tuple(None if each is None else each.file for each in files)
            if any(masks):
                found[image] = Encoded((image.file,), image.file, class_masks=masks)
        return found

    def read(self, image: InputImage) -> tuple[Pixels, np.ndarray]:
        """The image and its mask [H, W]; raises a ValueError that names what is wrong."""
        return self._decoder.decode(self.samples[image])

    def counts(self) -> Counts:
        """New metrics, as the validation has them."""
        if self._labels == "multiclass":
            return ConfusionMetrics(self._classes, boundary_ratio=self._ratio)
        return SigmoidMetrics(self._classes, self._ratio)

    def count(self, counts: Sequence[Counts], target: np.ndarray, predicted: np.ndarray) -> None:
        """Add one image; where nothing looks at edges, some rows at a time."""
        rows = len(target) if self._ratio is not None else max(1, _ROWS // target.shape[1])
        for top in range(0, len(target), rows):
            part = slice(top, top + rows)
            masks = torch.from_numpy(target[part].astype(np.int64))[None]
            for each in counts:
                if isinstance(each, ConfusionMetrics):
                    each.add(masks, torch.from_numpy(predicted[part].astype(np.int64))[None])
                else:
                    each.add(masks, torch.from_numpy(predicted[part]).permute(2, 0, 1)[None])


def score(
    truth: Truth, layout: Layout, failed: dict[str, str], progress: Callable[[int, int], None]
) -> Scores:
    """Compare what is written with the masks.

    Args:
        failed: images that were not predicted; those whose mask is wrong are added.
        progress: called with the number of images that are done, and of all.
    """
    of_all, of_each = truth.counts(), list[tuple[InputImage, Mapping[str, float]]]()
    for number, image in enumerate(truth.samples):
        if image.name not in failed:
            try:
                with memory_limits():
                    of_each.append((image, _scored(truth, layout, image, of_all)))
            except ValueError as error:
                failed[image.name] = without_file(error, image)
        progress(number + 1, len(truth.samples))
    of_each.sort(key=lambda pair: (math.isnan(pair[1]["miou"]), pair[1]["miou"], pair[0].name))
    return Scores(of_all.compute(), of_each)


def _scored(truth: Truth, layout: Layout, image: InputImage, of_all: Counts) -> Mapping[str, float]:
    _, target = truth.read(image)
    predicted = layout.read(image)
    if predicted.shape[:2] != target.shape:
        raise ValueError(f"is {size_text(predicted)}, and its mask {size_text(target)}; sizes must agree")
    alone = truth.counts()
    truth.count((of_all, alone), target, predicted)
    return alone.compute()


def write_scores(scores: Scores, out: Path) -> None:
    """A row for each image, the worst first, and the metrics of all."""
    columns = list(scores.metrics)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *columns])
    for image, metrics in scores.images:
        writer.writerow([image.name, *(metrics.get(name, "") for name in columns)])
    atomic_write(out / SCORES, text.getvalue())
    write_json(out / METRICS_OF_ALL, scores.metrics)


def _decoder(export: Path, inference: Inference, options: SegmentationOptions) -> MaskDecoder:
    assert inference.images is not None
    data, reading, classes = options.data, inference.images.reading, len(inference.classes or ())
    if not isinstance(data, MaskOptions):
        lookup = np.arange(256, dtype=np.int16)
        return MaskDecoder(reading=reading, lookup=lookup, num_classes=classes)
    if inference.mask_lookup is not None:
        lookup = np.array(inference.mask_lookup, np.int16)
    elif isinstance(data, MaskFolderOptions) and data.layout not in ("folders", "voc"):
        raise RefusedError(
            f"{export} does not say which classes the labels of masks are, as it is of a former tune-search: "
            "export again"
        )
    else:
        lookup = label_lookup(data)
    return mask_decoder(data, reading, lookup, classes)
