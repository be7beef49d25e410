"""Fault 39: places that are written without asking, and cannot be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import STRANGER, as_stranger, finished, mounted, python, search_of
from programs import HELPERS, PROGRAM, write_config

SHORT = {"budget": {"trials": 1, "max_virtual_epochs": 2}, "scheduler": {"name": "none"}}
COMPLETE = "search complete: all 1 trials are done"


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that also a stranger reaches and owns."""
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)
    folder = tmp_path / "of stranger"
    folder.mkdir()
    os.chown(folder, STRANGER, STRANGER)
    return folder


@pytest.mark.parametrize("home", ["HOME=/", "-uHOME"])
def test_a_user_without_a_home_or_a_name_searches(open_folder: Path, home: str) -> None:
    config = write_config(open_folder, **SHORT)
    command = [*as_stranger(), home, *search_of(config, "--results", str(open_folder / "results"))]
    done = finished(command, cwd=HELPERS)
    assert COMPLETE in done.stdout, done.stdout + done.stderr


def test_a_temporary_folder_that_cannot_be_written_is_replaced(tmp_path: Path) -> None:
    config = write_config(tmp_path, **SHORT)
    read_only = (
        "mount -t tmpfs tmpfs /var/tmp && mkdir /var/tmp/kept && mount --bind /tmp /tmp "
        f"&& mount --bind {tmp_path} {tmp_path} && mount -o remount,bind,ro /tmp && cd {HELPERS}"
    )
    done = mounted(read_only, search_of(config, "--results", str(tmp_path / "results")), cwd=HELPERS)
    assert COMPLETE in done.stdout, done.stdout + done.stderr


def test_a_ray_tmpdir_that_is_too_long_is_one_line_with_the_way_out(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 20)
    command = search_of(write_config(tmp_path, **SHORT), "--results", str(tmp_path / "results"))
    done = finished(command, cwd=HELPERS, env={"RAY_TMPDIR": str(folder)})
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Ray could not be started: ")
    assert line.endswith("for sockets its path must have at most 37 bytes, leave it unset or name another")


def test_a_limit_on_address_space_leaves_room_for_ray(tmp_path: Path) -> None:
    command = search_of(write_config(tmp_path, **SHORT), "--results", str(tmp_path / "results"))
    done = finished(command, cwd=HELPERS, shell="ulimit -v 8000000;")
    assert COMPLETE in done.stdout, done.stdout + done.stderr


def test_a_limit_on_processes_that_ray_may_exceed_is_said_before_ray_starts(open_folder: Path) -> None:
    config = write_config(open_folder, **SHORT)
    # A user of this test alone: the limit counts all processes of one, also those of other tests.
    os.chown(open_folder, STRANGER + 1, STRANGER)
    user = [str(STRANGER + 1) if word == str(STRANGER) else word for word in as_stranger()]
    few = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    # Ray itself aborts, or waits without an end.
    said = [*user, *python("from search.ray.allowed import few_processes; print(few_processes())")]
    done = finished(said, cwd=HELPERS, env=few, shell="ulimit -u 40;")
    assert done.stdout.startswith("you may have 40 processes and threads (ulimit -u)"), done.stderr
    command = [*user, *search_of(config, "--results", str(open_folder / "results"))]
    local = finished([*command, "--local"], cwd=HELPERS, env=few, shell="ulimit -u 40;")
    assert COMPLETE in local.stdout, local.stdout + local.stderr
    assert "ulimit" not in local.stderr


CRASH = """
from search.cli.main import cli, main
@cli.command()
def crash(): raise RuntimeError('größe')
main(['crash'])
"""


def test_the_message_comes_first_and_the_traceback_where_it_can_be_written(open_folder: Path) -> None:
    done = finished([*as_stranger(), *python(CRASH)], cwd=open_folder)
    assert done.stderr == f"RuntimeError: größe\ntraceback in {open_folder / 'tune-search-error.txt'}\n"
    assert "in crash" in (open_folder / "tune-search-error.txt").read_text(encoding="utf-8")
    (open_folder / "tune-search-error.txt").unlink()
    open_folder.chmod(0o555)
    message, kept = finished([*as_stranger(), *python(CRASH)], cwd=open_folder).stderr.splitlines()
    assert message == "RuntimeError: größe"
    file = Path(kept.removeprefix("traceback in "))
    assert file.parent != open_folder
    assert "in crash" in file.read_text(encoding="utf-8")
    file.unlink()
    file.parent.rmdir()


def test_a_current_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    done = finished([*PROGRAM, "check", "x.yaml"], cwd=tmp_path, shell="mkdir gone; cd gone; rmdir ../gone;")
    assert done.returncode == 1
    assert done.stderr == "the current folder has been removed; change into one that is there\n"
