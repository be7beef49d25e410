"""`batch_size: auto` in a configuration: where it stands, and the number that takes its place."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from search.config.document import Document, read_document, value_at
from search.errors import ConfigError, KeyPath
from search.space.parse import is_domain

if TYPE_CHECKING:
    from search.config.config import Config
    from search.run.folder import RunFolder

AUTO = "auto"


@dataclass(frozen=True)
class AutoBatch:
    """A configuration that asks for the largest batch that fits."""

    document: Document = field(repr=False)
    paths: tuple[KeyPath, ...]
    """Where `auto` stands."""

    def with_size(self, size: int) -> Document:
        """The document with a number in these places."""
        raw, tree = copy.deepcopy(self.document.raw), copy.deepcopy(self.document.tree)
        for path in self.paths:
            for values in (raw, tree):
                value_at(values, path[:-1])[path[-1]] = size
        return replace(self.document, raw=raw, tree=tree)

    def stand_in(self) -> Document:
        """The document with numbers that are right wherever `auto` may stand, to check all else with."""
        lows = [low for path in self.paths if isinstance(low := self._low(path), int)]
        return self.with_size(max(lows, default=0) + 1)

    def too_small(self, size: int) -> ConfigError | None:
        """The mistake in a range that begins where the largest batch ends."""
        problems = [
            self.document.problem(
                path[:-2],
                f"the largest batch that fits is {size}, and the range begins at {self._low(path)}; "
                "let it begin lower, or give a trial more memory",
            )
            for path in self.paths
            if isinstance(low := self._low(path), int) and size <= low
        ]
        return ConfigError(problems) if problems else None

    def _low(self, path: KeyPath) -> Any:
        """The lower bound of the range that `auto` bounds; None where it is no bound."""
        parent = value_at(self.document.raw, path[:-1])
        in_range = isinstance(parent, list) and path[-2] != "choice" and path[-1] == 1
        return parent[0] if in_range else None


def auto_batch(document: Document) -> AutoBatch | None:
    """Where a document asks for the largest batch that fits; None where it does not."""
    places: list[KeyPath] = [("trial", "batch_size")]
    stages = document.raw.get("stages")
    if isinstance(stages, list):
        places += [("stages", number, "trial", "batch_size") for number in range(len(stages))]
    paths = [path for place in places for path in _autos(document.raw_value(place), place)]
    return AutoBatch(document, tuple(paths)) if paths else None


def settled(config: Config, folder: RunFolder | None, tell: Callable[[str], None]) -> Config:
    """The configuration with the largest batch that fits in the place of `auto`.

    In a folder where a search has begun it is the number that was found then, whatever this machine has.

    Raises:
        ConfigError: a range begins above it.
        SearchError: it cannot be found, see `find_largest_batch`.
    """
    from search.config.config import load_document
    from search.run.largest_batch import find_largest_batch

    auto = config.auto_batch
    if auto is None:
        return config
    size = _recorded(auto, folder)
    if size is not None:
        tell(f"batch_size: auto is {size}, as when this search began")
    else:
        tell("looking for the largest batch that fits")
        found = find_largest_batch(config.task_path, candidates(config), config.resources)
        size = found.size
        tell(f"batch_size: auto is {found}")
    mistake = auto.too_small(size)
    if mistake is not None:
        raise mistake
    return load_document(auto.with_size(size))


def candidates(config: Config) -> list[Mapping[str, Any]]:
    """Trials of the search, of all of its stages, with each option and both ends of each range."""
    spaces = [config.space] if config.stages is None else config.stages.spaces
    return [resolved.raw for space in spaces for resolved in space.candidates()]


def _recorded(auto: AutoBatch, folder: RunFolder | None) -> int | None:
    if folder is None or not folder.has_begun:
        return None
    value = value_at(read_document(folder.config).raw, auto.paths[0])
    return value if isinstance(value, int) else None


def _autos(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    if value == AUTO:
        yield path
    elif is_domain(value):
        ((kind, arguments),) = value.items()
        for index, item in enumerate(arguments if isinstance(arguments, list) else []):
            # As a lower bound it would be a mistake, which is told as such.
            if kind == "choice" or index == 1:
                yield from _autos(item, (*path, kind, index))
