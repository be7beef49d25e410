"""The command line: parses and prints. What is imported at the top is all that `--help` waits for."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import click

from search.errors import SearchError
from search.run.signals import leaving_on_sigterm
from trainables.process.environment import conceal, conceal_output
from trainables.process.quick_imports import gc_disabled

_INTERRUPTED, _TERMINATED = 130, 143


class _DefaultCommand(click.Group):
    """`tune-search FILE.yaml` is `tune-search search FILE.yaml`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            args = ["search", *args]
        return super().parse_args(ctx, args)


_HELP = """Search hyperparameters of a PyTorch model on Ray Tune.

\b
Examples:
  tune-search configs/seg.yaml                         search; the same again goes on where it ended
  tune-search configs/seg.yaml --set budget.trials=50  with another value
  tune-search check configs/seg.yaml                   try everything once, and print the plan
  tensorboard --logdir results/seg                     look at the trials
  tune-search export results/seg                       the best checkpoint, as plain files
  tune-search retrain results/seg/export               train it on, at full length
  tune-search resume results/seg --trials 50           go on with a search, with more trials
  tune-search batch-sizes results/batch_size           what mini-batches gain and cost
  tune-search verify results/seg                       is anything damaged, and what does that cost
  tune-search clean results/seg --dry-run              what of it is not needed any more
"""


@click.group(cls=_DefaultCommand, help=_HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tune-search")
def cli() -> None:
    pass


_set = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value; may be given more than once.",
)
_address = click.option(
    "--address",
    metavar="ADDRESS",
    help="Of a Ray cluster, as `ray start` prints it, or auto for the one of this machine; "
    "without it a local Ray is started.",
)
_local = click.option(
    "--local",
    is_flag=True,
    help="Run one trial after another in this process, without Ray, so that breakpoint() in a task works. "
    "A virtual epoch that hangs is not ended.",
)
_plain = click.option("--plain", is_flag=True, help="One line per event, also on a terminal.")


@cli.command(short_help="Run a search, or go on with it.")
@click.argument("config", type=click.Path(dir_okay=False))
@_set
@click.option("--results", default="results", show_default=True, metavar="DIR", help="Where runs live.")
@click.option("--name", metavar="NAME", help="Of the run; the configuration's without it.")
@click.option(
    "--from-run",
    type=click.Path(file_okay=False, exists=True),
    metavar="RUN",
    help="Let the sampler learn from the trials of an older run too.",
)
@_address
@_local
@_plain
def search(
    config: str,
    overrides: tuple[str, ...],
    results: str,
    name: str | None,
    from_run: str | None,
    address: str | None,
    local: bool,
    plain: bool,
) -> None:
    """Run the search that CONFIG describes. If its folder is there, the search goes on.

    \b
    Examples:
      tune-search configs/seg.yaml
      tune-search configs/seg.yaml --set trial.batch_size=16
      tune-search configs/seg.yaml --set 'trial.optimizer.lr={loguniform: [1e-4, 1e-2]}'
      tune-search configs/wider.yaml --from-run results/seg
      tune-search configs/seg.yaml --local
    """
    if sys.stderr.isatty():
        click.echo("reading the configuration", err=True)
    with gc_disabled():
        from search.config.config import load_config
        from search.run.executors.choose import executor_for

    with leaving_on_sigterm(), closing(executor_for(address, local=local)) as executor:
        try:
            with gc_disabled():
                loaded = load_config(config, overrides, before_task=executor.begin)
                from search.run.search import search as run_search
        except SearchError as error:
            _refuse(error)  # at once: the end of a Ray that has begun takes a second

        def run(watcher: Any) -> Any:
            return run_search(
                loaded, results=results, name=name, from_run=from_run, watcher=watcher, executor=executor
            )

        _watched(Path(results).absolute() / (name or loaded.name), run, plain=plain, local=local)


@cli.command(short_help="Go on with a search, or let it grow.")
@click.argument("run", type=click.Path(file_okay=False, exists=True))
@click.option("--trials", type=click.IntRange(min=1), metavar="N", help="So many in all.")
@click.option("--max-virtual-epochs", type=click.IntRange(min=1), metavar="N", help="Full length of a trial.")
@click.option("--time", metavar="DURATION", help="Of the whole search, such as 2h.")
@click.option(
    "--config",
    type=click.Path(dir_okay=False, exists=True),
    metavar="FILE",
    help="Another configuration: a new space, sampler or scheduler for new trials.",
)
@_set
@_address
@_local
@_plain
def resume(
    run: str,
    trials: int | None,
    max_virtual_epochs: int | None,
    time: str | None,
    config: str | None,
    overrides: tuple[str, ...],
    address: str | None,
    local: bool,
    plain: bool,
) -> None:
    """Go on with the search in the folder RUN, interrupted or complete.

    Limits may grow, known points be added, and new trials come from another space; objective, task, data and
    virtual epoch stay. Trials that had ended early or at full length go on where their checkpoint is there.

    \b
    Examples:
      tune-search resume results/seg
      tune-search resume results/seg --trials 50 --time 2h
      tune-search resume results/seg --trials 50 --set 'trial.model.width={choice: [16, 32, 64]}'
    """
    limits = {"trials": trials, "max_virtual_epochs": max_virtual_epochs, "time": time}
    grown = [f"budget.{name}={value}" for name, value in limits.items() if value is not None]

    def go_on(watcher: Any) -> Any:
        with gc_disabled():
            from search.run.search import resume as run_resume

        return run_resume(
            run,
            config=config,
            overrides=(*overrides, *grown),
            address=address,
            local=local,
            watcher=watcher,
        )

    with leaving_on_sigterm():
        _watched(Path(run).absolute(), go_on, plain=plain, local=local)


