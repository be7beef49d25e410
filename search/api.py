"""Searches from Python: of a configuration, or of a training function with its space as Python values."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from search.addresses import local_path
from search.config.callables import path_of_task
from search.config.schema import name_of_file
from search.config.stages import SearchConfig, as_loaded
from search.reports.write import report_at_end
from search.run import search as searches
from search.run.disk.folder import RunFolder
from search.run.executor import Executor
from search.run.executors.choose import executor_for
from search.run.loggers import end_loggers
from search.run.outcome.opened import Run
from search.run.reporter import ProgressReporter
from search.screen.live import PlainView, screen
from search.screen.notebook import in_notebook, notebook
from search.screen.progress_bar import draws_in_place

if TYPE_CHECKING:
    from search.ensembles.ensemble import Ensemble
    from search.retraining.fold_ensemble import FoldEnsemble

log = logging.getLogger(__name__)

Source = str | Path | Mapping[str, Any] | SearchConfig | Callable[..., Any]


def search(
    source: Source,
    *,
    space: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    results: str | Path = "results",
    name: str | None = None,
    from_run: str | Path | None = None,
    priors_from: str | Path | None = None,
    plan: str | Path | None = None,
    accept_new_data: bool = False,
    address: str | None = None,
    skip_bad_nodes: bool = False,
    local: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
    reporter: ProgressReporter | None = None,
    executor: Executor | None = None,
    **sections: Any,
) -> Run:
    """Run a search, or continue the one whose folder is there.

    >>> run = search.search(
    ...     train,
    ...     space={"lr": search.loguniform(1e-4, 1e-1)},
    ...     objective={"metric": "accuracy", "mode": "max"},
    ...     virtual_epoch={"steps": 200}, budget={"trials": 16, "max_virtual_epochs": 9},
    ... )
    >>> run.best.params, run.trials, run.folder

    Args:
        source: a training function, a subclass of Task, a YAML file, or what it holds as a mapping.
        space: of a function or class: the values of a trial, any of which may be a domain; YAML's `trial:`.
        overrides: of a configuration that is not loaded yet: values to set, such as `trial.batch_size=16`.
        results, name: folder of all runs, and the run's name (default: the configuration's or function's).
        from_run, …, retry_failed: see `search.run.search.search`.
        progress: show what happens: a table in a notebook's cell or on a terminal, else a line per event.
        reporter, executor: in the place of `progress`, and of `address` and the like; it may have begun.
        sections: of a function or class: the other sections of a configuration, with YAML's keys.

    Raises:
        SearchError: the configuration is wrong, or the search cannot continue.
    """
    config = _config_of(source, name, space, sections)
    with closing(executor or executor_for(address, local=local, skip_bad_nodes=skip_bad_nodes)) as executor:
        loaded = _loaded(config, overrides, name, priors_from, executor)
        folder = RunFolder(local_path(results).absolute() / searches.run_name(name, loaded))
        with _shown(folder, reporter, progress=progress, local=local) as shown:
            searches.search(
                loaded,
                results=results,
                name=name,
                from_run=from_run,
                plan=plan,
                accept_new_data=accept_new_data,
                retry_failed=retry_failed,
                reporter=shown,
                executor=executor,
            )
    return _done(folder)


def resume(
    run: str | Path,
    *,
    results: str | Path = "results",
    progress: bool = True,
    reporter: ProgressReporter | None = None,
    local: bool = False,
    **options: Any,
) -> Run:
    """Continue the search in the folder `run`, also with larger limits.

    >>> search.resume("results/seg", overrides=["budget.trials=50"])

    Args:
        run: the folder, or the address of the run in a storage.
        results: folder of all runs, into which one in a storage is fetched.
        progress, reporter, local: see `search`.
        options: see `search.run.search.resume`.

    Raises:
        ConfigError: the configuration is wrong, or changes what must stay.
        SearchError: the search cannot continue.
    """
    folder = searches.folder_of(run, results)
    with _shown(folder, reporter, progress=progress, local=local) as shown:
        searches.resume(run, results=results, reporter=shown, local=local, **options)
    return _done(folder)


@overload
def export_ensemble(run: str | Path, members: int, **options: Any) -> Ensemble: ...


@overload
def export_ensemble(run: str | Path, members: Literal["folds"], **options: Any) -> FoldEnsemble: ...


def export_ensemble(
    run: str | Path, members: int | Literal["folds"], **options: Any
) -> Ensemble | FoldEnsemble:
    """Export several models as one, which predicts their mean.

    >>> search.export_ensemble("results/seg", 3)

    Args:
        run: the search's folder.
        members: the most trials that are taken, those whose mean prediction is the best; or "folds": the
            models that `retrain_folds` has trained.
        options: see `search.ensembles.ensemble.export_ensemble`, and of folds
            `search.retraining.fold_ensemble.export_folds`.

    Raises:
        SearchError: see there.
    """
    from search.ensembles import ensemble
    from search.retraining.fold_ensemble import export_folds

    if members == "folds":
        return export_folds(run, **options)
    return ensemble.export_ensemble(run, members, **options)


def _done(folder: RunFolder) -> Run:
    report_at_end(folder)
    for line in end_loggers(folder):
        log.warning(line)
    return Run(folder.path)


def _loaded(
    config: str | Path | Mapping[str, Any] | SearchConfig,
    overrides: Sequence[str],
    name: str | None,
    priors_from: str | Path | None,
    executor: Executor,
) -> SearchConfig:
    overrides = [overrides] if isinstance(overrides, str) else overrides
    return as_loaded(config, overrides, name=name, priors_from=priors_from, before_task=executor.begin)


def _config_of(
    source: Source, name: str | None, space: Mapping[str, Any] | None, sections: Mapping[str, Any]
) -> str | Path | Mapping[str, Any] | SearchConfig:
    """The configuration as given, or that of a function with its space and sections.

    Raises:
        TypeError: a configuration, and sections beside it.
        ConfigError: it is neither.
    """
    if isinstance(source, str | Path | Mapping | SearchConfig):
        beside = ["space"] if space is not None else []
        if beside := [*beside, *sections]:
            raise TypeError(
                f"search() received a configuration and {', '.join(beside)}; these go with a training "
                "function, as search.search(train, …), not with its path: change a configuration by "
                "overrides=['budget.trials=8']"
            )
        return source
    task = path_of_task(source)
    default = name_of_file(source.__name__)
    return {"name": name or default, "task": task, "trial": dict(space or {}), **sections}


@contextmanager
def _shown(
    folder: RunFolder, reporter: ProgressReporter | None, *, progress: bool, local: bool
) -> Iterator[ProgressReporter]:
    """What shows the search; where a table is drawn on a terminal, what others print goes into the log."""
    if reporter is not None or not progress:
        yield reporter or ProgressReporter()
        return
    folder.create()
    if in_notebook():
        with notebook(folder.log) as view:
            yield view
        return
    here = PlainView(sys.stdout, folder.log)
    in_place = draws_in_place(sys.stdout) and not local
    with screen(folder.log) if in_place else nullcontext(here) as shown:
        yield shown
