"""What `submit` has handed to SLURM, and what to type next."""

from __future__ import annotations

from search.commands.submit import Submitted
from search.text import duration, program, short_path


def submit_text(submitted: Submitted) -> str:
    """The job, its files, and the commands that show it and end it."""
    job, job_id = submitted.job, submitted.job_id
    before = duration(job.wind_down)
    then = "is requeued until it is complete" if job.requeue else "the same command goes on with it"
    end = program("scancel", "--batch", "--signal=TERM", job_id)
    lines = [
        f"submitted job {job_id}: {before} before its time limit the search is saved, and {then}",
        "",
        f"script  {short_path(submitted.file) if submitted.file else ''}",
        f"output  {short_path(submitted.output)}",
        "",
        "next",
        f"  {program('squeue', f'--jobs={job_id}')}",
        f"  {program('tail', '-F', submitted.output)}",
        f"  {program('tensorboard', '--logdir', job.run)}",
        f"  {end}    # finish and save; `submit` goes on",
    ]
    return "\n".join(lines)
