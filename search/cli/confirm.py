"""The command that races the best trials of a search over seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from search.cli.options import (
    address_option,
    count_option,
    local_option,
    plain_option,
    retry_option,
    run_argument,
    skip_bad_option,
)
from search.cli.watched import watched
from search.run.signals import leaving_on_sigterm


@click.command(short_help="Race the best trials over seeds.")
@run_argument
@count_option("--top", "Number of best trials that race (default: as begun, or as configured, or 3).")
@click.option(
    "--seeds",
    type=click.IntRange(min=2, max=1000),
    metavar="N",
    help="Number of seeds, also more than so far (default: as begun, or as configured, or 5).",
)
@address_option
@skip_bad_option
@local_option
@retry_option
@plain_option
def confirm(
    run: str,
    top: int | None,
    seeds: int | None,
    address: str | None,
    skip_bad_nodes: bool,
    local: bool,
    retry_failed: bool,
    plain: bool,
) -> None:
    """Race the best trials of the complete search in RUN over new seeds, at full length.

    Each round trains every candidate with the same new trial.seed; from the second round on, one that is
    worse than the leader by a paired test leaves. The mean, the deviation and the chance of being the best
    are shown, and `export` takes the winner. The same command continues an interrupted race. `confirm:` in a
    configuration does the same after its search.

    \b
    Examples:
      tune-search confirm results/seg
      tune-search confirm results/seg --top 3 --seeds 5
      tune-search confirm results/seg --seeds 10
    """

    from search.run.executors.choose import executor_for

    def race(reporter: Any) -> Any:
        from search.commands.confirm import race as run_race

        return run_race(
            run,
            top=top,
            seeds=seeds,
            retry_failed=retry_failed,
            reporter=reporter,
            executor=executor,
        )

    with leaving_on_sigterm():
        executor = executor_for(address, local=local, skip_bad_nodes=skip_bad_nodes)
        watched(Path(run).absolute(), race, plain=plain, local=local, flags=executor.flags)
