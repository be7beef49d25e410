"""Runs a search: starts Ray, shares the data, hands the coordinator to Ray Tune, and sums up."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from search.config import Config, load_config
from search.coordinator import Coordinator, Event, Limits
from search.document import write_yaml
from search.early_stopping import build_rule
from search.errors import ConfigError, Problem, SearchError
from search.run_folder import RunFolder, write_json
from search.sampling import ViewSampler, sampler_factory, view_trials
from search.signals import heard_signals
from search.study import SearchStudy, TrialRecord
from search.summary import Status, Summary, summarize
from trainables.build import load_arrays
from trainables.session import TrialPlan, data_key

log = logging.getLogger(__name__)

# Sections that a search may be continued with in another form; everything else would make another search.
_MAY_CHANGE = ("name", "resources", "checkpoint", "max_failures", "max_failed")
_BUDGET_MAY_CHANGE = ("trials", "time", "steps")


class Watcher(Protocol):
    """Whoever shows a search while it runs."""

    def phase(self, text: str) -> None:
        """Something before the first trial that takes time."""

    def begin(self, coordinator: Coordinator, config: Config, folder: RunFolder) -> None: ...

    def event(self, event: Event) -> None: ...

    def note(self, text: str) -> None: ...

    def end(self) -> None: ...


class SilentWatcher:
    """Shows nothing; for notebooks and tests."""

    def phase(self, text: str) -> None: ...

    def begin(self, coordinator: Coordinator, config: Config, folder: RunFolder) -> None: ...

    def event(self, event: Event) -> None: ...

    def note(self, text: str) -> None: ...

    def end(self) -> None: ...


def search(
    config: str | Path | Mapping[str, Any] | Config,
    *,
    overrides: Sequence[str] = (),
    results: str | Path = "results",
    name: str | None = None,
    address: str | None = None,
    watcher: Watcher | None = None,
) -> Summary:
    """Run a search, or go on with the one whose folder is there.

    Args:
        config: a YAML file, the same as a mapping, or a loaded configuration.
        overrides: `trial.batch_size=16` and the like.
        results: where runs live.
        name: the run's name; the configuration's without it.
        address: of a running Ray cluster; without it a local Ray is started, or the one of this process used.
        watcher: is shown what happens.

    Raises:
        ConfigError: the configuration is wrong.
        SearchError: the search cannot go on.
    """
    loaded = config if isinstance(config, Config) else load_config(config, overrides)
    folder = RunFolder(Path(results).absolute() / (name or loaded.name))
    return _run(loaded, folder, address, watcher or SilentWatcher())


def resume(
    run: str | Path,
    *,
    overrides: Sequence[str] = (),
    address: str | None = None,
    watcher: Watcher | None = None,
) -> Summary:
    """Go on with the search in the folder `run`, with more trials or time if `overrides` say so."""
    folder = RunFolder(Path(run).absolute())
    folder.require()
    return _run(load_config(folder.config, overrides), folder, address, watcher or SilentWatcher())


def _run(config: Config, folder: RunFolder, address: str | None, watcher: Watcher) -> Summary:
    folder.create()
    with folder.owned():
        _record_config(config, folder)
        task_class = config.task_class()
        watcher.phase("loading data")
        shared = _load_shared_data(config, task_class)
        watcher.phase("starting Ray")
        with _ray(address):
            concurrency = concurrent_trials(config, _ray_resources())
            coordinator = _build_coordinator(config, folder, concurrency, watcher)
            watcher.begin(coordinator, config, folder)
            try:
                with heard_signals(lambda number: _wind_down(coordinator, watcher, number)) as received:
                    _fit(config, folder, coordinator, shared)
                    return _finish(config, folder, coordinator, received)
            finally:
                watcher.end()
                shutil.rmtree(folder.scratch, ignore_errors=True)


def _record_config(config: Config, folder: RunFolder) -> None:
    """Write config.yaml, or hold it against the one that is there."""
    if folder.journal.exists() and folder.config.exists():
        before, after = load_config(folder.config).raw, config.raw
        differing = [
            Problem(
                str(config.file or "config"), path, f"was {old!r} when this search began and is {new!r} now"
            )
            for path, old, new in _differences(before, after)
            if not _may_change(path)
        ]
        if differing:
            hint = f"take another --name, or remove {folder.path}, for another search"
            raise ConfigError([*differing, Problem(str(folder.path), "", hint)])
    write_yaml(folder.config, config.raw)


def _may_change(path: str) -> bool:
    section, _, key = path.partition(".")
    return section in _MAY_CHANGE or (section == "budget" and key in _BUDGET_MAY_CHANGE)


def _differences(before: Any, after: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            below = f"{path}.{key}" if path else str(key)
            yield from _differences(before.get(key), after.get(key), below)
    elif before != after:
        yield path, before, after


def _load_shared_data(config: Config, task_class: Any) -> dict[str, Any]:
    """Decode the data once, unless it differs from trial to trial."""
    first = next(iter(config.space.candidates()))
    if any(name == "data" or name.startswith("data.") for name in _hparam_names(config)):
        return {}
    key = data_key(config.task_path, first.raw)
    return {key: load_arrays(task_class, task_class.Options.model_validate(first.tree))}


def _hparam_names(config: Config) -> list[str]:
    return [parameter.name for parameter in config.space.parameters()]


def _build_coordinator(config: Config, folder: RunFolder, concurrency: int, watcher: Watcher) -> Coordinator:
    rule = build_rule(config)
    make_sampler, seed = sampler_factory(config), config.sampler.seed
    study = SearchStudy(
        folder.journal,
        name=config.name,
        mode=config.objective.mode,
        space=config.space,
        sampler=lambda study: ViewSampler(
            make_sampler, seed, lambda all: view_trials(study, all, rule.rungs)
        ),
    )
    points = config.space.grid() if config.sampler.name == "grid" else config.initial
    trials = len(points) if config.sampler.name == "grid" else config.budget.trials
    limits = Limits(
        trials=min(trials, config.budget.trials),
        virtual_epochs=config.budget.virtual_epochs,
        seconds=config.budget.seconds,
        steps=config.budget.steps,
        max_failures=config.max_failures,
        max_failed=config.max_failed,
    )
    return Coordinator(study, rule, limits, concurrency=concurrency, known_points=points, watch=watcher.event)


def trial_plan(config: Config, folder: RunFolder, record: TrialRecord) -> TrialPlan:
    """What the process that runs a trial's next leg needs to know."""
    return TrialPlan(
        number=record.number,
        folder=str(folder.trial(record.number)),
        task=config.task_path,
        options=record.resolved.raw,
        unit=config.virtual_epoch.unit,
        count=config.virtual_epoch.count,
        num_virtual_epochs=config.budget.virtual_epochs,
        metric=config.objective.metric,
        mode=config.objective.mode,
        reported=record.depth,
        checkpoint_every=config.checkpoint.every,
        checkpoint_keep=config.checkpoint.keep,
        hparams={name: record.resolved.params.get(name) for name in _hparam_names(config)},
        num_threads=max(1, int(config.resources.cpus_per_trial)),
        gpu_fraction=config.resources.gpus_per_trial,
        working_folder=str(Path.cwd()),
    )


