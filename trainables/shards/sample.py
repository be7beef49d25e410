"""One sample of a shard: the bytes of its members, and what they may be read as. Never a pickle."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainables.shards.tar import ShardError

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
        """Of a member, for a message: `train-000000.tar: 0001.jpg`."""
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
        if not text.lstrip("-").isdecimal() or len(text) > 18:
            raise ShardError(f"{self._found(extensions)}: holds {text[:40]!r}; it must be a whole number")
        return int(text)

    def json(self, extensions: str | Sequence[str]) -> Any:
        try:
            return json.loads(self.bytes(extensions))
        except (ValueError, RecursionError) as error:
            raise ShardError(f"{self._found(extensions)}: is no JSON ({error})") from error

    def array(self, extensions: str | Sequence[str]) -> np.ndarray:
        """Of an .npy, read-only; one of Python objects is a pickle and refused."""
        data = self.bytes(extensions)
        try:
            return _npy(data)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
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


def _npy(data: bytes) -> np.ndarray:
    """By hand, since numpy makes room for as much as the header claims before it looks for the contents."""
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} is not known; save it with numpy.save")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran_order, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, a pickle; save numbers")
    if dtype.itemsize == 0 or min(shape, default=0) < 0:
        raise ValueError(f"shape {shape} of {dtype} is none of numbers")
    needed, there = math.prod(shape) * dtype.itemsize, len(data) - file.tell()
    if needed != there:
        raise ValueError(f"shape {shape} of {dtype} needs {needed} bytes and there are {there}")
    if not needed:
        return np.empty(shape, dtype)
    return np.frombuffer(data, dtype, offset=file.tell()).reshape(shape, order="F" if fortran_order else "C")
