"""The command that races the best trials of a search over seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from search.cli_options import (
    address_option,
    count_option,
    local_option,
    plain_option,
    retry_option,
    run_argument,
)
from search.cli_watched import watched
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
@local_option
@retry_option
@plain_option
def confirm(
    run: str,
    top: int | None,
    seeds: int | None,
    address: str | None,
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

    def race(reporter: Any) -> Any:
        from search.commands.confirm import race as run_race

        return run_race(
            run,
            top=top,
            seeds=seeds,
            address=address,
            local=local,
            retry_failed=retry_failed,
            reporter=reporter,
        )

    with leaving_on_sigterm():
        watched(Path(run).absolute(), race, plain=plain, local=local, address=address)
