"""MLflow: one run for the search, and nested in it one for each trial.

MLflow gives a run its id. So each has ours as a tag, by which it is found again. What has been written is
asked from the server, and not noted here: a process may be killed between the two.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from search.config.sections.loggers import MlflowLogger, resolved, without_secret
from search.followers.destination import Destination, DestinationError, Followed, FollowedRun, Point, Status
from trainables.storage.address import without_password

ID = "tune_search.id"
"""The tag with our id of a run of MLflow."""
SEARCH = "tune_search.search"
"""The tag with the id of the search, of its own run and of those of its trials."""
_WRITTEN = "tune_search.written"
"""The tag that says what was written of a run, so that a whole one need not be looked at again."""
_PARENT = "mlflow.parentRunId"
_MAX_METRICS, _MAX_OTHERS, _MAX_TEXT, _MAX_NAME = 1000, 100, 5000, 250
"""Metrics, and params or tags, of a request; characters of a param or tag, and of a name. All are MLflow's
own limits."""
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    # A request is repeated by the follower, which looks first whether it was heard all the same.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_STATUS = {
    Status.RUNNING: "RUNNING",
    Status.WAITING: "SCHEDULED",
    Status.FINISHED: "FINISHED",
    Status.FAILED: "FAILED",
    Status.KILLED: "KILLED",
}


@dataclass
class _Known:
    """A run of MLflow, as far as is known."""

    run_id: str
    params: frozenset[str]
    written: str
    status: str
    began: int
    """In milliseconds since 1970."""
    values: dict[int, float] | None
    """The objective, or best value, by step; None while that has not been asked."""


class MlflowDestination(Destination):
    """Writes with MLflow's client, which takes a server or a database."""

    def __init__(self, logger: MlflowLogger) -> None:
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        given = logger.tracking_uri
        self._uri = mlflow.get_tracking_uri() if given is None else resolved(given)
        self._experiment = logger.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "tune-search"
        with self._errors():
            self._client = MlflowClient(tracking_uri=self._uri)
        self._experiment_id, self._search, self._objective = "", "", ""
        self._known: dict[str, _Known] = {}

    @property
    def place(self) -> str:
        address = without_secret(self._uri)
        if self._search in self._known and address.startswith("http"):
            run = self._known[self._search].run_id
            return f"{address}/#/experiments/{self._experiment_id}/runs/{run}"
        return f"experiment {self._experiment} in {address}"

    def open(self, run: FollowedRun) -> None:
        with self._errors():
            self._experiment_id = self._id_of_experiment()
            self._search, self._objective = run.search.id, run.objective
            self._known = {}
            for found in sorted(self._found(), key=lambda run: (run.info.start_time, run.info.run_id)):
                name = found.data.tags[ID]
                if name in self._known:  # a server that did not answer in time has done it all the same
                    self._client.delete_run(found.info.run_id)
                else:
                    self._known[name] = _known(found)

    def write(self, followed: Followed, *, parent: Followed | None) -> None:
        digest = hashlib.sha256(repr(followed.fingerprint).encode()).hexdigest()[:16]
        with self._errors():
            known = self._known.get(followed.id)
            if known is None:
                known = self._known[followed.id] = self._create(followed, parent)
            if known.written == digest and known.status == _STATUS[followed.status]:
                return
            key = self._objective if parent is not None else _last_name(followed)
            metrics = self._missing(known, followed.points, key, appended=parent is None)
            params = [
                Param(_name(k), _text(v)) for k, v in _flat(followed.config) if _name(k) not in known.params
            ]
            tags = [RunTag(_name(f"tune_search.{k}"), _text(v)) for k, v in _facts(followed).items()]
            tags.append(RunTag(_WRITTEN, digest))
            self._log(known.run_id, metrics, params, tags)
            known.params |= {param.key for param in params}
            assert known.values is not None
            known.values |= {metric.step: metric.value for metric in metrics if metric.key == _name(key)}
            known.written = digest
            self._set_status(known, followed)

    def lacks(self, search: Followed) -> bool:
        return search.id not in self._known

    def keep(self, files: Sequence[Path]) -> None:
        with self._errors():
            for file in files:
                self._client.log_artifact(self._known[self._search].run_id, str(file))

    def _id_of_experiment(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment)
        if found is None:
            try:
                return self._client.create_experiment(self._experiment)
            except MlflowException:  # another search has made it meanwhile
                found = self._client.get_experiment_by_name(self._experiment)
                if found is None:
                    raise
        if found.lifecycle_stage != "active":
            raise DestinationError(
                f"the experiment {self._experiment} is deleted; restore it with `mlflow experiments restore "
                f"--experiment-id {found.experiment_id}`, or give another"
            )
        return found.experiment_id

    def _found(self) -> Iterator[Run]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment_id],
                f"tags.`{SEARCH}` = '{self._search}'",
                max_results=1000,
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _create(self, followed: Followed, parent: Followed | None) -> _Known:
        tags = {ID: followed.id, SEARCH: self._search}
        if parent is not None:
            tags[_PARENT] = self._known[parent.id].run_id
        run = self._client.create_run(
            self._experiment_id,
            start_time=_milliseconds(followed.began or time.time()),
            tags=tags,
            run_name=followed.name,
        )
        return replace(_known(run), values={})

    def _missing(self, known: _Known, points: Sequence[Point], key: str, *, appended: bool) -> list[Metric]:
        """The metrics of the points that are not there, as many of a point as it has.

        The metrics of a point are written in one request, which a server does wholly or not at all.

        Args:
            key: the metric by which a point is known.
            appended: points before the last one there are not added.
        """
        if known.values is None:
            history = self._client.get_metric_history(known.run_id, _name(key)) if points else []
            known.values = {
                metric.step: metric.value for metric in sorted(history, key=lambda m: m.timestamp)
            }
        last = max(known.values, default=-1) if appended else -1
        metrics = []
        for point in points:
            value = point.values.get(key)
            if point.step > last and value is not None and known.values.get(point.step) != value:
                at = _milliseconds(point.at)
                metrics += [Metric(_name(name), each, at, point.step) for name, each in point.values.items()]
        return metrics

    def _log(self, run_id: str, metrics: list[Metric], params: list[Param], tags: list[RunTag]) -> None:
        """In few requests; the last tag, which says that all of it was written, in the last of them."""
        *before, last = _batches(metrics)
        for batch in before:
            self._client.log_batch(run_id, batch)
        while len(params) > _MAX_OTHERS or len(tags) > _MAX_OTHERS:
            self._client.log_batch(run_id, (), params[:_MAX_OTHERS], tags[:-1][:_MAX_OTHERS])
            params, tags = params[_MAX_OTHERS:], [*tags[:-1][_MAX_OTHERS:], tags[-1]]
        self._client.log_batch(run_id, last, params, tags)

    def _set_status(self, known: _Known, followed: Followed) -> None:
        status = _STATUS[followed.status]
        if known.status == status:
            return
        if followed.has_ended:
            ended = max(known.began, _milliseconds(followed.heard_of or time.time()))
            self._client.set_terminated(known.run_id, status, ended)
        else:
            self._client.update_run(known.run_id, status)
        known.status = status

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (MlflowException, RequestException, SQLAlchemyError, ImportError, OSError) as error:
            text = str(error).replace(self._uri, without_secret(self._uri))
            raise DestinationError(without_password(text.partition("\n")[0])) from error


