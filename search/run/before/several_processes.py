"""Refuses what the processes of a trial cannot share, before there is a trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from search.config.config import Config
from search.errors import RefusedError
from trainables.data.prepared import data_key
from trainables.options import TrialOptions
from trainables.shareable import check_batch_size, check_shareable
from trainables.task import Arrays


def refuse_unshareable(config: Config, shared: Mapping[str, Arrays]) -> None:
    """Look at the batch sizes of all trials, and at the data and metrics of the first one.

    Args:
        config: of the search.
        shared: the loaded data by `data_key`; data that are not there are looked at when trials begin.

    Raises:
        RefusedError: `resources.workers_per_trial` is above 1, and its processes cannot share a trial.
    """
    workers, task_class = config.resources.most_workers, config.task_class()
    if workers == 1:
        return
    is_first = True
    try:
        for resolved in config.space.candidates():
            workers = config.resources.of(resolved.options).workers_per_trial
            if workers == 1:
                continue
            options = task_class.Options.parse(resolved.options)
            assert isinstance(options, TrialOptions)  # training functions are refused
            if isinstance(options.batch_size, int):
                check_batch_size(options.batch_size, workers)
            arrays = shared.get(data_key(config.task_path, resolved.options))
            if is_first and arrays is not None:
                is_first = False
                task = task_class(options, arrays)
                check_shareable(task, task.train_data(), workers)
    except (TypeError, ValueError) as error:
        raise RefusedError(f"resources.workers_per_trial is {workers}: {error}") from error


def timed_alone(config: Config) -> Iterator[str]:
    """What is to be said of times that one process has measured."""
    if (workers := config.resources.most_workers) > 1:
        yield f"times are those of one process; a trial has up to {workers}, which makes it shorter than said"
