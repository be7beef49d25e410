"""A configuration with `stages:`: searches in turn, each over domains of its own, all checked first.

The batch size, for example, is to be tuned last, since it depends on all of the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from search.config.config import Config, Reading, complete, read_config, read_sections
from search.config.document import Document, substitute, yaml_text
from search.config.schema import Budget, Stage
from search.errors import ConfigError, KeyPath, Problem
from search.space.parse import is_domain
from search.space.space import Space
from search.text import dotted

SECTIONS = ("trial", "budget", "sampler", "scheduler", "plateau")
"""What a stage may have of its own."""


@dataclass(frozen=True)
class Base:
    """What a stage begins with: the values of a trial."""

    options: Mapping[str, Any]
    """A `trial:` section; with domains in it only before the first stage."""
    origins: Mapping[KeyPath, KeyPath] = field(default_factory=dict)
    """Where in the document each path was written."""
    told: frozenset[KeyPath] = frozenset()
    """Paths of what has been found wrong already."""


@dataclass(frozen=True)
class _StageDocument(Document):
    """The document that one stage amounts to: its sections merged over those of the whole."""

    origins: Mapping[KeyPath, KeyPath] = field(default_factory=dict)
    """Path here to path in the whole document; what has none stands there at the same one."""

    def source(self, path: KeyPath) -> KeyPath:
        """Where in the whole document the value at this path stands."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return (*self.origins[path[:length]], *path[length:])
        return path

    def where(self, path: KeyPath) -> str:
        return super().where(self.source(path))

    def problem(self, path: KeyPath, message: str) -> Problem:
        return Problem(self.where(path), dotted(path), message)

    def named(self, problem: Problem) -> Problem:
        """The problem, with `stages.1.` before its path where that was written there."""
        by_name = {dotted(path): origin for path, origin in self.origins.items()}
        parts = problem.path.split(".")
        for length in range(len(parts), 0, -1):
            origin = by_name.get(".".join(parts[:length]))
            if origin is not None:
                in_stage = origin[0] == "stages"
                return replace(problem, path=f"{dotted(origin[:2])}.{problem.path}") if in_stage else problem
        return problem


@dataclass(frozen=True)
class Stages:
    """All stages of a configuration."""

    document: Document = field(repr=False)
    """Of the whole, with `stages:` in it."""
    stages: tuple[Stage, ...]
    spaces: tuple[Space, ...] = field(default=(), repr=False)
    """Of every stage, with each option before it in place."""

    def __len__(self) -> int:
        return len(self.stages)

    def folder_name(self, number: int) -> str:
        """`1-optimizer` for stage 0."""
        return f"{number + 1}-{self.stages[number].name}"

    @property
    def start(self) -> Base:
        """What the first stage begins with."""
        return Base(self.document.raw_value(("trial",), {}))

    def config(self, number: int, base: Base, initial: Mapping[str, Any] | None = None) -> Config:
        """The configuration of one stage.

        Args:
            number: of the stage, from 0.
            base: what the stages before it have found.
            initial: the first known point.

        Raises:
            ConfigError: the task does not take the base together with the stage.
        """
        document = self.document_of(number, base)
        if initial:
            document.raw.setdefault("sampler", {})
            sampler = document.raw["sampler"]
            document.raw["sampler"] = {
                **sampler,
                "points_to_evaluate": [dict(initial), *sampler.get("points_to_evaluate", [])],
            }
            document.tree["sampler"] = substitute(document.raw["sampler"], document.variables)
        reading = read_config(document)
        if reading.config is None:
            raise ConfigError(map(document.named, reading.problems))
        return reading.config

    def virtual_epochs(self, number: int) -> int:
        """Full length of a trial of one stage."""
        own = self.document.raw["stages"][number].get("budget", {})
        budget = merged(self.document.raw.get("budget", {}), own)
        return int(budget.get("virtual_epochs", Budget().virtual_epochs))

    def document_of(self, number: int, base: Base) -> _StageDocument:
        """The whole document with one stage's sections merged in."""
        whole, stage = self.document, self.document.raw["stages"][number]
        raw = {key: value for key, value in whole.raw.items() if key != "stages"}
        raw["trial"] = dict(base.options)
        origins = dict(base.origins)
        if number > 0 and isinstance(raw.get("sampler"), dict):
            # Known points of the whole are of the first stage, and its values are fixed by now.
            raw["sampler"] = {
                key: value for key, value in raw["sampler"].items() if key != "points_to_evaluate"
            }
        for section in SECTIONS:
            if section in stage:
                here: KeyPath = (section,)
                raw[section] = _merged(
                    raw.get(section), stage[section], here, ("stages", number, *here), origins
                )
        outer = {path: path for path in whole.told}
        told = {path for path, origin in {**outer, **origins}.items() if origin in whole.told}
        return _StageDocument(
            name=whole.name,
            file=whole.file,
            raw=raw,
            tree=substitute(raw, whole.variables),
            variables=whole.variables,
            lines=whole.lines,
            overrides=whole.overrides,
            problems=whole.problems,
            told=frozenset({*told, *base.told}),
            origins=origins,
        )

    def own_domains(self, number: int) -> Iterator[KeyPath]:
        """Paths in `trial:` of what the stage searches."""
        yield from _domains(self.document.raw["stages"][number].get("trial", {}), ())


