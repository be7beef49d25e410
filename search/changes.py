"""What a run may be gone on with: the limits may grow, new trials may come from another space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from search.config import Config, load_config
from search.document import write_yaml
from search.errors import ConfigError, Problem
from search.run_folder import RunFolder
from search.wording import shown

# What concerns how a search runs, not what it finds.
_ALWAYS = (
    "name",
    "resources",
    "checkpoint",
    "max_failures",
    "max_failed",
    "timeout",
    "budget.trials",
    "budget.virtual_epochs",
    "budget.time",
    "budget.steps",
    "sampler.initial",
)
# What new trials are and which of them go on; earlier ones stay what they are.
_WHEN_GROWING = ("trial", "sampler", "scheduler")
# With another of these, values of earlier trials would not be comparable.
_NEVER = ("objective", "task", "virtual_epoch", "trial.data")


def record_config(config: Config, folder: RunFolder, *, growing: bool) -> None:
    """Write config.yaml, or hold it against the one that is there.

    Args:
        config: what is asked for now.
        folder: of the run.
        growing: another space, sampler or scheduler was asked for in so many words.

    Raises:
        ConfigError: with every difference that is not allowed.
    """
    if folder.journal.exists() and folder.config.exists():
        before = load_config(folder.config)
        differences = list(_differences(before.raw, config.raw))
        allowed = _ALWAYS + (_WHEN_GROWING if growing else ())
        refused = [
            Problem(_where(config), path, f"was {shown(old)} when this search began and is {shown(new)} now")
            for path, old, new in differences
            if _is_in(path, _NEVER) or not _is_in(path, allowed)
        ]
        if refused:
            final = any(_is_in(problem.path, _NEVER) for problem in refused)
            raise ConfigError([*refused, Problem(str(folder.path), "", _way_out(config, folder, final))])
        shorter = config.budget.virtual_epochs
        if shorter < before.budget.virtual_epochs:
            longest = before.budget.virtual_epochs
            message = f"received {shorter}; a search that goes on may only grow, and this one has {longest}"
            raise ConfigError([Problem(_where(config), "budget.virtual_epochs", message)])
    write_yaml(folder.config, config.raw)


def refuse_other_problem(config: Config, older: Config) -> None:
    """Raise ConfigError unless trials of the run `older` are comparable with those of `config`."""
    problems = [
        Problem(_where(config), path, f"is {shown(new)}, and in the older run {shown(old)}; they must agree")
        for path, old, new in _differences(older.raw, config.raw)
        if _is_in(path, _NEVER)
    ]
    if problems:
        raise ConfigError(problems)


def _way_out(config: Config, folder: RunFolder, final: bool) -> str:
    another = f"take another --name, or remove {folder.path}, for another search"
    if final or config.file is None:
        return another
    command = f"tune-search resume {folder.path} --config {config.file}"
    return f"`{command}` takes them for new trials; or {another}"


def _where(config: Config) -> str:
    return str(config.file or "config")


def _is_in(path: str, sections: tuple[str, ...]) -> bool:
    return any(path == section or path.startswith(f"{section}.") for section in sections)


def _differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            below = f"{path}.{key}" if path else str(key)
            yield from _differences(before.get(key), after.get(key), below)
    elif before != after:
        yield path, before, after
