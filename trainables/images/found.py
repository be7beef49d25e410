"""From the options of a data source to its samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.images.hf_datasets import RowReader, find_rows, folds_of_rows
from trainables.images.layouts.base import Convention, Parts
from trainables.images.layouts.class_folders import find_classes
from trainables.images.layouts.class_masks import with_class_masks
from trainables.images.layouts.find import find_pairs, layout_of
from trainables.images.layouts.folds import in_folds
from trainables.images.layouts.root import DataRoot
from trainables.images.masks.decoder import mask_decoder
from trainables.images.masks.labels import check_class_names, label_lookup, mask_class_names
from trainables.images.options import (
    ClassDatasetsOptions,
    ClassFolderOptions,
    ClassOptions,
    ClassShardsOptions,
    ImageOptions,
    MaskDatasetsOptions,
    MaskFolderOptions,
    MaskOptions,
    MaskShardsOptions,
)
from trainables.images.readers import FileReader, Reader
from trainables.images.shards import find_samples
from trainables.images.survey import find_channels, find_range, look_at_headers, turned_images
from trainables.images.targets import ClassDecoder, Decoder


@dataclass(frozen=True, kw_only=True)
class FoundImages:
    """The samples of a data source, before one of them is scan."""

    origin: str
    """Where the data lie, for messages."""
    parts: Mapping[str, Reader]
    """Of "train" and "valid"."""
    decoder: Decoder
    class_names: Sequence[str]
    """Empty: the numbers of the labels that are found in the masks."""
    notes: tuple[str, ...] = ()
    """What was recognized."""
    are_numbers: bool = False
    """Whether the layout says what its labels mean."""
    folds: Mapping[str, np.ndarray] = field(default_factory=dict)
    """The fold of each sample by part, int64 [N]; empty without folds."""
    damaged: Mapping[str, str] = field(default_factory=dict)
    """What is wrong with shards of which a part is skipped, by file."""

    @property
    def classes_known(self) -> bool:
        """Whether the number of classes is set, or that of the layout."""
        return bool(self.class_names) or self.are_numbers


def find_images(options: ImageOptions, max_skipped: int) -> FoundImages:
    """Find the samples that the options name, and the range of their values.

    Args:
        max_skipped: damaged samples that may be left out. With any, an image or a mask that lacks the other
            has its place among the samples all the same.

    Raises:
        ValueError: naming the folder, list, shard or file by which nothing can be found.
        ModuleNotFoundError: for data of a library that is not installed.
    """
    return _with_range(locate_images(options, max_skipped), options)


def locate_images(options: ImageOptions, max_skipped: int) -> FoundImages:
    """`find_images` without the range of the values, for which some images are read."""
    match options:
        case MaskFolderOptions():
            return _mask_folder(options, with_orphans=max_skipped > 0)
        case ClassFolderOptions():
            root = DataRoot(options)
            names, parts = find_classes(root, options)
            parts, folds = in_folds(parts, root, options, names)
            found = _with_classes(options, str(root.path), _files(parts), names)
            return replace(found, notes=root.all_notes(), folds=folds)
        case MaskDatasetsOptions() | ClassDatasetsOptions():
            return _saved(options)
    assert isinstance(options, MaskShardsOptions | ClassShardsOptions)
    samples, damaged = find_samples(options, max_skipped)
    folds, notes = dict[str, np.ndarray](), list[str]()
    if options.folds is not None:
        samples, folds, notes = samples["train"].in_folds(options)
    if isinstance(options, MaskShardsOptions):
        found = _with_masks(options, options.root, samples, mask_class_names(options))
    else:
        found = _with_classes(options, options.root, samples, options.class_names)
    return replace(found, damaged=damaged, folds=folds, notes=tuple(notes))


def _saved(options: MaskDatasetsOptions | ClassDatasetsOptions) -> FoundImages:
    origin, rows = find_rows(options)
    folds, notes = dict[str, np.ndarray](), list[str]()
    if options.folds is not None:
        rows, folds, notes = folds_of_rows(rows["train"], options)
    if isinstance(options, MaskDatasetsOptions):
        found = _with_masks(options, origin, rows, mask_class_names(options))
    else:
        found = _with_classes(options, origin, rows, _row_classes(origin, rows["train"], options))
    return replace(found, folds=folds, notes=tuple(notes))


def _mask_folder(options: MaskFolderOptions, with_orphans: bool) -> FoundImages:
    root = DataRoot(options)
    layout = layout_of(root, options)
    if options.labels == "multilabel":
        root.mask_classes = mask_class_names(options, root)
    pairs, folds = in_folds(find_pairs(layout, root, options, with_orphans), root, options)
    pairs, told = with_class_masks(pairs, root.class_masks, root.mask_classes)
    convention = layout.convention(root)
    names = mask_class_names(options, root, convention)
    found = _with_masks(options, str(root.path), _files(pairs), names, convention)
    told_classes = [f"{root.path}: {told}"] if told else []
    found = replace(found, notes=(*root.all_notes(), *told_classes), folds=folds)
    if options.layout != "auto" or layout.name == "folders":
        return found
    classes = f", with its {len(names)} classes" if names and tuple(names) == convention.class_names else ""
    numbers = f"{len(pairs['train'])} images to train and {len(pairs['valid'])} to validate"
    note = f"{root.path}: layout {layout.name}{classes}; {numbers} (data.layout)"
    return replace(found, notes=(note, *found.notes))


def _files(parts: Parts) -> dict[str, Reader]:
    return {part: FileReader.of_samples(samples) for part, samples in parts.items()}


def _with_masks(
    options: MaskOptions,
    origin: str,
    parts: Mapping[str, Reader],
    names: Sequence[str],
    convention: Convention | None = None,
) -> FoundImages:
    num_classes = len(names) or options.known_classes or IGNORE
    decoder = mask_decoder(options, options.reading(), label_lookup(options, convention), num_classes)
    names = names or [str(number) for number in range(options.known_classes or 0)]
    return FoundImages(
        origin=origin,
        parts=parts,
        decoder=decoder,
        class_names=names,
        are_numbers=convention is not None and convention.labels is not None,
    )


def _with_classes(
    options: ClassOptions, origin: str, parts: Mapping[str, Reader], names: Sequence[str]
) -> FoundImages:
    side = options.resize
    expected = None if side is None else (side, side)
    decoder = ClassDecoder(reading=options.reading(), num_classes=len(names), resize=side, expected=expected)
    return FoundImages(origin=origin, parts=parts, decoder=decoder, class_names=names)


def _with_range(found: FoundImages, options: ImageOptions) -> FoundImages:
    headers = look_at_headers(found.parts, options)
    channels, told = find_channels(found.origin, headers, options)
    value_range, note = find_range(found.parts, headers, options)
    decoder = replace(found.decoder, reading=options.reading(value_range, channels))
    notes = (*found.notes, told, note, turned_images(headers, options))
    return replace(found, decoder=decoder, notes=tuple(filter(None, notes)))


def _row_classes(origin: str, rows: RowReader, options: ClassDatasetsOptions) -> list[str]:
    """The names in the data set, or else those in the options."""
    names = rows.class_names
    if names and options.class_names not in ((), tuple(names)):
        raise ValueError(
            f"data.class_names is {', '.join(options.class_names)}, and {origin} has {', '.join(names)}: "
            "leave it out"
        )
    if not names and not options.class_names:
        raise ValueError(
            f"{origin}: column {options.label_column!r} has no names of classes; set data.class_names"
        )
    return check_class_names(names or options.class_names, "data.class_names")
