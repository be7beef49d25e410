"""Hands a search to SLURM: a batch script that starts again until the search is complete."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.addresses import local_path
from search.config.stages import load_config
from search.errors import ConfigError, Problem, RefusedError, SearchError
from search.run.disk.folder import RunFolder
from search.run.search import run_name
from search.slurm.options import SlurmOptions
from search.slurm.script import Job, batch_script
from search.text import cut, duration, one_line, printable, program, short_path, shown
from trainables.files import atomic_write

_SHORTEST_SECONDS = 60.0
_LONGEST_SECONDS = 65_535.0
"""Of SLURM's --signal."""
_SCRIPT, _LAST = "job.sbatch", "job_id"
_UNKNOWN_JOB = "Invalid job id"
"""What squeue says of a job that has ended a while ago."""
_LONGEST_SAID = 300
_OVERRIDING = {
    f"SBATCH_{name}"
    for name in (
        [
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
            "BATCH",
        ]
    )
}
"""Variables that sbatch prefers to the lines of a script."""
_OF_THE_SITE = {"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT"}
"""Where SLURM is and who asks; all other variables so named are those of an allocation around this shell."""


@dataclass(frozen=True)
class Submitted:
    """A batch script, and the job that it has become."""

    job: Job
    script: str
    """Its text."""
    file: Path | None = None
    """Where it is; None if it is only to be shown."""
    job_id: str = ""

    @property
    def output(self) -> Path:
        return self.job.output(self.job_id)


def submit(
    config: str | Path,
    *,
    slurm: str = "",
    overrides: Sequence[str] = (),
    results: str | Path = "results",
    name: str | None = None,
    from_run: str | Path | None = None,
    priors_from: str | Path | None = None,
    plan: str | Path | None = None,
    accept_new_data: bool = False,
    skip_bad_nodes: bool = False,
    retry_failed: bool = False,
    wind_down: float = 300.0,
    requeue: bool = True,
    only_print: bool = False,
) -> Submitted:
    """Write a batch script that runs or continues a search, and hand it to sbatch.

    Args:
        config: a YAML file.
        slurm: options of sbatch in one text, as a shell splits them.
        overrides, results, name, from_run, priors_from, plan: see `search.search`.
        accept_new_data, retry_failed: of the first start of the job alone.
        skip_bad_nodes: leave out nodes that lack what trials need.
        wind_down: seconds before the time limit at which the search is asked to end.
        requeue: start again after each time limit until the search is complete.
        only_print: write nothing, and submit nothing.

    Raises:
        ConfigError: the configuration or an option is wrong.
        SearchError: the run belongs to a search, or to a job that waits or runs; there is no sbatch, or it
            refuses.
    """
    options = SlurmOptions.parse(slurm)
    _require_possible(wind_down)
    options.require_longer_than(wind_down, requeue=requeue)
    loaded = load_config(config, overrides, name=name, priors_from=priors_from)
    folder = RunFolder(local_path(results).absolute() / run_name(name, loaded))
    given = {"--results": results, "--name": name, "--from-run": from_run, "--priors-from": priors_from}
    words = [word for override in overrides for word in ("--set", override)]
    for option, value in {**given, "--plan": plan}.items():
        words += [option, str(value)] if value is not None else []
    words += ["--skip-bad-nodes"] if skip_bad_nodes else []
    once = {"--accept-new-data": accept_new_data, "--retry-failed": retry_failed}
    job = Job(
        run=folder.path,
        command=[sys.executable, "-P", "-m", "search", "search", str(config), *words, "--plain"],
        first_only=[option for option, is_given in once.items() if is_given],
        options=options,
        python=Path(sys.executable),
        working_folder=Path.cwd(),
        wind_down=wind_down,
        requeue=requeue,
        only_shown=only_print,
    )
    _require_printable(job)
    script = batch_script(job)
    return Submitted(job, script) if only_print else _submitted(job, script, folder)


def _require_possible(wind_down: float) -> None:
    """Raise ConfigError for a time that SLURM's signal cannot have, or that is too short to end a search."""
    if not _SHORTEST_SECONDS <= wind_down <= _LONGEST_SECONDS:
        rule = f"must be {_SHORTEST_SECONDS:g}s to {_LONGEST_SECONDS:g}s, as SLURM's signal has it"
        raise ConfigError([Problem("--wind-down", "", f"received {duration(wind_down)}; {rule}")])


