"""One sample of a shard: the bytes of its members, and what they may be read as. Never a pickle."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from trainables.data.threads import NUMPY_HEADER
from trainables.shards.scan import ShardError
from trainables.text_file import decoded

Value = TypeVar("Value")
Contents = bytes  # `Sample.bytes` hides the type of that name.

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
        return self._parsed(extensions, lambda data: decoded(data).strip(), "cannot be read")

    def integer(self, extensions: str | Sequence[str]) -> int:
        """A number in decimal digits, as the class in a .cls is."""
        return self._parsed(extensions, lambda data: int(decoded(data)), "is no whole number")

    def json(self, extensions: str | Sequence[str]) -> Any:
        """The value of a JSON text."""
        return self._parsed(extensions, lambda data: json.loads(decoded(data)), "is no JSON")

    def array(self, extensions: str | Sequence[str]) -> np.ndarray:
        """The array of an .npy; one of Python objects is a pickle and refused."""
        return self._parsed(extensions, _array, "is no array in numpy's format")

    def _parsed(
        self, extensions: str | Sequence[str], parse: Callable[[Contents], Value], problem: str
    ) -> Value:
        try:
            return parse(self.bytes(extensions))
        except ShardError:
            raise
        except ValueError as error:
            name = self.name(self.find(extensions))
            raise ShardError(f"{name}: {problem} ({str(error)[:200]})") from error


def _array(data: bytes) -> np.ndarray:
    with NUMPY_HEADER:
        return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def check_extension(extension: str) -> str:
    """The extension, if what it stands for can be read safely.

    Raises:
        ShardError: it is one of `PICKLES`.
    """
    if extension.rpartition(".")[2] in PICKLES:
        raise ShardError(
            f".{extension} is a pickle or may be one, and reading it could execute code; "
            "store arrays as .npy and the rest as .json"
        )
    return extension
