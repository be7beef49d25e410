"""The ways in which images, masks and classes can be wrong, and what to do about each."""

from __future__ import annotations

from trainables.findings import Kind


def _error(name: str, remedy: str) -> Kind:
    return Kind(name=name, severity="error", remedy=remedy)


def _warning(name: str, remedy: str) -> Kind:
    return Kind(name=name, severity="warning", remedy=remedy)


FOLDER = _error("folder", "")
"""The message says what to do: it is about one folder, list or name."""
EMPTY = _error("empty file", "copy it again")
NOT_FETCHED = _error(
    "contents not fetched", "run git annex get, git lfs pull or dvc pull in the folder of the data"
)
UNREADABLE = _error("unreadable file", "copy it again, or remove the sample")
FORMAT = _error("format that is not read", "save it as PNG of 8 or 16 bits, one picture in a file")
NOT_FINITE = _error("numbers not finite", "replace them, as by 0")
LEAKAGE = _error(
    "data leakage",
    "remove it from one of the two parts: the validation score would be too good",
)
DEPTH = _error("other depth", "set data.range, or save all images alike")
CLIPPED = _warning("values outside of data.range", "widen data.range: they are clipped")
NARROW = _warning("few values used", "set data.range to the values that the images use, if they look dark")
CONSTANT = _warning("image of one value", "remove it if nothing can be seen in it")
TURNED = _warning(
    "image turned by its EXIF", "check that its mask is turned too, or set data.orientation: stored"
)
CHANNELS = _error("other number of channels", "save all images alike, or see data.channels")
OTHER_MODE = _warning("converted image", "set data.channels, or save all images alike")
ALL_GREY = _warning("grey images", "set data.channels: 1, unless pretrained weights need three")
ALL_COLOURED = _warning("colours left out", "set data.channels: 3 if colours matter")
TRANSPARENT = _warning("transparency left out", "save the images without it if what lies below matters")

NO_FILE = _error("listed but missing", "add the file, or correct or remove its line in the list")
NO_MASK = _error("image without a mask", "add the mask or remove the image")
NO_IMAGE = _error("mask without an image", "add the image or remove the mask")
MASK_SIZE = _error("sizes differ", "save image and mask at the same size")
TURNED_SIZE = _error("mask of the image as stored", "set data.orientation: stored")
COLOURED = _error("mask with colours", "replace each colour by its class number, or save a palette PNG")
LOSSY_MASK = _error(
    "mask saved with loss",
    "save masks as PNG from their source: JPEG and the like smear labels at edges",
)
WRONG_LABEL = _error(
    "label out of range",
    "correct the mask, or see data.num_classes, data.mask_values and data.ignore_index",
)
BINARY = _error("masks of 0 and 255", "set data.mask_values: {255: 1} if 255 is the class")
ALL_IGNORED = _warning("only ignored pixels", "remove it: nothing is learnt from it")
PERHAPS_BINARY = _warning(
    "mask of 0 and 255", "set data.mask_values: {255: 1} if 255 is a class and not what is ignored"
)
COLOURS = _error("masks with colours", "set data.colors to the colours of the classes in turn")
PALETTES = _error("palettes differ", "set data.colors, or data.palettes: ignore if only the colours differ")
NO_NUMBERS = _error("labels no class numbers", "add the line that the message proposes, and check again")
SMOOTHED = _error("labels smoothed at edges", "save masks anew, or set data.num_classes if each is a class")
PERHAPS_SMOOTHED = _warning(
    "labels between others at edges", "save masks anew, unless a class is a thin border between two others"
)
NO_CLASS = _error("masks without a class", "correct the masks, or see data.ignore_index and data.mask_values")
OBJECTS = _warning("numbers of objects", "save class numbers, or set data.num_classes if each is a class")
FAR_LABEL = _warning("label above a gap", "set data.num_classes: now the largest label decides it")

SEVERAL_SIZES = _error("several sizes", "set augment.crop to a side in pixels: one batch needs one size")
IMAGE_SIZE = _error("sizes differ", "set data.resize to a side in pixels: all must have one size")
WRONG_CLASS = _error("class out of range", "correct it, or add the class to data.class_names")
TWO_CLASSES = _error("in two classes", "remove it from the class where it does not belong")
