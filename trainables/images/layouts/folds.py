"""The images of a folder in folds, in place of the split that it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trainables.folds.assign import fold_notes, groups_in_names, make_folds
from trainables.images.layouts.base import Parts
from trainables.images.layouts.root import DataRoot
from trainables.images.options import FolderData
from trainables.images.targets import Encoded


def in_folds(
    parts: Parts, root: DataRoot, options: FolderData, class_names: Sequence[str] = ()
) -> tuple[Parts, Mapping[str, np.ndarray]]:
    """The samples of "train" and "valid" by `data.fold`, and the fold of each sample, int64 by part.

    Training and validation data that the folder tells apart are joined for that, and a note says so. Without
    `data.folds`, or where the folder's own folds were taken, the parts stay.

    Args:
        class_names: where each sample has one class.

    Raises:
        ValueError: a fold is empty, or a name has no group.
    """
    if options.folds is None:
        return parts, {}
    if root.own_folds is not None:
        named = {part: [_name(sample, root) for sample in samples] for part, samples in parts.items()}
        known = root.own_folds
        return parts, {part: np.array([known[name] for name in names]) for part, names in named.items()}
    where = str(root.path)
    if parts["valid"]:
        root.notes.append(
            f"{where}: its training and validation data, {len(parts['train']):,} and {len(parts['valid']):,} "
            "samples, are joined, and the folds made of both (data.folds)"
        )
    samples = sorted([*parts["train"], *parts["valid"]], key=lambda sample: _name(sample, root))
    names = [_name(sample, root) for sample in samples]
    folds = make_folds(options, names, where, groups_in_names(options.group, names, where))
    classes = [class_names[sample.target] for sample in samples if isinstance(sample.target, int)]
    root.notes += fold_notes(folds, where, classes or None)
    numbers = {"train": folds.train, "valid": folds.valid}
    return (
        {part: [samples[number] for number in of_part.tolist()] for part, of_part in numbers.items()},
        {part: folds.of_samples[of_part] for part, of_part in numbers.items()},
    )


def _name(sample: Encoded, root: DataRoot) -> str:
    """The path of the image in the folder, the same wherever the folder lies."""
    path = Path(str(sample.images[0]))
    return path.relative_to(root.path).as_posix() if path.is_relative_to(root.path) else path.name
