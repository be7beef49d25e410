"""Hyperparameter search for PyTorch models: each command is one function here.

>>> import search
>>> run = search.search("configs/seg.yaml", overrides=["budget.trials=8"])
>>> model = search.export(run.folder)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from search.hidden import current_folder_last, refuse_hidden_libraries

if TYPE_CHECKING:
    from search.api import export_ensemble as export_ensemble
    from search.api import resume as resume
    from search.api import search as search
    from search.commands.audit import audit as audit
    from search.commands.batch_sizes import study_batch_sizes as study_batch_sizes
    from search.commands.check import check as check
    from search.commands.check_data import check_data as check_data
    from search.commands.clean import clean as clean
    from search.commands.confirm import confirm as confirm
    from search.commands.init.command import init as init
    from search.commands.plan import plan as plan
    from search.commands.submit import submit as submit
    from search.commands.verify import verify as verify
    from search.ensembles.soup import export_soup as export_soup
    from search.exports.export import export as export
    from search.fetching.fetch import fetch as fetch
    from search.followers.log import log as log
    from search.listing.runs import list_runs as list_runs
    from search.listing.show import show as show
    from search.optuna_copy.copy import dashboard as dashboard
    from search.predicting.load import load as load
    from search.predicting.predict import predict as predict
    from search.reports.write import report as report
    from search.retraining.folds import retrain_folds as retrain_folds
    from search.retraining.retrain import retrain as retrain
    from search.run.outcome.opened import Run as Run
    from search.space.builders import choice as choice
    from search.space.builders import lograndint as lograndint
    from search.space.builders import loguniform as loguniform
    from search.space.builders import quniform as quniform
    from search.space.builders import randint as randint
    from search.space.builders import uniform as uniform
    from trainables.function.alone import alone as alone
    from trainables.function.trial import Trial as Trial


def _ask_for_no_widgets() -> None:
    """In a notebook, Ray and the tqdm of Optuna ask for ipywidgets, and would show nothing with it."""
    import logging
    import warnings

    warnings.filterwarnings("ignore", message="IProgress not found")
    logging.getLogger("ray.widgets.util").setLevel(logging.ERROR)


current_folder_last()
refuse_hidden_libraries()
_ask_for_no_widgets()

_BUILDERS = ("choice", "lograndint", "loguniform", "quniform", "randint", "uniform")
_HOME = {
    "alone": "trainables.function.alone",
    "audit": "search.commands.audit",
    "check": "search.commands.check",
    "check_data": "search.commands.check_data",
    "clean": "search.commands.clean",
    "confirm": "search.commands.confirm",
    "dashboard": "search.optuna_copy.copy",
    "export": "search.exports.export",
    "export_ensemble": "search.api",
    "export_soup": "search.ensembles.soup",
    "fetch": "search.fetching.fetch",
    "init": "search.commands.init.command",
    "list_runs": "search.listing.runs",
    "load": "search.predicting.load",
    "log": "search.followers.log",
    "plan": "search.commands.plan",
    "predict": "search.predicting.predict",
    "report": "search.reports.write",
    "resume": "search.api",
    "retrain": "search.retraining.retrain",
    "retrain_folds": "search.retraining.folds",
    "Run": "search.run.outcome.opened",
    "search": "search.api",
    "show": "search.listing.show",
    "study_batch_sizes": "search.commands.batch_sizes",
    "submit": "search.commands.submit",
    "Trial": "trainables.function.trial",
    "verify": "search.commands.verify",
    **dict.fromkeys(_BUILDERS, "search.space.builders"),
}

__all__ = list(_HOME)


def __dir__() -> list[str]:
    """What Tab shows in a notebook."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Import a command when it is first used: `tune-search --help` must not wait for torch and Ray."""
    if name not in _HOME:
        raise AttributeError(f"module 'search' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
