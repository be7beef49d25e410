"""The command that writes a run to MLflow or W&B, or tells people of it."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from search.cli.options import run_argument

if TYPE_CHECKING:
    from search.followers.follow import Done


@click.command(short_help="Write a run to MLflow, W&B or Trackio, also while it runs.")
@run_argument
@click.option(
    "--to",
    required=True,
    type=click.Choice(["mlflow", "wandb", "trackio", "notify"]),
    help="Where to write it.",
)
@click.option("--tracking-uri", metavar="URI", help="MLflow's server or database (see below).")
@click.option("--project", metavar="NAME", help="W&B's or Trackio's project, or MLflow's experiment.")
@click.option("--once", is_flag=True, help="Write what is there now, and end although the search runs.")
@click.option("--piped", is_flag=True, hidden=True, help="Started by a search, which says how it ends.")
def log(run: str, to: str, tracking_uri: str | None, project: str | None, once: bool, piped: bool) -> None:
    """Write the search in RUN to MLflow, W&B or Trackio: one run for it, and one for each trial.

    While the search runs, this follows it to its end; of an old run it writes all. What is there already is
    not written again, so the same command goes on after any interruption. The search is only read. With
    `--to notify` the people are told that the configuration names. `log: [mlflow]` in a configuration does
    this with each search.

    By default it goes where `log:` in the configuration of RUN says, or the variables MLFLOW_TRACKING_URI
    MLFLOW_EXPERIMENT_NAME, WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, TRACKIO_PROJECT and TRACKIO_DIR.
    docs/loggers.md has more.

    \b
    Examples:
      tune-search log results/seg --to mlflow --tracking-uri http://127.0.0.1:5000
      MLFLOW_TRACKING_URI=sqlite:///mlflow.db tune-search log results/seg --to mlflow --once
      WANDB_MODE=offline tune-search log results/seg --to wandb --project streets
      tune-search log results/seg --to trackio
    """
    if piped:
        _piped(run, to)
        return
    from search.screen.progress_bar import ProgressBar

    with ProgressBar(sys.stderr) as bar:
        bar.report("reading the study", 0, 1)
        from search.followers.log import log as log_run

        def report(text: str, done: int, of: int) -> None:
            if of:
                bar.report(text, done, of)
            else:
                bar.phase(text)

        done = log_run(run, to, tracking_uri=tracking_uri, project=project, once=once, report=report)
    click.echo(_written(done))


def _piped(run: str, to: str) -> None:
    os.nice(10)  # the processors are the trials', also while libraries are imported
    from search.followers.log import log_piped
    from search.followers.sources import Piped
    from search.run.loggers import STAMP_END

    def report(text: str, done: int, of: int) -> None:
        if not of:
            click.echo(f"{time.strftime('%F %T')} {STAMP_END}{text}")

    done = log_piped(run, to, Piped(sys.stdin), report)
    if done is not None:
        report(_written(done), 0, 0)


def _written(done: Done) -> str:
    from search.text import counted

    return f"written: {counted(done.trials, 'trial')}, {done.place}"
