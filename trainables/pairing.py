"""Which image and which mask have one name, where both have something before or after it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import SequenceMatcher

_SEPARATORS = "_-. "
_NEAR = 20
"""Names at the beginning, in the middle and at the end that are compared with each other."""
_TRIED = 8
"""Rules that are tried on all names, of those that seem to pair the most."""
_LEADING_ZEROS = re.compile(r"(?<!\d)(?<!\d\.)0+(?=\d)")
"""Not of decimals, such as 1.05."""


@dataclass(frozen=True, kw_only=True)
class Affixes:
    """What names of files have before and after the name of the sample, in the last part of their path."""

    image_prefix: str = ""
    image_suffix: str = ""
    mask_prefix: str = ""
    mask_suffix: str = ""

    def images(self, stems: Collection[str]) -> dict[str, str]:
        """The images that are named so, by the name of the sample."""
        return _cores(stems, self.image_prefix, self.image_suffix)

    def masks(self, stems: Collection[str]) -> dict[str, str]:
        return _cores(stems, self.mask_prefix, self.mask_suffix)

    def image(self, name: str) -> str:
        """The stem of the image of a sample."""
        return _affixed(name, self.image_prefix, self.image_suffix)

    def mask(self, name: str) -> str:
        return _affixed(name, self.mask_prefix, self.mask_suffix)

    def __str__(self) -> str:
        """The options, as YAML."""
        return ", ".join(
            f"{key}: {json.dumps(text, ensure_ascii=False)}" for key, text in asdict(self).items() if text
        )


@dataclass(frozen=True)
class Pairing:
    """A rule, tried on all names."""

    affixes: Affixes
    pairs: Mapping[str, str]
    """The mask of each image that has one."""
    complete: bool
    """Whether each image has a mask, and each mask an image."""


def tried(affixes: Affixes, images: Collection[str], masks: Collection[str]) -> Pairing:
    """What a rule pairs."""
    of_images, of_masks = affixes.images(images), affixes.masks(masks)
    pairs = {of_images[name]: of_masks[name] for name in of_images.keys() & of_masks.keys()}
    return Pairing(affixes, pairs, len(pairs) == len(images) == len(masks))


def numbered(name: str) -> str:
    """The name without zeros before its numbers: 1, 01 and 001 are one."""
    return _LEADING_ZEROS.sub("", name)


def find_pairing(images: Collection[str], masks: Collection[str], given: Mapping[str, str]) -> Pairing | None:
    """The rule that pairs the most; None where none pairs two, or several pair all, but not alike.

    Where names as they are have no rule that pairs all, numbers may have other zeros before them.

    Args:
        given: the affixes that are known.
    """
    found = _find(images, masks, given)
    if found is not None and found.complete:
        return found
    of_images, of_masks = ({numbered(stem): stem for stem in stems} for stems in (images, masks))
    if (len(of_images), len(of_masks)) != (len(images), len(masks)):
        return found
    by_number = _find(of_images, of_masks, given)
    if by_number is None or not by_number.complete:
        return found
    affixes = by_number.affixes
    if (len(affixes.images(images)), len(affixes.masks(masks))) != (len(images), len(masks)):
        return found  # zeros that belong to what is before or after the name
    return replace(
        by_number, pairs={of_images[image]: of_masks[mask] for image, mask in by_number.pairs.items()}
    )


def _find(images: Collection[str], masks: Collection[str], given: Mapping[str, str]) -> Pairing | None:
    of_images, of_masks = _spread(sorted(images)), _spread(sorted(masks))
    rules = {rule for image in of_images for mask in of_masks for rule in _rules(image, mask, given)}
    known, hits = frozenset(masks), Counter[Affixes]()
    for rule in rules:
        names = rule.images(of_images)
        hits[rule] = sum(rule.mask(name) in known for name in names)
    ordered = sorted((rule for rule in rules if hits[rule] > 1), key=lambda rule: (-hits[rule], str(rule)))
    found = [tried(rule, images, masks) for rule in ordered[:_TRIED]]
    whole = [pairing for pairing in found if pairing.complete]
    if any(pairing.pairs != whole[0].pairs for pairing in whole):
        return None
    # Of rules that pair alike, the one that leaves no separator to the name.
    best = sorted(
        whole or found, key=lambda each: (-len(each.pairs), -len(str(each.affixes)), str(each.affixes))
    )
    return best[0] if best else None


def _rules(image: str, mask: str, given: Mapping[str, str]) -> Iterator[Affixes]:
    """The rules by which these two belong together: what they have in common is the name."""
    (folder, _, left), (other_folder, _, right) = image.rpartition("/"), mask.rpartition("/")
    match = SequenceMatcher(None, left, right, autojunk=False).find_longest_match()
    core = left[match.a : match.a + match.size]
    if folder != other_folder or not core.strip(_SEPARATORS):
        return
    for name in {core, core.strip(_SEPARATORS)}:
        offset = core.index(name)
        (before, after), (mask_before, mask_after) = (
            (whole[: at + offset], whole[at + offset + len(name) :])
            for whole, at in ((left, match.a), (right, match.b))
        )
        rule = Affixes(
            image_prefix=before, image_suffix=after, mask_prefix=mask_before, mask_suffix=mask_after
        )
        splits_number = any(
            first.isdigit() and second.isdigit()
            for first, second in (
                (before[-1:], name[0]), (name[-1], after[:1]),
                (mask_before[-1:], name[0]), (name[-1], mask_after[:1]),
            )
        )  # fmt: skip
        if not splits_number and all(getattr(rule, key) == text for key, text in given.items()):
            yield rule


def _spread(names: Sequence[str]) -> list[str]:
    middle = max(len(names) // 2 - _NEAR // 2, 0)
    return list(dict.fromkeys([*names[:_NEAR], *names[middle : middle + _NEAR], *names[-_NEAR:]]))


def _cores(stems: Collection[str], prefix: str, suffix: str) -> dict[str, str]:
    if not (prefix or suffix):
        return {stem: stem for stem in stems}
    cores = {}
    for stem in stems:
        folder, slash, base = stem.rpartition("/")
        if base.startswith(prefix) and base.endswith(suffix) and len(base) > len(prefix) + len(suffix):
            cores[f"{folder}{slash}{base[len(prefix) : len(base) - len(suffix)]}"] = stem
    return cores


def _affixed(name: str, prefix: str, suffix: str) -> str:
    folder, slash, base = name.rpartition("/")
    return f"{folder}{slash}{prefix}{base}{suffix}"
