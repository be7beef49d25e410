"""The command line. Heavy libraries are imported in the commands, so that `--help` answers at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import click

from search.addresses import stored_run
from search.cli.checks import INTERRUPTED, audit, batch_sizes, check, clean, init, schema, verify
from search.cli.confirm import confirm
from search.cli.end import ended
from search.cli.export import export
from search.cli.fetch import fetch
from search.cli.group import DefaultCommand, with_key
from search.cli.list import dashboard, list_command, show
from search.cli.log import log
from search.cli.options import (
    HELP,
    config_argument,
    count_option,
    place_options,
    results_option,
    run_or_address,
    running_options,
    set_option,
    storage_option,
)
from search.cli.paths import ConfigFile, require_current_folder
from search.cli.plan import plan
from search.cli.predict import predict
from search.cli.report import report
from search.cli.retrain import retrain
from search.cli.submit import submit
from search.cli.watched import TERMINATED, watched
from search.errors import SearchError
from search.run.signals import Terminated, leaving_on_sigterm
from search.screen.streams import standard_streams, start_again_if_needed
from search.screen.trace import kept_trace
from search.text import printable
from trainables.process.places import make_home_known


@click.group(cls=DefaultCommand, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="tune-search")
def cli() -> None:
    pass


@cli.command(short_help="Run or continue a search.")
@config_argument
@set_option
@storage_option
@place_options
@running_options
def search(
    config: str,
    overrides: tuple[str, ...],
    stored: tuple[str, ...],
    results: str,
    name: str | None,
    from_run: str | None,
    priors_from: str | None,
    plan_file: str | None,
    accept_new_data: bool,
    address: str | None,
    skip_bad_nodes: bool,
    local: bool,
    retry_failed: bool,
    plain: bool,
) -> None:
    """Run the search that CONFIG describes, or continue it if its folder exists.

    The folder is results/NAME, where NAME is `name:` in CONFIG unless --name is given.

    \b
    Examples:
      tune-search configs/seg.yaml
      tune-search configs/seg.yaml --set trial.batch_size=16
      tune-search configs/seg.yaml --set 'trial.optimizer.lr={loguniform: [1e-4, 1e-2]}'
      tune-search configs/wider.yaml --from-run results/seg
      tune-search configs/streets.yaml --priors-from results/seg
      tune-search configs/seg.yaml --storage s3://bucket/runs
      tune-search configs/seg.yaml --local
    """
    _say("reading the configuration")
    from search.config.stages import load_config
    from search.run.executors.choose import executor_for

    chosen = executor_for(address, local=local, skip_bad_nodes=skip_bad_nodes)
    with leaving_on_sigterm(), closing(chosen) as executor:
        try:
            loaded = load_config(
                config, stored + overrides, name=name, priors_from=priors_from, before_task=executor.begin
            )
            from search.run import search as searches

            folder = Path(results).absolute() / searches.run_name(name, loaded)
        except SearchError as error:
            _refuse(error)  # before a Ray that has begun is shut down, which takes a second

        def run(reporter: Any) -> Any:
            return searches.search(
                loaded,
                results=results,
                name=name,
                from_run=from_run,
                plan=plan_file,
                accept_new_data=accept_new_data,
                retry_failed=retry_failed,
                reporter=reporter,
                executor=executor,
            )

        watched(folder, run, plain=plain, local=local, flags=executor.flags)


@cli.command(short_help="Continue a search, also with larger limits.")
@run_or_address
@results_option
@count_option("--trials", "Total number of trials, including those so far.")
@count_option("--max-virtual-epochs", "Full length of a trial, in virtual epochs.")
@click.option(
    "--time",
    metavar="DURATION",
    help="Time limit of the whole search, including the time so far, such as 2h.",
)
@click.option(
    "--config",
    type=ConfigFile(),
    metavar="FILE",
    help="Continue with this configuration: its limits, and for new trials its points to evaluate, space, "
    "sampler and scheduler.",
)
@set_option
@running_options
def resume(
    run: str,
    results: str,
    trials: int | None,
    max_virtual_epochs: int | None,
    time: str | None,
    config: str | None,
    overrides: tuple[str, ...],
    accept_new_data: bool,
    address: str | None,
    skip_bad_nodes: bool,
    local: bool,
    retry_failed: bool,
    plain: bool,
) -> None:
    """Continue the search in the folder RUN, interrupted or complete.

    RUN may be the address of a run in a storage: it is fetched into DIR/NAME, and goes on there.

    Limits can be raised, and new trials can have points to evaluate, another space, sampler and scheduler
    (with --set or --config). Objective, task, data and virtual epoch cannot change. Trials that a limit cut
    short, or that completed a shorter full length, continue if they still have a checkpoint.

    \b
    Examples:
      tune-search resume results/seg
      tune-search resume results/seg --trials 50 --time 2h
      tune-search resume s3://bucket/runs/seg
      tune-search resume results/seg --set budget.full_trainings=20
      tune-search resume results/seg --retry-failed
      tune-search resume results/seg --trials 50 --set 'trial.model.width={choice: [16, 32, 64]}'
      tune-search resume results/seg --trials 50 --set 'sampler.points_to_evaluate=[{optimizer.lr: 1e-3}]'
    """
    from search.run.executors.choose import executor_for

    limits = {"trials": trials, "max_virtual_epochs": max_virtual_epochs, "time": time}
    grown = [f"budget.{name}={value}" for name, value in limits.items() if value is not None]

    def continue_run(reporter: Any) -> Any:
        from search.run.search import resume as run_resume

        changes = (*overrides, *grown)
        return run_resume(
            run,
            config=config,
            overrides=changes,
            results=results,
            accept_new_data=accept_new_data,
            retry_failed=retry_failed,
            reporter=reporter,
            executor=executor,
        )

    with leaving_on_sigterm():
        executor = executor_for(address, local=local, skip_bad_nodes=skip_bad_nodes)
        folder = Path(results) / run.rpartition("/")[2] if stored_run(run) else Path(run)
        watched(folder.absolute(), continue_run, plain=plain, local=local, flags=executor.flags)


def _say(text: str) -> None:
    """A line for whoever watches the terminal."""
    if sys.stderr.isatty():
        click.echo(text, err=True)


for each in (
    export,
    fetch,
    list_command,
    show,
    dashboard,
    log,
    confirm,
    init,
    check,
    plan,
    predict,
    report,
    retrain,
    submit,
    schema,
    verify,
    audit,
    batch_sizes,
    clean,
):
    cli.add_command(each)


def main(args: Sequence[str] | None = None) -> None:
    """Entry point. User errors are one line per problem; others are one line and a traceback in a file."""
    if args is None:
        start_again_if_needed()
    with ended(whole=args is None), standard_streams():
        _main(args)


def _main(args: Sequence[str] | None) -> None:
    make_home_known()
    try:
        require_current_folder()
        cli.main(args=args, prog_name="tune-search", standalone_mode=False)
    except click.ClickException as error:
        with_key(error).show()
        sys.exit(2)
    except (KeyboardInterrupt, click.Abort) as error:
        # Click converts any EOFError into Abort.
        if isinstance(error.__cause__, EOFError):
            _unexpected(error.__cause__)
        click.echo("interrupted", err=True)
        sys.exit(TERMINATED if isinstance(error.__cause__, Terminated) else INTERRUPTED)
    except SearchError as error:
        _refuse(error)
    except Exception as error:
        _unexpected(error)


def _refuse(error: SearchError) -> NoReturn:
    click.echo("\n".join(map(printable, str(error).split("\n"))), err=True)
    sys.exit(error.exit_code)


def _unexpected(error: Exception) -> NoReturn:
    from trainables.process.causes import cause_text  # which imports pydantic

    click.echo(cause_text(error, "the traceback"), err=True)
    click.echo(kept_trace(error), err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