def _prepare_trial(config: Config, folder: RunFolder, record: TrialRecord) -> TrialPlan:
    plan = trial_plan(config, folder, record)
    trial_folder = folder.trial(record.number)
    trial_folder.mkdir(parents=True, exist_ok=True)
    write_yaml(trial_folder / "trial.yaml", {"trial": record.number, "options": record.resolved.raw})
    return plan


@contextmanager
def _ray(address: str | None) -> Iterator[None]:
    """Ray for the time of a search: that of this process if it has one, a named cluster, else a local one."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ["RAY_CHDIR_TO_TRIAL_DIR"] = "0"
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"
    import ray

    if ray.is_initialized() and address is None:
        yield
        return
    try:
        ray.init(
            address or "local",
            include_dashboard=None if address else False,
            configure_logging=False,
            log_to_driver=True,
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address}" if address else "locally"
        hint = (
            "; give the address that `ray start` printed, or auto on a machine of the cluster"
            if address
            else ""
        )
        raise SearchError(f"Ray could not be started or reached {where}: {error}{hint}") from error
    try:
        yield
    finally:
        ray.shutdown()


def _ray_resources() -> dict[str, float]:
    import ray

    return ray.cluster_resources()


def concurrent_trials(config: Config, available: Mapping[str, float]) -> int:
    """Trials that run at once, from what a trial asks for and what is there.

    Raises:
        SearchError: not even one trial fits.
    """
    resources = config.resources
    fits = int(available.get("CPU", 0) / resources.cpus_per_trial + 1e-9)
    lacking = (
        []
        if fits
        else [f"cpus_per_trial is {resources.cpus_per_trial:g}, there are {available.get('CPU', 0):g}"]
    )
    if resources.gpus_per_trial > 0:
        gpus, share = available.get("GPU", 0), resources.gpus_per_trial
        on_gpus = int(gpus) * int(1 / share + 1e-9) if share <= 1 else int(gpus / share)
        fits = min(fits, on_gpus)
        if not on_gpus:
            lacking.append(f"gpus_per_trial is {share:g}, there are {gpus:g}")
    if lacking:
        raise SearchError(
            f"resources: {'; '.join(lacking)}. "
            "Ask for less with --set, or name a larger Ray cluster with --address"
        )
    return min(fits, resources.concurrent_trials or fits)


def _fit(config: Config, folder: RunFolder, coordinator: Coordinator, shared: dict[str, Any]) -> None:
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(coordinator.concurrency)
    os.environ["TUNE_GLOBAL_CHECKPOINT_S"] = "3600"
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    from ray import tune

    from search.ray_bridge import StudyScheduler, StudySearcher
    from trainables.trainable import TrialTrainable

    # It misses the result files of Ray's own loggers, which are off.
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
    shutil.rmtree(folder.scratch, ignore_errors=True)
    trainable = tune.with_parameters(TrialTrainable, shared=shared)
    resources = {"cpu": config.resources.cpus_per_trial, "gpu": config.resources.gpus_per_trial}
    tuner = tune.Tuner(
        tune.with_resources(trainable, resources),
        tune_config=tune.TuneConfig(
            search_alg=StudySearcher(coordinator, lambda record: _prepare_trial(config, folder, record)),
            scheduler=StudyScheduler(coordinator),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
            trial_name_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name="legs",
            storage_path=str(folder.scratch),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            verbose=0,
        ),
    )
    tuner.fit()


def _finish(config: Config, folder: RunFolder, coordinator: Coordinator, received: Sequence[int]) -> Summary:
    status: Status = "complete"
    reason = coordinator.ending or f"all {coordinator.limits.trials} trials are done"
    if received:
        status = "terminated" if received[0] == signal.SIGTERM else "interrupted"
    elif coordinator.gave_up:
        status = "failed"
    coordinator.close(resumable=status != "complete")
    summary = summarize(coordinator, folder, config.objective.metric, status, reason)
    write_json(folder.summary, summary.as_dict())
    return summary


def _wind_down(coordinator: Coordinator, watcher: Watcher, number: int) -> None:
    coordinator.end("Ctrl-C" if number == signal.SIGINT else "SIGTERM")
    # The signal may have come in the middle of a print, which cannot be entered twice.
    with suppress(RuntimeError):
        watcher.note("finishing and saving the running virtual epochs; once more to leave at once")
