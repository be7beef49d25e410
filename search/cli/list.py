"""The commands that look at runs while they go on or afterwards: `list`, `show` and `dashboard`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from search.cli.options import fetched_run, run_argument
from search.cli.paths import NewFile, RunsPath
from trainables.storage.address import is_address

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, whose keys docs/list.md has.")


@click.command("list", short_help="List runs with state, best value and progress.")
@click.argument("folder", metavar="[DIR]", default="results", type=RunsPath())
@json_option
def list_command(folder: str, as_json: bool) -> None:
    """List the runs in DIR (default: results) and in the folders below it, the newest activity first.

    A search may be running, also on another machine: nothing is locked or written. A narrow terminal shows
    fewer columns.

    \b
    Examples:
      tune-search list
      tune-search list /scratch/me/results
      tune-search list s3://bucket/runs
      tune-search list --json | jq '.[] | select(.state == "running") | .name'
    """
    from search.screen.progress_bar import ProgressBar

    unread: list[OSError] = []
    with ProgressBar(sys.stderr) as bar:
        bar.report("reading", 0, 1)
        from search.fetching.listed import list_stored
        from search.listing.runs import list_runs
        from search.screen.columns import terminal_width
        from search.screen.texts.list import runs_text
        from search.text import printable

        def phase(text: str) -> None:
            bar.report(text, 0, 1)

        where: Path | str = folder if is_address(folder) else Path(folder).absolute()
        if is_address(folder):
            runs = list_stored(folder, phase)
        else:
            runs = list_runs(folder, phase=phase, unread=unread.append)
    if as_json:
        _print_json([run.as_dict() for run in runs])
    else:
        click.echo(runs_text(runs, where, width=terminal_width()))
    for error in unread:
        click.echo(f"note: cannot read {printable(str(error.filename))}: {error.strerror}", err=True)


@click.command(short_help="Show a run with its trials, or one trial.")
@fetched_run
@click.option(
    "--trial",
    metavar="N",
    help="Number of a trial to show; in a run in stages such as 1-optimizer/7.",
)
@click.option("--all", "everything", is_flag=True, help="Show every trial, not only the best.")
@json_option
def show(run: str, trial: str | None, everything: bool, as_json: bool) -> None:
    """Show the search in RUN: its state, the best trial, and a table of the trials, the best first.

    With --trial, one trial: its parameters, learning curve, rungs, jobs, failures and checkpoints. The search
    may be running, also on another machine: nothing is locked or written. The exit code is 1 if the run
    is damaged.

    \b
    Examples:
      tune-search show results/seg
      tune-search show results/seg --trial 7
      tune-search show s3://bucket/runs/seg
      tune-search show results/stages --trial 1-optimizer/7
      tune-search show results/seg --json | jq '.stages[0].trials[0].params'
    """
    from search.screen.progress_bar import ProgressBar

    with ProgressBar(sys.stderr) as bar:
        bar.report("reading the study", 0, 1)
        from search.listing.show import ShownRun
        from search.listing.show import show as show_run
        from search.listing.state import State
        from search.screen.columns import terminal_width
        from search.screen.streams import encoding_of
        from search.screen.texts.show import run_text
        from search.screen.texts.shown_trial import trial_text

        found = show_run(run, trial, phase=lambda text: bar.report(text, 0, 1))
    if as_json:
        _print_json(found.as_dict())
    elif isinstance(found, ShownRun):
        in_color, width = sys.stdout.isatty(), terminal_width()
        click.echo(run_text(found, width=width, everything=everything, color=in_color))
    else:
        click.echo(trial_text(found, width=terminal_width(), encoding=encoding_of(sys.stdout)))
    if found.run.state.state is State.DAMAGED:
        sys.exit(1)


@click.command(short_help="Copy a run for optuna-dashboard.")
@run_argument
@click.option("--out", type=NewFile(), metavar="FILE", help="File to write (default: optuna.journal in RUN).")
def dashboard(run: str, out: str | None) -> None:
    """Write a copy of the search in RUN that is made for optuna-dashboard and Optuna's own plots.

    It has one study with every trial, and one for each rung with the trials that reached it, so that history,
    parallel coordinates and importances compare like with like. The search may be running; its own study is
    only read. docs/optuna_dashboard.md says what is seen there.

    \b
    Examples:
      tune-search dashboard results/seg && optuna-dashboard results/seg/optuna.journal
      tune-search dashboard results/seg --out seg.journal
    """
    from search.screen.progress_bar import ProgressBar

    with ProgressBar(sys.stderr) as bar:
        bar.report("reading the study", 0, 1)
        from search.optuna_copy.copy import dashboard as copy_run
        from search.screen.texts.dashboard import copy_text

        copied = copy_run(run, out, phase=lambda text: bar.report(text, 0, 1))
    click.echo(copy_text(copied))


def _print_json(value: Any) -> None:
    from search.run.disk.folder import finite

    click.echo(json.dumps(finite(value), indent=2, allow_nan=False))
