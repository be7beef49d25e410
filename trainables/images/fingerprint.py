"""The fingerprint of images with masks or classes, whatever holds them."""

from __future__ import annotations

from pathlib import Path

from trainables.data.fingerprint import Fingerprint, of_contents, of_files
from trainables.folds.assign import fold_fingerprint
from trainables.images.found import FoundImages, locate_images
from trainables.images.hf_datasets import RowReader
from trainables.images.options import ImageOptions
from trainables.images.readers import FileReader, Reader
from trainables.images.shards import ShardSamples
from trainables.images.targets import MaskDecoder

_PARTS = {"train": "training", "valid": "validation"}


def image_fingerprint(options: ImageOptions) -> Fingerprint:
    """The files, rows or shards of each part, and the classes.

    Raises:
        ValueError: as loading them does.
    """
    found = locate_images(options, options.skip_limit)
    root = Path(found.origin).expanduser()
    known = of_files(
        {
            f"{_PARTS[part]} {what}": files
            for part, reader in found.parts.items()
            for what, files in _files(reader).items()
        },
        root,
    )
    for part, reader in found.parts.items():
        if isinstance(reader, ShardSamples | RowReader):
            _replace_contents(known, f"{_PARTS[part]} {next(iter(_files(reader)))}", reader, root)
    return known | _classes(found) | fold_fingerprint(options)


def _files(reader: Reader) -> dict[str, list[str]]:
    """The files of a part by what they are."""
    if isinstance(reader, FileReader):
        return reader.files
    if isinstance(reader, ShardSamples):
        return {"shards": list(reader.hashes)}
    assert isinstance(reader, RowReader)
    return {"rows": reader.files}


def _replace_contents(known: Fingerprint, what: str, reader: ShardSamples | RowReader, root: Path) -> None:
    """Where the files are too large to be read, what is known about their contents without that."""
    hashes = {} if isinstance(reader, RowReader) else reader.hashes
    by_name = {file.removeprefix(f"{root}/"): contents for file, contents in hashes.items()}
    of_all = reader.fingerprint if isinstance(reader, RowReader) else ""
    for name, stamp in known.things.get(what, {}).items():
        if not stamp.contents:
            known.things[what][name] = stamp._replace(contents=by_name.get(name, of_all))


def _classes(found: FoundImages) -> Fingerprint:
    numbers = {name: str(number) for number, name in enumerate(found.class_names)}
    classes = of_contents("classes", numbers)
    if isinstance(found.decoder, MaskDecoder):
        labels = {str(label): str(number) for label, number in enumerate(found.decoder.lookup.tolist())}
        classes |= of_contents("classes of the labels in masks", labels)
    return classes
