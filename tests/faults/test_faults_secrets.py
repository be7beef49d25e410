"""Fault 34: values of the environment, in a search whose task shows them in every way it can."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from invariants import assert_nothing_lost, no_process_left
from ruamel.yaml import YAML
from tiny_tasks import search_config

import search
from search.study.study import Outcome, read_records

REFERENCED, NEVER_NAMED, SEARCHED = "cAnArY-rEfErEnCeD-71f3", "cAnArY-nEvEr-82a4", "cAnArY-sEaRcHeD-93b5"
ENVIRONMENT = {
    "CANARY": REFERENCED,
    "CANARY_TAG": SEARCHED,
    "AWS_SECRET_ACCESS_KEY": NEVER_NAMED,
    "DATABASE_PASSWORD": NEVER_NAMED,
}


@pytest.fixture
def ray_folder() -> Iterator[Path]:
    """Where Ray has its session, which stays there; its sockets need a short path."""
    folder = Path(tempfile.mkdtemp(prefix="secrets-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def indiscreet_config(folder: Path) -> dict[str, Any]:
    """Of two trials the one with `model.tag: b` raises."""
    return search_config(
        task="faulty_trials:IndiscreetTask",
        trial={
            "data": {"token": "${env:CANARY}", "folder": str(folder)},
            "model": {"tag": {"choice": ["${env:CANARY_TAG}", "b"]}},
            "optimizer": {"name": "adamw", "lr": 0.01},
            "batch_size": 16,
        },
        sampler={"name": "grid"},
        scheduler={"name": "none"},
        budget={"trials": 2, "max_virtual_epochs": 2},
        max_failures=0,
    )


def files_with(folder: Path, secret: str) -> list[str]:
    """Files below a folder that hold the secret, in whatever they hold."""
    needle = secret.encode()
    found = []
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            if path.is_file() and not path.is_symlink() and needle in path.read_bytes():
                found.append(str(path.relative_to(folder)))
    return found


def test_values_of_the_environment_stand_in_no_file_and_no_output(
    tmp_path: Path,
    program: Callable[..., Any],
    ray_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (tmp_path / "indiscreet.yaml").open("w") as file:
        YAML(typ="safe").dump(indiscreet_config(tmp_path), file)
    process = program(
        str(tmp_path / "indiscreet.yaml"),
        "--results",
        str(tmp_path),
        cwd=Path(__file__).parents[1] / "helpers",
        env={**ENVIRONMENT, "RAY_TMPDIR": str(ray_folder)},
    )
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 0, output
    no_process_left(tmp_path)
    run = tmp_path / "digits"
    log = (run / "search.log").read_text()
    assert list(ray_folder.glob("ray/session_*/logs/*"))
    for secret in (REFERENCED, SEARCHED, NEVER_NAMED):
        assert secret not in output
        assert files_with(tmp_path, secret) == []
        assert files_with(ray_folder, secret) == []
    for said in ("printed in the search", "logged in the search", "printed in a trial", "logged in a trial"):
        assert f"{said}: ${{env:CANARY}}" in log
    for said in ("warned in the search", "warned in a trial", "print this: ["):
        assert said in log
    monkeypatch.setenv("CANARY", REFERENCED)
    monkeypatch.setenv("CANARY_TAG", SEARCHED)
    failed = read_records(run / "study.journal")[1]
    assert (failed.outcome, failed.reason) == (Outcome.FAILED, "ValueError: refused: ${env:CANARY}")
    assert "refused: ${env:CANARY}" in (run / "trials" / "0001" / "error.txt").read_text()
    assert_nothing_lost(run)
    exported = search.export(run)
    assert files_with(exported.folder, REFERENCED) == []
    assert files_with(exported.folder, SEARCHED) == []
