"""Ways in which images and masks in files can be wrong, and what to do about each."""

from __future__ import annotations

from trainables.images.decode import COLOURED, JPEG_MASK, WRONG_LABEL
from trainables.inspect.inspection import Kind


def _error(name: str, remedy: str) -> Kind:
    return Kind(name=name, severity="error", remedy=remedy)


def _warning(name: str, remedy: str) -> Kind:
    return Kind(name=name, severity="warning", remedy=remedy)


FOLDER = _error("folder", "make the folder one of the layouts that can be read")
NO_MASK = _error(
    "image without a mask", "add the mask or remove the image; data.mask_suffix tells their names apart"
)
NO_IMAGE = _error("mask without an image", "add the image or remove the mask")
NO_FILE = _error("listed but not there", "remove the name from the list")
SIZES = _error("sizes differ", "save image and mask in one size")
BINARY = _error("masks of 0 and 255", "set data.mask_values: {255: 1} if 255 is the class")
ALL_IGNORED = _warning("only ignored pixels", "remove it: nothing is learnt from it")
PERHAPS_BINARY = _warning(
    "mask of 0 and 255", "set data.mask_values: {255: 1} if 255 is a class and not what is ignored"
)
FAR_LABEL = _warning("label above a gap", "set data.num_classes: now the largest label decides it")

OF_MASKS = {
    kind.name: kind
    for kind in (
        _error(COLOURED, "replace each colour by its class number, or save a palette PNG"),
        _error(JPEG_MASK, "save masks as PNG from their source: JPEG smears labels where they meet"),
        _error(
            WRONG_LABEL, "correct the mask, or see data.num_classes, data.mask_values and data.ignore_index"
        ),
    )
}
"""By the kind of a SampleError."""
