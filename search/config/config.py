"""The configuration of one stage: its sections and its space, read and checked as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError

from search.config.checks import check_texts, check_trial
from search.config.combinations import Asked, refused
from search.config.document import Document
from search.config.keys import with_place
from search.config.messages import explain
from search.config.objectives import hint_of_one, measured_names, objectives_problems
from search.config.objectives import reported as reported_objectives
from search.config.population import population_problems
from search.config.schema import Resources, Sections, StageSections
from search.config.sections.limits import limit_problems
from search.config.sections.loggers import check_loggers
from search.config.sections.sampler import ImportedSampler
from search.config.sizes import Entry, absent_entries, narrowed, size_problems, without_entries
from search.config.tasks import load_task, may_report, not_computed, task_path
from search.errors import ConfigError, KeyPath, Problem
from search.space.parse import is_domain, read_space
from search.space.space import Space
from search.text import nearest, shown, value_at
from trainables.imported import argument_problems
from trainables.options import MEASURED

if TYPE_CHECKING:
    from trainables.task import Task

_STAND_INS: dict[str, Any] = {
    "name": "x",
    "task": "segmentation",
    "objective": {"metric": "x", "mode": "max"},
    "trial": {},
    "virtual_epoch": {"steps": 1},
}
"""Replace required sections that have problems, so that the others can still be checked."""


class Config(StageSections):
    """The valid configuration of one stage; `space` is what `trial` describes."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    space: InstanceOf[Space] = Field(repr=False)
    points_to_evaluate: list[dict[str, Any]]
    """`sampler.points_to_evaluate` as parameters for Optuna, and after them the mode of the priors."""
    raw: dict[str, Any] = Field(repr=False)
    """The configuration as config.yaml holds it: overrides applied, defaults filled in."""
    file: Path | None
    """The file that it was read from; None for a configuration from Python."""
    overrides: tuple[str, ...] = Field(default=(), repr=False)
    """What was set beside the file, such as `trial.batch_size=16`."""
    task_where: str = Field(default="config", repr=False)
    """File and line of `task`, for messages."""
    sampler_where: str = Field(default="config", repr=False)
    """The same of `sampler.name`."""
    places: dict[str, str] = Field(default_factory=dict, repr=False)
    """File and line, or override, of the options of a trial by their dotted names."""

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


@dataclass(frozen=True)
class Reading:
    """The result of reading a document: a configuration, or its problems."""

    config: Config | None
    space: Space
    problems: list[Problem]
    broken: frozenset[KeyPath]
    """Paths with reported problems; later problems below them are consequences."""
    absent: Mapping[Entry, Problem | None]
    """Entries of `resources.where` that no trial of this space has, see `absent_entries`."""


def read_config(
    document: Document,
    *,
    check_task: bool = True,
    before_task: Callable[[], None] | None = None,
    reported: frozenset[KeyPath] = frozenset(),
    is_stage: bool = False,
) -> Reading:
    """Read a document without stages.

    Args:
        document: with a number for each batch size.
        check_task: check every trial against the task, which is imported, and references against the
            environment; unnecessary for a file that this program wrote.
        before_task: is called when all else is right, before the task is imported, which takes seconds.
        reported: paths whose problems are known already.
        is_stage: trials of other stages may have what none of these has.
    """
    sections, section_problems, failed = read_sections(document.tree)
    trial = document.tree.get("trial")
    space, space_problems = read_space(trial if isinstance(trial, dict) else {})
    text_problems = list(check_texts(document.tree)) if check_task else []
    texts = {problem.at for problem in text_problems if problem.at}
    failed |= {path[0] for path in texts if path[0] != "trial"}
    points, point_problems = _read_points(document.tree, space, failed)
    problems = [*text_problems, *(p for p in section_problems if p.at not in texts)]
    problems += [*space_problems, *point_problems]
    absent = {} if space_problems else absent_entries(sections, space, failed)
    if is_stage and absent:
        document = replace(document, tree=without_entries(document.tree, absent))
        sections = sections.model_copy(update={"resources": sections.resources.without(absent)})
    elif check_task:
        problems += [problem for problem in absent.values() if problem is not None]
    problems += _cross_check(sections, None if space_problems else space, failed)
    if not failed & {"objective", "objectives"}:
        problems += objectives_problems(sections, document.tree)
    if check_task:
        problems += _problems_of_packages(sections, failed)
    broken = reported | texts | {_without_option(problem.at) for problem in space_problems if problem.at}
    if check_task and not failed & {"task", "trial"}:
        if before_task is not None and not (problems or document.problems):
            before_task()
        metrics = [] if "objective" in failed else [each.metric for each in reported_objectives(sections)]
        problems += _check_task(document, sections, metrics, space, broken)
    problems = [*document.problems, *document.located(problems)]
    if problems:
        return Reading(None, space, problems, broken, absent)
    values = {name: value for name, value in sections if name in StageSections.model_fields}
    config = Config.model_construct(
        **values | {"resources": narrowed(sections.resources, space)},
        space=space,
        points_to_evaluate=[*points, space.prior_point] if space.prior_point else points,
        raw=complete(sections, document.tree),
        file=document.file,
        overrides=document.overrides,
        task_where=document.where(("task",)),
        places=_places(document),
        sampler_where=document.where(("sampler", "name")),
    )
    return Reading(config, space, [], broken, absent)


