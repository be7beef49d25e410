"""A search's configuration: read, checked as a whole before anything runs, and complete with defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from search.config.auto_batch import AutoBatch, auto_batch
from search.config.document import Document, read_document, yaml_text
from search.config.messages import explain
from search.config.schema import (
    Budget,
    Checkpoint,
    Objective,
    Plateau,
    Resources,
    Sampler,
    Scheduler,
    Sections,
    VirtualEpoch,
)
from search.config.tasks import load_task, task_path
from search.errors import ConfigError, KeyPath, Problem
from search.space.parse import is_domain
from search.space.space import Space, read_space
from search.text import shown
from trainables.process.environment import conceal

if TYPE_CHECKING:
    from search.config.stages import Stages
    from trainables.task import Task

_STAND_INS: dict[str, Any] = {
    "name": "x",
    "task": "segmentation",
    "objective": {"metric": "x", "mode": "max"},
    "trial": {},
    "virtual_epoch": {"steps": 1},
}
"""For required sections with mistakes in them, so that the others can still be checked."""


@dataclass(frozen=True)
class Config:
    """A configuration without mistakes."""

    name: str
    task: str
    objective: Objective
    trial: Mapping[str, Any] = field(repr=False)
    """As written, with its domains; `space` is what to use."""
    virtual_epoch: VirtualEpoch
    budget: Budget
    sampler: Sampler
    scheduler: Scheduler
    plateau: Plateau | None
    resources: Resources
    checkpoint: Checkpoint
    max_failures: int
    max_failed_trials: int
    timeout: float | None
    """Seconds of one virtual epoch."""
    space: Space = field(repr=False)
    initial: list[dict[str, Any]]
    """`sampler.points_to_evaluate` as parameters for Optuna."""
    raw: dict[str, Any] = field(repr=False)
    """What `results/<run>/config.yaml` holds: overrides applied, defaults filled in, `${env:NAME}` kept."""
    file: Path | None
    """None for a configuration from Python."""
    task_where: str = field(default="config", repr=False)
    """Where `task` stands, for messages."""
    stages: Stages | None = field(default=None, repr=False)
    """Of a configuration with `stages:`, all of them; the rest is then the first stage's."""
    auto_batch: AutoBatch | None = field(default=None, repr=False)
    """Where the largest batch that fits is asked for; until it is found, another number stands there."""

    @property
    def is_fixed(self) -> bool:
        """Nothing is searched."""
        return not self.space.parameters()

    @property
    def task_path(self) -> str:
        """The task as `package.module:Class`."""
        return task_path(self.task)

    def task_class(self) -> type[Task]:
        """The task's class, imported now.

        Raises:
            ConfigError: there is no such module or class, or it is no Task.
        """
        return load_task(self.task, self.task_where)


def load_config(
    source: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    before_task: Callable[[str], None] | None = None,
) -> Config:
    """Read and check a configuration.

    Args:
        source: a YAML file, or the same as Python values.
        overrides: such as `trial.batch_size=16` or `trial.optimizer.lr={loguniform: [1e-4, 1e-2]}`.
        before_task: is called with the task's name when all else is right, before torch and the task are
            imported, which takes seconds. Not where there are stages or a batch size to be found.

    Raises:
        ConfigError: with everything that is wrong, in the order of the lines.
    """
    document = _with_name(read_document(source, overrides))
    auto = auto_batch(document)
    if auto is None:
        return load_document(document, before_task)
    return replace(load_document(auto.stand_in()), auto_batch=auto)


def load_document(document: Document, before_task: Callable[[str], None] | None = None) -> Config:
    """The configuration that a document with numbers for all batch sizes describes.

    Raises:
        ConfigError: with everything that is wrong.
    """
    if document.raw.get("stages"):
        from search.config.stages import load_stages

        return load_stages(document)
    reading = read_config(document, before_task)
    if reading.config is None:
        raise ConfigError(reading.problems)
    return reading.config


@dataclass(frozen=True)
class Reading:
    """What a document comes to: a configuration, or all that is wrong with it."""

    config: Config | None
    problems: list[Problem]
    space: Space
    broken: list[KeyPath]
    """Paths in the source of domains with mistakes."""


