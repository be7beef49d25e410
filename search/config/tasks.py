"""From the `task:` of a configuration to the class: one that is built in, or the user's own."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from search.errors import ConfigError, Problem
from search.text import shown, suggestion

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
        hint = suggestion(task, BUILT_IN)
        raise ValueError(f"received {shown(task)}; must be built in or package.module:Class; {hint}")
    return task


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
        tasks = [name for name, item in vars(module).items() if _is_a(item, Task) and item is not Task]
        known = suggestion(class_name, tasks) if tasks else "it has no Task at all"
        raise ValueError(f"the module {module_name} has no class {class_name!r}; {known}")
    if inspect.isfunction(found):
        return as_task(found)
    if not _is_a(found, Task):
        rule = "is neither a subclass of trainables.task.Task nor a training function"
        raise ValueError(f"{path} {rule}, received {shown_type(found)}")
    if not _is_a(found.Options, TrialOptions):
        raise ValueError(f"{path}.Options is not a subclass of trainables.options.TrialOptions")
    return found


def shown_type(value: Any) -> str:
    """`class Net` or `a function`, for messages."""
    return f"class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def _import(name: str) -> ModuleType:
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    try:
        importlib.invalidate_caches()
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise ValueError(
                f"there is no module {error.name!r} in the current folder or among the installed packages"
            ) from error
        raise ValueError(f"the module {name} cannot be imported: {error}") from error
    except Exception as error:  # whatever the user's own code raises while it is imported
        text = str(error).splitlines()[0] if str(error) else "no message"
        raise ValueError(f"the module {name} cannot be imported: {type(error).__name__}: {text}") from error


def _is_a(value: Any, base: type) -> bool:
    return isinstance(value, type) and issubclass(value, base)
