"""Boundary IoU (Cheng et al. 2021, arXiv:2103.16562): the IoU of the pixels near the edges of each class."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from trainables.ranks.merged import Total

Join = Callable[[Tensor, Tensor], Tensor]


class BoundaryCounts:
    """Boundary pixels of truth and prediction by class, added up over a validation on the device.

    The boundary of a class are its pixels within d pixels of one that is not of the class, along rows,
    columns and diagonals; d is `ratio` times the diagonal of the image, at least 1. What lies outside of the
    image, or is ignored, is of no class, so edges of the image are boundaries too, as in the paper's code.
    The image is what is left without ignored rows and columns at its sides, by which images are padded.

    Args:
        ratio: of the diagonal; 0.02 in the paper.
    """

    def __init__(self, num_classes: int, ratio: float) -> None:
        self._num_classes, self._ratio = num_classes, ratio
        self._counts: Tensor | None = None

    def count_labels(self, truth: Tensor, predicted: Tensor, known: Tensor) -> None:
        """Add images of exclusive classes: labels int64 [N, H, W], and which pixels count, bool [N, H, W]."""
        for number, box in enumerate(_boxes(known)):
            labels = [each[number][box].where(known[number][box], -1) for each in (truth, predicted)]
            distance = _distance(labels[0].shape, self._ratio)
            edges = [_label_edges(each.to(torch.int16), distance) & (each >= 0) for each in labels]
            both = edges[0] & edges[1] & (labels[0] == labels[1])
            held = [labels[0][both], *(each[of] for each, of in zip(labels, edges, strict=True))]
            self._add(torch.stack([torch.bincount(each, minlength=self._num_classes) for each in held]))

    def count_planes(self, truth: Tensor, predicted: Tensor, known: Tensor) -> None:
        """Add images of classes that may overlap: bool [N, K, H, W], and which pixels count, [N, 1, H, W]."""
        for number, (rows, columns) in enumerate(_boxes(known[:, 0])):
            counted = known[number, :, rows, columns]
            planes = [each[number, :, rows, columns] & counted for each in (truth, predicted)]
            distance = _distance(counted.shape[1:], self._ratio)
            edges = [each & ~_eroded(each, distance) for each in planes]
            held = (edges[0] & edges[1], *edges)
            self._add(torch.stack([each.sum(dim=(1, 2)) for each in held]))

    def _add(self, counts: Tensor) -> None:
        self._counts = counts if self._counts is None else self._counts + counts

    def merge(self, total: Total) -> None:
        """Add what other processes of the trial have counted."""
        self._counts = total(self._counts)

    def compute(self, class_names: Sequence[str]) -> dict[str, float]:
        """`boundary_iou`, the mean over the classes that occur, and `boundary_iou/<class>` of each."""
        if self._counts is None:
            return {"boundary_iou": math.nan}
        both, truth, predicted = self._counts.cpu().numpy().astype(np.float64)
        either = truth + predicted - both
        found = {
            name: float(both[number] / either[number])
            for number, name in enumerate(class_names)
            if either[number] > 0
        }
        mean = float(np.mean(list(found.values()))) if found else math.nan
        return {"boundary_iou": mean, **{f"boundary_iou/{name}": value for name, value in found.items()}}


def _boxes(known: Tensor) -> list[tuple[slice, slice]]:
    """Rows and columns of each image without those at its sides that are ignored; none if all are."""
    sides = []
    for of_lines in (known.any(dim=2), known.any(dim=1)):
        lines, length = of_lines.to(torch.uint8), of_lines.shape[1]
        sides += [lines.argmax(dim=1), length - lines.flip(1).argmax(dim=1)]
    top, bottom, left, right = torch.stack(sides).tolist()
    places = zip(top, bottom, left, right, known.flatten(1).any(dim=1).tolist(), strict=True)
    nothing = slice(0), slice(0)
    return [(slice(y, h), slice(x, w)) if some else nothing for y, h, x, w, some in places]


def _distance(shape: Sequence[int], ratio: float) -> int:
    return max(1, round(ratio * math.hypot(*shape)))


def _label_edges(labels: Tensor, distance: int) -> Tensor:
    """Which pixels have another label, or the end of the image, within a distance: bool [H, W]."""
    edges = torch.ones(labels.shape, dtype=torch.bool, device=labels.device)
    inner = labels[distance:-distance, distance:-distance]
    if inner.numel():
        largest, least = (_windows(labels, distance, join) for join in (torch.maximum, torch.minimum))
        edges[distance:-distance, distance:-distance] = (largest != inner) | (least != inner)
    return edges


def _eroded(planes: Tensor, distance: int) -> Tensor:
    """bool [K, H, W], eroded by a square of 2 * distance + 1 pixels; outside is nothing."""
    eroded = torch.zeros_like(planes)
    if eroded[:, distance:-distance, distance:-distance].numel():
        eroded[:, distance:-distance, distance:-distance] = _windows(planes, distance, torch.logical_and)
    return eroded


def _windows(values: Tensor, distance: int, join: Join) -> Tensor:
    """`join` of all values in the square around each pixel that has a whole one: [..., H - 2d, W - 2d].

    Windows are doubled until they have the length, along columns and then rows.
    """
    side = 2 * distance + 1
    for dim in (-2, -1):
        length = 1
        while length < side:
            step = min(length, side - length)
            size = values.shape[dim] - step
            values = join(values.narrow(dim, 0, size), values.narrow(dim, step, size))
            length += step
    return values