def _places(document: Document) -> dict[str, str]:
    """File and line of the options of the trial and of the keys in them."""
    trial = document.tree.get("trial")
    found = {}
    for name, value in (trial if isinstance(trial, dict) else {}).items():
        found[name] = document.where(("trial", name))
        for key in value if isinstance(value, dict) else ():
            found[f"{name}.{key}"] = document.where(("trial", name, key))
    return found


def _without_option(path: KeyPath) -> KeyPath:
    """The path of a choice for that of one of its options, since with it the choice has no value at all."""
    return path[:-2] if path[-2:-1] == ("choice",) else path


def read_sections(tree: Mapping[str, Any]) -> tuple[Sections, list[Problem], set[str | int]]:
    """The sections, their problems, and the names of those that were replaced by stand-ins."""
    try:
        return Sections.model_validate(tree), [], set()
    except ValidationError as error:
        found = explain(error, Sections, tree)
    if "objective" not in tree and "objectives" in tree:  # which it is the first of
        found = [(path, message) for path, message in found if path[:1] != ("objective",)]
    failed = {path[0] for path, _ in found if path}
    problems = [
        Problem.of(path, with_place(path, message) + _hint(path, value_at(tree, path)))
        for path, message in found
    ]
    kept = {key: value for key, value in tree.items() if key not in failed}
    failed |= {"objective"} if "objectives" in failed else set()
    stand_ins = {key: value for key, value in _STAND_INS.items() if key in failed}
    return Sections.model_validate(kept | stand_ins), problems, failed


def complete(sections: Sections, tree: Mapping[str, Any]) -> dict[str, Any]:
    """The values as written, with defaults filled in."""
    filled_in: dict[str, Any] = {}
    for name, value in sections:
        if name == "priors":  # config.yaml has them beside the domains
            continue
        if name in ("stages", "confirm", "limits", "objectives", "storage", "log", "notify") and not value:
            continue
        if name == "objective" and sections.objectives:
            continue
        if name in ("trial", "virtual_epoch", "notify") or not isinstance(value, BaseModel):
            filled_in[name] = tree.get(name, value)
        else:
            filled = {**value.model_dump(), **tree.get(name, {})}
            first = {"name": filled["name"]} if "name" in filled else {}
            filled_in[name] = first | filled
    return filled_in


def _hint(path: KeyPath, value: Any) -> str:
    return "; domains stand under trial: only" if is_domain(value) else hint_of_one(path, value)


def _read_points(
    tree: Mapping[str, Any], space: Space, failed: set[str | int]
) -> tuple[list[dict[str, Any]], list[Problem]]:
    """The points to evaluate as parameters."""
    points: list[dict[str, Any]] = []
    problems: list[Problem] = []
    if failed & {"sampler", "trial"}:
        return points, problems
    path: KeyPath = ("sampler", "points_to_evaluate")
    for index, point in enumerate(value_at(tree, path, [])):
        try:
            points.append(space.params_of(point, base=(*path, index)))
        except ConfigError as error:
            problems += error.problems
    return points, problems


def _cross_check(sections: Sections, space: Space | None, failed: set[str | int]) -> Iterator[Problem]:
    """Rules that concern two sections."""
    if sections.sampler.name == "grid" and space is not None:
        try:
            space.grid()
        except ConfigError as error:
            yield from error.problems
    if space is not None:
        yield from size_problems(sections, space, failed)
    resources = sections.resources if space is None else narrowed(sections.resources, space)
    if sections.budget.gpu_hours and not failed & {"budget", "resources"}:
        yield from _gpu_hours_problems(sections.budget.gpu_hours, resources)
    if not failed & {"limits", "resources"}:
        yield from limit_problems(sections.limits, resources.fewest_gpus)
    if not failed & {"scheduler", "budget", "plateau"}:
        yield from _audit_problems(sections)
    yield from population_problems(sections, space, failed)
    yield from refused(Asked(sections, confirm=sections.confirm), "search", failed)
    grace_period = getattr(sections.scheduler, "grace_period", 0)
    longest = sections.budget.max_virtual_epochs
    on_virtual_epochs = sections.scheduler.axis == "virtual_epochs"
    too_long = grace_period != "auto" and grace_period > longest
    if on_virtual_epochs and too_long and not failed & {"scheduler", "budget"}:
        message = f"must be at most budget.max_virtual_epochs, which is {longest}"
        yield Problem.of(("scheduler", "grace_period"), f"received {shown(grace_period)}; {message}")


