"""What the layouts have in common: what they find, and what they know of labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from trainables.images.options import MaskFolderOptions


@dataclass(frozen=True)
class Pair:
    """An image and its mask; one of them may not be there, if orphans are asked for."""

    image: Path
    mask: Path
    more: tuple[Path, ...] = ()
    """Further channels of the image, one grey file each, where `image` is the first."""


@dataclass(frozen=True)
class Convention:
    """What a layout says about its masks; what the user says goes before."""

    labels: Mapping[int, int] | None = None
    """From each label in the files to its class or `IGNORE`, no other may occur; None: labels are classes."""
    class_names: tuple[str, ...] = ()
    """One per class; empty where the layout has no names."""


class FolderLayout(Protocol):
    """One way to lay out images, masks and their split."""

    @property
    def expected(self) -> str:
        """The folders, for messages."""
        ...

    @property
    def takes_lists(self) -> bool:
        """Whether train_list and valid_list mean something here."""
        ...

    def is_here(self, root: Path, options: MaskFolderOptions) -> bool:
        """Whether the folder looks like it."""
        ...

    def find(self, root: Path, options: MaskFolderOptions, with_orphans: bool) -> dict[str, list[Pair]]:
        """See `trainables.images.layouts.find.find_pairs`."""
        ...

    def convention(self, root: Path, options: MaskFolderOptions) -> Convention: ...
