"""The members of a tar file, read without trust: nothing is extracted, followed or executed."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

BLOCK = tarfile.BLOCKSIZE
MAX_EXTENDED_HEADER = 2**20
"""Bytes of a long name or of pax records; a name has at most some thousands."""

Read = Callable[[int, int], bytes]
"""Takes an offset and a number of bytes, and gives fewer only where the file ends."""


class ShardError(ValueError):
    """A shard that cannot be read as one; the message begins with its name."""


class TruncatedShardError(ShardError):
    """A shard that ends too early; what comes before that is whole."""


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in a tar file."""

    name: str
    start: int
    """Offset of the first of its headers, in bytes."""
    data: int
    """Offset of its contents."""
    size: int
    """Bytes of its contents."""

    @property
    def end(self) -> int:
        """Offset of what comes after it."""
        return self.data + _whole_blocks(self.size)


@dataclass(slots=True)
class Group:
    """Members that stand together and whose names differ after the first dot only: one sample."""

    key: str
    start: int
    members: dict[str, Member] = field(default_factory=dict)
    """By what the name has after the first dot, in lower case."""

    @property
    def end(self) -> int:
        return max(member.end for member in self.members.values())


def groups(read: Read, where: str, *, start: int = 0, stop: int | None = None) -> Iterator[Group]:
    """The samples of a tar file in order. Names without a dot, or that begin with one, are passed over.

    Args:
        read: of the file, or of what is known of it.
        where: the name of the file, for errors.
        start, stop: offsets between which to look; without `stop`, up to the mark that ends the archive.

    Raises:
        TruncatedShardError: the file ends too early; each sample before has been given, the last one only
            where another one had begun after it.
        ShardError: a damaged header, a link, a name that leads out of the archive, a sample with two members
            of one extension.
    """
    group: Group | None = None
    for member in members(read, where, start=start, stop=stop):
        parts = split_name(member.name)
        if parts is None:
            continue
        key, extension = parts
        if group is None or group.key != key:
            if group is not None:
                yield group
            group = Group(key, member.start)
        if extension in group.members:
            raise ShardError(f"{where}: has {_shown(member.name)} twice; each sample has an extension once")
        group.members[extension] = member
    if group is not None:
        yield group


def split_name(name: str) -> tuple[str, str] | None:
    """Key and extension: `a/0001.mask.png` is `a/0001` and `mask.png`; None for what belongs to no sample."""
    folder, slash, base = name.rpartition("/")
    stem, _, extension = base.partition(".")
    if not stem or not extension:
        return None
    return f"{folder}{slash}{stem}", extension.lower()


def members(read: Read, where: str, *, start: int = 0, stop: int | None = None) -> Iterator[Member]:
    """The regular files of a tar file; see `groups`."""
    offset, first, name, size = start, start, None, None
    while stop is None or offset < stop:
        info = _header(read, where, offset)
        if info is None:
            return
        offset += BLOCK
        if info.type in _EXTENDED:
            text = _extended(read, where, offset, info.size)
            offset += _whole_blocks(info.size)
            if info.type == tarfile.GNUTYPE_LONGNAME:
                name = text.rstrip(b"\0").decode("utf-8", "surrogateescape")
            elif info.type != tarfile.GNUTYPE_LONGLINK:
                name, size = _pax(text, where, name, size, of_all=info.type == tarfile.XGLTYPE)
            continue
        if info.type != tarfile.DIRTYPE:
            member = _regular(info, where, first, offset, name, size)
            yield member
            offset = member.end
            _check_end(read, where, member)
        first, name, size = offset, None, None


_EXTENDED = (
    tarfile.XHDTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def _header(read: Read, where: str, offset: int) -> tarfile.TarInfo | None:
    """The header at an offset, or None at the mark that ends the archive."""
    block = read(offset, BLOCK)
    if offset == 0 and block[:2] == b"\x1f\x8b":
        raise ShardError(f"{where}: is compressed, so no sample can be found at once; unpack it with gunzip")
    if len(block) < BLOCK:
        raise TruncatedShardError(f"{where}: ends at byte {offset + len(block)} without the mark of its end")
    if not block.strip(b"\0"):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        raise ShardError(f"{where}: has no header of a tar member at byte {offset} ({error})") from error


def _extended(read: Read, where: str, offset: int, size: int) -> bytes:
    if not 0 <= size <= MAX_EXTENDED_HEADER:
        raise ShardError(
            f"{where}: has an extended header of {size} bytes; it may have {MAX_EXTENDED_HEADER} at most"
        )
    text = read(offset, size)
    if len(text) < size:
        raise TruncatedShardError(f"{where}: ends at byte {offset + len(text)} in an extended header")
    return text


def _pax(
    records: bytes, where: str, name: str | None, size: int | None, *, of_all: bool
) -> tuple[str | None, int | None]:
    """Name and size, as far as records `<length> <keyword>=<value>` give another."""
    while records.strip(b"\0"):
        length, _, _ = records.partition(b" ")
        record = records[: int(length)] if length.isdigit() and len(length) < 10 else b""
        if not record.endswith(b"\n") or b"=" not in record:
            raise ShardError(f"{where}: has a damaged extended header")
        keyword, _, value = record[len(length) + 1 : -1].partition(b"=")
        records = records[len(record) :]
        if keyword.startswith(b"GNU.sparse") or (of_all and keyword in (b"path", b"size")):
            raise ShardError(f"{where}: has a header with {keyword.decode()}, which no shard may have")
        if keyword == b"path":
            name = value.decode("utf-8", "surrogateescape")
        elif keyword == b"size":
            if not value.isdigit() or len(value) > 18:
                raise ShardError(f"{where}: has a member of size {value[:40]!r}; it must be a number")
            size = int(value)
    return name, size


def _regular(
    info: tarfile.TarInfo, where: str, first: int, offset: int, name: str | None, size: int | None
) -> Member:
    name = info.name if name is None else name
    size = info.size if size is None else size
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE):
        what = "a link" if info.type in (tarfile.LNKTYPE, tarfile.SYMTYPE) else "no regular file"
        raise ShardError(f"{where}: {_shown(name)} is {what}; a shard may hold regular files only")
    while name.startswith("./"):
        name = name[2:]
    if name.startswith("/") or ".." in name.split("/") or "\0" in name:
        raise ShardError(
            f"{where}: {_shown(name)} leads out of the archive; names must be relative, without .."
        )
    if size < 0:
        raise ShardError(f"{where}: {_shown(name)} has {size} bytes; the header is damaged")
    return Member(name, first, offset, size)


def _check_end(read: Read, where: str, member: Member) -> None:
    if member.size and not read(member.data + member.size - 1, 1):
        raise TruncatedShardError(f"{where}: ends in the middle of {_shown(member.name)}")


def _shown(name: str) -> str:
    """A name that cannot do harm to a terminal."""
    return name if name.isprintable() and len(name) <= 200 else repr(name[:200])


def _whole_blocks(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
