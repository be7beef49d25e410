"""The command that exports the best checkpoint."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from search.cli.options import fetched_run, out_option
from search.cli.paths import LocalPath

FOLDS = "folds"


class EnsembleChoice(click.ParamType):
    """A number of trials, or the folds."""

    name = "ensemble"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        if value == FOLDS or isinstance(value, int):
            return value
        if not str(value).isdecimal() or int(value) < 2:
            self.fail(f"received {value}; must be a number of trials, 2 or more, or {FOLDS}", param, ctx)
        return int(value)


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
@click.option(
    "--ensemble",
    type=EnsembleChoice(),
    metavar="N|folds",
    help="Export up to N trials together, whose mean prediction is the best on the validation data; or the "
    "models of all folds, which `retrain --fold all` has trained.",
)
@click.option(
    "--folds",
    type=LocalPath(),
    metavar="DIR",
    help="Folder of these models, if it was the --out of `retrain` (default: RUN/retrain).",
)
@click.option("--soup", is_flag=True, help="Export the average of the weights of trials of one architecture.")
@out_option("RUN/export")
def export(
    run: str,
    trial: int | None,
    formats: tuple[str, ...],
    with_preprocessing: bool,
    ensemble: str | int | None,
    folds: str | None,
    soup: bool,
    out: str | None,
) -> None:
    """Export the best checkpoint of the search in RUN as files that can be used without tune-search.

    The written weights are evaluated; nothing is exported if their value differs from the recorded one. The
    whole validation runs through a graph as well, in ONNX Runtime or torch, and must give the same value.
    An ensemble of trials, or a soup of weights, is written where it is better than the best trial alone.

    \b
    Examples:
      tune-search export results/seg
      tune-search export s3://bucket/runs/seg
      tune-search export results/seg --trial 7 --out models/seg-7
      tune-search export results/seg --format onnx --with-preprocessing
      tune-search export results/seg --format onnx --format pt2
      tune-search export results/seg --ensemble 3
      tune-search export results/seg --ensemble folds --out models/seg-folds
      tune-search export results/seg --soup
    """
    given = [
        flag
        for flag, value in (("--trial", trial), ("--ensemble", ensemble), ("--soup", soup or None))
        if value is not None
    ]
    if len(given) > 1:
        raise click.UsageError(f"give {given[0]} or {given[1]}, not both: each says what is exported")
    if folds is not None and ensemble != FOLDS:
        raise click.UsageError(
            "--folds says where the folds of --ensemble folds are: leave it out, or give both"
        )
    from search.screen.progress_bar import ProgressBar

    with ProgressBar(sys.stderr) as bar:
        text = _exported(
            run,
            ensemble or ("soup" if soup else None),
            {"trial": trial, "folds": folds},
            lambda what, done, of: bar.report(f"{what}: batch {done} of {of}", done, of),
            {
                "out": out,
                "formats": formats,
                "with_preprocessing": with_preprocessing,
                "phase": bar.phase,
            },
        )
    click.echo(text)


def _exported(
    run: str,
    what: str | int | None,
    which: Mapping[str, Any],
    progress: Callable[[str, int, int], None],
    written: Mapping[str, Any],
) -> str:
    """Export one trial, several, the folds or a soup; returns what is said of it."""
    if what == FOLDS:
        from search.retraining.fold_ensemble import export_folds
        from search.screen.texts.ensemble import fold_ensemble_text

        return fold_ensemble_text(export_folds(run, folds=which["folds"], progress=progress, **written))
    if isinstance(what, int):
        from search.ensembles.ensemble import export_ensemble
        from search.screen.texts.ensemble import ensemble_text

        return ensemble_text(export_ensemble(run, what, progress=progress, **written))
    if what == "soup":
        from search.ensembles.soup import export_soup
        from search.screen.texts.ensemble import soup_text

        return soup_text(export_soup(run, progress=progress, **written))
    from search.exports.export import export as run_export
    from search.screen.texts.export import export_text

    return export_text(run_export(run, trial=which["trial"], **written))
