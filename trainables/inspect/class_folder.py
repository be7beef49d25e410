"""Looks at every image of a folder with a folder for each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from trainables.classification.options import ImagesOptions
from trainables.images.class_folder import find_images
from trainables.images.images import num_threads, read_image
from trainables.inspect.images import DOUBLED, num_bytes, other_modes, see_image
from trainables.inspect.inspection import (
    Conclusion,
    Contents,
    Finding,
    Inspection,
    Kind,
    SampleName,
    short_name,
)

SIZES = Kind(
    name="sizes differ",
    severity="error",
    remedy="set data.resize to a side in pixels: all must have one size",
)
TWO_CLASSES = Kind(
    name="in two classes", severity="error", remedy="remove it from the class where it does not belong"
)


class ImageFolderInspection(Inspection):
    """Images below one folder, a folder for each class.

    Raises:
        ValueError: as `find_images` does, if the folder has no known layout.
    """

    compared = "decoded pixels"
    doubled = DOUBLED

    def __init__(self, options: ImagesOptions) -> None:
        self.num_threads = num_threads()
        self.root = root = Path(options.root).expanduser().resolve()
        self._options = options
        parts = find_images(root, valid_fraction=options.valid_fraction, seed=options.split_seed)
        self._names = list(parts[0])
        self._files = [file for part in parts for files in part.values() for file in files]
        self._labels = [self._names.index(n) for part in parts for n, files in part.items() for _ in files]
        self.samples = [
            SampleName(name, str(file), num_bytes(file))
            for name, part in zip(("train", "valid"), parts, strict=True)
            for files in part.values()
            for file in files
        ]
        self._modes: list[str | None] = [None] * len(self._files)

    def look(self, number: int) -> Contents:
        file = self._files[number]
        image = see_image([file], lambda: read_image(file, self._options.channels))
        self._modes[number] = image.mode
        return Contents(findings=image.findings, labels={self._labels[number]: 1}, **image.contents())

    def conclude(self, contents: Sequence[Contents]) -> Conclusion:
        found = [*self._other_sizes(contents), *self._in_two_classes(contents)]
        found += other_modes(self._files, self._modes, self._options.channels)
        return Conclusion(findings=found, class_names=self._names)

    def _other_sizes(self, contents: Sequence[Contents]) -> list[Finding]:
        """Images of another size than most, where nothing resizes them."""
        sizes = Counter(held.size for held in contents if held.size is not None)
        if self._options.resize is not None or len(sizes) < 2:
            return []
        usual = sizes.most_common(1)[0][0]
        return [
            Finding(SIZES, str(file), "{}x{}, most are {}x{}".format(*held.size, *usual))
            for file, held in zip(self._files, contents, strict=True)
            if held.size not in (None, usual)
        ]

    def _in_two_classes(self, contents: Sequence[Contents]) -> list[Finding]:
        first: dict[bytes, int] = {}
        found = []
        for number, held in enumerate(contents):
            for digest in held.digests:
                other = first.setdefault(digest, number)
                if self._labels[other] != self._labels[number]:
                    told = f"the same decoded pixels as {short_name(str(self._files[other]), self.root)}"
                    found.append(Finding(TWO_CLASSES, str(self._files[number]), told))
        return found
