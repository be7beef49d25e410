"""The images and masks of a folder, paired by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

from trainables.findings import some
from trainables.images.layouts.base import Parts
from trainables.images.layouts.class_masks import by_class
from trainables.images.layouts.root import DataRoot, no_images, without_suffix
from trainables.images.targets import Encoded
from trainables.pairing import Affixes, numbered
from trainables.text_file import plain_form, visible


class Files:
    """The images below one folder and the masks below another, by the name that they share.

    Call `pair_by` before anything else.

    Args:
        folders: of images and of masks; None: there are none, and only lists say what is an image or a mask.
    """

    def __init__(self, root: DataRoot, folders: tuple[str, str] | None) -> None:
        self.root = root
        self.images_folder, self.masks_folder = (root.path / folder for folder in folders or (".", "."))
        same = self.images_folder == self.masks_folder
        self.image_stems = {} if folders is None else find_files(root, self.images_folder)
        masks = self.image_stems if same else find_files(root, self.masks_folder)
        if root.mask_classes and not same:
            merged = by_class(masks, root.mask_classes)
            masks = dict(merged.stems)
            root.class_masks |= merged.files
        self.mask_stems = masks
        self.images: dict[str, tuple[Path, ...]] = {}
        self.masks: dict[str, Path] = {}
        self.nameless: list[Path] = []
        """Masks that cannot belong to any image."""

    def pair_by(self, affixes: Affixes, advice: str = "", *, mixed: bool = False) -> Files:
        """Name images and masks.

        Args:
            advice: ends the message about orphans: what decides which files belong together.
            mixed: the folders also hold files of other kinds, without these affixes; otherwise such a mask is
                an orphan.
        """
        self._advice = advice
        masks = affixes.masks(self.mask_stems)
        of_images = set(self.image_stems)
        if self.images_folder == self.masks_folder:  # an image is what is no mask
            of_images -= set(masks.values())
            mixed = True
        images = affixes.images(of_images)
        self.images = {name: (self.image_stems[stem],) for name, stem in images.items()}
        self.masks = {name: self.mask_stems[stem] for name, stem in self._alike(masks).items()}
        named = set(masks.values())
        self.affixes = affixes
        self.nameless = [] if mixed else [file for stem, file in self.mask_stems.items() if stem not in named]
        return self

    def _alike(self, masks: Mapping[str, str]) -> Mapping[str, str]:
        """The masks, named as the images where the two differ in form, case or zeros before numbers only.

        The zeros matter unless every image then has its mask and every mask its image: numbers that begin at
        0 here and at 1 there would pair almost all, and wrongly.
        """
        images = self.images.keys()
        if masks.keys() == images:
            return masks
        lacking = by_form(images - masks.keys())
        lonely = by_form(masks.keys() - images)
        renamed = {
            mask: image
            for form, mask in lonely.items()
            if mask is not None and (image := lacking.get(form)) is not None
        }
        how = "case or in characters that look alike"
        if len(renamed) < len(lonely):
            of_images, of_masks = (
                {numbered(plain_form(name)): name for name in names} for names in (images, masks)
            )
            if of_images.keys() == of_masks.keys() and len(of_images) == len(images) == len(masks):
                pairs = ((mask, of_images[number]) for number, mask in of_masks.items())
                renamed = {mask: image for mask, image in pairs if mask != image}
                how = "zeros before their numbers"
            elif 2 * (common := len(of_images.keys() & of_masks.keys())) > len(images):
                self._advice = (
                    f"By number, {common} of {len(images)} images and {len(masks)} masks belong together, "
                    f"which counts only if all do. {self._advice}"
                )
        if renamed:
            mask, image = min(renamed.items())
            self.root.notes.append(
                f"{self.masks_folder}: {len(renamed)} masks are written otherwise than their images, in "
                f"{how}, such as {visible(mask, forms=True)} for {visible(image, forms=True)}"
            )
        return {renamed.get(name, name): stem for name, stem in masks.items()}

    def name_of_image(self, stem: str) -> str | None:
        """The sample of the image with this stem."""
        if stem not in self.image_stems:
            return stem if stem in self.images else None
        name = next(iter(self.affixes.images([stem])), None)
        return name if name in self.images else None

    def name_of_mask(self, stem: str) -> str | None:
        if stem not in self.mask_stems:
            return stem if stem in self.masks else None
        return self._names_of_masks.get(stem)

    @cached_property
    def _names_of_masks(self) -> Mapping[str, str]:
        stems = {file: stem for stem, file in self.mask_stems.items()}
        return {stems[file]: name for name, file in self.masks.items()}

    def pair(self, name: str) -> Encoded:
        """Image and mask of this name; a missing file has the path where it is expected."""
        images = self.images.get(name) or (self.images_folder / f"{self.affixes.image(name)}.*",)
        return Encoded(images, self.masks.get(name) or self.masks_folder / f"{self.affixes.mask(name)}.png")

    def pair_all(self, with_orphans: bool) -> dict[str, Encoded]:
        """Every image with its mask, by name."""
        if not self.images:
            raise ValueError(f"{no_images(self.images_folder)}; put images there, or set data.images_folder")
        images = [self.images[name][0] for name in sorted(self.images.keys() - self.masks.keys())]
        masks = [self.masks[name] for name in sorted(self.masks.keys() - self.images.keys())]
        none_fits = len(images) == len(self.images) > 1
        if self.nameless or ((images or masks) and (none_fits or not with_orphans)):
            if not self.mask_stems:
                raise ValueError(
                    f"{no_images(self.masks_folder)}; put PNG masks there, or set data.masks_folder"
                )
            kinds = {"images without a mask": images, "masks without an image": [*masks, *self.nameless]}
            listed = "; ".join(
                f"{kind}: {some((visible(str(file)) for file in files), 3)}"
                for kind, files in kinds.items()
                if files
            )
            raise ValueError(f"{self.masks_folder}: {listed}. {self._advice}")
        return {name: self.pair(name) for name in sorted(self.images.keys() | self.masks.keys())}


def pair_parts(
    root: DataRoot,
    folders: Mapping[str, tuple[str, str]],
    affixes: Affixes,
    advice: str,
    with_orphans: bool,
    *,
    mixed: bool = False,
) -> Parts:
    """All pairs of data that are split by folders: of each part one of images and one of masks."""
    files = {part: Files(root, both).pair_by(affixes, advice, mixed=mixed) for part, both in folders.items()}
    return {part: list(of_part.pair_all(with_orphans).values()) for part, of_part in files.items()}


def find_files(root: DataRoot, folder: Path) -> dict[str, Path]:
    """Images below `folder` by their path in it without suffix."""
    files: dict[str, Path] = {}
    for path in root.walk(folder):
        name = without_suffix(path.relative_to(folder).as_posix())
        if name in files:
            raise ValueError(f"{path}: has the same name as {files[name].name}; names must differ")
        files[name] = path
    return files


def by_form(names: Iterable[str]) -> dict[str, str | None]:
    """Names by their plain form; None for a form that two of them have."""
    found: dict[str, str | None] = {}
    for name in names:
        form = plain_form(name)
        found[form] = None if form in found else name
    return found