def _known(run: Run) -> _Known:
    tags = run.data.tags
    return _Known(
        run_id=run.info.run_id,
        params=frozenset(run.data.params),
        written=tags.get(_WRITTEN, ""),
        status=run.info.status,
        began=run.info.start_time,
        values=None,
    )


def _last_name(followed: Followed) -> str:
    return list(followed.points[-1].values)[-1] if followed.points else ""


def _batches(metrics: Sequence[Metric]) -> list[list[Metric]]:
    """One at least, none too large, and no point in two of them."""
    batches: list[list[Metric]] = [[]]
    for _, of_point in groupby(metrics, key=lambda metric: metric.step):
        point = list(of_point)
        if batches[-1] and len(batches[-1]) + len(point) > _MAX_METRICS:
            batches.append([])
        batches[-1] += point
    return batches


def _facts(followed: Followed) -> Mapping[str, Any]:
    return {"state": followed.state, "reason": followed.reason, **followed.facts}


def _flat(config: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _name(name: str) -> str:
    """A name as MLflow takes it: letters, digits, and `_-. :/`; names that differ have names that differ.

    It is the same in each trial and at any time, whatever other names there are.
    """
    taken = re.sub(r"[^\w\-. :/]", "_", name)[:_MAX_NAME]
    if taken == name:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:6]
    return f"{taken[: _MAX_NAME - len(mark) - 1]}-{mark}"


def _text(value: Any) -> str:
    return str(value)[:_MAX_TEXT]


def _milliseconds(at: float) -> int:
    return round(at * 1000)
