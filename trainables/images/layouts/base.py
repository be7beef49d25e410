"""What the layouts have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trainables.images.layouts.root import DataRoot
from trainables.images.options import MaskFolderOptions
from trainables.images.targets import Encoded

Parts = Mapping[str, Sequence[Encoded]]
"""The samples of "train" and "valid", each sorted by name. One of two files may be missing, if orphans are
accepted."""


@dataclass(frozen=True)
class Convention:
    """What a layout says about its masks; the user's options take precedence."""

    labels: Mapping[int, int] | None = None
    """From each label in the files to its class or `IGNORE`, no other may occur; None: labels are classes."""
    class_names: tuple[str, ...] = ()
    """One per class; empty where the layout has no names."""


class Layout(ABC):
    """One way to lay out images, masks and their split."""

    name: str
    """In `data.layout`."""
    expected: str
    """The folders, for messages."""
    recognized_by: tuple[str, ...] = ()
    """Folders that only this layout has."""
    takes_lists = False
    """Whether train_list and valid_list mean something here."""

    def is_here(self, root: DataRoot, options: MaskFolderOptions) -> bool:
        """Whether the folder looks like it."""
        return all((root.path / folder).is_dir() for folder in self.recognized_by)

    @abstractmethod
    def find(self, root: DataRoot, options: MaskFolderOptions, with_orphans: bool) -> Parts:
        """See `trainables.images.layouts.find.find_pairs`."""

    def convention(self, root: DataRoot) -> Convention:
        return Convention()
