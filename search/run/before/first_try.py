"""Tries what a configuration imports by its paths, before there is a trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from search.config.config import Config
from search.errors import SearchError
from search.text import compact, dotted, shown
from trainables.build import load_arrays, try_options
from trainables.data.prepared import data_key
from trainables.findings import some
from trainables.imported_options import WeightsOptions, named_by_path
from trainables.options import TrialOptions, TrialSection
from trainables.process.failure import failure_of
from trainables.process.process_state import RandomStates
from trainables.task import Arrays

_ABSENT = object()
_SHOWN = 3
"""Parts that a line about a try names; an error names all."""


def try_imported(config: Config, shared: Mapping[str, Arrays], report: Callable[[str], None]) -> None:
    """Take a step and validate with every combination of imported models, losses and the like.

    Args:
        config: of the search.
        shared: the loaded data by `data_key`; what is not there is loaded.
        report: is given what is tried.

    Raises:
        SearchError: the first that fails, with the options that are in it.
    """
    task_class = config.task_class()
    tried: dict[str, dict[str, Any]] = {}
    for resolved in config.space.candidates():
        options = task_class.Options.parse(resolved.options)
        named = _untried(options)
        if not named or compact(named) in tried:
            continue
        first = next(iter(tried.values()), {})
        parts = _differences(_flat(named), _flat(first)) if first else _names(named)
        what = ", ".join(parts)
        tried[compact(named)] = named
        report(f"trying {some(parts, _SHOWN)}")
        arrays = shared.get(data_key(config.task_path, resolved.options))
        states = RandomStates()
        before = states.state_dict()
        try:
            given = load_arrays(task_class, options) if arrays is None else arrays
            if fitted := try_options(task_class, options, given):
                report(fitted)
        except Exception as error:  # of code that this program does not know
            raise SearchError(f"{failure_of(error, '').cause}; this was tried: {what}") from error
        finally:
            states.load_state_dict(before)


def _untried(options: TrialSection) -> dict[str, Any]:
    """What of a trial only a first step can prove, by its key."""
    found: dict[str, Any] = {dotted(at): _given(part) for at, part in named_by_path(options)}
    if not isinstance(options, TrialOptions):
        return found
    names = {"freeze": options.freeze, "optimizer.groups": options.optimizer.groups}
    found |= {key: [_given(part) for part in parts] for key, parts in names.items() if parts}
    model = options.model
    has_weights = isinstance(getattr(model, "weights", None), WeightsOptions)
    if isinstance(model, BaseModel) and (has_weights or any(names.values())):
        found["model"] = _given(model)
    return found


def _names(named: Mapping[str, Any]) -> list[str]:
    """What is imported, or else named, of each part, without its arguments."""
    return [
        f"trial.{at}" + (f" {part.get('name') or part.get('source')}" if isinstance(part, dict) else "")
        for at, part in named.items()
    ]


def _differences(values: Mapping[str, Any], first: Mapping[str, Any]) -> list[str]:
    """What a combination has otherwise than the first one."""
    return [f"trial.{at} {shown(value)}" for at, value in values.items() if first.get(at, _ABSENT) != value]


def _flat(named: Mapping[str, Any]) -> dict[str, Any]:
    return {
        f"{at}.{key}" if key else at: value
        for at, part in named.items()
        for key, value in (part if isinstance(part, dict) else {"": part}).items()
    }


def _given(options: BaseModel) -> dict[str, Any]:
    return options.model_dump(exclude_defaults=True, by_alias=True)
