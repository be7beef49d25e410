"""Images and masks decoded into the arrays that all trials of a machine share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from trainables.findings import some
from trainables.images.found import FoundImages, find_images
from trainables.images.masks.labels import count_classes, doubtful_classes, only_ignored
from trainables.images.masks.survey import mask_doubts, mask_problem
from trainables.images.options import ClassShardsOptions, ImageOptions, MaskOptions, MaskShardsOptions
from trainables.images.readers import Reader, Subset
from trainables.images.scan import Progress, Scan, to_stderr
from trainables.images.statistics import mean_and_std
from trainables.images.targets import ClassDecoder, Decoder, MaskDecoder

IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
IMAGENET_STD = np.array([0.229, 0.224, 0.225], np.float32)
_LACKING = {(True, True): "training or validation", (True, False): "training", (False, True): "validation"}
"""Parts without a class, by whether it is absent from training and from validation."""


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
        arrays["value_range"] = np.array([value_range.low, value_range.high], np.float64)
    for part, reader in found.parts.items():
        arrays |= _part_arrays(part, reader, scan, streamed)
    return arrays


def _look_at_masks(found: FoundImages, options: MaskOptions, progress: Progress) -> None:
    """Say what is odd about the masks, or refuse them where it is surely wrong."""
    assert isinstance(found.decoder, MaskDecoder)
    if options.labels == "multilabel":
        return
    if problem := mask_problem(found.parts, options):
        raise ValueError(problem)
    known = found.classes_known
    for kind, doubt in mask_doubts(found.parts, options, found.decoder, classes_known=known):
        if kind.severity == "error":
            raise ValueError(f"{found.origin}: {doubt}")
        progress(f"{found.origin}: {doubt}")


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
    """The known ones, else the numbers of the labels in all masks; what is odd about them is told."""
    names, doubt = found.class_names, ""
    if isinstance(options, MaskOptions):
        train, valid = scan.class_counts("train"), scan.class_counts("valid")
        if options.labels != "multiclass":
            for line in _absent(found, scan, names) if scan.complete else []:
                progress(line)
            return names
        if problem := only_ignored({"training": train, "validation": valid}, options.ignore_index):
            raise ValueError(f"{found.origin}: {problem}")
        if not scan.complete:
            return names
        known = found.classes_known
        number = count_classes(found.origin, train + valid, options.mask_values, is_known=known)
        names = names or list(map(str, range(number)))
        if not options.mask_values and not found.are_numbers:
            doubt = doubtful_classes(found.origin, train + valid, len(names), is_known=known)
    whole = scan.complete and not isinstance(options, MaskShardsOptions | ClassShardsOptions)
    for line in [doubt] if doubt else _absent(found, scan, names) if whole else []:
        progress(line)
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
