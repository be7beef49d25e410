"""Formats of image files: which are read, and which of their kinds Pillow would read wrongly."""

from __future__ import annotations

from collections.abc import Iterator

from PIL import Image

from trainables.findings import Kind
from trainables.images import kinds

NUMPY = (".npy", ".npz")
"""Suffixes of arrays of numbers, read as images where a folder has no others."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", *NUMPY)
READ = ("PNG", "JPEG", "TIFF", "WEBP")
"""As Pillow names them."""
NAMES = "PNG, JPEG, TIFF, WebP or .npy"

OTHERS = {
    ".dcm": "a DICOM",
    ".dicom": "a DICOM",
    ".nii": "a NIfTI",
    ".nii.gz": "a NIfTI",
    ".mha": "a MetaImage",
    ".mhd": "a MetaImage",
    ".nrrd": "an NRRD",
    ".heic": "a HEIC",
    ".dng": "a raw photograph",
    ".cr2": "a raw photograph",
    ".nef": "a raw photograph",
    ".arw": "a raw photograph",
    ".czi": "a CZI",
    ".nd2": "an ND2",
    ".lif": "a LIF",
    ".svs": "an SVS",
}
"""What holds images too, and is not read, by its suffix; besides what Pillow knows."""

ARRAYS = (".mat", ".h5", ".hdf5", ".pt", ".tfrecord", ".parquet")
"""Suffixes of files that may hold images or something else, and are told, but not refused, beside images."""

CONTENTS = (
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (0, b"II+\0", "a BigTIFF"),
    (0, b"MM\0+", "a BigTIFF"),
    (0, b"GIF8", "a GIF"),
    (0, b"BM", "a BMP"),
    (8, b"WEBP", "a WebP"),
    (4, b"ftypavif", "an AVIF"),
    (4, b"ftypavis", "an AVIF"),
    (4, b"ftyp", "a HEIC or a video"),
    (4, b"jP  ", "a JPEG 2000"),
    (128, b"DICM", "a DICOM"),
    (0, b"\x93NUMPY", "an array of NumPy"),
    (0, b"\x89HDF", "an HDF5"),
    (0, b"MATLAB", "a file of MATLAB"),
    (0, b"\x1f\x8b", "compressed by gzip, perhaps a NIfTI"),
    (0, b"<!", "a page of HTML, perhaps of an error in a download: copy it again"),
    (0, b"<html", "a page of HTML, perhaps of an error in a download: copy it again"),
)
"""What files hold that are called images: where they have which bytes. One with a colon says what to do."""
NUM_BYTES = 132
"""Of a file, by which `content` tells what it holds."""
TIFF_KINDS = "one page of 8-bit greys or colours, or of greys of 16 bits, whole numbers or float32"

PIXEL_LIMIT = 89_478_485
"""Pillow's own limit, used where a program has switched that off."""
ONE_PAGE = (
    "; channels are read from one page: tifffile.imwrite(name, array, photometric='minisblack', "
    "planarconfig='contig') of an array [H, W, C] writes one"
)

