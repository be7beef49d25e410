"""`tune-search retrain`: an exported configuration at full length, once or on each fold of the data."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from search.cli.options import accept_option, count_option, out_option
from search.cli.paths import RunPath
from search.text import command

ALL = "all"
"""Folds."""


class FoldChoice(click.ParamType):
    """The number of a fold, or all."""

    name = "fold"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        if value == ALL or isinstance(value, int):
            return value
        if not str(value).isdecimal():
            self.fail(f"received {value}; must be the number of a fold, from 0, or {ALL}", param, ctx)
        return int(value)


@click.command(short_help="Retrain an exported model at full length.")
@click.argument("export", type=RunPath("an export, such as results/seg/export"))
@count_option("--virtual-epochs", "Length in virtual epochs (default: that of a full trial in the search).")
@count_option("--steps", "Length in optimizer steps, rounded up to whole virtual epochs.")
@click.option("--from-scratch", is_flag=True, help="Start from new weights instead of the exported ones.")
@click.option(
    "--data",
    type=click.Choice(["train", "train+val"]),
    default="train",
    show_default=True,
    help="Data to train on; train+val includes the validation data, so metrics no longer estimate new data.",
)
@click.option(
    "--fold",
    type=FoldChoice(),
    metavar="all|FOLD",
    help="Train from new weights on all of data.folds but one, and validate on that: FOLD, from 0, or each "
    "in turn. The folder then has one for each, and folds.json.",
)
@accept_option
@out_option("`retrain` beside EXPORT")
def retrain(
    export: str,
    virtual_epochs: int | None,
    steps: int | None,
    from_scratch: bool,
    data: str,
    fold: str | int | None,
    accept_new_data: bool,
    out: str | None,
) -> None:
    """Train the exported model in EXPORT over the full length of its schedule.

    The same command continues an interrupted retraining; one that is complete stays as it is.

    \b
    Examples:
      tune-search retrain results/seg/export
      tune-search retrain results/seg/export --from-scratch --steps 20000 --data train+val
      tune-search retrain results/seg/export --fold all
    """
    if fold is not None:
        if data != "train":
            raise click.UsageError(
                f"--fold {fold} validates what was not trained on, and --data is {data}: leave one of "
                "the two out"
            )
        given = {"virtual_epochs": virtual_epochs, "steps": steps, "accept_new_data": accept_new_data}
        _on_folds(export, None if fold == ALL else int(fold), {**given, "out": out})
        return
    from search.screen.progress_bar import ProgressBar

    # In a pipe, a line per virtual epoch.
    with ProgressBar(sys.stdout, "loading data", interval=0.0) as bar:
        from search.retraining.retrain import retrain as run_retrain
        from search.screen.texts.summary import retraining_progress, retraining_text

        done = run_retrain(
            export,
            virtual_epochs=virtual_epochs,
            steps=steps,
            from_scratch=from_scratch,
            data=data,  # type: ignore[arg-type]
            accept_new_data=accept_new_data,
            out=out,
            progress=lambda record, of: bar.report(
                retraining_progress(record, of), record["virtual_epoch"], of
            ),
        )
    click.echo(retraining_text(done, command(*sys.argv[1:])))
    if done.export is None and done.interrupted_by is not None:
        sys.exit(128 + done.interrupted_by)


def _on_folds(export: str, fold: int | None, given: Mapping[str, Any]) -> None:
    """Train on one fold, or on all of them, and print the values so far."""
    from search.screen.progress_bar import ProgressBar

    with ProgressBar(sys.stdout, "loading data", interval=0.0) as bar:
        from search.retraining.folds import retrain_folds
        from search.screen.texts.folds import fold_progress, folds_text

        done = retrain_folds(
            export, fold=fold, progress=lambda report: bar.report(*fold_progress(report)), **given
        )
    click.echo(folds_text(done, command(*sys.argv[1:])))
    if done.interrupted_by is not None and done.last.export is None:
        sys.exit(128 + done.interrupted_by)
