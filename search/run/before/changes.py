"""What may change when a run continues: limits may grow, new trials may come from another space."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from search.budget.growth import in_minutes, number, spent_of_limits
from search.config.config import Config, complete, read_sections
from search.config.document import write_yaml
from search.config.schema import Budget, Pbt
from search.config.sections.budget import COMPUTE
from search.config.stages import SearchConfig, open_run
from search.errors import ConfigError, Problem
from search.run.before.kept_priors import kept_priors, option_text, options_of
from search.run.disk.folder import RunFolder
from search.run.disk.hints import another_search, going_on, overriding
from search.study.spent import SearchSpent, read_spent
from search.text import duration, shown_apart

# How a search runs, not what it finds.
_ALWAYS = (
    "name",
    "resources",
    "confirm",
    "checkpoint",
    "storage",
    "max_failures",
    "max_failed_trials",
    "timeout",
    "log",
    "notify",
    "budget.trials",
    "budget.max_virtual_epochs",
    "budget.time",
    "budget.steps",
    "budget.full_trainings",
    "budget.samples",
    "budget.gpu_hours",
    "sampler.points_to_evaluate",
)
# What new trials are and which of them continue; earlier ones stay what they are.
_WHEN_GROWING = ("trial", "sampler", "scheduler")
# With another of these, values of earlier trials would not be comparable.
_NEVER = ("objective", "objectives", "task", "virtual_epoch", "trial.data")
# A population is compared as a whole: who comes later, or goes on longer, finds no checkpoint of then.
_WITH_A_POPULATION = ("budget", "trial", "sampler", "scheduler", "plateau")
# Trials that it left out, or let in, would be others now; those of an older run say what was measured.
_OF_THIS_RUN = ("limits",)
_OF_A_PRIOR = (".prior", ".confidence")


def record_config(
    config: Config | SearchConfig, folder: RunFolder, *, growing: bool, flags: Sequence[str] = ()
) -> None:
    """Write config.yaml, after `check_config`."""
    check_config(config, folder, growing=growing, flags=flags)
    raw = config.raw
    if isinstance(config, SearchConfig) and (kept := _kept_of_stages(config, folder)) is not None:
        raw = {**raw, "budget": {**raw["budget"], "trials": kept}}
    write_yaml(folder.config, raw)


def keeping_trials(config: Config, folder: RunFolder, note: Callable[[str], None]) -> Config:
    """The configuration, with the limit of trials that its search began with unless it says one, or null.

    Before compute could be limited alone, 24 trials were the limit where nothing was given: such a search
    must not go on past its end by the command that it was begun with.

    Args:
        config: as it is asked for now.
        folder: of the search, or of one of its stages.
        note: called with a line that a person should read.
    """
    budget = config.budget
    if "trials" in budget.model_fields_set or budget.trials is not None or not folder.has_begun:
        return config
    kept = open_run(folder.config).first.budget.trials
    if kept is None:
        return config
    note(
        f"budget.trials: the limit of {kept} trials that this search began with stands, as the configuration "
        "gives none; `--set budget.trials=null` lifts it"
    )
    raw = {**config.raw, "budget": {**config.raw["budget"], "trials": kept}}
    return config.model_copy(update={"budget": budget.model_copy(update={"trials": kept}), "raw": raw})


def _kept_of_stages(config: SearchConfig, folder: RunFolder) -> int | None:
    """The same for all stages: what the whole began with, where it says nothing now."""
    given = config.document.tree.get("budget") or {}
    if not config.is_staged or "trials" in given or not folder.has_begun:
        return None
    before: int | None = open_run(folder.config).raw["budget"].get("trials")
    return before if any(given.get(key) is not None for key in COMPUTE) else None


def check_config(
    config: Config | SearchConfig, folder: RunFolder, *, growing: bool, flags: Sequence[str] = ()
) -> None:
    """Compare the configuration with the one that is there.

    Args:
        config: of the whole search or of one stage, as it is asked for now.
        folder: of the search, or of the stage.
        growing: space, sampler and scheduler may change.
        flags: see `Executor.flags`.

    Raises:
        ConfigError: with every difference that is not allowed.
    """
    if folder.has_begun:
        before = open_run(folder.config)
        of_population = any(isinstance(s.scheduler, Pbt) for s in (*_stages(before), *_stages(config)))
        never = _NEVER + (_WITH_A_POPULATION if of_population else ())
        allowed = _ALWAYS + (_WHEN_GROWING if growing else ())
        refused = [
            Problem(_where(config), path, _then_and_now(old, new))
            for path, old, new in differences(_by_number(before.raw), _by_number(config.raw))
            if (_is_in(path, never) or not _is_in(path, allowed)) and not _is_measured_now(path, old, new)
        ]
        if refused:
            way_out = _way_out(config, folder, refused, never + _OF_THIS_RUN, flags)
            raise ConfigError([*refused, Problem(str(folder.path), "", way_out)])
        problems = list(_below_what_happened(before, config, folder))
        if problems:
            raise ConfigError(problems)


def _is_measured_now(path: str, before: Any, now: Any) -> bool:
    """The first rung was 1 where nothing was given; new trials may begin deeper, and earlier ones stay."""
    return path.endswith("scheduler.grace_period") and (before, now) == (1, "auto")


def refuse_other_problem(config: Config | SearchConfig, older: Config | SearchConfig) -> None:
    """Raise ConfigError unless trials of the run `older` are comparable with those of `config`."""
    problems = [
        Problem(_where(config), path, f"is {now}, and in the older run {before}; they must agree")
        for path, old, new in differences(older.raw, config.raw)
        if _is_in(path, _NEVER) and path != "objective.window"  # samplers learn from single reports
        for before, now in [shown_apart(old, new)]
    ]
    if problems:
        raise ConfigError(problems)


def _below_what_happened(
    before: SearchConfig, config: Config | SearchConfig, folder: RunFolder
) -> Iterator[Problem]:
    """Limits that were lowered below what the search has done; one that was reached as it is stays."""
    stages = list(zip(_stages(before), _stages(config), strict=True))
    for old, new in stages:
        length, now = old.budget.max_virtual_epochs, new.budget.max_virtual_epochs
        if now < length:
            message = f"received {now}; must be at least {length}, the full "
            yield Problem(
                _where(config),
                "budget.max_virtual_epochs",
                f"{message}length so far: trials cannot be shortened",
            )
    for stage, (old, new) in zip(folder.stages(), stages, strict=False):
        if old.budget != new.budget:
            yield from _below_spent(old.budget, new, stage, read_spent(stage.journal))


def _below_spent(old: Budget, config: Config, stage: RunFolder, spent: SearchSpent) -> Iterator[Problem]:
    """Limits of one search that are not above what it has spent."""
    new, taken_of = config.budget, spent_of_limits(spent, config)
    if new.trials is not None and old.trials != new.trials < spent.trials:
        yield _too_low(stage, "trials", f"{new.trials}", _few_trials(new.trials, spent.trials))
    if old.time != new.time is not None and new.time <= spent.seconds:
        rule = f"must be longer than {duration(spent.seconds)}, the time of the search so far"
        way_out = f"{in_minutes(spent.seconds + new.time)} allows {duration(new.time)} more"
        yield _too_low(stage, "time", duration(new.time), f"{rule}; {way_out}")
    for key, what in (
        ("steps", "the optimizer steps"),
        ("samples", "the training samples"),
        ("full_trainings", "the compute"),
        ("gpu_hours", "the GPU hours"),
    ):
        taken = taken_of[key]
        asked = getattr(new, key)
        if getattr(old, key) != asked is not None and asked <= taken:
            rule = f"must be above {number(taken)}, {what} of all trials so far"
            way_out = f"{number(taken + asked)} allows {number(asked)} more"
            yield _too_low(stage, key, number(asked), f"{rule}; {way_out}")


def _too_low(folder: RunFolder, limit: str, received: str, message: str) -> Problem:
    return Problem(str(folder.path), f"budget.{limit}", f"received {received}; {message}")


def _few_trials(asked: int, done: int) -> str:
    more = f"{done + asked} adds {asked} more, {done} finishes those that are there"
    return f"must be at least {done}, the number of trials so far, as it is their total; {more}"


def _way_out(
    config: Config | SearchConfig,
    folder: RunFolder,
    refused: Sequence[Problem],
    never: tuple[str, ...],
    flags: Sequence[str],
) -> str:
    whole = RunFolder(folder.run_path)
    lost = [problem for problem in refused if problem.path.endswith(_OF_A_PRIOR)]
    kept = kept_priors(whole) if lost else None
    again = ""
    if kept is not None and len(lost) == len(refused):
        in_python = "" if config.file is not None or "from_run" not in kept else " (in Python priors_from=)"
        again = f"give {option_text(kept, whole)}{in_python} again, with which this search began; "
    if config.file is None:
        return f"{again}for another search take another name, or remove {folder.path}"
    other = f"`{another_search(config, config.file, folder, flags)}`"
    another = f"for another search take another --name, as in {other}, or remove {folder.path}"
    if again or any(_is_in(problem.path, never) for problem in refused):
        return again + another
    priors = [] if kept is None else options_of(kept, whole)
    resume = going_on(folder, "--config", config.file, *overriding(config), *priors, flags=flags)
    return f"`{resume}` takes them for new trials; {another}"


def _where(config: Config | SearchConfig) -> str:
    return str(config.file or "config")


def _stages(config: Config | SearchConfig) -> list[Config]:
    """The configuration of each stage."""
    return [stage.configs[0] for stage in config.stages] if isinstance(config, SearchConfig) else [config]


def _by_number(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with its stages as a mapping, so that they are compared one by one."""
    stages = raw.get("stages")
    if stages is None:
        return dict(raw)
    # What stages share has no defaults in it, but had them once.
    filled_in = complete(read_sections(raw)[0], raw)
    return {**filled_in, "stages": {str(n): s for n, s in enumerate(stages)}}


def _is_in(path: str, sections: tuple[str, ...]) -> bool:
    # What is allowed of a section is allowed of it in a stage; a stage's name is that of its folder.
    path = re.sub(r"^stages\.\d+\.(?!name$)", "", path)
    return any(path == section or path.startswith(f"{section}.") for section in sections)


def _then_and_now(old: Any, new: Any) -> str:
    then, now = shown_apart(old, new)
    return f"was {then} when this search began and is {now} now"


def differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Path and both values of each key that differs; a key that is not there counts as null."""
    if _are_mappings(before, after):
        before, after = ({str(n): each for n, each in enumerate(values)} for values in (before, after))
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            below = f"{path}.{key}" if path else str(key)
            yield from differences(before.get(key), after.get(key), below)
    elif before != after:
        yield path, before, after


def _are_mappings(before: Any, after: Any) -> bool:
    """Whether two lists have as many entries, all of them mappings, so that they can be compared by one."""
    if not isinstance(before, list) or not isinstance(after, list) or len(before) != len(after):
        return False
    return all(isinstance(each, Mapping) for each in (*before, *after))
