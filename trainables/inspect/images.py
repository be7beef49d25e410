"""Reads every sample of images as training does, and collects all problems instead of raising the first."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from trainables.data.threads import num_threads
from trainables.findings import Finding, Kind, SampleError, short_name, some
from trainables.images import kinds
from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.images.augmentation.options import JointAugmentOptions
from trainables.images.decode import read_header
from trainables.images.depth import MOST_OUTSIDE
from trainables.images.found import FoundImages, find_images
from trainables.images.masks.labels import count_classes, only_ignored
from trainables.images.masks.reading import labels_text
from trainables.images.masks.survey import mask_doubts, mask_problem
from trainables.images.options import ImageOptions, MaskOptions, MaskShardsOptions
from trainables.images.readers import Reader
from trainables.images.source import several_sizes
from trainables.images.statistics import pixel_sums
from trainables.images.targets import Encoded, Looked, MaskDecoder
from trainables.inspect.inspection import IGNORED, Conclusion, Contents, Inspection, SampleName, digest_of

FEW_VALUES = 64
"""Images that differ by fewer values than these from dark to bright are noticed."""

NO_LIMIT = 10**9
"""Number of damaged samples after which a check would stop."""


class ImageInspection(Inspection):
    """What `load_images` would decode, with every problem collected instead of raised.

    Only numbers are kept of each sample: there are never more images in memory than threads.
    """

    compared, leakage = "decoded pixels", kinds.LEAKAGE
    _found: FoundImages
    """Not set if nothing could be found; then there are no samples either."""

    def __init__(self, options: ImageOptions) -> None:
        self.num_threads = num_threads()
        root = getattr(options, "root", None)
        self.root = None if root is None else Path(os.path.expanduser(root)).resolve()
        self._options = options
        self.findings: list[Finding] = []
        self._located: list[tuple[Reader, int]] = []
        self.samples: list[SampleName] = []
        try:
            self._find(find_images(options, NO_LIMIT))
        except (ValueError, OSError) as error:
            self.findings.append(
                Finding(kinds.FOLDER, str(self.root), str(error).removeprefix(f"{self.root}: "))
            )
        self._modes: list[str | None] = [None] * len(self.samples)
        self._extremes: list[tuple[int, int] | None] = [None] * len(self.samples)
        """Least and largest value of each image, as training gets it."""

    def _find(self, found: FoundImages) -> None:
        self._found, self.notes = found, found.notes
        self.findings += [Finding(kinds.UNREADABLE, file, reason) for file, reason in found.damaged.items()]
        if found.folds:
            self.folds = np.concatenate([found.folds[part] for part in found.parts])
        for part, reader in found.parts.items():
            for number in range(len(reader)):
                self._located.append((reader, number))
                self.samples.append(SampleName(part, reader.name(number), reader.num_bytes(number)))

    def look(self, number: int) -> Contents:
        reader, index = self._located[number]
        try:
            sample = reader.encoded(index)
        except ValueError as error:
            return Contents(findings=[_finding(error, self.samples[number].where)])
        looked = self._found.decoder.look(sample)
        findings = [_finding(problem, self.samples[number].where) for problem in looked.problems]
        # Binary masks are reported in the conclusion: mostly all masks are.
        findings = [finding for finding in findings if finding.kind is not kinds.BINARY]
        findings += self._warnings(number, sample, looked)
        if looked.image is None:
            return Contents(findings=findings)
        findings += self._image_warnings(number, sample, looked.image)
        height, width = looked.image.shape[:2]
        return Contents(
            findings=findings,
            digests=[digest_of(looked.image)],
            size=(width, height),
            labels=self._classes(looked),
            sums=pixel_sums(looked.image) / np.array([[1.0], [255.0], [255.0**2]]),
        )

    def conclude(self, contents: Sequence[Contents]) -> Conclusion:
        found = [*self._conclusions(contents), *self._other_modes(), *self._few_values()]
        # Labels that are no class numbers are in the finding; a table would be of classes that nobody has.
        misread = any(finding.kind in (kinds.NO_NUMBERS, kinds.SMOOTHED) for finding in found)
        names = () if misread else self._class_names(contents)
        return Conclusion(findings=found, class_names=names, facts=self._facts())

    def _facts(self) -> dict[str, str]:
        """How images are read: their modes, and the values that become 0 to 255."""
        modes = Counter(mode for mode in self._modes if mode is not None)
        plain = {mode: "-bit" in mode or "," in mode or mode == "1" for mode in modes}
        names = {mode: mode if plain[mode] else f"8-bit {mode}" for mode in modes}
        counts = [
            names[mode] if len(modes) == 1 else f"{names[mode]} ({n})" for mode, n in modes.most_common()
        ]
        reading = self._found.decoder.reading
        into = {1: "grey", 3: "RGB"}.get(reading.channels, f"{reading.channels} channels")
        known = [extremes for extremes in self._extremes if extremes is not None]
        if not known:
            return {}
        values = f"values {min(low for low, _ in known)} to {max(high for _, high in known)}"
        if reading.value_range is not None:
            values = f"values {reading.value_range} become 0 to 255"
        return {"images": f"{some(counts, 4)}, read as {into}; {values}"}

    def _image_warnings(self, number: int, sample: Encoded, image: np.ndarray) -> Iterator[Finding]:
        """What is odd about one image, though it can be decoded."""
        where = self.samples[number].where
        low, high = self._extremes[number] = int(image.min()), int(image.max())
        if low == high:
            yield Finding(kinds.CONSTANT, where, f"each pixel is {low}")
        reading = self._found.decoder.reading
        for file in sample.images:
            header = read_header(file, reading.channels_first)
            self._modes[number] = header.mode if len(sample.images) == 1 else None
            if header.orientation != 1 and reading.upright:
                yield Finding(kinds.TURNED, where, f"orientation {header.orientation}")
            if header.is_deep and reading.value_range is not None:
                outside = reading.value_range.outside(reading.values(file))
                if outside > MOST_OUTSIDE:
                    yield Finding(kinds.CLIPPED, where, f"{outside:.0%} outside of {reading.value_range}")

    def _few_values(self) -> Iterator[Finding]:
        """Images that all together use a small part of the values: such as 12 bits of 16, or a mask."""
        known = [extremes for extremes in self._extremes if extremes is not None]
        low, high = min((low for low, _ in known), default=0), max((high for _, high in known), default=255)
        if 0 < high - low < FEW_VALUES:
            yield Finding(
                kinds.NARROW, str(self.root), f"all images lie between {low} and {high}, of 0 to 255"
            )

    def _warnings(self, number: int, sample: Encoded, looked: Looked) -> list[Finding]:
        """Anomalies of one sample that can be decoded."""
        return []

    def _classes(self, looked: Looked) -> dict[int, int]:
        """Number of occurrences of each class, and of what is ignored, in the target."""
        return {} if looked.target is None else {int(looked.target): 1}

    def _class_names(self, contents: Sequence[Contents]) -> Sequence[str]:
        return self._found.class_names

    def _conclusions(self, contents: Sequence[Contents]) -> Iterator[Finding]:
        """What only all samples together show."""
        yield from ()

    def _other_modes(self) -> list[Finding]:
        """Images that are converted on reading: one finding if all have the same mode."""
        channels = self._found.decoder.channels if self._located else 3
        if channels not in (1, 3):  # others are read as they are, or refused
            return []
        expected = ("RGB",) if channels == 3 else ("L", "1")
        known = {number: mode for number, mode in enumerate(self._modes) if mode is not None}
        others = [number for number, mode in known.items() if mode not in expected]
        if len(set(known.values())) == 1 and len(others) > 1:
            mode, where = known[others[0]], str(Path(self.samples[others[0]].where).parent)
            message = f"all {len(others)} images are {mode}, read as {expected[0]}"
            return [Finding(kind, where, message) for kind in _converted(mode, channels)]
        return [
            Finding(kinds.OTHER_MODE, self.samples[number].where, f"{known[number]}, read as {expected[0]}")
            for number in others
        ]


class MaskInspection(ImageInspection):
    """Images and masks; without `augment` their sizes are not looked at."""

    unit = "pixels"

    def __init__(self, options: MaskOptions, augment: JointAugmentOptions | None = None) -> None:
        super().__init__(options)
        self._augment = augment
        self.overlapping = options.labels != "multiclass"
        self._labels: list[Mapping[int, int]] = [{} for _ in self.samples]
        """Number of pixels of each label in the file, by sample."""
        self._masks = [""] * len(self.samples)

    @property
    def _decoder(self) -> MaskDecoder:
        assert isinstance(self._found.decoder, MaskDecoder)
        return self._found.decoder

    def _warnings(self, number: int, sample: Encoded, looked: Looked) -> list[Finding]:
        self._labels[number], self._masks[number] = looked.labels, str(sample.target)
        ignored = looked.labels and all(self._decoder.class_of(label) == IGNORE for label in looked.labels)
        return [Finding(kinds.ALL_IGNORED, str(sample.target), "")] if ignored else []

    def _classes(self, looked: Looked) -> dict[int, int]:
        """Labels that are no class are left out."""
        if self.overlapping:
            counts = {} if looked.target is None else self._decoder.counts(looked.target)
            return {IGNORED if number == IGNORE else number: count for number, count in counts.items()}
        classes: Counter[int] = Counter()
        for label, count in looked.labels.items():
            number = self._decoder.class_of(label)
            if number is not None:
                classes[IGNORED if number == IGNORE else number] += count
        return dict(classes)

    def _class_names(self, contents: Sequence[Contents]) -> Sequence[str]:
        names = super()._class_names(contents)
        largest = max((label for held in contents for label in held.labels), default=-1)
        return names or [str(number) for number in range(1 + largest)]

    def _conclusions(self, contents: Sequence[Contents]) -> Iterator[Finding]:
        yield from self._several_sizes(contents)
        yield from self._binary_masks()
        if self.overlapping:
            return
        yield from self._far_labels()
        options = self._options
        assert isinstance(options, MaskOptions)
        problem = mask_problem(self._found.parts, options)
        if problem:
            file, _, what = problem.partition(": ")
            yield Finding(kinds.COLOURS if "have colours" in what else kinds.PALETTES, file, what)
        where, known = str(Path(self._masks[0]).parent), self._found.classes_known
        doubts = [
            Finding(kind, where, doubt)
            for kind, doubt in mask_doubts(self._found.parts, options, self._decoder, classes_known=known)
            if kind is not kinds.PERHAPS_BINARY  # each of them is found besides
        ]
        yield from doubts
        # Shades between labels are no labels that could be mapped.
        if not any(doubt.kind is kinds.SMOOTHED for doubt in doubts):
            yield from self._not_numbered(contents)

    def _several_sizes(self, contents: Sequence[Contents]) -> Iterator[Finding]:
        """What no batch of training can hold; sizes in shards are not known before."""
        augment, pairs = self._augment, zip(self.samples, contents, strict=True)
        sizes = [held.size[::-1] for sample, held in pairs if sample.part == "train" and held.size]
        if augment is None or augment.crop or isinstance(self._options, MaskShardsOptions) or not sizes:
            return
        if problem := several_sizes(np.array(sizes), augment):
            yield Finding(kinds.SEVERAL_SIZES, str(self.root), problem)

    def _not_numbered(self, contents: Sequence[Contents]) -> list[Finding]:
        """Labels with which no search would begin: all ignored, all of one class, or no class numbers."""
        pixels = {"train": np.zeros(IGNORE + 1, np.int64), "valid": np.zeros(IGNORE + 1, np.int64)}
        for sample, held in zip(self.samples, contents, strict=True):
            for label, count in held.labels.items():
                pixels[sample.part][IGNORE if label == IGNORED else label] += count
        where, of_all = str(Path(self._masks[0]).parent), pixels["train"] + pixels["valid"]
        names = {"train": "training", "valid": "validation"}
        parts = {names[part]: counts for part, counts in pixels.items() if counts.any()}
        assert isinstance(self._options, MaskOptions)
        if problem := only_ignored(parts, self._options.ignore_index):
            return [Finding(kinds.NO_CLASS, where, problem)]
        is_binary = {label for labels in self._labels for label in labels} == {0, IGNORE}  # see _binary_masks
        if self._found.classes_known or is_binary or not of_all.any():
            return []
        try:
            count_classes(where, of_all, {})
        except ValueError as error:
            kind = kinds.NO_NUMBERS if of_all[1:IGNORE].any() else kinds.NO_CLASS
            return [Finding(kind, where, str(error).removeprefix(f"{where}: "))]
        return []

    def _binary_masks(self) -> list[Finding]:
        """Masks of 0 and 255 where 255 is no class; where it is ignored, that may be right."""
        if self._decoder.class_of(IGNORE) not in (IGNORE, None):
            return []
        binary = [number for number, labels in enumerate(self._labels) if set(labels) == {0, IGNORE}]
        others = any(labels and not set(labels) <= {0, IGNORE} for labels in self._labels)
        if binary and not others:
            message = f"{len(binary)} masks hold 0 and 255, and no mask holds anything else"
            return [Finding(kinds.BINARY, str(Path(self._masks[binary[0]]).parent), message)]
        kind = kinds.BINARY if self._decoder.class_of(IGNORE) is None else kinds.PERHAPS_BINARY
        return [Finding(kind, self._masks[number], "") for number in binary]

    def _far_labels(self) -> Iterator[Finding]:
        """Labels above a gap, if the number of classes is taken from the largest label."""
        if self._found.class_names:
            return
        lookup = self._decoder.lookup
        held = {int(lookup[label]) for labels in self._labels for label in labels}
        gap = next((number for number in range(IGNORE) if number not in held), IGNORE)
        far = [
            (mask, {label: count for label, count in labels.items() if gap < lookup[label] < IGNORE})
            for mask, labels in zip(self._masks, self._labels, strict=True)
            if labels
        ]
        odd = [(mask, labels) for mask, labels in far if labels]
        if 2 * len(odd) <= len(far):  # where most masks hold such labels, they are classes
            for mask, labels in odd:
                yield Finding(kinds.FAR_LABEL, mask, f"{labels_text(labels)}, while no mask holds {gap}")


class ClassInspection(ImageInspection):
    """Images with a class each."""

    def _conclusions(self, contents: Sequence[Contents]) -> Iterator[Finding]:
        yield from self._other_sizes(contents)
        yield from self._in_two_classes(contents)

    def _other_sizes(self, contents: Sequence[Contents]) -> Iterator[Finding]:
        """Images of another size than most, if nothing resizes them."""
        sizes = Counter(held.size for held in contents if held.size is not None)
        if len(sizes) < 2 or getattr(self._options, "resize", None) is not None:
            return
        usual = sizes.most_common(1)[0][0]
        for sample, held in zip(self.samples, contents, strict=True):
            if held.size is not None and held.size != usual:
                message = "{}x{}, most are {}x{}".format(*held.size, *usual)
                yield Finding(kinds.IMAGE_SIZE, sample.where, message)

    def _in_two_classes(self, contents: Sequence[Contents]) -> Iterator[Finding]:
        first: dict[bytes, int] = {}
        for number, held in enumerate(contents):
            for digest in held.digests:
                other = first.setdefault(digest, number)
                if contents[other].labels != held.labels:
                    message = f"the same decoded pixels as {short_name(self.samples[other].where, self.root)}"
                    yield Finding(kinds.TWO_CLASSES, self.samples[number].where, message)


def _converted(mode: str, channels: int) -> Iterator[Kind]:
    """What is lost or repeated where all images have this mode."""
    is_grey = mode.split()[-1] in ("1", "L", "LA", "float")
    if is_grey and channels == 3:
        yield kinds.ALL_GREY
    elif not is_grey and channels == 1:
        yield kinds.ALL_COLOURED
    elif mode.endswith("A"):
        yield kinds.TRANSPARENT


def _finding(error: ValueError, where: str) -> Finding:
    if isinstance(error, SampleError) and error.finding is not None:
        return error.finding
    return Finding(kinds.UNREADABLE, where, str(error).removeprefix(f"{where}: "))
