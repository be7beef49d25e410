"""What may change when a run continues: limits may grow, new trials may come from another space."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from search.config.config import Config
from search.config.document import write_yaml
from search.config.stages import SearchConfig, open_run
from search.errors import ConfigError, Problem
from search.run.folder import RunFolder
from search.text import shown

# How a search runs, not what it finds.
_ALWAYS = (
    "name",
    "resources",
    "checkpoint",
    "max_failures",
    "max_failed_trials",
    "timeout",
    "budget.trials",
    "budget.max_virtual_epochs",
    "budget.time",
    "budget.steps",
    "sampler.points_to_evaluate",
)
# What new trials are and which of them continue; earlier ones stay what they are.
_WHEN_GROWING = ("trial", "sampler", "scheduler")
# With another of these, values of earlier trials would not be comparable.
_NEVER = ("objective", "task", "virtual_epoch", "trial.data")


def record_config(config: Config | SearchConfig, folder: RunFolder, *, growing: bool) -> None:
    """Write config.yaml, after comparing it with the one that is there.

    Args:
        config: of the whole search or of one stage, as it is asked for now.
        folder: of the search, or of the stage.
        growing: space, sampler and scheduler may change.

    Raises:
        ConfigError: with every difference that is not allowed.
    """
    if folder.has_begun:
        before = open_run(folder.config)
        allowed = _ALWAYS + (_WHEN_GROWING if growing else ())
        refused = [
            Problem(_where(config), path, f"was {shown(old)} when this search began and is {shown(new)} now")
            for path, old, new in _differences(_by_number(before.raw), _by_number(config.raw))
            if _is_in(path, _NEVER) or not _is_in(path, allowed)
        ]
        if refused:
            final = any(_is_in(problem.path, _NEVER) for problem in refused)
            raise ConfigError([*refused, Problem(str(folder.path), "", _way_out(config, folder, final))])
        problems = [
            Problem(
                _where(config),
                "budget.max_virtual_epochs",
                f"received {now}; must be at least {longest}, for a run that continues may only grow",
            )
            for longest, now in zip(_lengths(before), _lengths(config), strict=True)
            if now < longest
        ]
        if problems:
            raise ConfigError(problems)
    write_yaml(folder.config, config.raw)


def refuse_other_problem(config: Config | SearchConfig, older: Config | SearchConfig) -> None:
    """Raise ConfigError unless trials of the run `older` are comparable with those of `config`."""
    problems = [
        Problem(_where(config), path, f"is {shown(new)}, and in the older run {shown(old)}; they must agree")
        for path, old, new in _differences(older.raw, config.raw)
        if _is_in(path, _NEVER)
    ]
    if problems:
        raise ConfigError(problems)


def _way_out(config: Config | SearchConfig, folder: RunFolder, final: bool) -> str:
    another = f"take another --name, or remove {folder.path}, for another search"
    if final or config.file is None:
        return another
    command = f"tune-search resume {folder.path} --config {config.file}"
    return f"`{command}` takes them for new trials; or {another}"


def _where(config: Config | SearchConfig) -> str:
    return str(config.file or "config")


def _lengths(config: Config | SearchConfig) -> list[int]:
    """Virtual epochs of a trial, in each stage."""
    stages = [stage.configs[0] for stage in config.stages] if isinstance(config, SearchConfig) else [config]
    return [stage.budget.max_virtual_epochs for stage in stages]


def _by_number(raw: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with its stages as a mapping, so that they are compared one by one."""
    stages = raw.get("stages")
    return dict(raw) if stages is None else {**raw, "stages": {str(n): s for n, s in enumerate(stages)}}


def _is_in(path: str, sections: tuple[str, ...]) -> bool:
    # What is allowed of a section is allowed of it in a stage; a stage's name is that of its folder.
    path = re.sub(r"^stages\.\d+\.(?!name$)", "", path)
    return any(path == section or path.startswith(f"{section}.") for section in sections)


def _differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            below = f"{path}.{key}" if path else str(key)
            yield from _differences(before.get(key), after.get(key), below)
    elif before != after:
        yield path, before, after
