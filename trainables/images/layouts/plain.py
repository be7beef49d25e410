"""images/ and masks/, with or without train/ and val/; CamVid's train/ beside trainannot/."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

from trainables.images.layouts.base import Layout, Parts
from trainables.images.layouts.files import Files
from trainables.images.layouts.lists import has_lists, split_by_lists
from trainables.images.layouts.root import DataRoot
from trainables.images.layouts.splits import TRAIN_NAMES, VALID_NAMES, split_by_hash
from trainables.images.options import MaskFolderOptions
from trainables.pairing import Affixes, find_pairing, numbered, tried
from trainables.text_file import plain_form, visible

IMAGES = ("images", "image", "imgs", "img", "JPEGImages")
"""Names of the folder of images in the order of preference, in any case."""
MASKS = ("masks", "mask", "labels", "label", "annotations", "SegmentationClass")
LISTS = {"train": ("train.txt",), "valid": ("val.txt", "valid.txt", "validation.txt")}

Folders = tuple[str, str]


class PlainLayout(Layout):
    """Folders of images and of masks, split by folders, by lists of names, or by a hash."""

    name = "folders"
    expected = (
        "images/ and masks/, or train/images, train/masks, val/images and val/masks, or images/train, "
        "masks/train, images/val and masks/val, or train/ and trainannot/"
    )
    takes_lists = True

    def is_here(self, root: DataRoot, options: MaskFolderOptions) -> bool:
        return bool(_whole(root, options) or _split(root, options)) or has_lists(root, options, **LISTS)

    def find(self, root: DataRoot, options: MaskFolderOptions, with_orphans: bool) -> Parts:
        files = files_of(root, options)
        if "" in files and (found := self._listed(root, files[""], options, with_orphans)):
            return found
        _pair(root, files.values(), options)
        pairs = {part: of_part.pair_all(with_orphans) for part, of_part in files.items()}
        if len(pairs) == 2:
            return {part: list(of_part.values()) for part, of_part in pairs.items()}
        (only,) = pairs
        if only and options.folds is None:
            root.notes.append(
                f"{root.path}: there is no folder of validation data ({'/, '.join(VALID_NAMES)}/): "
                f"{options.valid_fraction:.0%} of {files[only].images_folder} are kept for it "
                "(data.valid_fraction)"
            )
        return split_by_hash(pairs[only], options)

    def _listed(
        self, root: DataRoot, files: Files, options: MaskFolderOptions, with_orphans: bool
    ) -> Parts | None:
        """What the lists name; their masks may be named beside the images."""
        if not has_lists(root, options, **LISTS):
            return None
        _pair(root, [files], options, may_fail=True)
        return split_by_lists(root, files, options, with_orphans, **LISTS)


def files_of(root: DataRoot, options: MaskFolderOptions) -> dict[str, Files]:
    """Images and masks of each part, before they are paired; of "" where they do not lie in parts."""
    split = None if options.train_list else _split(root, options)
    if split is None:
        return {"": Files(root, _whole(root, options))}
    return {part: Files(root, both) for part, both in split.items() if both is not None}


def _given(options: MaskFolderOptions) -> dict[str, str]:
    """The affixes that the options set."""
    keys = ("image_prefix", "image_suffix", "mask_prefix", "mask_suffix")
    return {key: text for key in keys if (text := getattr(options, key)) is not None}


def _pair(
    root: DataRoot, parts: Iterable[Files], options: MaskFolderOptions, *, may_fail: bool = False
) -> None:
    """Pair the files by the affixes that are set, and if these pair hardly any, by others that pair all.

    Raises:
        ValueError: if others would pair more, but not all, with the line that sets them.
    """
    parts, given = list(parts), _given(options)
    affixes = Affixes(**given)
    images = [f"{number}/{stem}" for number, files in enumerate(parts) for stem in files.image_stems]
    masks = [f"{number}/{stem}" for number, files in enumerate(parts) for stem in files.mask_stems]
    separate = all(files.images_folder != files.masks_folder for files in parts)
    now = tried(affixes, images, masks)
    fewest = min(len(images), len(masks))
    if not separate and not given and images:
        raise ValueError(_in_one_folder(root, [stem for files in parts for stem in files.image_stems]))
    forms = ({numbered(plain_form(stem)) for stem in stems} for stems in (images, masks))
    alike = len(next(forms) & next(forms)) if len(now.pairs) < fewest else fewest
    if separate and 2 * max(len(now.pairs), alike) < fewest:
        found = find_pairing(images, masks, given)
        enough = len(found.pairs) if found is not None and may_fail else 0
        if found is not None and (found.complete or enough == fewest > 0):
            affixes = found.affixes
            image, mask = min(found.pairs.items())
            root.notes.append(
                f"{root.path}: images and masks are paired as {image.rpartition('/')[2]} with "
                f"{mask.rpartition('/')[2]} (data: {{{affixes}}})"
            )
        elif found is not None and len(found.pairs) > len(now.pairs) and not may_fail:
            raise ValueError(
                f"{root.path}: {len(now.pairs)} of {len(images)} images have a mask of their name; add "
                f"{found.affixes} to data, with which {len(found.pairs)} of them have one"
            )
    for files in parts:
        files.pair_by(affixes, _advice(files, affixes))


def _advice(files: Files, affixes: Affixes) -> str:
    names = "Names must agree but for the suffix" + (f" and {affixes}" if str(affixes) else "")
    images, masks = affixes.images(files.image_stems), affixes.masks(files.mask_stems)
    if images and masks and not images.keys() & masks.keys():
        names += f" (such as {visible(min(images.values()))} and {visible(min(masks.values()))})"
    return (
        f"{names}: add what is missing or remove what is left over, or put the pairs into train.txt and "
        "val.txt, an image and its mask in each line"
    )


def _in_one_folder(root: DataRoot, stems: Sequence[str]) -> str:
    """What to set where images and masks are in one folder: what many names have more than another."""
    ordered = sorted(stems)
    longer = Counter(b[len(a) :] for a, b in pairwise(ordered) if b.startswith(a))
    suffix, count = max(longer.items(), key=lambda item: item[1], default=("_mask", 0))
    has = f" ({count} of {len(stems)} names end so)" if count else ""
    return (
        f"{root.path}: images and masks are in one folder; set data.mask_suffix to what ends the "
        f'names of masks, as mask_suffix: "{suffix}"{has}'
    )


def _whole(root: DataRoot, options: MaskFolderOptions) -> Folders | None:
    """The folders of all images and of all masks."""
    images = root.subfolder(_images(options))
    masks = root.subfolder(_masks(options))
    return (images, masks) if _exist(root, (images, masks)) else None


def _images(options: MaskFolderOptions) -> tuple[str, ...]:
    return IMAGES if options.images_folder is None else (options.images_folder,)


def _masks(options: MaskFolderOptions) -> tuple[str, ...]:
    return MASKS if options.masks_folder is None else (options.masks_folder,)


def _of_part(root: DataRoot, options: MaskFolderOptions, names: tuple[str, ...]) -> list[Folders]:
    """Where the images and masks of a part lie, in each of the ways to split."""
    part = root.subfolder(names)
    inside = (f"{part}/{root.subfolder(each, part)}" for each in (_images(options), _masks(options)))
    images, masks = root.subfolder(_images(options)), root.subfolder(_masks(options))
    below = (f"{each}/{root.subfolder(names, each)}" for each in (images, masks))
    return [(next(inside), next(inside)), (next(below), next(below)), (part, f"{part}annot")]


def _exist(root: DataRoot, folders: Folders) -> bool:
    return all((root.path / folder).is_dir() for folder in folders)


def _split(root: DataRoot, options: MaskFolderOptions) -> dict[str, Folders | None] | None:
    """Folders of images and of masks for each part, where the data are split; None where there is no part
    for validation."""
    trains, valids = _of_part(root, options, TRAIN_NAMES), _of_part(root, options, VALID_NAMES)
    for train, valid in zip(trains, valids, strict=True):
        if not _exist(root, train):
            continue
        if _exist(root, valid):
            return {"train": train, "valid": valid}
        if any((root.path / folder).is_dir() for folder in valid) and valid != train:
            raise ValueError(
                f"{root.path}: is split and has {train[0]} and {train[1]}, but not both {list(valid)}"
            )
        return {"train": train, "valid": None}
    return None
