"""Masks of classes that may overlap: one file for each class, arrays with one plane a class, or bits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainables.findings import sample_error
from trainables.images import kinds
from trainables.images.bands import end_of_channels, is_array, label_shape, read_labels
from trainables.images.decode import read_channels, size_text
from trainables.images.masks.packed import counts_of_classes, packed, packed_type
from trainables.images.masks.reading import labels_text, mask_size, read_numbers
from trainables.images.stored import File
from trainables.images.targets import Encoded, Looked, MaskDecoder


@dataclass(frozen=True, kw_only=True)
class BinaryDecoder(MaskDecoder):
    """Masks of one class against the background, which is label 0."""

    def counts(self, target: np.ndarray) -> Mapping[int, int]:
        return counts_of_classes(target, 1)


@dataclass(frozen=True, kw_only=True)
class OverlappingDecoder(MaskDecoder):
    """Masks in which a pixel has any of the classes, see `packed`."""

    ignore_index: int

    @property
    def nothing(self) -> np.ndarray:
        return np.empty((0, 0), packed_type(self.num_classes))

    def counts(self, target: np.ndarray) -> Mapping[int, int]:
        return counts_of_classes(target, self.num_classes)

    def size(self, sample: Encoded) -> tuple[int, int]:
        file = sample.mask
        if sample.class_masks or not is_array(file) or len(shape := label_shape(file)) != 3:
            return mask_size(file)
        return (shape[1], shape[2]) if self._planes_first(shape) else (shape[0], shape[1])

    def look(self, sample: Encoded) -> Looked:
        looked = Looked()
        looked.image = looked.attempt(lambda: read_channels(sample.images, self.reading))
        looked.target = looked.attempt(lambda: self._packed(sample))
        self.is_halved(sample, looked, looked.target)
        return looked

    def _packed(self, sample: Encoded) -> np.ndarray:
        if sample.class_masks:
            return self._of_files(sample.class_masks)
        file = sample.mask
        numbers = read_labels(file) if is_array(file) else read_numbers(file)
        if numbers.ndim == 3:
            axis = 0 if self._planes_first(numbers.shape) else 2
            return self._of_planes(file, np.moveaxis(numbers, axis, 0))
        return self._of_bits(file, numbers)

    def _planes_first(self, shape: Sequence[int]) -> bool:
        """Whether the classes are the first dimension: the one of their number, else the shorter end."""
        fits = [shape[end] == self.num_classes for end in (0, 2)]
        return fits[0] if any(fits) and not all(fits) else end_of_channels(tuple(shape)) == 0

    def _of_files(self, files: Sequence[File | None]) -> np.ndarray:
        planes: list[np.ndarray | None] = []
        for file in files:
            plane = None if file is None else read_numbers(file)
            if plane is not None:
                held = np.unique(plane)
                if len(held) > 2 or (len(held) == 2 and held[0] != 0):
                    values = labels_text({int(value): int((plane == value).sum()) for value in held})
                    rule = "the mask of a class must hold 0, and one other number where the class is"
                    raise sample_error(kinds.WRONG_LABEL, file, f"holds {values}; {rule}", "save it anew")
            planes.append(None if plane is None else plane != 0)
        (first, shape), *others = [
            (file, plane) for file, plane in zip(files, planes, strict=True) if plane is not None
        ]
        for file, plane in others:
            if plane.shape != shape.shape:
                sizes = f"is {size_text(plane)}, and {first} {size_text(shape)}"
                raise sample_error(kinds.MASK_SIZE, file, sizes, "sizes must agree")
        return packed([np.zeros(shape.shape, bool) if plane is None else plane for plane in planes])

    def _of_planes(self, file: File, planes: np.ndarray) -> np.ndarray:
        """Of numbers [K, H, W], each 0, 1 or, in all planes of a pixel, what is ignored."""
        if len(planes) != self.num_classes:
            message = f"has {len(planes)} planes, and there are {self.num_classes} classes"
            raise sample_error(kinds.WRONG_LABEL, file, message, "save a plane for each class")
        ignored = planes == self.ignore_index
        wrong = planes[~(ignored | (planes == 0) | (planes == 1))]
        if wrong.size:
            values, counts = np.unique(wrong, return_counts=True)
            held = labels_text(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            raise sample_error(kinds.WRONG_LABEL, file, f"holds {held}; it must hold 0 and 1", "save it anew")
        if (ignored.any(axis=0) != ignored.all(axis=0)).any():
            message = f"holds {self.ignore_index} in some classes of a pixel and not in others"
            way_out = "a pixel is ignored in all planes or in none; of masks of 0 and 255 save 0 and 1"
            raise sample_error(kinds.WRONG_LABEL, file, message, way_out)
        return packed(list(planes == 1), ignored.all(axis=0))

    def _of_bits(self, file: File, numbers: np.ndarray) -> np.ndarray:
        """Of whole numbers [H, W] whose bit k is class k; with 8 classes or more no number is ignored."""
        limit = 2**self.num_classes
        ignored = (numbers == self.ignore_index) & (self.ignore_index >= limit)
        wrong = numbers[~ignored & ((numbers < 0) | (numbers >= limit))]
        if wrong.size:
            values, counts = np.unique(wrong, return_counts=True)
            held = labels_text(dict(zip(values.tolist(), counts.tolist(), strict=True)))
            rule = f"with {self.num_classes} classes numbers are sums of 1, 2, 4, ... below {limit}"
            way_out = "save bit k for class k, or a file for each class, or an .npy [H, W, classes]"
            raise sample_error(kinds.WRONG_LABEL, file, f"holds {held}; {rule}", way_out)
        return packed([(numbers >> number & 1).astype(bool) for number in range(self.num_classes)], ignored)
