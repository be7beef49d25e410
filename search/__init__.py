"""Hyperparameter search for PyTorch models: each command is one function here.

>>> import search
>>> summary = search.search("configs/seg.yaml", overrides=["budget.trials=8"])
>>> model = search.export(summary.folder)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.batch_sizes import study_batch_sizes
    from search.checking import check
    from search.cleaning import clean
    from search.data_check import check_data
    from search.exporting import export
    from search.retraining import retrain
    from search.runner import resume, search
    from search.verifying import verify

_HOME = {
    "check": "search.checking",
    "check_data": "search.data_check",
    "clean": "search.cleaning",
    "export": "search.exporting",
    "resume": "search.runner",
    "retrain": "search.retraining",
    "search": "search.runner",
    "study_batch_sizes": "search.batch_sizes",
    "verify": "search.verifying",
}

__all__ = [
    "check",
    "check_data",
    "clean",
    "export",
    "resume",
    "retrain",
    "search",
    "study_batch_sizes",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import a command when it is first used: `tune-search --help` must not wait for torch and Ray."""
    if name not in _HOME:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
