"""Writes shards: the same samples always give the same bytes."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from trainables.files import atomic_file
from trainables.shards.index import contents_of
from trainables.shards.sample import check_extension
from trainables.shards.scan import ShardError, split_name


class ShardWriter:
    """Writes samples one after another into `{prefix}-000000.tar`, `-000001.tar`, … with their indexes.

    A shard appears under its name when it is complete, and the next one begins when `per_shard` samples are
    in it. Owner and time of every member are 0.

    Args:
        folder: is made where it is missing.
        prefix: what the names of the files begin with.
        per_shard: number of samples in one shard. Larger shards are fewer files; an epoch mixes whole shards.

    Raises:
        ValueError: `per_shard` is below 1.
        FileExistsError: a shard of that name already exists.
    """

    def __init__(self, folder: str | Path, prefix: str = "shard", *, per_shard: int = 1000) -> None:
        if per_shard < 1:
            raise ValueError(f"per_shard is {per_shard}; it must be 1 or more")
        self.files: list[Path] = []
        self._folder, self._prefix, self._per_shard = Path(folder), prefix, per_shard
        self._folder.mkdir(parents=True, exist_ok=True)
        self._tar: tarfile.TarFile | None = None
        self._open = ExitStack()
        """Closes the tar file, and gives it its name or removes it."""
        self._keys: set[str] = set()

    def write(self, key: str, members: Mapping[str, bytes | Path]) -> None:
        """Add a sample: contents, or the file that holds them, by extension.

        Raises:
            ShardError: a key or an extension that would not be read as such, or a key that was written before
                in this shard.
        """
        for extension in members:
            if split_name(f"{key}.{extension}") != (key, check_extension(extension)):
                raise ShardError(
                    f"sample {key!r} with extension {extension!r}: the last part of a key has no dot, and an "
                    "extension is in lower case"
                )
        if key in self._keys:
            raise ShardError(f"sample {key} is written twice; keys must differ")
        if self._tar is None:
            self._tar = self._begin()
        for extension in sorted(members):
            content = members[extension]
            data = content.read_bytes() if isinstance(content, Path) else content
            info = tarfile.TarInfo(f"{key}.{extension}")
            info.size, info.mode = len(data), 0o644
            self._tar.addfile(info, io.BytesIO(data))
        self._keys.add(key)
        if len(self._keys) == self._per_shard:
            self.close()

    def close(self) -> None:
        """Complete the shard that is being written; another `write` begins the next one."""
        if self._tar is not None:
            self._open.close()
            self._tar = None
            self._keys.clear()
            contents_of(self.files[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)
        if kind is None:
            self.close()

    def _begin(self) -> tarfile.TarFile:
        file = self._folder / f"{self._prefix}-{len(self.files):06d}.tar"
        if file.exists():
            raise FileExistsError(f"{file} already exists; choose another folder or prefix, or remove it")
        self.files.append(file)
        partial = self._open.enter_context(atomic_file(file))
        return self._open.enter_context(tarfile.open(partial, "w", format=tarfile.PAX_FORMAT))