@cli.command(short_help="Export the best checkpoint as plain files.")
@click.argument("run", type=click.Path(file_okay=False, exists=True))
@click.option("--trial", type=int, metavar="N", help="Number of the trial; the best one without it.")
@click.option("--out", metavar="DIR", help="Folder to write; RUN/export without it.")
def export(run: str, trial: int | None, out: str | None) -> None:
    """Write the best checkpoint of the search in RUN as files that open without this program.

    \b
    Examples:
      tune-search export results/seg
      tune-search export results/seg --trial 7 --out models/seg-7
    """
    click.echo("loading the data and evaluating the checkpoint again", err=True)
    from search.commands.export import export as run_export
    from search.screen.text import export_text

    click.echo(export_text(run_export(run, trial=trial, out=out)))


@cli.command(short_help="Train an exported model on, or anew.")
@click.argument("export", type=click.Path(file_okay=False, exists=True))
@click.option(
    "--virtual-epochs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Length; as in the search without it.",
)
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Length in optimizer steps.")
@click.option("--from-scratch", is_flag=True, help="Begin with new weights instead of the exported ones.")
@click.option("--data", type=click.Choice(["train", "train+val"]), default="train", show_default=True)
@click.option("--out", metavar="DIR", help="Folder to write; `retrain` beside EXPORT without it.")
def retrain(
    export: str, virtual_epochs: int | None, steps: int | None, from_scratch: bool, data: str, out: str | None
) -> None:
    """Train the exported model in EXPORT with the full length of its schedule. The same again goes on.

    \b
    Examples:
      tune-search retrain results/seg/export
      tune-search retrain results/seg/export --from-scratch --steps 20000 --data train+val
    """
    click.echo("loading the data", err=True)
    from search.commands.retrain import retrain as run_retrain
    from search.screen.text import RetrainProgress, retraining_text

    with RetrainProgress(sys.stdout) as progress:
        done = run_retrain(
            export,
            virtual_epochs=virtual_epochs,
            steps=steps,
            from_scratch=from_scratch,
            data=data,  # type: ignore[arg-type]
            out=out,
            progress=progress.report,
        )
    click.echo(retraining_text(done, " ".join(["tune-search", *sys.argv[1:]])))
    if done.export is None and done.interrupted_by is not None:
        sys.exit(128 + done.interrupted_by)


@cli.command(short_help="Try everything once, and print the plan.")
@click.argument("config", type=click.Path(dir_okay=False))
@_set
@click.option("--data", is_flag=True, help="Read every sample instead, and list what is wrong with the data.")
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="With --data: all of it as JSON.",
)
def check(config: str, overrides: tuple[str, ...], data: bool, json_file: str | None) -> None:
    """Validate CONFIG, build its data and model, train a few steps, validate once, and print the plan.

    With --data nothing is trained: every sample is read, and damaged files, wrong labels, samples that are
    both in training and validation, class frequencies and statistics are shown. Exits with 1 if it finds
    errors.

    \b
    Examples:
      tune-search check configs/seg.yaml
      tune-search check configs/seg.yaml --set trial.model.width=64
      tune-search check configs/seg.yaml --data --json problems.json
    """
    if data:
        _check_data(config, overrides, json_file)
    if json_file is not None:
        raise click.UsageError("--json is for the problems of the data: give --data too")
    with gc_disabled():
        from search.commands.check import check as run_check
        from search.screen.text import check_text

    click.echo(
        check_text(run_check(config, overrides=overrides, phase=lambda text: click.echo(text, err=True)))
    )


@cli.command(short_help="Look for damaged files, and say what each costs.")
@click.argument("run", type=click.Path(file_okay=False, exists=True))
def verify(run: str) -> None:
    """Check all that is kept of the search in RUN: its study, every checkpoint, configuration and export.

    Nothing is written, and the search may be running. Exits with 1 if anything is damaged.

    \b
    Examples:
      tune-search verify results/seg
      tune-search verify results/seg && tar -cf seg.tar results/seg
    """
    from search.commands.verify import verify as run_verify
    from search.screen.text import ByteProgress, verification_text

    with ByteProgress(sys.stderr) as progress:
        found = run_verify(run, progress=progress.report)
    click.echo(verification_text(found))
    sys.exit(1 if found.damages else 0)


