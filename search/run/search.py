"""Runs a search, or goes on with one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from search.config.auto_batch import settled
from search.config.config import Config, load_config
from search.run.executor import Executor
from search.run.executors.choose import executor_for
from search.run.folder import RunFolder
from search.run.provenance import working_folder
from search.run.stage import run_in_folder
from search.run.summary import Summary
from search.run.watcher import SilentWatcher, Watcher


def search(
    config: str | Path | Mapping[str, Any] | Config,
    *,
    overrides: Sequence[str] = (),
    results: str | Path = "results",
    name: str | None = None,
    from_run: str | Path | None = None,
    address: str | None = None,
    local: bool = False,
    watcher: Watcher | None = None,
    executor: Executor | None = None,
) -> Summary:
    """Run a search, or go on with the one whose folder is there.

    Args:
        config: a YAML file, the same as a mapping, or a loaded configuration.
        overrides: `trial.batch_size=16` and the like.
        results: where runs live.
        name: the run's name; the configuration's without it.
        from_run: folder of an older run with the same task, data and objective, whose trials the sampler
            learns from.
        address: of a running Ray cluster; without it a local Ray is started, or the one of this process used.
        local: run one trial after another in this process, without Ray.
        watcher: is shown what happens.
        executor: one that may have begun already, in the place of `address` and `local`.

    Raises:
        ConfigError: the configuration is wrong.
        SearchError: the search cannot go on.
    """
    with closing(executor or executor_for(address, local=local)) as executor:
        loaded = (
            config
            if isinstance(config, Config)
            else load_config(config, overrides, before_task=executor.begin)
        )
        folder = RunFolder(Path(results).absolute() / (name or loaded.name))
        older = None if from_run is None else RunFolder(Path(from_run).absolute())
        return _run(loaded, folder, executor, watcher or SilentWatcher(), older=older)


def resume(
    run: str | Path,
    *,
    config: str | Path | Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    address: str | None = None,
    local: bool = False,
    watcher: Watcher | None = None,
) -> Summary:
    """Go on with the search in the folder `run`.

    What `config` or `overrides` change may be limits (more trials, time or virtual epochs), known points,
    and for new trials the space, the sampler and the scheduler. Objective, task, data and virtual epoch stay.

    Args:
        run: the folder.
        config: another configuration than the one that the run was last given.
        overrides: `budget.trials=50` and the like.
        address, local: see `search`.
        watcher: is shown what happens.

    Raises:
        ConfigError: the configuration is wrong, or changes what must stay.
        SearchError: the search cannot go on.
    """
    folder = RunFolder(Path(run).absolute())
    folder.require()
    source = config if isinstance(config, Mapping | None) else Path(config).absolute()
    with closing(executor_for(address, local=local)) as executor:
        with working_folder(folder):
            loaded = load_config(
                folder.config if source is None else source, overrides, before_task=executor.begin
            )
        return _run(loaded, folder, executor, watcher or SilentWatcher(), growing=True)


def _run(config: Config, folder: RunFolder, executor: Executor, watcher: Watcher, **options: Any) -> Summary:
    if config.auto_batch is not None:
        folder.create()
        with working_folder(folder):
            config = settled(config, folder, watcher.phase)
    if config.stages is None:
        return run_in_folder(config, folder, executor, watcher, **options)
    from search.run.staged_runs import run_stages

    return run_stages(config, folder, executor, watcher, **options)
