"""One sample of a shard: the bytes of its members, and what they may be read as. Never a pickle."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainables.shards.scan import ShardError

PICKLES = frozenset({"pyd", "pkl", "pickle", "pth", "pt", "ckpt", "bin"})
"""Extensions of files that are pickles or may hold one: to read them is to execute what they say."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a shard holds under one key.

    Every method raises a ShardError, a ValueError, that names shard and member: for an extension that the
    sample lacks, one of a pickle, and contents that are not what they are read as.
    """

    shard: str
    key: str
    members: Mapping[str, bytes]
    """Contents by extension: what the name has after the first dot, in lower case."""

    def name(self, extension: str) -> str:
        """Name of a member, for a message: `train-000000.tar: 0001.jpg`."""
        return f"{self.shard}: {self.key}.{extension}"

    def find(self, extensions: str | Sequence[str]) -> str:
        """The first of these extensions that the sample has."""
        wanted = [extensions] if isinstance(extensions, str) else extensions
        for extension in wanted:
            if extension in self.members:
                return extension
        raise ShardError(
            f"{self.shard}: sample {self.key} has {', '.join(sorted(self.members))} and lacks "
            f"{' or '.join(wanted)}; every sample must have it"
        )

    def bytes(self, extensions: str | Sequence[str]) -> bytes:
        """The contents as they are."""
        extension = self.find(extensions)
        check_extension(extension)
        return self.members[extension]

    def text(self, extensions: str | Sequence[str]) -> str:
        """UTF-8, without white space around it."""
        try:
            return self.bytes(extensions).decode("utf-8").strip()
        except UnicodeDecodeError as error:
            raise ShardError(f"{self._found(extensions)}: is no UTF-8 text ({error})") from error

    def integer(self, extensions: str | Sequence[str]) -> int:
        """A number in decimal digits, as the class in a .cls is."""
        text = self.text(extensions)
        try:
            return int(text)
        except ValueError:
            message = f"{self._found(extensions)}: holds {text[:40]!r}; it must be a whole number"
            raise ShardError(message) from None

    def json(self, extensions: str | Sequence[str]) -> Any:
        """The value of a JSON text."""
        try:
            return json.loads(self.bytes(extensions))
        except ValueError as error:
            raise ShardError(f"{self._found(extensions)}: is no JSON ({error})") from error

    def array(self, extensions: str | Sequence[str]) -> np.ndarray:
        """The array of an .npy; one of Python objects is a pickle and refused."""
        data = io.BytesIO(self.bytes(extensions))
        try:
            return np.lib.format.read_array(data, allow_pickle=False)
        except ValueError as error:
            raise ShardError(f"{self._found(extensions)}: is no array in numpy's format ({error})") from error

    def _found(self, extensions: str | Sequence[str]) -> str:
        return self.name(self.find(extensions))


def check_extension(extension: str) -> str:
    """The extension, if what it stands for can be read safely.

    Raises:
        ShardError: it is one of `PICKLES`.
    """
    if extension.rpartition(".")[2] in PICKLES:
        raise ShardError(
            f".{extension} is a pickle or may be one, and reading it would execute what it says; "
            "store arrays as .npy and the rest as .json"
        )
    return extension
