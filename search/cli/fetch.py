"""The command that brings a run here from its storage."""

from __future__ import annotations

import sys

import click

from search.cli.options import results_option
from search.cli.paths import Address


@click.command(short_help="Bring a run here from object storage.")
@click.argument("address", type=Address())
@results_option
@click.option(
    "--no-checkpoints", is_flag=True, help="Fetch the study, TensorBoard's events and small files alone."
)
def fetch(address: str, results: str, no_checkpoints: bool) -> None:
    """Bring the run at ADDRESS here, into DIR/NAME: its study, TensorBoard's events and checkpoints.

    The search may be running, on another machine. What is here already is not fetched again, so that the same
    command follows it. `resume`, `show`, `report`, `export` and `verify` take the address too, and fetch what
    they need.

    \b
    Examples:
      tune-search fetch s3://bucket/runs/seg
      tune-search fetch s3://bucket/runs/seg --no-checkpoints && tensorboard --logdir results/seg
    """
    from search.screen.progress_bar import ProgressBar

    with ProgressBar(sys.stderr, "reading the study") as bar:
        from search.fetching.fetch import fetch as run_fetch
        from search.text import counted, short_path

        done = run_fetch(
            address,
            results,
            checkpoints=not no_checkpoints,
            progress=lambda trial, of: bar.report(f"fetching trials: {trial} of {of}", trial, of),
        )
    for line in done.damaged:
        click.echo(line, err=True)
    click.echo(f"{short_path(done.folder)}: {counted(done.checkpoints, 'checkpoint')} fetched")
    sys.exit(1 if done.damaged else 0)
