"""Whether masks were smoothed once, so that edges pass through other labels: from 0 to 3 through 1 and 2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trainables.findings import some

LONGEST = 2
"""Pixels across an edge that smoothing makes, at most."""
LEAST_SHARE = 0.45
"""Of the edges between labels that differ by two or more, those that pass through a label between them.
Smoothed masks have more, and others hardly any, unless a class is a thin border between two others."""
LEAST_EDGES = 100
"""Such edges, below which nothing is said."""
NOTHING_ELSE = 0.95
"""Share of a label's pixels that lie on such edges, from which on it is no class."""
_SHOWN = 4
_MOST_PIXELS = 2**21
"""Of one mask: the middle rows of a larger one are looked at."""


@dataclass(frozen=True)
class Edges:
    """What lies between neighbouring labels, added up over masks."""

    pixels: np.ndarray
    """Of each label: int64 [256]."""
    between: np.ndarray
    """Those of `pixels` that lie on an edge between a lower and a higher label."""
    smooth: int
    """Edges between two labels with pixels of a label between them, along rows and columns."""
    sharp: int
    """Edges between two labels that differ by two or more."""

    def __add__(self, other: Edges) -> Edges:
        return Edges(
            self.pixels + other.pixels,
            self.between + other.between,
            self.smooth + other.smooth,
            self.sharp + other.sharp,
        )

    @property
    def are_smooth(self) -> bool:
        """Whether most edges are: of masks that were smoothed, or with classes that are thin borders."""
        return self.smooth >= max(LEAST_EDGES, LEAST_SHARE * (self.smooth + self.sharp))

    @property
    def are_surely_smooth(self) -> bool:
        """Whether several labels occur nowhere else, as those of no border do."""
        return self.are_smooth and len(self.only_between) > 1

    @property
    def only_between(self) -> list[int]:
        """Labels that occur nearly nowhere else than on such edges."""
        return np.flatnonzero(self.between > NOTHING_ELSE * self.pixels).tolist()


def edges_of(mask: np.ndarray, ignored: np.ndarray) -> Edges:
    """Of a mask uint8 [H, W]; labels that are `ignored`, bool [256], make no edge."""
    rows = max(1, _MOST_PIXELS // mask.shape[1])
    first = max(0, (len(mask) - rows) // 2)
    mask = mask[first : first + rows]
    along_rows, along_columns = _along_rows(mask, ignored), _along_rows(mask.T, ignored)
    return Edges(
        pixels=np.bincount(mask.ravel(), minlength=256),
        between=np.bincount(mask[along_rows[0] | along_columns[0].T], minlength=256),
        smooth=along_rows[1] + along_columns[1],
        sharp=along_rows[2] + along_columns[2],
    )


def told(edges: Edges, num_classes: int | None, *, surely: bool) -> str:
    """What is odd about masks with smooth edges, and what to do.

    Args:
        num_classes: what to set if all labels are classes; None if that is set, or they cannot be.
        surely: whether no class can be a thin border.
    """
    share = edges.smooth / (edges.smooth + edges.sharp)
    only = some(map(str, edges.only_between), _SHOWN)
    labels = f" ({only} occur hardly anywhere else)" if only else ""
    found = f"{share:.0%} of the edges between labels that differ by 2 or more pass through others{labels}"
    cause = "the masks were resized with interpolation, drawn with smooth edges, or JPEG once"
    again = "save them anew with each pixel one of the classes"
    if not surely:
        return f"{found}: if no class is a thin border between two others, {cause}: {again}"
    if num_classes is None:
        return f"{found}: {cause}; {again}"
    return f"{found}: {cause}; {again}, or set data.num_classes: {num_classes} if each label is a class"


def _along_rows(mask: np.ndarray, ignored: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Which pixels lie between a lower and a higher label, bool [H, W]; how many such runs; sharp edges."""
    begins = np.ones(mask.shape, bool)
    begins[:, 1:] = mask[:, 1:] != mask[:, :-1]
    starts = np.flatnonzero(begins)
    labels, rows = mask.ravel()[starts].astype(np.int16), starts // mask.shape[1]
    lengths = np.diff(np.append(starts, mask.size))
    known = ~ignored[labels]
    # Of each run and the next one.
    steps = np.diff(labels)
    joined = (rows[1:] == rows[:-1]) & known[1:] & known[:-1]
    is_between = np.zeros(len(starts), bool)
    is_between[1:-1] = joined[1:] & joined[:-1] & (steps[1:] * steps[:-1] > 0)
    is_between &= lengths <= LONGEST
    # Several such runs in a row are one edge.
    smooth = int(is_between.sum() - (is_between[1:] & is_between[:-1] & joined).sum())
    sharp = int((joined & (np.abs(steps) > 1) & ~is_between[1:] & ~is_between[:-1]).sum())
    return np.repeat(is_between, lengths).reshape(mask.shape), smooth, sharp
