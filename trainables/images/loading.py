"""From the options of a data source to its samples, and to the arrays that all trials of a machine share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from trainables.findings import some
from trainables.images.augment import IGNORE
from trainables.images.edges import told
from trainables.images.hf_datasets import RowReader, find_rows
from trainables.images.labels import (
    check_class_names,
    count_classes,
    doubtful_classes,
    label_lookup,
    mask_class_names,
)
from trainables.images.layouts.base import Convention, Parts
from trainables.images.layouts.class_folders import find_classes
from trainables.images.layouts.find import find_pairs, layout_of
from trainables.images.layouts.root import DataRoot
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
from trainables.images.readers import FileReader, Reader, Subset
from trainables.images.scan import Progress, Scan, to_stderr
from trainables.images.shards import find_samples
from trainables.images.statistics import mean_and_std
from trainables.images.survey import find_range, mask_edges, mask_problem
from trainables.images.targets import ClassDecoder, Decoder, MaskDecoder

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
_LACKING = {(True, True): "training or validation", (True, False): "training", (False, True): "validation"}
"""Parts without a class, by whether it is absent from training and from validation."""


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
            found = _with_classes(options, str(root.path), _files(parts), names)
            return replace(found, notes=root.all_notes())
        case MaskDatasetsOptions():
            return _with_masks(options, *find_rows(options), mask_class_names(options))
        case ClassDatasetsOptions():
            origin, rows = find_rows(options)
            return _with_classes(options, origin, rows, _row_classes(origin, rows["train"], options))
    assert isinstance(options, MaskShardsOptions | ClassShardsOptions)
    samples, damaged = find_samples(options, max_skipped)
    if isinstance(options, MaskShardsOptions):
        found = _with_masks(options, options.root, samples, mask_class_names(options))
    else:
        found = _with_classes(options, options.root, samples, options.class_names)
    return replace(found, damaged=damaged)


def _mask_folder(options: MaskFolderOptions, with_orphans: bool) -> FoundImages:
    root = DataRoot(options)
    layout = layout_of(root, options)
    pairs = find_pairs(layout, root, options, with_orphans)
    convention = layout.convention(root)
    names = mask_class_names(options, root, convention)
    found = _with_masks(options, str(root.path), _files(pairs), names, convention)
    found = replace(found, notes=root.all_notes())
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
    decoder = MaskDecoder(
        reading=options.reading(),
        lookup=label_lookup(options, convention),
        num_classes=len(names) or options.known_classes or IGNORE,
        colours=options.colour_table,
    )
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
    value_range, note = find_range(found.parts, options)
    decoder = replace(found.decoder, reading=options.reading(value_range))
    return replace(found, decoder=decoder, notes=tuple(filter(None, (*found.notes, note))))


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


def load_images(options: ImageOptions, progress: Progress = to_stderr) -> dict[str, np.ndarray]:
    """Decode the samples, or some of them where they are many, and keep the pixels if all fit.

    Up to `skip_limit` samples may be wrong: each keeps its number with a shape of (0, 0), statistics are
    those of the others, and one line of progress reports it.

    Returns:
        The arrays that `trainables.images.samples.LoadedImages` takes: for part "train" and "valid"
        `{part}_inputs` and `{part}_targets`, uint8 [N, H, W, C] and uint8 [N, H, W] of masks or int64 [N] of
        classes if all are of one size, else flat ones with `{part}_shapes` int64 [N, 2] and
        `{part}_first_pixels` int64 [N]; if they stay where they are, `{part}_shapes` and what their reader
        needs. Besides `class_names` [K], `class_counts` int64 [K] of the training targets, `mean` and `std`
        float32 [channels], for masks `mask_lookup` int16 [256], for images of more than 8 bits `value_range`
        float64 [2], the values that become 0 and 255, and `skipped_files` and `skipped_reasons` of
        the samples that are skipped. Ignored pixels are `IGNORE` whatever `ignore_index` is. Where only some
        samples were scan, counts and statistics are those of these.

    Raises:
        ValueError: naming each sample that is wrong.
    """
    found = find_images(options, options.skip_limit)
    for note in found.notes:
        progress(note)
    if isinstance(options, MaskOptions):
        _look_at_masks(found, options, progress)
    streamed = isinstance(options, MaskShardsOptions | ClassShardsOptions)
    readers = {
        part: _some_of(reader, options) if streamed else reader for part, reader in found.parts.items()
    }
    decoder = _of_one_size(found.decoder, readers)
    scan = Scan(
        readers,
        decoder,
        options,
        keep=not streamed,
        classes_known=bool(found.class_names),
        max_skipped=options.skip_limit - len(found.damaged),
        progress=progress,
    )
    names = _class_names(found, scan, options, progress)
    if scan.complete and not streamed:
        for line in _absent(found, scan, names):
            progress(line)
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if options.normalization == "data":
        mean, std = mean_and_std(scan.sums[scan.parts["train"]].sum(axis=0))
    arrays = {
        "class_names": np.array(names),
        "class_counts": _class_counts(found.parts["train"], scan, len(names)),
        "mean": mean,
        "std": std,
        **_skipped(scan, readers, found.damaged),
    }
    if isinstance(decoder, MaskDecoder):
        arrays["mask_lookup"] = decoder.lookup
    value_range = decoder.reading.value_range
    if value_range is not None:
        arrays["value_range"] = np.array([value_range.low, value_range.high])
    for part, reader in found.parts.items():
        arrays |= _part_arrays(part, reader, scan, streamed)
    return arrays


def _look_at_masks(found: FoundImages, options: MaskOptions, progress: Progress) -> None:
    """Say what is odd about the masks, or refuse them where it is surely wrong."""
    assert isinstance(found.decoder, MaskDecoder)
    if problem := mask_problem(found.parts, options):
        raise ValueError(problem)
    edges = mask_edges(found.parts, options, found.decoder.lookup)
    if edges is not None and edges.are_smooth:
        if edges.are_surely_smooth and not found.classes_known:
            raise ValueError(f"{found.origin}: {told(edges)}")
        progress(f"{found.origin}: {told(edges)}")


def _some_of(reader: Reader, options: ImageOptions) -> Reader:
    """Samples to look at where even their headers are too many: spread over all, the same each time."""
    if options.scan == "all" or len(reader) <= options.sample_size:
        return reader
    rng = np.random.default_rng(0)
    return Subset(reader, np.sort(rng.choice(len(reader), options.sample_size, replace=False, shuffle=False)))


def _of_one_size(decoder: Decoder, readers: Mapping[str, Reader]) -> Decoder:
    """Where all images must have one size, it is that of the first one that can be read."""
    if not isinstance(decoder, ClassDecoder) or decoder.expected is not None:
        return decoder
    for reader in readers.values():
        for number in range(len(reader)):
            try:
                image, _ = decoder.decode(reader.encoded(number))
            except ValueError:
                continue
            height, width = image.shape[:2]
            return replace(decoder, expected=(height, width), example=reader.name(number))
    return decoder


def _class_names(found: FoundImages, scan: Scan, options: ImageOptions, progress: Progress) -> Sequence[str]:
    """The known ones, else the numbers of the labels in all masks."""
    if not isinstance(options, MaskOptions):
        return found.class_names
    train, valid = scan.class_counts("train"), scan.class_counts("valid")
    for part, counts in (("train", train), ("valid", valid)):
        if not counts[:IGNORE].any():
            raise ValueError(
                f"{found.origin}: every pixel of the {part} masks is ignored; some must have a class"
            )
    if not scan.complete:
        return found.class_names
    num_found = count_classes(found.origin, train + valid, options.mask_values, is_known=found.classes_known)
    names = found.class_names or [str(number) for number in range(num_found)]
    if not options.mask_values and not found.are_numbers:
        doubt = doubtful_classes(found.origin, train + valid, len(names))
        if doubt:
            progress(doubt)
    return names


def _absent(found: FoundImages, scan: Scan, names: Sequence[str]) -> Iterator[str]:
    """Which classes occur in no sample of a part, or of both."""
    train, valid = (scan.class_counts(part) for part in ("train", "valid"))
    lacking = [(not train[number], not valid[number]) for number in range(len(names))]
    for parts, what in _LACKING.items():
        absent = [name for name, of_class in zip(names, lacking, strict=True) if of_class == parts]
        if absent:
            classes = f"class {absent[0]} occurs" if len(absent) == 1 else f"classes {some(absent)} occur"
            yield f"{found.origin}: {classes} in no {what} sample"


def _class_counts(train: Reader, scan: Scan, num_classes: int) -> np.ndarray:
    if train.classes is not None:
        return np.bincount(train.classes[train.classes >= 0], minlength=num_classes)[:num_classes]
    found = scan.class_counts("train")[:num_classes]
    return np.pad(found, (0, num_classes - len(found)))


def _skipped(scan: Scan, readers: Mapping[str, Reader], damaged: Mapping[str, str]) -> dict[str, np.ndarray]:
    """A shard that ends too early counts as one sample."""
    skipped = {}
    for number, reason in scan.problems.items():
        part = next(part for part, chosen in scan.parts.items() if number < chosen.stop)
        skipped[readers[part].name(number - scan.parts[part].start)] = reason
    skipped |= damaged
    files, reasons = np.array(list(skipped), np.str_), np.array(list(skipped.values()), np.str_)
    return {"skipped_files": files, "skipped_reasons": reasons}


def _part_arrays(part: str, reader: Reader, scan: Scan, streamed: bool) -> dict[str, np.ndarray]:
    chosen = scan.parts[part]
    shapes = scan.shapes[chosen]
    if scan.pixels is not None:
        return scan.pixels.as_arrays(part, chosen, shapes)
    if streamed:  # One shape stands for all.
        shapes = shapes[shapes.all(axis=1)][:1]
        if not len(shapes):
            raise ValueError(f"none of the {part} samples that were checked can be read")
    return {**reader.as_arrays(part), f"{part}_shapes": shapes}
