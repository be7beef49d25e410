"""What does not go together: one table of rules, each with its reason, which docs list too."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from search.config.schema import Pbt, StageSections
from search.errors import KeyPath, Problem
from search.text import shown
from trainables.options import MEASURED

if TYPE_CHECKING:
    from trainables.task import Task

Feature = Literal["pbt", "several objectives", "a training function", "several workers"]
Level = Literal["search", "task", "stages"]
"""When a rule is checked: of one search, once its task is known, and over stages and what follows them."""


@dataclass(frozen=True)
class Asked:
    """What a configuration asks for."""

    sections: StageSections
    """Of one search, or of one stage."""
    task: type[Task] | None = None
    """Where it is known."""
    confirm: Any = None
    """What follows the search or the stage."""
    later_stage: bool = False
    """Another one follows."""


@dataclass(frozen=True)
class Rule:
    """A feature, and what is refused with it."""

    feature: Feature
    other: str
    """In the words of docs, which list it under the feature."""
    at: KeyPath
    asked: Callable[[Asked], object]
    """Whether it is asked for; a text stands for `{value}` in the message."""
    message: str
    levels: tuple[Level, ...] = ("search",)
    needs: tuple[str, ...] = ()
    """Other sections that are read: where one has problems of its own, this is not asked."""


OF_A_POPULATION = (
    "a race trains configurations anew with other seeds, and in a search with pbt the best weights come of "
    "values that changed, and of several trials; `tune-search retrain RUN/export --from-scratch` repeats them"
)
"""Why there is no race after a search with pbt."""
NOTHING_TO_LEARN = (
    "was searched with pbt, whose values changed while trials were trained: there is nothing for a sampler "
    "to learn from; leave out --from-run"
)
"""Why no search learns from one with pbt."""
_OF_A_FUNCTION = (
    "are measured on a model before its first step, and a training function makes its own while it runs; "
    "leave them out, or write a Task with build_model()"
)
_LIMITS_TRAINING = (
    "limits what is trained, and pbt trains all trials to full length, which takes budget.trials full "
    "trainings; remove it"
)
_OF_ONE_PROCESS = (
    "is measured in one process with a whole batch, and resources.workers_per_trial is above 1: each worker "
    "takes less; leave it out, or set workers_per_trial to 1"
)
_TASK: tuple[Level, ...] = ("task",)
_STAGES: tuple[Level, ...] = ("stages",)
_ALSO_STAGES: tuple[Level, ...] = ("search", "stages")
_OF_ONE = "does not go with several objectives: "
_PLATEAU = f"{_OF_ONE}a plateau is that of one objective; leave it out, or give one `objective`"


def _in_budget(key: str) -> Callable[[Asked], object]:
    return lambda asked: getattr(asked.sections.budget, key) is not None


def _learning_sampler(asked: Asked) -> str:
    """The first values must not depend on which trial was faster, and pbt learns by itself."""
    sampler, trials = asked.sections.sampler, asked.sections.budget.trials or 0
    startup = getattr(sampler, "startup_trials", 0)
    if sampler.name in ("random", "qmc", "grid") or (sampler.name in ("tpe", "gp") and startup >= trials):
        return ""
    given = f"{sampler.name} with startup_trials {startup}" if startup else sampler.name
    return f"{given} learns from values while pbt still begins its population of {trials}"


def _comparing_scheduler(asked: Asked) -> str:
    name = asked.sections.scheduler.name
    return "" if name in ("asha", "none") else shown(name)


def _audit(asked: Asked) -> str:
    return shown(asked.sections.scheduler.audit) if asked.sections.scheduler.audit else ""


def _measured_objective(asked: Asked) -> bool:
    limited = asked.sections.limits is not None
    return not limited and any(each.metric in MEASURED for each in asked.sections.objectives or ())


def _memory_objective(asked: Asked) -> bool:
    return any(each.metric == "memory" for each in asked.sections.objectives or ())


def _one_process_task(asked: Asked) -> str:
    """Why trials of the task are one process each."""
    from trainables.shareable import why_not_shareable  # which imports torch

    if asked.task is None or not (reason := why_not_shareable(asked.task)):
        return ""
    return f"received {asked.sections.resources.most_workers}, and {asked.task.__name__} {reason}"


def _window(asked: Asked) -> str:
    given = asked.sections.objectives or (asked.sections.objective,)
    return next((shown(each.window) for each in given if each.window is not None), "")


def _is_pbt(asked: Asked) -> bool:
    return isinstance(asked.sections.scheduler, Pbt)


RULES: Sequence[Rule] = (
    *(
        Rule("pbt", f"`{key}`", ("budget", key), _in_budget(key), _LIMITS_TRAINING)
        for key in ("full_trainings", "time", "steps", "samples", "gpu_hours")
    ),
    Rule("pbt", "`budget.plateau`", ("budget", "plateau"), _in_budget("plateau"), _LIMITS_TRAINING),
    Rule("pbt", "`plateau`", ("plateau",), lambda asked: asked.sections.plateau is not None,
         "ends trials one by one, and pbt continues its trials together to full length; remove it, or take "
         "another scheduler"),
    Rule("pbt", "samplers that learn", ("sampler", "name"), _learning_sampler,
         "{value}; take random, qmc or grid", needs=("budget",)),
    Rule("pbt", "`objective.window`", ("objective", "window"), _window,
         "received {value}; the reports of a window may be of two trials' weights there; remove it"),
    Rule("pbt", "`confirm`", ("confirm",), lambda asked: asked.confirm is not None,
         f"{OF_A_POPULATION}; remove it", _ALSO_STAGES),
    Rule("pbt", "`storage`", ("storage",), lambda asked: asked.sections.storage is not None,
         "members of a population go on from each other's checkpoints, copied within the run's folder "
         "alone; leave it out, or take another scheduler"),
    Rule("pbt", "a stage with pbt before another one", ("stages",), lambda asked: asked.later_stage,
         "pbt changes values while a trial is trained, so that there are none for the next stage; let it be "
         "the last stage", _STAGES),
    Rule("a training function", "`scheduler: pbt`", ("scheduler", "name"), _is_pbt,
         "pbt cannot search a training function, as it has read its values when they would change; take "
         "asha, or write a Task", _TASK),
    Rule("a training function", "`limits`", ("limits",), lambda asked: asked.sections.limits is not None,
         _OF_A_FUNCTION, _TASK),
    Rule("a training function", "measured `objectives`", ("objectives",), _measured_objective,
         _OF_A_FUNCTION, _TASK),
    Rule("several objectives", "`window`", ("objectives",), _window,
         f"received window {{value}}; {_OF_ONE}the front is of single virtual epochs; remove it"),
    Rule("several objectives", "`stages`", ("stages",), lambda asked: getattr(asked.sections, "stages", None),
         f"{_OF_ONE}a stage begins from the best trial of the one before; search each stage by itself"),
    Rule("several objectives", "`confirm`", ("confirm",), lambda asked: asked.confirm is not None,
         f"{_OF_ONE}a race has one winner; leave it out, and export and retrain trials of the front"),
    Rule("several objectives", "`plateau`", ("plateau",), lambda asked: asked.sections.plateau is not None,
         _PLATEAU),
    Rule("several objectives", "`budget.plateau`", ("budget", "plateau"), _in_budget("plateau"), _PLATEAU),
    Rule("several objectives", "`asha_stop`, `hyperband`, `median`, `percentile` and `pbt`",
         ("scheduler", "name"), _comparing_scheduler,
         "received {value}; must be asha or none with several objectives, as the others compare single "
         "values"),
    Rule("several objectives", "`scheduler.audit`", ("scheduler", "audit"), _audit,
         "received {value}; the audit compares ranks by one objective; leave it out with several"),
    Rule("several workers", "`limits.memory`", ("limits", "memory"),
         lambda asked: asked.sections.limits is not None and asked.sections.limits.memory is not None,
         _OF_ONE_PROCESS),
    Rule("several workers", "`memory` among `objectives`", ("objectives",), _memory_objective,
         _OF_ONE_PROCESS),
    Rule("several workers", "training functions, and tasks with steps of their own such as `gan`",
         ("resources", "workers_per_trial"), _one_process_task,
         "{value} (docs/several_processes.md says what can be shared out)", _TASK),
)  # fmt: skip
"""All of them; docs/pbt.md, docs/objectives.md and docs/several_processes.md say the same."""


def refused(
    asked: Asked, level: Level = "search", failed: Collection[str | int] = (), at: KeyPath = ()
) -> Iterator[Problem]:
    """What a configuration asks for that does not go together.

    Args:
        asked: for.
        level: of the rules that are checked.
        failed: names of sections with problems of their own.
        at: the rest of the path where a rule's ends, as of a stage.
    """
    for rule in RULES:
        read = (rule.at[0], *rule.needs)
        if level not in rule.levels or any(name in failed for name in read) or not _has(asked, rule.feature):
            continue
        value = rule.asked(asked)
        if value:
            message = rule.message.replace("{value}", value) if isinstance(value, str) else rule.message
            yield Problem.of((*rule.at, *at) if rule.at == ("stages",) else rule.at, message)


def refused_in_stages(stages: Sequence[StageSections | None], confirm: Any) -> Iterator[Problem]:
    """The same over stages, in their order, and the race after them; None has problems of its own."""
    for number, sections in enumerate(stages):
        is_last = number == len(stages) - 1
        if sections is not None:
            asked = Asked(sections, confirm=confirm if is_last else None, later_stage=not is_last)
            yield from refused(asked, "stages", at=(number,))


def _has(asked: Asked, feature: Feature) -> bool:
    if feature == "pbt":
        return _is_pbt(asked)
    if feature == "several workers":
        return asked.sections.resources.most_workers > 1
    if feature == "several objectives":
        return asked.sections.objectives is not None
    from trainables.function.task import FunctionTask  # which imports torch

    return asked.task is not None and issubclass(asked.task, FunctionTask)
