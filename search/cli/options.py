"""The help of the program, and the arguments and options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from search.cli.paths import ConfigFile, FetchedRun, KnownFile, LocalPath, RunOrAddress, RunPath
from trainables.storage.address import checked_address

_Command = TypeVar("_Command", bound=Callable[..., Any])

HELP = """Search hyperparameters of a PyTorch model on Ray Tune.

\b
Examples:
  tune-search init data/streets                        write a configuration for these data
  tune-search configs/seg.yaml                         run a search; the same command again continues it
  tune-search configs/seg.yaml --set budget.trials=50  override a value
  tune-search configs/seg.yaml --name seg-2            another run of it, in results/seg-2
  tune-search check configs/seg.yaml                   train a few steps, and check all before a search
  tune-search plan configs/seg.yaml                    forecast hours, disk and trials
  tune-search submit configs/seg.yaml --slurm "-t 4:00:00 --gres=gpu:4"   run it as a job of SLURM
  tune-search list                                     all runs: state, best value, progress
  tune-search show results/seg --trial 7               a run, or one of its trials, also while it runs
  tensorboard --logdir results/seg                     look at the trials
  tune-search report results/seg                       write one HTML page of what was found
  tune-search export results/seg                       export the best checkpoint as plain files
  tune-search predict results/seg/export photos/ --out predicted/   predict images with the exported model
  tune-search retrain results/seg/export               train the exported model at full length
  tune-search resume results/seg --trials 50           continue a search with more trials
  tune-search fetch s3://bucket/runs/seg               bring a run here that is kept in object storage
  tune-search confirm results/seg --top 3 --seeds 5    race its best trials over new seeds
  tune-search batch-sizes results/batch_size           compare the batch sizes of the trials
  tune-search dashboard results/seg                    copy it for optuna-dashboard
  tune-search log results/seg --to mlflow              write it to MLflow, W&B or Trackio, while it runs
  tune-search verify results/seg                       look for damaged files
  tune-search clean results/seg --dry-run              show what is no longer needed

\b
Completion with the Tab key, for the start-up file of bash, zsh or fish:
  eval "$(_TUNE_SEARCH_COMPLETE=bash_source tune-search)"
  eval "$(_TUNE_SEARCH_COMPLETE=zsh_source tune-search)"
  _TUNE_SEARCH_COMPLETE=fish_source tune-search | source
"""

fetched_run = click.argument("run", type=FetchedRun())
fetched_run_with_events = click.argument("run", type=FetchedRun(events=True))
run_or_address = click.argument("run", type=RunOrAddress())
config_argument = click.argument("config", type=ConfigFile())
run_argument = click.argument("run", type=RunPath())
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a value of the configuration, such as budget.trials=50; may be repeated.",
)
priors_option = click.option(
    "--priors-from",
    type=RunPath(may_be_gone=True),  # a search that has begun goes on without it
    metavar="RUN",
    help="Take the best values of an earlier run, of any task and data, as priors.",
)
results_option = click.option(
    "--results",
    default="results",
    type=LocalPath(),
    show_default=True,
    metavar="DIR",
    help="Folder that holds the runs.",
)
name_option = click.option(
    "--name",
    metavar="NAME",
    help="Name of the run, whose folder is DIR/NAME (default: `name:` in the configuration).",
)
from_run_option = click.option(
    "--from-run",
    type=RunPath(),
    metavar="RUN",
    help="Let the sampler also learn from the trials of an earlier run.",
)
plan_option = click.option(
    "--plan",
    "plan_file",
    type=KnownFile(),
    metavar="FILE",
    help="What `plan CONFIG --out FILE` wrote; summary.json then has forecast and fact side by side.",
)
address_option = click.option(
    "--address",
    metavar="ADDRESS",
    help="Address of a Ray cluster as printed by `ray start`, or auto for the cluster on this machine "
    "(default: start a local Ray).",
)
local_option = click.option(
    "--local",
    is_flag=True,
    help="Run trials one after another in this process, without Ray, so that breakpoint() works in a task. "
    "A virtual epoch that hangs is not ended.",
)
skip_bad_option = click.option(
    "--skip-bad-nodes",
    is_flag=True,
    help="Leave out hosts of the cluster that lack what trials need, rather than refuse to start.",
)
accept_option = click.option(
    "--accept-new-data",
    is_flag=True,
    help="Go on although the data have changed; what was trained before is then of other data.",
)
retry_option = click.option(
    "--retry-failed", is_flag=True, help="Try trials again that failed or ran out of memory before."
)
plain_option = click.option("--plain", is_flag=True, help="Print one line per event even on a terminal.")


def _as_override(context: click.Context, option: click.Parameter, address: str | None) -> tuple[str, ...]:
    """Checked at once: the message about an override would show what may be a password."""
    if address is None:
        return ()
    try:
        return (f"storage={checked_address(address)}",)
    except ValueError as error:
        raise click.BadParameter(str(error), context, option) from error


storage_option = click.option(
    "--storage",
    "stored",
    metavar="ADDRESS",
    callback=_as_override,
    help="Keep the run there too, as NAME below it, such as s3://bucket/runs (--set storage=ADDRESS).",
)


def count_option(name: str, text: str) -> Callable[[_Command], _Command]:
    """An option whose value is an integer of at least 1, or None."""
    return click.option(name, type=click.IntRange(min=1), metavar="N", help=text)


def out_option(default: str) -> Callable[[_Command], _Command]:
    """An option for the folder that a command writes."""
    return click.option(
        "--out", type=LocalPath(), metavar="DIR", help=f"Folder to write (default: {default})."
    )


def place_options(command: _Command) -> _Command:
    """The options of the commands that begin a search: its folder, and what it learns from."""
    for option in (plan_option, priors_option, from_run_option, name_option, results_option):
        command = option(command)
    return command


def running_options(command: _Command) -> _Command:
    """The options of the commands that run a search."""
    for option in (plain_option, retry_option, local_option, skip_bad_option, address_option, accept_option):
        command = option(command)
    return command
