"""The command that exports the best checkpoint."""

from __future__ import annotations

import sys

import click

from search.cli_options import fetched_run, out_option


@click.command(short_help="Export the best checkpoint as plain files.")
@fetched_run
@click.option("--trial", type=int, metavar="N", help="Number of the trial to export (default: the best).")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["safetensors", "onnx", "pt2"]),
    help="Write the model as a graph too, for ONNX Runtime or as a program of torch.export; may be repeated. "
    "The weights are always written as safetensors.",
)
@click.option(
    "--with-preprocessing",
    is_flag=True,
    help="Put the normalization of preprocessing.json into the graph: its inputs are raw pixels or columns.",
)
@out_option("RUN/export")
def export(
    run: str, trial: int | None, formats: tuple[str, ...], with_preprocessing: bool, out: str | None
) -> None:
    """Export the best checkpoint of the search in RUN as files that can be used without tune-search.

    The written weights are evaluated; nothing is exported if their value differs from the recorded one. The
    whole validation runs through a graph as well, in ONNX Runtime or torch, and must give the same value.

    \b
    Examples:
      tune-search export results/seg
      tune-search export s3://bucket/runs/seg
      tune-search export results/seg --trial 7 --out models/seg-7
      tune-search export results/seg --format onnx --with-preprocessing
      tune-search export results/seg --format onnx --format pt2
    """
    from search.screen.progress_bar import ProgressBar

    with ProgressBar(sys.stderr) as bar:
        from search.exports.export import export as run_export
        from search.screen.export_text import export_text

        exported = run_export(
            run,
            trial=trial,
            out=out,
            formats=formats,  # type: ignore[arg-type]
            with_preprocessing=with_preprocessing,
            phase=bar.phase,
        )
    click.echo(export_text(exported))