def _require_printable(job: Job) -> None:
    """Raise ConfigError for a folder that no line of a script, and no file in UTF-8, can name."""
    for option, folder in {"--results": job.run, "the working folder": job.working_folder}.items():
        if not str(folder).isprintable():
            rule = "has a sign that no line of a script can have; take another folder"
            raise ConfigError([Problem(option, "", f"received {printable(str(folder))}, which {rule}")])


def _submitted(job: Job, script: str, folder: RunFolder) -> Submitted:
    if shutil.which("sbatch") is None:
        raise RefusedError(
            "there is no sbatch on PATH; submit on a login node of the cluster, or give --print and take the "
            "script there"
        )
    env = _environment()
    folder.create()
    if (owner := folder.owner()) is not None:
        raise SearchError(f"{folder.path} belongs to a running search: {owner}; end that one first")
    _refuse_if_queued(job, env)
    file = job.folder / _SCRIPT
    try:
        job.folder.mkdir(exist_ok=True)
        atomic_write(file, script)
        job_id = _job_id(file, env)
        atomic_write(job.folder / _LAST, f"{job_id}\n")
    except OSError as error:
        raise SearchError(f"cannot write to {job.folder}: {error.strerror}") from error
    return Submitted(job, script, file, job_id)


def _environment() -> dict[str, str]:
    """What sbatch gets: without what it would take in the place of the script's own lines.

    Raises:
        RefusedError: the job would go to another cluster, where it is not found again by its id.
    """
    for name in ("SBATCH_CLUSTERS", "SLURM_CLUSTERS"):
        if value := os.environ.get(name):
            raise RefusedError(
                f"{name} is {shown(value)}: another cluster's job is not found again by its id; unset it, "
                "and submit on a login node of that cluster"
            )
    return {
        name: value
        for name, value in os.environ.items()
        if name not in _OVERRIDING and (not name.startswith("SLURM_") or name in _OF_THE_SITE)
    }


def _job_id(script: Path, env: Mapping[str, str]) -> str:
    """Hand the script to sbatch; returns what the job is called.

    Raises:
        SearchError: sbatch refuses it, or has not submitted it.
    """
    done = _output_of("sbatch", "--parsable", str(script), env=env)
    if done.returncode != 0:
        said = one_line(done.stderr).removeprefix("sbatch: error: ") or "no word of why"
        raise SearchError(f"sbatch refuses the job: {said}; the script is {short_path(script)}")
    # A site's plugins may say more, before it.
    job_id = done.stdout.strip().split("\n")[-1].partition(";")[0].strip()
    if not (job_id.isascii() and job_id.isdecimal()):
        said = cut(one_line(f"{done.stdout} {done.stderr}"), _LONGEST_SAID) or "nothing"
        raise SearchError(
            f"sbatch has told no job id: it said {said}; look whether squeue has the job, the script is "
            f"{short_path(script)}"
        )
    return job_id


def _output_of(*command: str, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", env=env)


def _refuse_if_queued(job: Job, env: Mapping[str, str]) -> None:
    """Raise SearchError if the job that was last submitted for this run waits or runs, or nobody says."""
    try:
        last = (job.folder / _LAST).read_text(encoding="utf-8").strip()
    except OSError:
        return
    try:
        found = _output_of("squeue", "--noheader", "--format=%T", f"--jobs={last}", env=env)
    except FileNotFoundError:
        raise SearchError(
            f"there is no squeue on PATH, and job {last} of {short_path(job.run)} may wait or run; submit "
            "where there is one"
        ) from None
    if found.returncode != 0:
        said = cut(one_line(found.stderr), _LONGEST_SAID) or f"exit code {found.returncode}"
        if _UNKNOWN_JOB in said:
            return
        raise SearchError(
            f"squeue does not say whether job {last} of {short_path(job.run)} waits or runs: {said}; submit "
            "again when it does"
        )
    if state := found.stdout.strip():
        raise SearchError(
            f"job {last} of {short_path(job.run)} is {state}; {program('scancel', last)} ends it, and "
            "another search takes another --name"
        )
