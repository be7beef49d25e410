"""The commands that check, compare or clean, and run no search."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from search.cli.options import (
    config_argument,
    count_option,
    fetched_run,
    priors_option,
    run_argument,
    set_option,
)
from search.cli.paths import DataPath, LocalPath, NewFile
from search.text import command

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


@click.command(short_help="Check a configuration with a few steps, and print the plan.")
@config_argument
@set_option
@priors_option
@click.option("--data", is_flag=True, help="Read every sample instead, and list the problems of the data.")
@click.option(
    "--json",
    "json_file",
    type=NewFile(),
    metavar="FILE",
    help="With --data: write the complete list as JSON.",
)
def check(
    config: str, overrides: tuple[str, ...], priors_from: str | None, data: bool, json_file: str | None
) -> None:
    """Validate CONFIG, load its data, build its model, train a few steps, validate once, and print the plan.

    With --data, every sample is read instead: damaged files, wrong labels, data leakage, class frequencies
    and statistics are shown. The exit code is 1 if there are errors.

    \b
    Examples:
      tune-search check configs/seg.yaml
      tune-search check configs/seg.yaml --set trial.model.width=64
      tune-search check configs/seg.yaml --data --json problems.json
    """
    if data:
        _check_data(config, overrides, json_file)
    if json_file is not None:
        raise click.UsageError("--json needs --data: it writes the problems of the data")
    from search.screen.progress_bar import ProgressBar

    # In a pipe, the problems of a configuration are the only lines.
    with ProgressBar(sys.stderr, "reading the configuration" if sys.stderr.isatty() else None) as bar:
        from search.commands.check import check as run_check
        from search.commands.check_files import write_check
        from search.screen.texts.summary import check_text

        checked = run_check(config, overrides=overrides, priors_from=priors_from, phase=bar.phase)
        written = write_check(Path("results", checked.config.name), checked.picture, checked.data)
    click.echo(check_text(checked, written))


@click.command(short_help="Write a configuration for the data in a folder.")
@click.argument("folder", metavar="FOLDER", type=DataPath())
@click.option(
    "--out", type=LocalPath(), metavar="FILE", help="File to write (default: the folder's name, with .yaml)."
)
def init(folder: str, out: str | None) -> None:
    """Look at the data in FOLDER, and write a commented configuration for them.

    FOLDER holds images with masks, a folder of images for each class, a table in a CSV file (or FOLDER is
    that file), shards, or a data set saved by the library datasets. Nothing is overwritten.

    \b
    Examples:
      tune-search init data/streets
      tune-search init data/houses.csv --out configs/houses.yaml
    """
    from search.screen.progress_bar import ProgressBar

    begun = "looking at the data" if sys.stderr.isatty() else None
    with ProgressBar(sys.stderr, begun, interval=2.0) as bar:
        from search.commands.init.command import init as run_init
        from search.screen.texts.data import data_progress_text
        from search.screen.texts.init import init_text

        written = run_init(
            folder,
            out=out,
            report=lambda text, done, of: bar.report(f"{text}: {done} of {of}", done, of),
            progress=lambda read: bar.report(data_progress_text(read), read.fraction, 1.0),
        )
    click.echo(init_text(written))


@click.command(short_help="Print the JSON Schema of configurations, for editors.")
@click.option("--out", type=LocalPath(), metavar="FILE", help="Write it into this file instead.")
def schema(out: str | None) -> None:
    """Print the JSON Schema of configurations, from which editors complete keys and mark mistakes.

    A first line `# yaml-language-server: $schema=FILE` in a configuration names it; `init` writes both.

    \b
    Examples:
      tune-search schema --out tune-search.schema.json
    """
    from search.commands.schema import text, write

    if out is None:
        click.echo(text(), nl=False)
    else:
        click.echo(f"written to {write(out)}")


@click.command(short_help="Say how far values at early rungs can be believed.")
@run_argument
def audit(run: str) -> None:
    """Compare ranks at each rung with those at full length, in the search in RUN, which may be running.

    Among the trials that reached both, Spearman's correlation is shown with their number, what stopping would
    have cost among those that `scheduler.audit` let through, and advice on `grace_period` and the length of a
    virtual epoch. Nothing is written.

    \b
    Examples:
      tune-search audit results/seg
    """
    from search.commands.audit import audit as run_audit
    from search.commands.audit import why_nothing
    from search.screen.texts.audit import audit_lines

    for stage, found in run_audit(run).items():
        if stage:
            click.echo(f"stage {stage}")
        lines = audit_lines(found, always=True) or [why_nothing(run, stage)]
        click.echo("\n".join(lines))


@click.command(short_help="Look for damaged files.")
@fetched_run
def verify(run: str) -> None:
    """Check every file of the search in RUN: study, checkpoints, configuration and export.

    For each damaged file, the problem and its cost are shown. Nothing is written, and the search may be
    running. The exit code is 1 if anything is damaged.

    \b
    Examples:
      tune-search verify results/seg
      tune-search verify s3://bucket/runs/seg
      tune-search verify results/seg && tar -cf seg.tar results/seg
    """
    from search.screen.progress_bar import ProgressBar

    with ProgressBar(sys.stderr, "reading the study") as bar:
        from search.commands.verify import verify as run_verify
        from search.screen.texts.files import reading_progress, verification_text

        found = run_verify(run, progress=lambda done, of: bar.report(reading_progress(done, of), done, of))
    click.echo(verification_text(found))
    sys.exit(1 if found.damages else 0)


@click.command("batch-sizes", short_help="Compare the batch sizes of the trials.")
@run_argument
@click.option(
    "--samples",
    type=click.IntRange(min=2),
    default=4096,
    show_default=True,
    metavar="N",
    help="Maximum number of training samples on which the spread of the loss is measured.",
)
def batch_sizes(run: str, samples: int) -> None:
    """Compare the batch sizes of the trials in RUN: epochs and steps to the same loss, and its spread.

    Writes batch_sizes.json and three figures into RUN. Nothing is trained, and the search may be running.

    \b
    Examples:
      tune-search configs/batch_size.yaml && tune-search batch-sizes results/batch_size
      tune-search batch-sizes results/batch_size --samples 500
    """
    from search.screen.progress_bar import ProgressBar

    with ProgressBar(sys.stderr, "loading data and evaluating the best checkpoint on single samples"):
        from search.commands.batch_sizes import study_batch_sizes
        from search.screen.texts.summary import batch_sizes_text

        compared = study_batch_sizes(run, max_samples=samples)
    click.echo(batch_sizes_text(compared))


@click.command(short_help="Remove files that a search no longer needs.")
@run_argument
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@count_option("--keep-trials", "Keep checkpoints of the N best trials (default: as configured).")
def clean(run: str, dry_run: bool, keep_trials: int | None) -> None:
    """Remove checkpoints of all but the best trials in RUN, those set aside as damaged, and partial files.

    The study, TensorBoard events, the export, and the checkpoints of the best trial and of unfinished trials
    are kept. A trial without checkpoints cannot continue if the search is given a larger budget later.

    \b
    Examples:
      tune-search clean results/seg --dry-run
      tune-search clean results/seg --keep-trials 1
    """
    from search.commands.clean import clean as run_clean
    from search.screen.texts.files import cleaning_text

    cleaning = run_clean(run, dry_run=dry_run, keep_trials=keep_trials)
    click.echo(cleaning_text(cleaning))
    if dry_run and cleaning.items:
        options = () if keep_trials is None else ("--keep-trials", str(keep_trials))
        click.echo(f"\nnext\n  {command('clean', run, *options)}")


def _check_data(config: str, overrides: tuple[str, ...], json_file: str | None) -> NoReturn:
    from search.screen.progress_bar import ProgressBar

    try:
        with ProgressBar(sys.stderr, "finding the samples") as bar:
            from search.commands.check_data import check_data
            from search.commands.check_files import write_check
            from search.screen.texts.data import data_check_text, data_progress_text

            found = check_data(
                config,
                overrides=overrides,
                progress=lambda read: bar.report(data_progress_text(read), read.fraction, 1.0),
            )
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # a clean exit would wait for threads that are still reading
    report = json_file or ""
    if found.findings and not json_file:
        report = write_check(Path("results", found.name), None, found).get("report", "")
    click.echo(data_check_text(found, color=sys.stdout.isatty(), report=report))
    if json_file is not None:
        from search.run.disk.folder import write_json

        write_json(Path(json_file), found.as_dict())
    sys.exit(1 if found.errors else 0)