def _gpu_hours_problems(hours: float, resources: Resources) -> Iterator[Problem]:
    """`budget.gpu_hours` where trials have no GPU, or not all have as much of them."""
    found = {size.resources.gpus_per_trial for size in resources.sizes}
    if found == {0.0}:
        message = "counts GPUs, and resources.gpus_per_trial is 0; give `time`, or gpus_per_trial"
    elif found != {resources.gpus_per_trial}:
        message = (
            "counts resources.gpus_per_trial of each trial, and by resources.where some take another number; "
            "give `time`, or gpus_per_trial outside of where alone"
        )
    else:
        return
    yield Problem.of(("budget", "gpu_hours"), f"received {shown(hours)}; {message}")


def _audit_problems(sections: Sections) -> Iterator[Problem]:
    """`scheduler.audit` where nothing is stopped, or for more trials than there are."""
    audit, trials = sections.scheduler.audit, sections.budget.trials
    if audit and sections.scheduler.name == "none" and sections.plateau is None:
        message = "but with scheduler none every trial is trained to full length; remove it"
        yield Problem.of(("scheduler", "audit"), f"received {audit}, {message}")
    if trials is not None and audit > trials:
        message = f"must be at most budget.trials, which is {trials}, as these trials are among them"
        yield Problem.of(("scheduler", "audit"), f"received {audit}; {message}")
    worth = sections.budget.full_trainings
    if worth is not None and audit >= worth:
        message = f"must be less than budget.full_trainings, which is {worth:g}, as each of them takes one"
        yield Problem.of(("scheduler", "audit"), f"received {audit}; {message}")


def _problems_of_packages(sections: Sections, failed: set[str | int]) -> Iterator[Problem]:
    """What is wrong with loggers, and with the path of a sampler and the arguments beside it."""
    yield from check_loggers(sections.log, sections.notify)
    sampler = sections.sampler
    if "sampler" in failed or not isinstance(sampler, ImportedSampler):
        return
    try:
        for key, message in argument_problems(sampler.name, sampler.arguments, (), ("seed",)):
            yield Problem.of(("sampler", "name" if key is None else key), message)
    except ValueError as error:
        yield Problem.of(("sampler", "name"), str(error))


def _names_of_metrics(space: Space) -> tuple[str, ...]:
    """Of those that trials have by their paths, in `metrics`."""
    sections = (resolved.options.get("metrics") for resolved in space.candidates())
    return tuple({str(name): None for each in sections if isinstance(each, dict) for name in each})


def _check_task(
    document: Document, sections: Sections, metrics: list[str], space: Space, reported: frozenset[KeyPath]
) -> list[Problem]:
    """The task exists, may report the objectives, and accepts every trial of the space."""
    try:
        found = load_task(sections.task, document.where(("task",)))
    except ConfigError as error:
        return error.problems
    refusals = list(refused(Asked(sections, task=found), "task"))
    if refusals and measured_names(sections):
        return refusals
    problems = [] if ("trial",) in reported else check_trial(space, found, reported)
    own = () if ("trial",) in reported else _names_of_metrics(space)
    problems += refusals
    trials = [resolved.options for resolved in space.candidates()]
    several = [objective.metric for objective in sections.objectives or ()]
    for index, metric in enumerate(several):
        if metric in found.metric_names and metric in MEASURED:
            message = f"{metric} is measured, and the task reports a metric of that name too; rename that"
            problems.append(Problem.of(("objectives", index, "metric"), message))
    for metric in metrics:
        path = ("objectives", several.index(metric), "metric") if several else ("objective", "metric")
        measured = MEASURED if several and metric != several[0] else ()  # the first must be reported
        problems += _metric_problems(path, metric, found, own, trials, measured)
    return problems


def _metric_problems(
    path: KeyPath,
    metric: str,
    task: type[Task],
    own: tuple[str, ...],
    trials: list[dict[str, Any]],
    measured: tuple[str, ...],
) -> Iterator[Problem]:
    if lacking := not_computed(task, metric, trials):
        yield Problem.of(path, f"received {shown(metric)}, {lacking}")
    elif not may_report(task, metric, own):
        names = [f"{name}<class>" if name.endswith("/") else name for name in (*task.metric_names, *own)]
        close = nearest(metric, [*names, "valid_loss", *measured])
        hint = f"; did you mean {close!r}?" if close else ""
        also = f", and {', '.join(measured)} are measured" if measured else ""
        yield Problem.of(path, f"received {shown(metric)}; the task reports {', '.join(names)}{also}{hint}")
