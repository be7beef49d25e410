"""`submit` where there is no SLURM: the script is printed, and all else is refused with the way out."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from programs import write_config

from search.cli.main import main
from search.commands.submit import submit
from search.errors import ConfigError, RefusedError

WORDS = [
    "--slurm",
    "-p gpu -t 4:00:00",
    "--results",
    "my results",
    "--name",
    "other",
    "--set",
    "budget.trials=4",
]


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    main(["submit", "digits.yaml", *words])
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a configuration; no program is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    write_config(tmp_path)
    return tmp_path


def test_print_shows_a_script_for_the_same_search_and_writes_nothing(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(project.rglob("*"))
    lines = printed(capsys, *WORDS, "--wind-down", "10m", "--print").splitlines()
    assert sorted(project.rglob("*")) == before
    assert lines[0] == "#!/bin/bash"
    assert {"#SBATCH -p gpu", "#SBATCH -t 4:00:00", "#SBATCH --requeue", "#SBATCH --signal=B:USR1@600"} <= {
        *lines
    }
    assert f"#SBATCH --output={project}/other-%j.out" in lines, "a folder that is there without submit"
    (found,) = (line for line in lines if line.startswith("search=("))
    words = shlex.split(found.removeprefix("search=(").removesuffix(")"))
    assert words[4:] == [
        "search",
        "digits.yaml",
        *shlex.split(shlex.join([*WORDS[6:], *WORDS[2:6]])),
        "--plain",
    ]


def test_options_that_change_the_run_are_those_of_the_first_start(capsys: pytest.CaptureFixture[str]) -> None:
    script = printed(capsys, *WORDS, "--retry-failed", "--accept-new-data", "--print")
    assert 'if [ ! -e "$mark.begun" ]; then search+=(--accept-new-data --retry-failed); fi' in script
    assert "search+=(--accept" not in printed(capsys, *WORDS, "--print")


def test_without_a_requeue_there_need_be_no_time_limit(capsys: pytest.CaptureFixture[str]) -> None:
    script = printed(capsys, "--no-requeue", "--print")
    assert "#SBATCH --no-requeue" in script
    assert "\nrequeue=\n" in script


def test_without_a_requeue_there_has_to_be_time_for_trials(project: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"-t 5 is 5 min 00 s, and the search is .* the limit must be longer:"
    ):
        submit("digits.yaml", slurm="-t 5", requeue=False, only_print=True)
    assert submit("digits.yaml", slurm="-t 6", requeue=False, only_print=True).script


@pytest.mark.parametrize("only_print", [True, False])
def test_a_folder_that_no_line_of_a_script_can_name_is_refused(project: Path, only_print: bool) -> None:
    with pytest.raises(ConfigError, match=r"--results: received .*a\\nb.* take another folder"):
        submit("digits.yaml", slurm="-t 60", results="a\nb", only_print=only_print)
    assert not (project / "a\nb").exists()


def test_without_sbatch_the_way_out_is_told_and_nothing_is_written(project: Path) -> None:
    before = sorted(project.rglob("*"))
    with pytest.raises(
        RefusedError, match=r"there is no sbatch on PATH; submit on a login node.* or give --print"
    ):
        submit("digits.yaml", slurm="-t 60")
    assert sorted(project.rglob("*")) == before
