"""`submit` with small programs in the place of sbatch and squeue: what they get, and what they say."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import write_config

from search.commands.submit import submit
from search.errors import RefusedError, SearchError


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a configuration; no program is found but those that a test installs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("SBATCH_CLUSTERS", "SLURM_CLUSTERS"):
        monkeypatch.delenv(name, raising=False)
    write_config(tmp_path)
    return tmp_path


def install(folder: Path, **programs: str) -> None:
    for name, text in programs.items():
        file = folder / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
        file.chmod(0o755)


def test_what_would_override_the_script_does_not_reach_sbatch(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [
        "SIGNAL",
        "TIMELIMIT",
        "REQUEUE",
        "NO_REQUEUE",
        "OUTPUT",
        "ERROR",
        "OPEN_MODE",
        "ARRAY_INX",
        "WAIT",
        "EXPORT",
    ]
    dropped = [*(f"SBATCH_{name}" for name in names), "SLURM_JOB_ID", "SLURM_NTASKS"]
    for name in (*dropped, "SLURM_CONF", "SBATCH_PARTITION", "OTHER"):
        monkeypatch.setenv(name, "x")
    install(project, sbatch=f"/usr/bin/env > {project}/env; echo hello; echo '12;main'")
    submitted = submit("digits.yaml", slurm="-t 60")
    assert submitted.job_id == "12"
    assert submitted.output == project / "results" / "digits" / "slurm" / "12.out"
    env = {line.partition("=")[0] for line in (project / "env").read_text("utf-8").splitlines()}
    assert {"SLURM_CONF", "SBATCH_PARTITION", "OTHER"} <= env
    assert not {*dropped} & env


@pytest.mark.parametrize("name", ["SBATCH_CLUSTERS", "SLURM_CLUSTERS"])
def test_a_job_for_another_cluster_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "far")
    install(project, sbatch="echo 12")
    with pytest.raises(RefusedError, match=rf"{name} is 'far': another cluster's job .* unset it"):
        submit("digits.yaml", slurm="-t 60")


@pytest.mark.parametrize("said", ["", "echo submitted", "echo 12; echo ١٢", "echo why >&2"])
def test_without_a_job_id_what_sbatch_said_is_told(project: Path, said: str) -> None:
    install(project, sbatch=said)
    with pytest.raises(SearchError, match=r"has told no job id: it said (nothing|submitted|12 ١٢|why); look"):
        submit("digits.yaml", slurm="-t 60")
    assert not (project / "results" / "digits" / "slurm" / "job_id").exists()


def test_only_a_job_that_is_known_to_have_ended_lets_the_next_one_be_submitted(project: Path) -> None:
    install(project, sbatch="echo 12")
    submit("digits.yaml", slurm="-t 60")
    with pytest.raises(SearchError, match=r"no squeue on PATH, and job 12 of .* may wait or run"):
        submit("digits.yaml", slurm="-t 60")
    install(project, squeue="echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    with pytest.raises(SearchError, match=r"squeue does not say whether job 12 .*: .*Unable to contact"):
        submit("digits.yaml", slurm="-t 60")
    install(project, squeue="echo PENDING")
    with pytest.raises(SearchError, match=r"job 12 of .* is PENDING"):
        submit("digits.yaml", slurm="-t 60")
    install(project, squeue="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    assert submit("digits.yaml", slurm="-t 60").job_id == "12"
