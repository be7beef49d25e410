"""Secrets in addresses: they are refused where a run's files would keep them, and no message shows one."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from tiny_tasks import search_config

from search.cli.main import cli
from search.config.secrets import has_secret, has_secret_of_people
from search.config.sections.loggers import Notify, as_notify
from search.config.stages import load_config
from search.errors import ConfigError
from trainables.storage.address import SecretError, checked_address, without_password


def refusal(sections: dict[str, Any], *overrides: str) -> str:
    with pytest.raises(ConfigError) as error:
        load_config(search_config(**sections), list(overrides))
    return str(error.value)


@pytest.mark.parametrize(
    "address",
    [
        "tgram://SECRETTOKEN/123",
        "pbul://SECRET",
        "ntfy://SECRET",
        "mailto://u:SEC/RET@h",
        "mailto://${env:SET}:SEC?RET@h",
        "mailto://u@h",
        "json://u:SECRET@h",
        "json://SECRET@h",
        "json://h/SECRET",
        "json://h?token=SECRET",
        "json://h?SECRET",
        "https://discord.com/api/webhooks/1/SECRET",
        "tgram://SECRET/${env:SET}",
        "${env:SET}SECRET",
        "${env:SET}://SECRET",
        "json://h, tgram://SECRET/1",
        "SECRET",
        "tgram://123456/1",
    ],
)
def test_people_with_a_secret_in_their_address_are_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SET", "x")
    message = refusal({"notify": [address]})
    assert "notify" in message
    assert "write ${env:NAME} in its place" in message
    assert "SEC" not in message


@pytest.mark.parametrize(
    "address",
    [
        "${env:PEOPLE}",
        "tgram://${env:TOKEN}/123",
        "tgram://${env:A:B}/${env:CHAT}",
        "mailto://me:${env:PASSWORD}@example.org",
        "ntfy://${env:TOPIC}",
        "ntfy://${env:TOKEN}@host/topic",
        "json://127.0.0.1:8080",
        "jsons://${env:HOST}/${env:HOOK}?token=${env:TOKEN}",
        "syslog://",
        "windows://",
    ],
)
def test_people_whose_secrets_are_taken_from_the_environment_are_not(address: str) -> None:
    assert not has_secret_of_people(address)


@pytest.mark.parametrize(
    "address",
    [
        "https://SECRET@h",
        "https://u:SECRET@h",
        "https://u:SEC/RET@h",
        "https:/SECRET@h",
        "https://h/x?token=SECRET",
        "https://h?${env:NAME}=SECRET",
        "https://SECRET:@h",
        "https://${env:NAME}:SECRET@h",
    ],
)
def test_a_server_with_a_secret_in_its_address_is_refused(address: str) -> None:
    message = refusal({"log": [{"to": "mlflow", "tracking_uri": address}]})
    assert "log.0.tracking_uri" in message
    assert "write ${env:NAME} in its place" in message
    assert "SEC" not in message


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:5000",
        "sqlite:///mlflow.db",
        "sqlite:////home/me@work/mlflow.db",
        "https://${env:TOKEN}@h",
        "postgresql://mlflow:${env:PASSWORD}@h/db",
        "https://h?token=${env:TOKEN}",
        "databricks://profile",
        "mlruns",
    ],
)
def test_a_server_without_one_is_not(address: str) -> None:
    assert not has_secret(address)


@pytest.mark.parametrize(
    ("sections", "override"),
    [
        ({"notify": {"to": {"a": "tgram://SECRET/1"}}}, ""),
        ({"notify": {"to": ["json://h"], "on": "tgram://SECRET/1"}}, ""),
        ({"notify": 3}, "notify.to=tgram://SECRET/1"),
        ({"log": [{"to": "mlflow", "tracking_uri": ["https://u:SECRET@h"]}]}, ""),
        ({"log": [{"to": "mlflow", "tracking_uri": ["https://h?token=SECRET"]}]}, ""),
        ({"log": ["https://u:SEC/SECRET@h"]}, ""),
        ({"storage": {"a": "s3://u:SECRET@b"}}, ""),
        ({"storage": "ftp://u:SECRET@b/x"}, ""),
        ({"storage": "s3:/u:SECRET@b/x"}, ""),
        ({"storage": "u:SECRET@b/x"}, ""),
        ({"storage": "s3://b//u:SECRET@b"}, ""),
        ({"storage": "s3://u:SECRET@b"}, "storage.a=1"),
        ({}, "storage=s3://key:SECRET" + 300 * "x" + "@b"),
        ({}, "storage=s3://key:SECRET@b"),
        ({}, "storage=s3:/key:SECRET@b"),
        ({}, "notify=[tgram://SECRET/1]"),
        ({}, "log=[{to: mlflow, tracking_uri: 'https://h?token=SECRET'}]"),
        ({"trial": {"model": "https://u:SECRET@h"}}, ""),
    ],
)
def test_no_refusal_shows_a_secret(sections: dict[str, Any], override: str) -> None:
    message = refusal(sections, *filter(None, [override]))
    assert "SECRET" not in message
    assert (override.partition("=")[0] or next(iter(sections))).partition(".")[0] in message


def test_a_storage_is_still_named_where_it_has_no_secret() -> None:
    assert "received 'ftp://bucket/x'" in refusal({"storage": "ftp://bucket/x"})


def test_the_option_on_the_command_line_shows_none(tmp_path: Any) -> None:
    (tmp_path / "a.yaml").write_text("task: segmentation\n", encoding="utf-8")
    for address in ("ftp://u:SECRET@b/x", "s3:/u:SECRET@b/x"):
        done = CliRunner().invoke(cli, [str(tmp_path / "a.yaml"), "--storage", address])
        assert done.exit_code == 2
        assert "SECRET" not in done.output
        with pytest.raises(SecretError):
            checked_address(address)


def test_one_address_is_taken_for_a_list_of_one() -> None:
    for given in ("json://h", ["json://h"], {"to": "json://h"}):
        assert Notify.model_validate(as_notify(given)).to == ["json://h"]
    assert load_config(search_config(notify="json://h")).raw["notify"] == "json://h"


def test_a_password_with_an_at_sign_is_not_shown() -> None:
    assert without_password("cannot reach https://user:p@ss@host/x?") == "cannot reach https://host/x?"
    assert without_password("https://host/runs/a@b") == "https://host/runs/a@b"
    assert without_password("s3:/user:p@host/x") == "s3:/host/x"