def read_config(document: Document, before_task: Callable[[str], None] | None = None) -> Reading:
    """Check a document as a whole; `before_task` as in `load_config`."""
    sections, section_problems, failed = read_sections(document)
    trial = document.raw_value(("trial",))
    space, space_problems, broken = read_space(
        trial if isinstance(trial, dict) else {}, locate=document.where, variables=document.variables
    )
    initial, initial_problems = _read_initial(document, space, failed)
    problems = [
        *document.problems,
        *section_problems,
        *space_problems,
        *initial_problems,
        *_cross_check(document, sections, space if not space_problems else None, failed),
    ]
    if before_task is not None and not problems:
        before_task(sections.task)
    problems += _check_task(document, space, {*broken, *document.told}, failed)
    if problems:
        return Reading(None, problems, space, broken)
    raw = complete(sections, document.raw)
    yaml_text(raw, document.name)  # The run's folder keeps it, and it must be possible to read it again.
    config = Config(
        **{name: value for name, value in sections if name != "stages"},
        space=space,
        initial=initial,
        raw=raw,
        file=document.file,
        task_where=document.where(("task",)),
    )
    return Reading(config, [], space, broken)


def _with_name(document: Document) -> Document:
    """The file's stem is the name where none is given."""
    if document.file is not None and "name" not in document.raw:
        document.raw["name"] = document.tree["name"] = document.file.stem
    return document


def read_sections(document: Document) -> tuple[Sections, list[Problem], set[str | int]]:
    """The sections, what is wrong with them, and the names of those that had to be replaced by stand-ins."""
    tree = (
        {**document.tree, "trial": document.raw.get("trial")} if "trial" in document.tree else document.tree
    )
    try:
        return Sections.model_validate(tree), [], set()
    except ValidationError as error:
        mistakes = explain(error, Sections, document.raw, document.variables)
    failed = {path[0] for path, _ in mistakes if path}
    problems = [
        document.problem(path, message + _domain_hint(document.raw_value(path)))
        for path, message in mistakes
        if not any(path[: len(known)] == known for known in document.told)
    ]
    kept = {key: value for key, value in tree.items() if key not in failed}
    stand_ins = {key: value for key, value in _STAND_INS.items() if key in failed}
    return Sections.model_validate(kept | stand_ins), problems, failed


def _domain_hint(value: Any) -> str:
    return "; domains stand under trial: only" if is_domain(value) else ""


def _read_initial(
    document: Document, space: Space, failed: set[str | int]
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """The known good points as parameters."""
    initial: list[dict[str, Any]] = []
    problems: list[Problem] = []
    if failed & {"sampler", "trial"}:
        return initial, problems
    for index, point in enumerate(document.raw_value(("sampler", "points_to_evaluate"), [])):
        try:
            path = ("sampler", "points_to_evaluate", index)
            initial.append(space.params_of(point, base=path, locate=document.where))
        except ConfigError as error:
            problems += error.problems
    return initial, problems


def _cross_check(
    document: Document, sections: Sections, space: Space | None, failed: set[str | int]
) -> Iterable[Problem]:
    """Rules that concern two sections, where both are otherwise right."""
    if sections.sampler.name == "grid" and space is not None:
        try:
            space.grid()
        except ConfigError as error:
            yield from error.problems
    grace_period = getattr(sections.scheduler, "grace_period", 0)
    longest = sections.budget.max_virtual_epochs
    on_virtual_epochs = sections.scheduler.axis == "virtual_epochs"
    if on_virtual_epochs and grace_period > longest and not failed & {"scheduler", "budget"}:
        message = (
            f"received {shown(grace_period)}; must be at most budget.max_virtual_epochs, which is {longest}"
        )
        yield document.problem(("scheduler", "grace_period"), message)


def _check_task(
    document: Document, space: Space, told: set[KeyPath], failed: set[str | int]
) -> list[Problem]:
    """The task is there, and takes every trial of the space."""
    if failed & {"task", "trial"}:
        return []
    from search.config.trial_check import check_trial

    try:
        task = load_task(document.tree["task"], document.where(("task",)))
    except ConfigError as error:
        return [replace(p, message=conceal(p.message, document.variables)) for p in error.problems]
    return [] if ("trial",) in told else check_trial(document, space, task, told)


def complete(sections: Sections, raw: Mapping[str, Any]) -> dict[str, Any]:
    """As written, and the defaults of what was left out."""
    filled_in: dict[str, Any] = {}
    for name, value in sections:
        if name == "stages" and not value:
            continue
        if name in ("trial", "virtual_epoch") or not isinstance(value, BaseModel):
            filled_in[name] = raw.get(name, value)
        else:
            filled = {**value.model_dump(), **raw.get(name, {})}
            first = {"name": filled["name"]} if "name" in filled else {}
            filled_in[name] = first | filled
    return filled_in
