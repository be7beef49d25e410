"""The sections `log:` and `notify:`: where a search is also written to, and who is told of it."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field

from search.config.secrets import has_secret, has_secret_of_people
from search.config.sections.quantities import parse_duration
from search.config.sections.section import Section
from search.errors import KeyPath, Problem
from trainables.options import REFERENCE
from trainables.storage.address import without_password

LoggerName = Literal["mlflow", "wandb", "trackio"]
LOGGERS: tuple[str, ...] = get_args(LoggerName)
NOTIFY = "notify"
_PACKAGE = {"mlflow": "mlflow", "wandb": "wandb", "trackio": "trackio", NOTIFY: "apprise"}
"""What is imported for each; the extra of pyproject.toml has the name of the logger."""
_TAKE = "as a variable and write ${env:NAME} in its place"


class MlflowLogger(Section):
    """MLflow: one run for the search, and nested in it one for each trial."""

    to: Literal["mlflow"]
    """Needs `pip install 'tune-search[mlflow]'`."""
    tracking_uri: str | None = None
    """The server, such as http://127.0.0.1:5000, or a file, sqlite:///mlflow.db (default: the environment
    variable MLFLOW_TRACKING_URI, or what MLflow takes without it)."""
    experiment: str | None = None
    """Its name; made if it is not there (default: MLFLOW_EXPERIMENT_NAME, or tune-search)."""


class WandbLogger(Section):
    """Weights & Biases: one run for the search, and a group with it for those of the trials."""

    to: Literal["wandb"]
    """Needs `pip install 'tune-search[wandb]'`."""
    project: str | None = None
    """(default: WANDB_PROJECT, or tune-search)"""
    entity: str | None = None
    """The team or user (default: WANDB_ENTITY, or that of the key)."""
    mode: Literal["online", "offline"] | None = None
    """offline writes files in RUN/wandb, which `wandb sync` sends (default: WANDB_MODE, or online)."""


class TrackioLogger(Section):
    """Trackio: one run for the search, and a group with it for those of the trials, on this machine."""

    to: Literal["trackio"]
    """Needs `pip install 'tune-search[trackio]'`."""
    project: str | None = None
    """(default: TRACKIO_PROJECT, or tune-search)"""


def _named(value: Any) -> Any:
    return {"to": value} if isinstance(value, str) else value


AnyLogger = MlflowLogger | WandbLogger | TrackioLogger
Logger = Annotated[
    Annotated[AnyLogger, Field(discriminator="to")],
    BeforeValidator(_named, json_schema_input_type=LoggerName | AnyLogger),
]
On = Literal["end", "failure", "best"]


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Notify(Section):
    """Messages to people, by Apprise."""

    to: Annotated[
        Annotated[list[str], Field(min_length=1)],
        BeforeValidator(_as_list, json_schema_input_type=list[str] | str),
    ]
    """One address or several, as Apprise has them, such as ntfy://${env:TOPIC}, which is taken from the
    environment."""
    on: Annotated[list[On], Field(min_length=1, default=["end", "failure", "best"])]
    """end: the search is complete, or was ended by SIGTERM. failure: it failed, or its process died. best: a
    trial is better than all before."""
    best_every: Annotated[float | None, BeforeValidator(parse_duration, json_schema_input_type=str)] = 600.0
    """At most one message on a new best in this time, written as 10m; the newest is told when it is over."""


def as_notify(value: Any) -> Any:
    """`notify: address` and `notify: [address, …]` as `notify: {to: …}`."""
    return {"to": value} if isinstance(value, str | list) else value


def loggers_of(raw: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings of each logger of a configuration by its name, and under `notify` who is told."""
    found = {each["to"]: each for each in map(_named, raw.get("log", ()))}
    return found if "notify" not in raw else {**found, NOTIFY: as_notify(raw["notify"])}


def check_loggers(loggers: list[AnyLogger], notify: Notify | None) -> Iterator[Problem]:
    """What keeps them from being written to: a package that is missing, one given twice, a password.

    A run's files keep the configuration, so a secret must not be in it.
    """
    for index, logger in enumerate(loggers):
        at: KeyPath = ("log", index)
        if logger.to in [other.to for other in loggers[:index]]:
            yield Problem.of(at, f"received {logger.to} twice; a run is written to each logger once")
        if missing := missing_package(logger.to):
            yield Problem.of(at, missing)
        yield from _secrets(logger.model_dump(), at)
    if notify is not None:
        if missing := missing_package(NOTIFY):
            yield Problem.of((NOTIFY,), missing)
        yield from _secrets_of_people(notify)


def missing_package(name: str) -> str:
    """How to install what a logger, or `notify`, needs; empty where it is there."""
    if importlib.util.find_spec(_PACKAGE[name]) is not None:
        return ""
    return (
        f"received {name}, and the package {_PACKAGE[name]} is not installed; install it with "
        f"`pip install 'tune-search[{name}]'`"
    )


def _secrets(value: Any, at: KeyPath) -> Iterator[Problem]:
    for key, each in value.items():
        if isinstance(each, str) and has_secret(each):
            rule = "is an address with a user, a password or options, and a run's files keep it; export it"
            yield Problem.of((*at, key), f"{rule}, or what is secret of it, {_TAKE}")


def _secrets_of_people(notify: Notify) -> Iterator[Problem]:
    for index, address in enumerate(notify.to):
        if has_secret_of_people(address):
            rule = "is an address that may hold a secret, and a run's files keep it; export the address"
            yield Problem.of(
                (NOTIFY, "to", index), f"{rule}, or all that follows its ://, {_TAKE}", (NOTIFY,)
            )


def resolved(text: str) -> str:
    """A text with each `${env:NAME}` replaced from the environment.

    Raises:
        KeyError: a variable is not set; its text names it.
    """

    def variable(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise KeyError(f"the environment variable {found[1]} is not set; ${{env:{found[1]}}} needs it")
        return os.environ[found[1]]

    return REFERENCE.sub(variable, text)


def without_secret(address: str) -> str:
    """An address without user, password and query, in which secrets stand."""
    return without_password(address.partition("?")[0])
