"""A whole configuration: one search, or several in turn, each starting from the best trial of the one before.

A YAML without `stages:` is one stage without a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from search.config.auto_batch import AutoBatch, auto_batch
from search.config.combinations import Asked, refused, refused_in_stages
from search.config.config import Config, Reading, complete, read_config, read_sections
from search.config.document import Document, read_document
from search.config.merging import merge
from search.config.objectives import without_null
from search.config.schema import Confirm, Objective, name_of_file
from search.config.sections.priors import AnyPriors, Priors, as_override
from search.config.sizes import Entry, wrong_in_all
from search.errors import ConfigError, KeyPath, Problem
from search.space.parse import read_space
from search.text import dotted

SECTIONS = ("trial", "budget", "sampler", "scheduler", "plateau")
"""What a stage may have of its own."""


class Stage(NamedTuple):
    """One search of a configuration."""

    name: str
    """Empty where the configuration has no `stages:`."""
    configs: tuple[Config, ...]
    """Its possible configurations: each option of each earlier stage occurs at least once."""


@dataclass(frozen=True)
class SearchConfig:
    """A configuration without problems."""

    document: Document = field(repr=False)
    stages: tuple[Stage, ...]
    """At least one."""
    raw: dict[str, Any] = field(repr=False)
    """The whole as config.yaml holds it: overrides applied, defaults filled in but for what stages share."""
    auto_batch: AutoBatch | None = field(default=None, repr=False)
    """Where `batch_size: auto` stands; until it is resolved, the stages have a stand-in there."""
    named_by_file: bool = False
    """Whether the name is that of the file, as nobody has given one."""

    @property
    def first(self) -> Config:
        """The configuration of the first stage."""
        return self.stages[0].configs[0]

    @property
    def name(self) -> str:
        return self.first.name

    @property
    def task(self) -> str:
        return self.first.task

    @property
    def objective(self) -> Objective:
        return self.first.objective

    @property
    def file(self) -> Path | None:
        return self.document.file

    @property
    def overrides(self) -> tuple[str, ...]:
        """What was set beside the file."""
        return self.document.overrides

    @property
    def confirm(self) -> Confirm | None:
        """What follows the search, if anything."""
        given = self.raw.get("confirm")
        return None if given is None else Confirm.model_validate(given)

    @property
    def priors(self) -> Priors | None:
        """Where priors are yet to be taken from, if anywhere, see `search.run.before.priors`."""
        given = self.document.tree.get("priors")
        return None if given is None else TypeAdapter(AnyPriors).validate_python(given)

    @property
    def is_staged(self) -> bool:
        """The stages have names, and each a folder."""
        return self.stages[0].name != ""

    @property
    def name_note(self) -> str:
        """Why the run is called so, if the file has a name that no run can have; else empty."""
        if not self.named_by_file or self.file is None or self.name == self.file.stem:
            return ""
        return f"the run is called {self.name}, after {self.file.name}; `name:` or --name gives another name"

    def folder_name(self, number: int) -> str:
        """`1-optimizer` for stage 0."""
        return f"{number + 1}-{self.stages[number].name}"

    def stage(
        self, number: int, base: Mapping[str, Any] | None = None, point: Mapping[str, Any] | None = None
    ) -> Config:
        """The configuration of one stage.

        Args:
            number: of the stage, from 0.
            base: options of the trial that a stage after the first begins with.
            point: the first point to evaluate.

        Raises:
            ConfigError: the task does not take the base together with the stage.
        """
        if base is None:
            return self.stages[number].configs[0]
        document = _stage_document(self.document, number, _Base(base))
        if point:
            sampler = document.tree.get("sampler") or {}
            points = [dict(point), *sampler.get("points_to_evaluate", [])]
            document.tree["sampler"] = {**sampler, "points_to_evaluate": points}
        return _config(read_config(document, is_stage=True))

    def searched_paths(self, number: int) -> Iterator[KeyPath]:
        """Paths in `trial:` of the domains of a stage that do not depend on a choice."""
        space, _ = read_space(self.document.tree["stages"][number].get("trial", {}), base=())
        return (domain.path for domain, condition in space.root.domains() if not condition)


def load_config(
    source: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    name: str | None = None,
    priors_from: str | Path | None = None,
    before_task: Callable[[], None] | None = None,
) -> SearchConfig:
    """Read a configuration, and check it as a whole before anything runs.

    Args:
        source: a YAML file, or the same as Python values.
        overrides: such as `trial.batch_size=16` or `trial.optimizer.lr={loguniform: [1e-4, 1e-2]}`.
        name: of the run, where the configuration has none (default: from the file's name).
        priors_from: `priors.from_run`.
        before_task: is called when all else is right, before torch and the task are
            imported, which takes seconds. Not called with stages or `batch_size: auto`.

    Raises:
        ConfigError: all problems, in the order of the lines.
    """
    document = read_document(source, overrides)
    document = replace(document, tree=without_null(document.tree))
    if priors_from is not None:
        document = _with_priors_from(document, priors_from)
    named_by_file = document.file is not None and "name" not in document.tree and name is None
    if document.file is not None and "name" not in document.tree:
        document.tree["name"] = name or name_of_file(document.file.stem)
        derived = f"{document.name} (its name, without `name:` or --name)"
        document.places["name",] = "--name" if name else derived
    if (auto := auto_batch(document)) is None:
        found = read_search(document, before_task=before_task)
    else:
        try:
            found = replace(read_search(auto.stand_in()), auto_batch=auto)
        except ConfigError as error:
            raise ConfigError(auto.as_written(error.problems)) from None
    return replace(found, named_by_file=named_by_file)


def as_loaded(
    source: str | Path | Mapping[str, Any] | SearchConfig,
    overrides: Sequence[str] = (),
    *,
    name: str | None = None,
    priors_from: str | Path | None = None,
    before_task: Callable[[], None] | None = None,
) -> SearchConfig:
    """`load_config`, or the configuration itself if it is loaded already.

    Raises:
        ConfigError: all problems, in the order of the lines.
        TypeError: `overrides` or `priors_from` beside a loaded configuration.
    """
    if not isinstance(source, SearchConfig):
        return load_config(source, overrides, name=name, priors_from=priors_from, before_task=before_task)
    for option, received in (("overrides", [*overrides]), ("priors_from", priors_from and str(priors_from))):
        if received:
            raise TypeError(
                f"received a loaded configuration and {option}={received!r}; give that to "
                f"load_config(source, {option}=…), which makes it part of the configuration"
            )
    return source


def _with_priors_from(document: Document, run: str | Path) -> Document:
    """The document with this run as `priors.from_run`, whatever else stands there, as if it had been set."""
    given = document.tree.get("priors")
    if not isinstance(given, str | dict | None):
        return document  # which is refused as it stands
    other = {"recipe": given} if isinstance(given, str) else given or {}
    priors = {**other, "from_run": str(run)}
    document.places[("priors", "from_run")] = "--priors-from"
    set_too = (*document.overrides, as_override(priors))
    return replace(document, tree={**document.tree, "priors": priors}, overrides=set_too)


def open_run(file: Path) -> SearchConfig:
    """Read the config.yaml of a run's folder, without importing the task.

    Raises:
        ConfigError: it was damaged.
    """
    return read_search(read_document(file), check_task=False)


def read_search(
    document: Document,
    *,
    check_task: bool = True,
    before_task: Callable[[], None] | None = None,
) -> SearchConfig:
    """The configuration that a document with numbers for all batch sizes describes, as `read_config`.

    Every later stage is checked with each option of each earlier domain in place.

    Raises:
        ConfigError: all problems of all stages.
    """
    if not document.tree.get("stages"):
        config = _config(read_config(document, check_task=check_task, before_task=before_task))
        return SearchConfig(document, (Stage("", (config,)),), config.raw)
    sections, problems, _ = read_sections(document.tree)
    problems += refused(Asked(sections))
    problems = document.located(p for p in problems if p.at and p.at[0] == "stages")
    if problems:
        rest = {key: value for key, value in document.tree.items() if key != "stages"}
        raise ConfigError([*problems, *read_config(replace(document, tree=rest)).problems])
    stages, absent = list[Stage](), list[Mapping[Entry, Problem | None]]()
    bases = [_Base(document.tree.get("trial", {}))]
    for number, stage in enumerate(sections.stages):
        documents = [_stage_document(document, number, base) for base in bases]
        readings = [
            read_config(inner, check_task=check_task, reported=base.broken, is_stage=True)
            for inner, base in zip(documents, bases, strict=True)
        ]
        problems += [problem for reading in readings for problem in reading.problems]
        absent += [reading.absent for reading in readings]
        configs = [reading.config for reading in readings if reading.config is not None]
        stages.append(Stage(stage.name, tuple(configs)))
        bases = list(_next_bases(documents, readings))
    searched = [stage.configs[0] if stage.configs else None for stage in stages]
    problems += document.located(wrong_in_all(absent) if check_task else ())
    problems += document.located(refused_in_stages(searched, document.tree.get("confirm")))
    if problems:
        raise ConfigError(problems)
    raw = complete(sections, document.tree) | _as_written(document.tree)
    return SearchConfig(document, tuple(stages), raw)


def _as_written(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The sections that stages have values of their own in, without defaults.

    A stage that is read over a default takes it for a given value: over `trials: 24` a limit of compute does
    not stand alone, and another sampler has no `startup_trials`. Each stage records its own defaults.
    """
    return {name: dict(tree.get(name) or {}) for name in ("budget", "sampler", "scheduler")}


@dataclass(frozen=True)
class _Base:
    """The trial that a stage starts from."""

    options: Mapping[str, Any]
    """A `trial:` section; with domains in it only before the first stage."""
    origins: Mapping[KeyPath, KeyPath] = field(default_factory=dict)
    """Where in the document each path was written."""
    broken: frozenset[KeyPath] = frozenset()
    """Paths whose problems are reported."""


@dataclass(frozen=True)
class _StageDocument(Document):
    """The document of one stage: its sections merged over those of the whole."""

    origins: Mapping[KeyPath, KeyPath] = field(default_factory=dict)
    """Path here to path in the whole document, where they differ."""

    def source(self, path: KeyPath) -> KeyPath:
        """Where in the whole document the value at this path stands."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.origins:
                return (*self.origins[path[:length]], *path[length:])
        return path

    def where(self, path: KeyPath) -> str:
        return super().where(self.source(path))

    def located(self, problems: Iterable[Problem]) -> list[Problem]:
        """As for any document, with `stages.1.` before the path of values written there."""
        return [
            replace(p, path=f"{dotted(self.source(p.at)[:2])}.{p.path}")
            if p.at and self.source(p.at)[0] == "stages"
            else p
            for p in super().located(problems)
        ]


def _config(reading: Reading) -> Config:
    if reading.config is None:
        raise ConfigError(reading.problems)
    return reading.config


def _stage_document(whole: Document, number: int, base: _Base) -> _StageDocument:
    """The whole document with one stage's sections merged in."""
    tree = {k: v for k, v in whole.tree.items() if k not in ("stages", "confirm", "priors", "log", "notify")}
    tree["trial"] = dict(base.options)
    origins = dict(base.origins)
    if number > 0 and isinstance(tree.get("sampler"), dict):
        # The whole configuration's points are for the first stage.
        tree["sampler"] = {k: v for k, v in tree["sampler"].items() if k != "points_to_evaluate"}
    for section in SECTIONS:
        own = whole.tree["stages"][number]
        if section in own:
            source: KeyPath = ("stages", number, section)
            tree[section] = merge(tree.get(section), own[section], (section,), source, origins)
    places, problems = whole.places, whole.problems
    return _StageDocument(whole.name, whole.file, tree, places, problems, whole.overrides, origins=origins)


def _next_bases(documents: Sequence[_StageDocument], readings: Sequence[Reading]) -> Iterator[_Base]:
    """Few trials that the next stage may start from: each option of each stage at least once."""
    for index, (document, reading) in enumerate(zip(documents, readings, strict=True)):
        for resolved in reading.space.candidates():
            origins = {
                ("trial", *path): document.source(source) for path, source in resolved.origin.items() if path
            }
            broken = {
                ("trial", *path) for path, source in resolved.origin.items() if source in reading.broken
            }
            yield _Base(resolved.options, origins, frozenset(broken))
            if index > 0:
                break
