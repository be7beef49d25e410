"""The command that writes the report of a search."""

from __future__ import annotations

import sys

import click

from search.cli.options import fetched_run_with_events
from search.cli.paths import NewFile


@click.command(short_help="Write one HTML page of what a search has found.")
@fetched_run_with_events
@click.option("--out", type=NewFile(), metavar="FILE", help="File to write (default: RUN/report.html).")
def report(run: str, out: str | None) -> None:
    """Write what the search in RUN has found so far as one HTML file that opens anywhere, also offline.

    The best configuration and how sure that is, learning curves, which parameters mattered, all trials, when
    jobs ran, failures and pictures. A search writes it at its end; with this command also while it runs.

    \b
    Examples:
      tune-search report results/seg
      tune-search report results/seg --out seg.html
      tune-search report s3://bucket/runs/seg
    """
    from search.screen.progress_bar import ProgressBar

    with ProgressBar(sys.stderr, "reading the study and comparing trials") as bar:
        from search.reports.write import report as run_report
        from search.text import short_path

        file = run_report(run, out=out, phase=bar.phase)
    click.echo(f"written to {short_path(file)}")
