"""The command that hands a search to SLURM."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from search.cli.options import (
    accept_option,
    config_argument,
    place_options,
    retry_option,
    set_option,
    skip_bad_option,
)
from search.cli.plan import Duration

_Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def _refused(name: str, why: str, *, is_flag: bool) -> _Decorator:
    """An option of a search that a job does not have."""

    def refuse(context: click.Context, option: click.Parameter, value: Any) -> None:
        if value:
            raise click.UsageError(f"{name} {why}", context)

    return click.option(name, hidden=True, is_flag=is_flag, expose_value=False, callback=refuse)


@click.command(short_help="Run a search as a job of SLURM.")
@config_argument
@click.option(
    "--slurm",
    default="",
    metavar="OPTIONS",
    help="Options of sbatch in one word, quoted: partition, nodes, GPUs, time limit.",
)
@set_option
@place_options
@skip_bad_option
@accept_option
@retry_option
@click.option(
    "--wind-down",
    type=Duration(),
    default="5m",
    show_default=True,
    metavar="TIME",
    help="Time before the limit at which the search is asked to end: longer than a virtual epoch.",
)
@click.option("--no-requeue", is_flag=True, help="End at the time limit for good.")
@click.option("--print", "only_print", is_flag=True, help="Print the batch script, and submit nothing.")
@_refused(
    "--address", "names a Ray that runs already, and a job has one of its own; leave it out", is_flag=False
)
@_refused("--local", "is for a debugger, which a job does not have; leave it out", is_flag=True)
@_refused("--plain", "is so in a job: its output is a file; leave it out", is_flag=True)
def submit(
    config: str,
    slurm: str,
    overrides: tuple[str, ...],
    results: str,
    name: str | None,
    from_run: str | None,
    priors_from: str | None,
    plan_file: str | None,
    skip_bad_nodes: bool,
    accept_new_data: bool,
    retry_failed: bool,
    wind_down: float,
    no_requeue: bool,
    only_print: bool,
) -> None:
    """Run the search that CONFIG describes as a job of SLURM, which goes on until the search is complete.

    Before each time limit the running virtual epochs are finished and saved, and the job is requeued: its
    next start continues the search. On several nodes the job has a Ray cluster of its own. The script is in
    the run's folder, with its output; the environment that submits is the one that runs on the nodes.

    \b
    Examples:
      tune-search submit configs/seg.yaml --slurm "-p gpu --gres=gpu:4 -c 16 -t 4:00:00"
      tune-search submit configs/seg.yaml --slurm "-p gpu --nodes 2 --gres=gpu:4 -c 32 -t 1-0" --wind-down 20m
      tune-search submit configs/seg.yaml --slurm "-t 30" --print > seg.sbatch
    """
    from search.commands.submit import submit as run_submit
    from search.screen.texts.submit import submit_text

    submitted = run_submit(
        config,
        slurm=slurm,
        overrides=overrides,
        results=results,
        name=name,
        from_run=from_run,
        priors_from=priors_from,
        plan=plan_file,
        accept_new_data=accept_new_data,
        skip_bad_nodes=skip_bad_nodes,
        retry_failed=retry_failed,
        wind_down=wind_down,
        requeue=not no_requeue,
        only_print=only_print,
    )
    click.echo(submitted.script if only_print else submit_text(submitted), nl=not only_print)