def load_stages(document: Document) -> Config:
    """The configuration of the first stage, with all of them in `stages`.

    Every later stage is checked with each option of each earlier domain in place.

    Raises:
        ConfigError: with everything that is wrong in any stage.
    """
    sections, problems, _ = read_sections(document)
    problems = [problem for problem in problems if problem.path.startswith("stages")]
    stages = Stages(document, tuple(sections.stages))
    first: Config | None = None
    spaces: list[Space] = []
    if not problems:
        bases = [stages.start]
        for number in range(len(stages)):
            readings = [_read(stages, number, base) for base in bases]
            problems += [problem for found, _ in readings for problem in found.problems]
            spaces += [found.space for found, _ in readings]
            first = first or readings[0][0].config
            bases = list(_next_bases(readings))
    else:
        problems += read_config(
            replace(document, raw=_without_stages(document.raw), tree=_without_stages(document.tree))
        ).problems
    if problems or first is None:
        raise ConfigError(problems)
    raw = complete(sections, document.raw)
    yaml_text(raw, document.name)
    return replace(first, raw=raw, stages=replace(stages, spaces=tuple(spaces)))


def merged(base: Any, over: Any) -> Any:
    """`over` merged over `base`: mappings key by key, all else, domains too, replaces."""
    return _merged(base, over, (), (), {})


def _read(stages: Stages, number: int, base: Base) -> tuple[Reading, _StageDocument]:
    document = stages.document_of(number, base)
    reading = read_config(document)
    return replace(reading, problems=list(map(document.named, reading.problems))), document


def _next_bases(readings: list[tuple[Reading, _StageDocument]]) -> Iterator[Base]:
    """Few trials that the next stage may begin with: each option of each stage at least once."""
    for index, (reading, document) in enumerate(readings):
        for resolved in reading.space.candidates():
            origins = {
                ("trial", *path): document.source(source) for path, source in resolved.origin.items() if path
            }
            wrong = {path for path in resolved.origin if resolved.origin[path] in reading.broken}
            yield Base(resolved.raw, origins, frozenset(("trial", *path) for path in wrong))
            if index > 0:
                break


def _merged(base: Any, over: Any, path: KeyPath, source: KeyPath, origins: dict[KeyPath, KeyPath]) -> Any:
    """Fills `origins` with where each value that is taken from `over` stands."""
    mappings = isinstance(base, dict) and isinstance(over, dict)
    # Another scheduler has other options.
    other = path == ("scheduler",) and mappings and over.get("name", base.get("name")) != base.get("name")
    if not mappings or is_domain(base) or is_domain(over) or other:
        for known in [known for known in origins if known[: len(path)] == path]:
            del origins[known]
        origins[path] = source
        return over
    joined = dict(base)
    for key, value in over.items():
        joined[key] = _merged(base.get(key), value, (*path, key), (*source, key), origins)
    return joined


def _domains(tree: Any, path: KeyPath) -> Iterator[KeyPath]:
    if is_domain(tree):
        yield path
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _domains(value, (*path, key))


def _without_stages(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in tree.items() if key != "stages"}
