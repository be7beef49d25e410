"""Runs a search stage after stage, or continues one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from search.addresses import local_path, stored_run
from search.config.schema import check_name
from search.config.sizes import notes_of_unused
from search.config.stages import SearchConfig, as_loaded, load_config
from search.errors import ConfigError, Problem
from search.race.plan import default_race, read_plan
from search.run.before.changes import record_config
from search.run.before.forecasted import take_forecast, with_forecast
from search.run.before.largest_batch import with_largest_batch
from search.run.before.priors import take_priors
from search.run.before.provenance import record_provenance, working_folder
from search.run.confirm import refuse_other_splits, run_race, with_race_so_far
from search.run.disk.folder import RunFolder, write_json
from search.run.disk.storage import fetched_run, mirrored
from search.run.executor import Executor
from search.run.executors.choose import executor_for
from search.run.loggers import with_loggers
from search.run.outcome.summary import Summary, join
from search.run.reporter import ProgressReporter
from search.run.stage import owned, run_in_folder
from search.run.stage_run import StageRun
from trainables.storage.address import split_address


def search(
    config: str | Path | Mapping[str, Any] | SearchConfig,
    *,
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
    reporter: ProgressReporter | None = None,
    executor: Executor | None = None,
) -> Summary:
    """Run a search, or continue the one whose folder is there.

    Args:
        config: a YAML file, the same as a mapping, or a loaded configuration.
        overrides: values to set, such as `trial.batch_size=16`.
        results: folder of all runs.
        name: the run's name (default: the configuration's).
        from_run: folder of an older run with the same task, data and objective, whose trials the sampler
            learns from.
        priors_from: folder of an older run of any task, whose best values are priors.
        plan: what `tune-search plan --out` wrote of this configuration, for the summary.
        accept_new_data: go on although the data have changed since the search was last run; the trials so far
            are then of other data.
        address: address of a running Ray cluster (default: the Ray of this process, or else a new local one).
        skip_bad_nodes: leave out hosts of the cluster that lack what trials need (default: refuse to start).
        local: run one trial after another in this process, without Ray.
        retry_failed: if the folder is there, try trials again that failed or ran out of memory.
        reporter: shown what happens.
        executor: one that may have begun already, in the place of `address`, `skip_bad_nodes` and `local`.

    Raises:
        ConfigError: the configuration is wrong.
        SearchError: the search cannot continue.
        TypeError: `priors_from` beside a loaded configuration.
    """
    with closing(executor or executor_for(address, local=local, skip_bad_nodes=skip_bad_nodes)) as executor:
        loaded = as_loaded(config, overrides, name=name, priors_from=priors_from, before_task=executor.begin)
        folder = RunFolder(local_path(results).absolute() / run_name(name, loaded))
        older = None if from_run is None else RunFolder.at(from_run)
        return _run(
            loaded,
            folder,
            executor,
            reporter or ProgressReporter(),
            retry_failed=retry_failed,
            accept_new_data=accept_new_data,
            older=older,
            plan=None if plan is None else local_path(plan).absolute(),
        )


def run_name(name: str | None, loaded: SearchConfig) -> str:
    """The name of the run's folder: as given, or the configuration's.

    Raises:
        ConfigError: it is no name of a folder.
    """
    try:
        return loaded.name if name is None else check_name(name)
    except ValueError as error:
        raise ConfigError([Problem("--name", "", f"received {name!r}; {error}")]) from None


def resume(
    run: str | Path,
    *,
    config: str | Path | Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    results: str | Path = "results",
    accept_new_data: bool = False,
    address: str | None = None,
    skip_bad_nodes: bool = False,
    local: bool = False,
    retry_failed: bool = False,
    reporter: ProgressReporter | None = None,
    executor: Executor | None = None,
) -> Summary:
    """Continue the search in the folder `run`.

    What `config` or `overrides` change may be limits (more trials, time or virtual epochs), points to
    evaluate, and for new trials the space, the sampler and the scheduler. Objective, task, data and virtual
    epoch stay.

    Args:
        run: the folder, or the address of the run in a storage, from where it is fetched into `results`.
        results: folder of all runs.
        config: another configuration than the one that the run was last given.
        overrides: values to set, such as `budget.trials=50`.
        accept_new_data, address, …, executor: see `search`.

    Raises:
        ConfigError: the configuration is wrong, or changes what must stay.
        SearchError: the search cannot continue.
    """
    if (stored := stored_run(run)) is not None:
        overrides = [f"storage={split_address(stored)[0]}", *overrides]
    folder = folder_of(run, results)
    source = config if isinstance(config, Mapping | None) else local_path(config).absolute()
    with closing(executor or executor_for(address, local=local, skip_bad_nodes=skip_bad_nodes)) as executor:
        with working_folder(folder):
            loaded = load_config(
                folder.config if source is None else source, overrides, before_task=executor.begin
            )
        return _run(
            loaded,
            folder,
            executor,
            reporter or ProgressReporter(),
            growing=True,
            retry_failed=retry_failed,
            accept_new_data=accept_new_data,
        )


def folder_of(run: str | Path, results: str | Path = "results") -> RunFolder:
    """The folder of a run that is to be continued; of one in a storage it is fetched into `results`.

    Raises:
        SearchError: there is none.
    """
    stored = stored_run(run)
    folder = RunFolder.at(run) if stored is None else fetched_run(stored, results)
    folder.require()
    return folder


@with_loggers
def _run(
    search: SearchConfig,
    folder: RunFolder,
    executor: Executor,
    reporter: ProgressReporter,
    *,
    growing: bool = False,
    accept_new_data: bool = False,
    retry_failed: bool = False,
    older: RunFolder | None = None,
    plan: Path | None = None,
) -> Summary:
    """Run the stages in turn, and then the race; complete ones stay, and a stage that has begun keeps the
    values it began with.

    Args:
        growing: the space, sampler or scheduler of a run may change.
        accept_new_data: the data may have changed.
        retry_failed: try failed trials again, of a search in stages those of the stage that is not complete.
        older: a run whose trials the sampler of the first stage learns from.
        plan: a file with a forecast of the search.
    """
    folder.create()
    with mirrored(search.first.storage, folder, reporter.phase) as mirror:
        return _run_mirrored(
            search,
            folder,
            executor,
            reporter,
            {
                "growing": growing,
                "accept_new_data": accept_new_data,
                "retry_failed": retry_failed,
                "mirror": mirror,
            },
            older=older,
            plan=plan,
        )


def _run_mirrored(
    search: SearchConfig,
    folder: RunFolder,
    executor: Executor,
    reporter: ProgressReporter,
    how: dict[str, Any],
    *,
    older: RunFolder | None,
    plan: Path | None,
) -> Summary:
    if search.name_note:
        reporter.note(search.name_note)
    for unused in notes_of_unused(c.resources for stage in search.stages for c in stage.configs):
        reporter.note(unused)
    with working_folder(folder):
        search = with_largest_batch(search, folder, reporter.phase)
    search = take_priors(search, folder, reporter.note)
    if plan is not None:
        take_forecast(plan, folder, search.raw)
    if search.confirm is not None:
        how["loaded"] = refuse_other_splits
    if search.is_staged:
        summary = _run_stages(search, folder, executor, reporter, older, how)
    else:
        name = folder.path.name
        summary = run_in_folder(search.first, folder, executor, reporter, name=name, older=older, **how)
    best = summary.best
    has_best = summary.status == "complete" and best is not None and not best.of_other_data
    if search.confirm is not None and has_best:
        asked = default_race(read_plan(RunFolder(folder.confirm_path).race), search.confirm)
        again = how["retry_failed"]
        summary = run_race(
            folder, summary, asked, executor, reporter, retry_failed=again, mirror=how["mirror"]
        )
    else:
        summary = with_race_so_far(summary, folder)
    summary = with_forecast(summary, folder, search.raw)
    if summary.confirmed is not None or summary.forecast is not None:
        write_json(folder.summary, summary.as_dict())
    return summary


def _run_stages(
    search: SearchConfig,
    folder: RunFolder,
    executor: Executor,
    reporter: ProgressReporter,
    older: RunFolder | None,
    how: Mapping[str, Any],
) -> Summary:
    growing = how["growing"]
    with owned(folder, reporter):
        record_config(search, folder, growing=growing, flags=executor.flags)
        record_provenance(search.first, folder)
        folder.stages_path.mkdir(mode=0o700, exist_ok=True)
        summaries: list[Summary] = []
        for number in range(len(search.stages)):
            stage = StageRun(search, number, folder)
            config = stage.config()
            summary = stage.finished(config)
            if summary is not None:
                reporter.phase(f"{stage.title} is done")
            else:
                reporter.phase(stage.introduction())
                summary = run_in_folder(
                    config,
                    stage.folder,
                    executor,
                    reporter,
                    name=f"{folder.path.name}, {stage.title}",
                    older=None if number else older,
                    later=[each for stage in search.stages[number + 1 :] for each in stage.configs],
                    **how,
                )
            summaries.append(summary)
            if summary.status != "complete":
                break
        whole = join(summaries, folder.path, len(search.stages))
        write_json(folder.summary, whole.as_dict())
        return whole