_BITS, _COMPRESSION, _WHITE_OR_BLACK, _ORIENTATION, _PLANES = 258, "compression", 262, 274, 284
_SUBFILE, _EXTRA, _SAMPLES = 254, 338, 339
_SUBFILE_BESIDE = 1 | 4
"""A page that is a smaller picture of another one, or its transparency."""
_LOSSLESS = {
    "raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "lzma", "zstd", "tiff_ccitt",
    "group3", "group4",
}  # fmt: skip
_TIFF_MODES = {"1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "I;16", "I;16B", "F"}


def foreign(name: str) -> str:
    """What is wrong with a file of this name if it holds images in a format that is not read; else empty."""
    lower = name.lower()
    for suffix, what in OTHERS.items():
        if lower.endswith(suffix):
            return f"is {what}; images must be {NAMES}: convert it, as to PNG of 8 or 16 bits"
    suffix = lower[lower.rfind(".") :] if "." in lower else ""
    if suffix in Image.registered_extensions() and suffix not in (*SUFFIXES, *ARRAYS):
        return f"is {suffix}; images must be {NAMES}: convert it"
    return ""


def content(begin: bytes) -> str:
    """What a file is that cannot be opened, by its first `NUM_BYTES`: such as `is a GIF, and must be ...`."""
    for place, mark, what in CONTENTS:
        if begin[place:].startswith(mark):
            if what.endswith("TIFF"):
                kind = "cut short, or of a kind that is not read"
                return f"is {what} {kind}; it must have {TIFF_KINDS}: convert it"
            return f"is {what}" if ":" in what else f"is {what}, and must be {NAMES}: convert it"
    return f"is none of {NAMES.replace(' or', ' and')}, or its header is damaged"


def misread(image: Image.Image) -> tuple[str, str]:
    """Why not all of an open image would be read as it is meant, and the way out; empty for most."""
    if image.format == "TIFF":
        kind, other, for_tifffile = _tiff_misread(image)
        more = ", or: pip install 'tune-search[tiff]', which reads it" if for_tifffile else ""
        rule = "" if "pages" in kind else f"; a TIFF must have {TIFF_KINDS}{more}"
        return kind, f"{other}{rule}" if kind else ""
    frames = getattr(image, "n_frames", 1)
    if image.format in ("PNG", "WEBP") and frames > 1:
        return f"is animated, {frames} pictures", "save the one that is meant as a file of its own"
    return "", ""


def is_for_tifffile(image: Image.Image) -> bool:
    """Whether Pillow would misread an open TIFF, and tifffile would not."""
    return _tiff_misread(image)[2]


def _tiff_misread(image: Image.Image) -> tuple[str, str, bool]:
    """Kinds of TIFF of which Pillow reads a part, or, without a word, other numbers than are in the file; the
    way out; and whether tifffile reads them right."""
    pages = 1 + sum(not subfile & _SUBFILE_BESIDE for subfile in _further_pages(image))
    if pages > 1:
        return (
            f"is a TIFF of {pages} pages",
            f"save the one that is meant as a file of its own{ONE_PAGE}",
            False,
        )
    tags = vars(image)["tag_v2"]
    bits = tuple(tags.get(_BITS, (1,)))
    colours, other, for_tifffile = len(image.getbands()), "save it as PNG", True
    kind = ""
    if tags.get(_ORIENTATION, 1) != 1:
        kind, other = f"is to be turned (Orientation {tags[_ORIENTATION]})", "save it upright"
        for_tifffile = False
    elif max(bits) > 8 and colours > 1:
        kind = f"has {colours} channels of {max(bits)} bits"
    elif max(bits) > 8 and not tags.get(_WHITE_OR_BLACK, 0):
        kind, for_tifffile = f"has {max(bits)} bits and 0 for white", False
    elif bits[0] == 8 and tags.get(_SAMPLES, (1,))[0] != 1:
        kind = "has 8 bits with a sign"
    elif 0 in tags.get(_EXTRA, ()):
        kind, other = f"has {len(bits)} channels, some of no stated meaning", "save those that are meant"
    elif tags.get(_PLANES, 1) == 2 and image.mode != "RGB" and colours > 1:
        kind = f"has {colours} channels one after another (planar)"
    elif tags.prefix == b"MM" and image.mode in ("I", "F") and image.info[_COMPRESSION] != "raw":
        kind, other = (
            "is compressed, with the high byte of each number first",
            "save it uncompressed, or as PNG",
        )
    elif image.mode not in _TIFF_MODES:
        kind, for_tifffile = f"has the colours {image.mode}", False
    return (f"is a TIFF that {kind}", other, for_tifffile) if kind else ("", "", False)


def _further_pages(image: Image.Image) -> Iterator[int]:
    """The kind of each page but the first."""
    frames = getattr(image, "n_frames", 1)
    for number in range(1, frames):
        image.seek(number)
        yield vars(image)["tag_v2"].get(_SUBFILE, 0)
    if frames > 1:
        image.seek(0)


def unfit_for_masks(image: Image.Image, whole: bytes | None) -> tuple[Kind, str, str] | None:
    """Why the numbers of an open image are not those that were saved, and the way out; None if they are.

    Args:
        whole: the file, for a WebP.
    """
    save = "save masks from their source as PNG"
    if image.format == "TIFF":
        if image.mode != "P" and vars(image)["tag_v2"].get(_WHITE_OR_BLACK, 0) == 0:
            message = "is a TIFF with 0 for white, of which programs read different numbers"
            return kinds.FORMAT, message, "save it as PNG"
        compression = image.info[_COMPRESSION]
        name = compression.removeprefix("tiff_").upper()
        message = f"is a TIFF compressed as {name}, which alters labels"
        return None if compression in _LOSSLESS else (kinds.LOSSY_MASK, message, save)
    if image.format == "WEBP":
        is_exact = whole is not None and b"VP8L" in _chunks(whole)
        message = "is a WebP saved with loss, which alters labels"
        return None if is_exact else (kinds.LOSSY_MASK, message, save)
    if image.format == "PNG":
        return None
    return kinds.LOSSY_MASK, "is a JPEG", "masks must be PNG, because JPEG alters labels"


def _chunks(webp: bytes) -> set[bytes]:
    """The names of the parts of a WebP."""
    names, place = set(), 12
    while place + 8 <= len(webp):
        names.add(webp[place : place + 4])
        size = int.from_bytes(webp[place + 4 : place + 8], "little")
        place += 8 + size + size % 2
    return names
