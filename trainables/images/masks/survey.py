"""Looks at some masks before training: whether they hold classes, and the same ones in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trainables.data.threads import in_threads, num_threads
from trainables.findings import Kind
from trainables.images import kinds
from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.images.masks.colours import palette_conflict, proposed
from trainables.images.masks.edges import Edges, edges_of, told
from trainables.images.masks.labels import MOST_CLASSES, are_objects, objects_text
from trainables.images.masks.reading import COLOURED, palette_colours, read_mask, read_palette, used_colours
from trainables.images.options import MaskOptions
from trainables.images.readers import Reader
from trainables.images.stored import File
from trainables.images.survey import NUM_DECODED, NUM_HEADERS, spread
from trainables.images.targets import MaskDecoder

_FEW_BINARY = 0.1
"""Share of masks of 0 and 255 from which on they are hardly ones that lack an object."""


def mask_problem(parts: Mapping[str, Reader], options: MaskOptions) -> str:
    """What is wrong if most masks have colours, or a label has another colour in another mask; else empty."""
    if options.colors:
        return ""
    masks = {
        str(mask): mask
        for reader in parts.values()
        for number in spread(len(reader), NUM_HEADERS)
        if (mask := _mask(reader, number)) is not None
    }
    headers = {name: read_palette(mask) for name, mask in masks.items()}
    coloured = [name for name, palette in headers.items() if palette == COLOURED]
    if 2 * len(coloured) > len(masks):
        looked = [coloured[place] for place in spread(len(coloured), NUM_DECODED)]
        held = {colour for name in looked for colour in used_colours(masks[name])}
        if not held:
            return ""
        return (
            f"{coloured[0]}: most masks have colours, and must have class numbers: {proposed(sorted(held))}"
        )
    palettes = {name: palette for name, palette in headers.items() if palette not in (None, COLOURED)}
    if options.palettes == "ignore" or len(set(palettes.values())) < 2:
        return ""
    return palette_conflict({name: palette_colours(masks[name]) for name in palettes})


def mask_doubts(
    parts: Mapping[str, Reader], options: MaskOptions, decoder: MaskDecoder, *, classes_known: bool
) -> Iterator[tuple[Kind, str]]:
    """What is wrong, or may be, with the labels of some masks together; those of colours are not looked at.

    Args:
        classes_known: whether the number of classes is set, or the layout says what labels mean.
    """
    if options.colors:
        return
    chosen = [(reader, number) for reader in parts.values() for number in spread(len(reader), NUM_DECODED)]

    def look(place: int) -> Edges | None:
        reader, number = chosen[place]
        try:
            return edges_of(read_mask(reader.encoded(number).mask), decoder.lookup == IGNORE)
        except ValueError:
            return None

    found = [edges for edges in in_threads(look, len(chosen), num_threads()) if edges is not None]
    if not found:
        return
    binary = sum(each.pixels.nonzero()[0].tolist() == [0, IGNORE] for each in found)
    if binary > _FEW_BINARY * len(found) and decoder.class_of(IGNORE) == IGNORE and binary < len(found):
        held = f"{binary} of {len(found)} masks hold 0 and 255 only, which is ignored, and others more"
        doubt = f"{held}: if 255 is a class there, set data.mask_values: {{255: 1}}"
        yield kinds.PERHAPS_BINARY, doubt
    edges = sum(found[1:], found[0])
    if edges.are_smooth:
        classes = [decoder.class_of(label) for label in edges.pixels.nonzero()[0].tolist()]
        surely = edges.are_surely_smooth and (None in classes or not classes_known)
        number = 1 + max((each for each in classes if each is not None and each != IGNORE), default=0)
        may_be_set = None not in classes and number <= MOST_CLASSES
        kind = kinds.SMOOTHED if surely else kinds.PERHAPS_SMOOTHED
        yield kind, told(edges, number if may_be_set else None, surely=surely)
    if not classes_known and are_objects([each.pixels for each in found]):
        yield kinds.OBJECTS, objects_text(edges.pixels)


def _mask(reader: Reader, number: int) -> File | None:
    try:
        return reader.encoded(number).mask
    except ValueError:
        return None
