"""The command that forecasts a search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from search.cli.options import address_option, config_argument, local_option, priors_option, set_option
from search.cli.paths import NewFile


class Duration(click.ParamType[float]):
    """Seconds, written with a unit."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        from search.config.sections.quantities import parse_duration

        try:
            return float(parse_duration(value) or 0.0)
        except ValueError as error:
            self.fail(f"received {value!r}; {str(error).removesuffix(', or null for no limit')}", param, ctx)


@click.command(short_help="Forecast hours, disk and trials of a search.")
@config_argument
@set_option
@priors_option
@click.option(
    "--probe",
    "probe_seconds",
    type=Duration(),
    default="60s",
    show_default=True,
    metavar="TIME",
    help="Time that loading data and training random configurations may take before the forecast.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the forecast as JSON.")
@click.option(
    "--out",
    type=NewFile(),
    metavar="FILE",
    help="Write it into this file too, for `tune-search CONFIG --plan FILE`.",
)
@address_option
@local_option
def plan(
    config: str,
    overrides: tuple[str, ...],
    priors_from: str | None,
    probe_seconds: float,
    as_json: bool,
    out: str | None,
    address: str | None,
    local: bool,
) -> None:
    """Forecast the search that CONFIG describes: hours, disk, trials, and what other budgets would buy.

    Random configurations are trained for a few virtual epochs, as many at a time as the search will train.
    With what they took the search is simulated many times; shown are the median and what lies between 10 and
    90 % of them. Nothing is written but FILE.

    \b
    Examples:
      tune-search plan configs/seg.yaml
      tune-search plan configs/seg.yaml --set budget.full_trainings=20 --probe 3m
      tune-search plan configs/seg.yaml --out plan.json && tune-search configs/seg.yaml --plan plan.json
    """
    from tempfile import TemporaryDirectory

    from search.run.signals import leaving_on_sigterm
    from search.screen.aside import output_aside
    from search.screen.progress_bar import ProgressBar

    with (
        leaving_on_sigterm(),
        TemporaryDirectory(prefix="tune-search-plan-") as folder,
        output_aside(Path(folder) / "output.log") as shown,
        ProgressBar(shown, "reading the configuration" if shown.isatty() else None) as bar,
    ):
        from search.commands.plan import plan as run_plan

        found = run_plan(
            config,
            overrides=overrides,
            priors_from=priors_from,
            probe_seconds=probe_seconds,
            address=address,
            local=local,
            report=bar.phase,
        )
    from search.run.disk.folder import write_json
    from search.screen.texts.forecast import forecast_text

    if out is not None:
        write_json(Path(out), found.as_dict())
    if as_json:
        import json

        click.echo(json.dumps(found.as_dict(), indent=2))
    else:
        options = [word for override in overrides for word in ("--set", override)]
        options += ["--priors-from", priors_from] if priors_from is not None else []
        options += ["--plan", out] if out is not None else []
        options += ["--address", address] if address is not None else []
        click.echo(forecast_text(found, config=config, options=[*options, *(["--local"] if local else [])]))
