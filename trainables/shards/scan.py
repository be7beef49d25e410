"""The contents of a tar file: its samples, and where their members begin. Nothing is extracted."""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from trainables.text_file import not_fetched

BLOCK = tarfile.BLOCKSIZE


class ShardError(ValueError):
    """A shard that cannot be read as one; the message begins with its name."""


class TruncatedShardError(ShardError):
    """A shard that ends too early; what comes before that is whole."""


@dataclass(frozen=True, kw_only=True)
class ShardContents:
    """N samples of one shard and their M members, in the order of the file."""

    keys: np.ndarray
    """Names of the samples, UTF-8: bytes [N]."""
    counts: np.ndarray
    """Number of members of each sample: int64 [N]."""
    members: np.ndarray
    """For each member the extension (bytes, UTF-8), offset and size of the contents in bytes (int64), and the
    CRC-32 of the header block before them (uint32): [M]."""
    damage: str = ""
    """How the shard ends too early; empty if it is whole."""


def encoded(texts: Sequence[str]) -> np.ndarray:
    """Texts as UTF-8, which takes a quarter of the memory: bytes [N]."""
    return np.array([text.encode("utf-8", "surrogateescape") for text in texts], np.bytes_)


def decoded(text: bytes) -> str:
    """One of the texts that `encoded` took."""
    return text.decode("utf-8", "surrogateescape")


def split_name(name: str) -> tuple[str, str] | None:
    """Key and extension: `a/0001.mask.png` is `a/0001` and `mask.png`; None for what belongs to no sample."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    if not stem or not extension:
        return None
    return f"{folder}{slash}{stem}", extension.lower()


def scan(file: BinaryIO, where: str) -> ShardContents:
    """Find the samples of an open file; only headers are read.

    Members belong to one sample if their names differ after the first dot only. Names without a dot, or that
    begin with one, are passed over. A shard that ends too early is read up to its last sample that is known
    to be whole, since another one begins after it.

    Args:
        where: the name of the file, for errors.

    Raises:
        ShardError: the file is no tar file, or has something that a shard may not have.
    """
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    current, damage = None, ""
    try:
        for member in _files(file, where):
            name = member.name.removeprefix("./")
            parts = None if name.startswith("__MACOSX/") else split_name(name)
            if parts is None:
                continue
            key, extension = parts
            if key != current and key in samples:
                raise ShardError(
                    f"{where}: members of sample {key} are not adjacent; "
                    "write the shard with sorted names, as tar --sort=name does"
                )
            current = key
            if extension in samples.setdefault(key, {}):
                raise ShardError(f"{where}: has {member.name!r} twice; each sample has an extension once")
            samples[key][extension] = member.offset_data, member.size
    except TruncatedShardError as error:
        if samples:
            samples.popitem()
        last = f"the last whole sample is {next(reversed(samples))}" if samples else "no sample is whole"
        damage = f"{error}; {last}, number {len(samples)}"
    return _contents(file, samples, damage)


def header_sums(file: BinaryIO, offsets: Sequence[int]) -> list[int]:
    """The CRC-32 of the header block before each of these offsets."""
    return [zlib.crc32(os.pread(file.fileno(), BLOCK, offset - BLOCK)) for offset in offsets]


def _contents(file: BinaryIO, samples: dict[str, dict[str, tuple[int, int]]], damage: str) -> ShardContents:
    """`samples` are offset and size of each member by extension, by key."""
    extensions = encoded([extension for members in samples.values() for extension in members])
    places = [place for members in samples.values() for place in members.values()]
    kinds = [("extension", extensions.dtype), ("offset", "i8"), ("size", "i8"), ("header", "u4")]
    members = np.zeros(len(places), kinds)
    members["extension"] = extensions
    members["offset"], members["size"] = np.array(places, np.int64).reshape(-1, 2).T
    members["header"] = header_sums(file, members["offset"].tolist())
    counts = np.array([len(each) for each in samples.values()], np.int64)
    return ShardContents(keys=encoded(list(samples)), counts=counts, members=members, damage=damage)


def _files(file: BinaryIO, where: str) -> Iterator[tarfile.TarInfo]:
    """The regular files of a tar file.

    Raises:
        TruncatedShardError: the file ends without the mark of its end.
        ShardError: a header that is none, or a member that is not a regular file.
    """
    num_bytes = os.fstat(file.fileno()).st_size
    begin = os.pread(file.fileno(), 64, 0)
    if problem := not_fetched(begin):
        raise ShardError(f"{where}: {problem}")
    if begin.startswith(b"\x1f\x8b"):
        raise ShardError(
            f"{where}: is compressed, so samples cannot be read at random; unpack it with gunzip, or use "
            "webdataset, an IterableDataset, in a custom task"
        )
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape") as archive:
            while (member := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # Else it keeps all of them.
                if not member.isdir():
                    _check(member, where, num_bytes)
                    yield member
            end = archive.offset
    except tarfile.ReadError as error:
        if file.tell() >= num_bytes:
            raise TruncatedShardError(_unmarked(where, num_bytes)) from error
        raise ShardError(f"{where}: is not a tar file, or is damaged ({error}); copy it again") from error
    # The module takes a damaged header, and the end of the file, for the end of the archive.
    mark = os.pread(file.fileno(), BLOCK, end)
    if len(mark) < BLOCK:
        raise TruncatedShardError(_unmarked(where, num_bytes))
    if mark.strip(b"\0"):
        raise ShardError(f"{where}: has no header of a tar member at byte {end}; copy it again")


def _unmarked(where: str, num_bytes: int) -> str:
    return f"{where}: ends at byte {num_bytes} without the mark of its end"


def _check(member: tarfile.TarInfo, where: str, num_bytes: int) -> None:
    if not member.isreg() or member.issparse() or member.size < 0:
        raise ShardError(
            f"{where}: {member.name!r} is not a regular file (a link, a device, a sparse file); a shard may "
            "hold regular files and folders only"
        )
    if member.offset_data + member.size > num_bytes:
        raise TruncatedShardError(f"{where}: ends in the middle of {member.name!r}")
