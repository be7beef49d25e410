"""Hyperparameter search for PyTorch models: each command is one function here.

>>> import search
>>> summary = search.search("configs/seg.yaml", overrides=["budget.trials=8"])
>>> model = search.export(summary.folder)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search.hidden import current_folder_last, refuse_hidden_libraries

if TYPE_CHECKING:
    from search.commands.batch_sizes import study_batch_sizes as study_batch_sizes
    from search.commands.check import check as check
    from search.commands.check_data import check_data as check_data
    from search.commands.clean import clean as clean
    from search.commands.export import export as export
    from search.commands.retrain import retrain as retrain
    from search.commands.verify import verify as verify
    from search.run.search import resume as resume
    from search.run.search import search as search
    from trainables.function.alone import alone as alone
    from trainables.function.trial import Trial as Trial

current_folder_last()
refuse_hidden_libraries()

_HOME = {
    "Trial": "trainables.function.trial",
    "alone": "trainables.function.alone",
    "check": "search.commands.check",
    "check_data": "search.commands.check_data",
    "clean": "search.commands.clean",
    "export": "search.commands.export",
    "resume": "search.run.search",
    "retrain": "search.commands.retrain",
    "search": "search.run.search",
    "study_batch_sizes": "search.commands.batch_sizes",
    "verify": "search.commands.verify",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Import a command when it is first used: `tune-search --help` must not wait for torch and Ray."""
    if name not in _HOME:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
