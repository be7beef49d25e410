"""The command that exports the best checkpoint."""

from __future__ import annotations

import sys

import click

from search.cli_options import out_option, run_argument


@click.command(short_help="Export the best checkpoint as plain files.")
@run_argument
@click.option("--trial", type=int, metavar="N", help="Number of the trial to export (default: the best).")
@out_option("RUN/export")
def export(run: str, trial: int | None, out: str | None) -> None:
    """Export the best checkpoint of the search in RUN as files that can be used without tune-search.

    The written weights are evaluated; nothing is exported if their value differs from the recorded one.

    \b
    Examples:
      tune-search export results/seg
      tune-search export results/seg --trial 7 --out models/seg-7
    """
    from search.screen.progress_bar import ProgressBar

    with ProgressBar(sys.stderr) as bar:
        from search.exports.export import export as run_export
        from search.screen.text import export_text

        def before_loading() -> None:
            bar.phase("loading data and evaluating the checkpoint")

        exported = run_export(run, trial=trial, out=out, before_loading=before_loading)
    click.echo(export_text(exported))