@cli.command("batch-sizes", short_help="What mini-batches gain and cost, from a run.")
@click.argument("run", type=click.Path(file_okay=False, exists=True))
@click.option(
    "--samples",
    type=click.IntRange(min=2),
    default=4096,
    show_default=True,
    metavar="N",
    help="At most so many training samples show the spread of the loss.",
)
def batch_sizes(run: str, samples: int) -> None:
    """Compare the batch sizes of the trials in RUN: epochs and steps to the same loss, and the loss's spread.

    Writes batch_sizes.json and three figures into RUN. Nothing is trained, and the search may be running.

    \b
    Examples:
      tune-search configs/batch_size.yaml && tune-search batch-sizes results/batch_size
      tune-search batch-sizes results/seg --samples 500
    """
    click.echo("loading the data and evaluating the best checkpoint on single samples", err=True)
    from search.commands.batch_sizes import study_batch_sizes
    from search.screen.batch_sizes_text import batch_sizes_text

    click.echo(batch_sizes_text(study_batch_sizes(run, max_samples=samples)))


@cli.command(short_help="Remove what a search does not need any more.")
@click.argument("run", type=click.Path(file_okay=False, exists=True))
@click.option("--dry-run", is_flag=True, help="Only show what would go.")
@click.option(
    "--keep-trials",
    type=click.IntRange(min=1),
    metavar="N",
    help="So many of the best trials keep their checkpoints; as configured without it.",
)
def clean(run: str, dry_run: bool, keep_trials: int | None) -> None:
    """Remove checkpoints of all but the best trials in RUN, damaged ones, and rests of interrupted writes.

    The study, TensorBoard's curves and the export stay, and the checkpoints of the best trial and of trials
    that have not ended. A trial without checkpoints is over, also if the search is given more time later.

    \b
    Examples:
      tune-search clean results/seg --dry-run
      tune-search clean results/seg --keep-trials 1
    """
    from search.commands.clean import clean as run_clean
    from search.screen.text import cleaning_text

    cleaning = run_clean(run, dry_run=dry_run, keep_trials=keep_trials)
    click.echo(cleaning_text(cleaning))
    if dry_run and cleaning.items:
        options = "" if keep_trials is None else f" --keep-trials {keep_trials}"
        click.echo(f"\nnext\n  tune-search clean {run}{options}")


def _check_data(config: str, overrides: tuple[str, ...], json_file: str | None) -> NoReturn:
    from search.commands.check_data import check_data
    from search.screen.data_text import DataProgress, data_check_text

    try:
        with DataProgress(sys.stderr) as progress:
            found = check_data(config, overrides=overrides, progress=progress.report)
    except KeyboardInterrupt:
        click.echo("interrupted", err=True)
        sys.stderr.flush()
        os._exit(_INTERRUPTED)  # threads that are in the middle of a file would be in the way of a proper end
    click.echo(data_check_text(found, color=sys.stdout.isatty()))
    if json_file is not None:
        from search.run.folder import write_json

        write_json(Path(json_file), found.as_dict())
    sys.exit(1 if found.errors else 0)


def main(args: Sequence[str] | None = None) -> None:
    """Entry point: errors meant for the user are one line (or one per problem), others a line and a file."""
    # User tasks are imported from the folder that the command is given in.
    if "" not in sys.path and os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    conceal_output()
    try:
        cli.main(args=args, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort) as error:
        # Click takes the end of any file for the end of what a person types.
        if isinstance(error.__cause__, EOFError):
            _unexpected(error.__cause__)
        click.echo("interrupted", err=True)
        sys.exit(_INTERRUPTED)
    except SearchError as error:
        _refuse(error)
    except Exception as error:
        _unexpected(error)


def _refuse(error: SearchError) -> NoReturn:
    click.echo(conceal(str(error)), err=True)
    sys.exit(error.exit_code)


def _unexpected(error: Exception) -> NoReturn:
    trace = Path("tune-search-error.txt").absolute()
    trace.write_text(conceal("".join(traceback.format_exception(error))))
    click.echo(conceal(f"{type(error).__name__}: {error}\nthe trace is in {trace}"), err=True)
    sys.exit(1)


def _watched(folder: Path, run: Callable[[Any], Any], *, plain: bool, local: bool) -> None:
    """Run a search with a view, print its outcome and exit with its code.

    What tasks print, and the debugger above all, stays on the terminal where they run in this process.
    """
    from search.run.folder import RunFolder
    from search.screen.live import PlainView, screen
    from search.screen.text import summary_text

    run_folder = RunFolder(folder)
    run_folder.create()
    with nullcontext(PlainView(sys.stdout)) if local else screen(run_folder.log, plain=plain) as watcher:
        summary = run(watcher)
    click.echo(summary_text(summary, color=sys.stdout.isatty() and not plain))
    codes = {"complete": 0, "failed": 1, "interrupted": _INTERRUPTED, "terminated": _TERMINATED}
    sys.exit(codes[summary.status])
