"""Which decoder masks need, by what their labels mean."""

from __future__ import annotations

import numpy as np

from trainables.images.decode import Reading
from trainables.images.masks.overlapping import BinaryDecoder, OverlappingDecoder
from trainables.images.options import MaskOptions
from trainables.images.targets import MaskDecoder


def mask_decoder(options: MaskOptions, reading: Reading, lookup: np.ndarray, num_classes: int) -> MaskDecoder:
    """Of masks with these options, see `MaskDecoder`."""
    colours = options.colour_table
    if options.labels == "multilabel":
        return OverlappingDecoder(
            reading=reading, lookup=lookup, num_classes=num_classes, ignore_index=options.ignore_index
        )
    if options.labels == "binary":
        return BinaryDecoder(reading=reading, lookup=lookup, num_classes=2, colours=colours)
    return MaskDecoder(reading=reading, lookup=lookup, num_classes=num_classes, colours=colours)
