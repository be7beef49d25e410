"""`tune-search log`: writes a run to MLflow, W&B or Trackio, or tells people of it, also while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from search.config.sections.loggers import (
    NOTIFY,
    MlflowLogger,
    Notify,
    TrackioLogger,
    WandbLogger,
    loggers_of,
    missing_package,
)
from search.config.stages import open_run
from search.errors import RefusedError, SearchError
from search.followers.destination import Destination, DestinationError
from search.followers.follow import EVERY_SECONDS, Done, Follower, Source
from search.followers.sources import Heard, Piped
from search.run.before.provenance import working_folder
from search.run.disk.folder import RunFolder
from search.run.loggers import loggers_folder

Report = Callable[[str, int, int], None]
_LOOK_SECONDS = 1.0


def log(
    run: str | Path,
    to: str,
    *,
    tracking_uri: str | None = None,
    project: str | None = None,
    once: bool = False,
    report: Report = lambda text, done, of: None,
) -> Done:
    """Write a run to a logger, and follow it until it ends if it runs. What is there is not written again.

    >>> search.log("results/seg", "mlflow", tracking_uri="http://127.0.0.1:5000")

    Args:
        run: its folder.
        to: mlflow, wandb, trackio or notify.
        tracking_uri: of MLflow (default: that of `log:` in the configuration, or MLFLOW_TRACKING_URI).
        project: of W&B or Trackio, or MLflow's experiment (default: as `tracking_uri`).
        once: do not follow, and do not wait for a server that is down.
        report: called with a line, how many trials are written, and of how many.

    Raises:
        SearchError: there is no such run, it cannot be read, the destination cannot be written, or another
            process writes it there.
    """
    folder = RunFolder.at(run)
    folder.require_begun()
    if missing := missing_package(to):
        raise RefusedError(missing)
    settings = _settings(folder, to)
    given = {"tracking_uri": tracking_uri, "experiment" if to == "mlflow" else "project": project}
    given = {key: value for key, value in given.items() if value is not None}
    if wrong := sorted(given.keys() - _FIELDS[to]):
        raise RefusedError(f"{to} has no {' and no '.join(wrong)}; leave that out")
    if to == NOTIFY and not settings:
        raise RefusedError(f"{folder.config} has no `notify:`, which says who is told")
    # Of a configuration, a relative path is meant from where the search was started.
    inside = working_folder(folder) if settings and not given else nullcontext()
    source = Heard(folder, lambda text: report(text, 0, 0))
    with inside:
        done = _follow(folder, to, {"to": to, **settings, **given}, source, report, once=once)
    assert done is not None
    return done


def log_piped(run: str | Path, to: str, source: Piped, report: Report) -> Done | None:
    """The same for the search that has started this process, see `search.run.loggers`.

    Returns:
        None where that search has not begun, or another process writes the run.

    Raises:
        SearchError: as `log`.
    """
    return _follow(RunFolder.at(run), to, source.logger, source, report, once=False)


_FIELDS = {
    "mlflow": MlflowLogger.model_fields.keys(),
    "wandb": WandbLogger.model_fields.keys(),
    "trackio": TrackioLogger.model_fields.keys(),
    NOTIFY: frozenset[str](),
}


def _settings(folder: RunFolder, to: str) -> Mapping[str, Any]:
    return loggers_of(open_run(folder.config).raw).get(to, {})


def _follow(
    folder: RunFolder, to: str, settings: Mapping[str, Any], source: Source, report: Report, *, once: bool
) -> Done | None:
    place = loggers_folder(folder)
    lock = FileLock(place / f"{to}.lock")
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        is_ours = _acquired(lock, source)
    except OSError as error:
        rule = "who may write in the folder of a run writes it elsewhere"
        raise SearchError(f"cannot write to {place}: {error.strerror}; {rule}") from error
    if not is_ours:
        if isinstance(source, Piped):
            return None
        raise SearchError(
            f"another process writes {folder.path} to {to}; see {place / to}.log, and end that one first"
        )
    try:
        return Follower(
            folder, _opener(to, settings, folder), source, report, every=EVERY_SECONDS, once=once
        ).run()
    finally:
        lock.release()


def _acquired(lock: FileLock, source: Source) -> bool:
    """A search that goes on waits for the process that writes the end of it so far."""
    while True:
        try:
            lock.acquire(timeout=_LOOK_SECONDS)
        except Timeout:
            if not isinstance(source, Piped) or source.ended() is not None:
                return False
        else:
            return True


def _opener(to: str, settings: Mapping[str, Any], folder: RunFolder) -> Callable[[], Destination]:
    """What opens a destination; its library is imported here, and nowhere else."""

    def opened() -> Destination:
        try:
            if to == "mlflow":
                from search.followers.mlflow import MlflowDestination

                return MlflowDestination(MlflowLogger.model_validate(settings))
            if to == "wandb":
                from search.followers.wandb import WandbDestination

                return WandbDestination(WandbLogger.model_validate(settings), folder.path)
            if to == "trackio":
                from search.followers.trackio import TrackioDestination

                return TrackioDestination(TrackioLogger.model_validate(settings))
            from search.followers.notify import NotifyDestination

            told = loggers_folder(folder) / "notify.json"
            return NotifyDestination(Notify.model_validate(settings), told)
        except KeyError as error:  # of a variable that is not set
            raise DestinationError(str(error.args[0])) from error

    return opened
