"""From the `task:` of a configuration to the class: one that is built in, or the user's own."""

from __future__ import annotations

import inspect
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from search.config.callables import is_interactive
from search.errors import ConfigError, Problem
from search.text import shown, suggestion
from trainables.findings import a_type
from trainables.imported import no_module
from trainables.process.causes import on_one_line, place_of
from trainables.process.same_names import ambiguous_imports, other_than_in

if TYPE_CHECKING:
    from trainables.task import Task

BUILT_IN = {
    "classification": "trainables.classification.task:ClassificationTask",
    "gan": "trainables.gan.task:GANTask",
    "regression": "trainables.regression.task:RegressionTask",
    "segmentation": "trainables.segmentation.task:SegmentationTask",
}


def task_path(task: str) -> str:
    """`package.module:Class` for the name of a built-in task or for itself.

    Raises:
        ValueError: it is neither.
    """
    if task in BUILT_IN:
        return BUILT_IN[task]
    module, _, name = task.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *name.split("."))):
        hint = _with_class(task) or suggestion(task, BUILT_IN)
        raise ValueError(f"received {shown(task)}; must be built in or package.module:Class; {hint}")
    return task


def _with_class(task: str) -> str:
    """What a path of a file, a module alone, or one with a dot before the class should be; else empty."""
    path, _, name = task.partition(":")
    if path.endswith(".py") or "/" in path:
        path = ".".join(Path(path.removesuffix(".py")).parts)
    elif not name and "." in path:
        path, _, name = path.rpartition(".")
    elif name or not os.path.isfile(f"{path}.py"):  # which takes names that are too long for a file
        return ""
    return f"did you mean '{path}:{name or 'CLASS'}'?"


def load_task(task: str, where: str = "config") -> type[Task]:
    """Import a task's class; modules of the user's are looked for in the current folder too.

    Raises:
        ConfigError: at `where`, if there is no such module or class, or it is not a Task.
    """
    try:
        return _load(task_path(task))
    except ValueError as error:
        raise ConfigError([Problem(where, "task", str(error))]) from error


def _load(path: str) -> type[Task]:
    from trainables.function.task import as_task
    from trainables.options import TrialOptions
    from trainables.task import Task

    module_name, _, class_name = path.partition(":")
    module = _import(module_name)
    found: Any = module
    for part in class_name.split("."):
        found = getattr(found, part, None)
    if found is None:
        if is_interactive(path):
            raise ValueError(
                f"{class_name} was defined in a notebook or console, and is not there any more: run the cell "
                "that defines it, and use search.export(…) and the like there, or move it into a module"
            )
        own = {name: item for name, item in vars(module).items() if item is not Task and name[0] != "_"}
        tasks = [name for name, item in own.items() if _is_a(item, Task)]
        functions = [name for name, item in own.items() if inspect.isfunction(item)]
        known = suggestion(class_name, tasks + functions) if tasks + functions else "it has no Task at all"
        raise ValueError(f"the module {module_name} has no class or function {class_name!r}; {known}")
    if inspect.isfunction(found):
        return as_task(found)
    if not _is_a(found, Task):
        rule = "is neither a subclass of trainables.task.Task nor a training function"
        raise ValueError(f"{path} {rule}, received {shown_type(found)}")
    if not _is_a(found.Options, TrialOptions):
        raise ValueError(f"{path}.Options is not a subclass of trainables.options.TrialOptions")
    return found


def may_report(task: type[Task], metric: str, own: Collection[str] = ()) -> bool:
    """Whether a task may report a metric of this name: a class that overrides `metrics` alone knows.

    Args:
        own: names of metrics that its trials have by their paths; one of several values adds a slash.
    """
    from trainables.training.reported import OF_THE_TRAINER  # which imports torch

    def owner(attribute: str) -> type:
        return next(each for each in task.__mro__ if attribute in vars(each))

    made = [name for name in ("metrics", "built_in_metrics") if hasattr(task, name)]
    if not task.metric_names or not all(issubclass(owner("metric_names"), owner(name)) for name in made):
        return True
    known = (*task.metric_names, *own, *(f"{name}/" for name in own), *OF_THE_TRAINER)
    return metric in known or any(name.endswith("/") and metric.startswith(name) for name in known)


def not_computed(task: type[Task], metric: str, trials: Iterable[Mapping[str, Any]]) -> str:
    """What is wrong with an objective that is reported only where an option is set, which no trial sets."""
    found = task.optional_metrics.get(metric.partition("/")[0])
    if found is None:
        return ""
    section, key = found
    sections = [options.get(section) for options in trials]
    if any(isinstance(each, Mapping) and each.get(key) is not None for each in sections):
        return ""
    examples = task.Options.model_fields[section].annotation.model_fields[key].examples  # type: ignore[union-attr]
    example = str(examples[0]) if examples else "..."
    return f"which is not computed unless its option is set: trial.{section}.{key}: {example}"


def shown_type(value: Any) -> str:
    """`class Net` or `a function`, for messages."""
    return f"class {value.__name__}" if isinstance(value, type) else a_type(value)


def _import(name: str) -> ModuleType:
    from trainables.process.imports import ExitOnImportError, import_own  # which imports torch

    folder = Path.cwd()
    try:
        module = import_own(name, (str(folder),))
    except ExitOnImportError as error:
        raise ValueError(f"the module {name} cannot be imported: {error}") from error
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ValueError(no_module(error.name)) from error
        raise ValueError(_cannot_import(name, folder, error)) from error
    except Exception as error:  # whatever the user's own code raises while it is imported
        raise ValueError(_cannot_import(name, folder, error)) from error
    if name.startswith("trainables."):
        return module
    if twice := next(ambiguous_imports(folder), None) or _taken_for(module, folder):
        raise ValueError(twice)
    return module


def _cannot_import(name: str, folder: Path, error: Exception) -> str:
    twice, place = next(ambiguous_imports(folder, name), None), place_of(error)
    package, wanted = name.rpartition(".")[0], getattr(error, "name", None) or ""
    if package and folder.joinpath(*package.split("."), f"{wanted}.py").is_file():
        return (
            f"the module {name} cannot be imported: it imports {wanted}, which lies beside it in {package} "
            f"({place}); write `from {package} import {wanted}`"
        )
    if twice is not None and isinstance(error, ImportError | AttributeError):
        return f"the module {name} cannot be imported: {twice}"
    text = on_one_line(str(error), "the text of the exception") or "no message"
    where = f" ({place})" if place else ""
    return f"the module {name} cannot be imported: {type(error).__name__}: {text}{where}"


def _taken_for(module: ModuleType, folder: Path) -> str | None:
    """What was imported in the place of a module of that name in the folder; None where that is the one."""
    found = other_than_in(folder, module.__name__.partition(".")[0])
    return found and f"the task's module is both your {found[0]} and {found[1]}; rename yours"


def _is_a(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base)
