"""Images and masks of a folder as the arrays of a task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from trainables.images.augment import IGNORE
from trainables.images.labels import label_lookup, listed_class_names
from trainables.images.layouts.find import Convention, Layout, Pair, convention_of, find_pairs, layout_name
from trainables.images.loading import Loading, load_pairs
from trainables.images.readers import FileReader, Reading
from trainables.images.scan import Progress, Scan, to_stderr

__all__ = ["label_lookup", "listed_class_names", "load_folder_arrays"]


def load_folder_arrays(
    root: Path,
    layout: Layout,
    *,
    channels: int,
    num_classes: int | None,
    class_names: Sequence[str],
    ignore_index: int,
    mask_values: Mapping[int, int],
    max_memory: int,
    imagenet_statistics: bool = False,
    max_skipped: int = 0,
    scan: Scan = "auto",
    sample_size: int = 512,
    progress: Progress | None = None,
) -> dict[str, np.ndarray]:
    """Look at the images and masks below `root`, and keep their pixels if all fit into `max_memory` bytes.

    See `trainables.images.loading.load_pairs` for what is returned.

    Args:
        channels: of an image, converted to grey (1) or RGB (3), or one file each in layout nnunet.
        num_classes, class_names, ignore_index, mask_values: as of `FolderOptions`.

    Raises:
        ValueError: naming each file that is wrong, before anything is trained.
    """
    root, tell = root.expanduser().resolve(), progress or to_stderr
    parts = find_pairs(root, layout, with_orphans=max_skipped > 0)
    convention = convention_of(root, layout)
    names = listed_class_names(root, class_names, num_classes, None if mask_values else convention)
    _tell_layout(root, layout, parts, convention, names, tell)
    reading = Reading(
        channels=channels,
        lookup=label_lookup(ignore_index, mask_values, convention),
        num_classes=len(names) or num_classes or IGNORE,
    )
    return load_pairs(
        {part: FileReader.of_pairs(pairs, reading) for part, pairs in parts.items()},
        reading,
        Loading(
            origin=str(root),
            class_names=names or [str(number) for number in range(num_classes or 0)],
            mask_values=mask_values,
            max_memory=max_memory,
            imagenet_statistics=imagenet_statistics,
            max_skipped=max_skipped,
            scan=scan,
            sample_size=sample_size,
            progress=tell,
        ),
    )


def _tell_layout(
    root: Path,
    layout: Layout,
    parts: Mapping[str, Sequence[Pair]],
    convention: Convention,
    names: Sequence[str],
    progress: Progress,
) -> None:
    """What was recognized, where more than the names of folders follows from it."""
    name = layout_name(root, layout)
    if layout.layout != "auto" or name == "folders":
        return
    classes = f", with its {len(names)} classes" if names and tuple(names) == convention.class_names else ""
    progress(
        f"{root}: layout {name}{classes}; {len(parts['train'])} images to train and {len(parts['valid'])} to "
        "validate (data.layout)"
    )
