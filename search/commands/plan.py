"""Forecasts a search before it runs: a probe on this machine, then many simulated searches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from search.config.config import Config
from search.config.stages import SearchConfig, load_config
from search.errors import ConfigError, Problem
from search.forecast.buys import OTHER_BUDGETS, buys, range_of
from search.forecast.costs import Costs
from search.forecast.probe import probe
from search.race.cost import confirm_plan
from search.run.before.forecasted import Forecast, Range, StageForecast
from search.run.before.largest_batch import with_largest_batch
from search.run.before.priors import resolved_priors
from search.run.disk.folder import RunFolder
from search.run.executor import Executor
from search.run.executors.choose import executor_for
from search.schedulers.build import build_scheduler
from trainables.data.virtual_epoch import VirtualEpochs

PROBE_SECONDS = 60.0
SHORTEST_PROBE = 5.0


def plan(
    config: str | Path | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    priors_from: str | Path | None = None,
    probe_seconds: float = PROBE_SECONDS,
    address: str | None = None,
    local: bool = False,
    report: Callable[[str], None] = lambda text: None,
    executor: Executor | None = None,
) -> Forecast:
    """Forecast the wall time, the disk and the trials of a search, and what other budgets would buy.

    Random configurations of the space are trained for a few virtual epochs on the executor that the search
    will have. With what they took, the search is simulated many times by its own scheduler and budget.

    >>> search.plan("configs/seg.yaml").seconds.middle / 3600

    Args:
        config: a YAML file, or the same as Python values.
        overrides: values to set, such as `budget.trials=50`.
        probe_seconds: what training may take before the forecast; with stages, of all of them together.
        priors_from, address, local: see `search`.
        report: is given what is being done.
        executor: one that may have begun already, in the place of `address` and `local`.

    Raises:
        ConfigError: the configuration is wrong.
        SearchError: a trial needs more than this machine has, or nothing could be measured.
    """
    if probe_seconds < SHORTEST_PROBE:
        rule = f"received {probe_seconds:g}s; must be at least {SHORTEST_PROBE:g}s, as less measures nothing"
        raise ConfigError([Problem("--probe", "", rule)])
    with closing(executor or executor_for(address, local=local)) as executor:
        loaded = load_config(config, overrides, priors_from=priors_from, before_task=executor.begin)
        folder = RunFolder(Path("results").absolute() / loaded.name)
        search = resolved_priors(with_largest_batch(loaded, None, report), folder, report)
        if search.is_staged:
            _refuse_unfitting(search, executor, report)
        found: list[tuple[StageForecast, Costs, float]] = []
        for stage, left in zip(search.stages, range(len(search.stages), 0, -1), strict=True):
            share = max(SHORTEST_PROBE, (probe_seconds - sum(each[2] for each in found)) / left)
            found.append(_stage(stage.name, stage.configs[0], executor, share, report))
    return _joined(search, found)


def _refuse_unfitting(search: SearchConfig, executor: Executor, report: Callable[[str], None]) -> None:
    """See that trials of all stages find what they ask for, before those of the first are measured."""
    if executor.phase:
        report(executor.phase)
    executor.begin()
    executor.wait_until_ready()
    for config in (config for stage in search.stages for config in stage.configs):
        executor.check_fits(config)


def _stage(
    name: str, config: Config, executor: Executor, seconds: float, report: Callable[[str], None]
) -> tuple[StageForecast, Costs, float]:
    done = probe(config, executor, seconds=seconds, report=report)
    costs, concurrency = done.costs, done.concurrency
    report("simulating the search")
    bought = buys(config, costs, concurrency)
    others = [buys(config, costs, concurrency, factor=factor, seconds=3.0) for factor in OTHER_BUDGETS]
    lengths, memory = costs.trials[0].lengths, costs.memory
    means = [sum(cost.seconds) / len(cost.seconds) for cost in costs.trials]
    return (
        StageForecast(
            name=name,
            concurrency=concurrency,
            scheduler=_scheduler(config, lengths),
            configurations=len(costs.trials),
            broken_off=costs.broken_off,
            sampled=costs.sampled,
            over_limit=len(costs.over_limit),
            beyond=list(dict.fromkeys(each.reason for each in costs.over_limit)),
            virtual_epoch=range_of(means),
            checkpoint_bytes=max(cost.checkpoint_bytes for cost in costs.trials),
            trial_memory=None if memory is None else memory.process_bytes,
            machine_memory=None if memory is None else memory.machine_bytes,
            trial_gpu_memory=None if memory is None else memory.gpu_bytes,
            gpu_memory=None if memory is None else memory.gpu_total,
            bought=bought,
            others=[each for each in others if each.budget != bought.budget],
            notes=[
                *done.notes,
                *_note_of_sizes(executor.sizes_text(config), simulated=bool(costs.hosts)),
                *(f"a configuration failed: {cause}" for cause in costs.failures),
                *_note_of_front(config),
            ],
        ),
        costs,
        done.seconds,
    )


def _note_of_sizes(sizes: str, *, simulated: bool) -> Iterator[str]:
    """How many trials of each size run at once, and what of that is not simulated."""
    if not sizes:
        return
    at_once = f"trials differ in what they take; at once there are up to {sizes}"
    if simulated:
        yield (
            f"{at_once}: a large one was simulated to wait until others end, and in a search smaller ones "
            "make room before that"
        )
    else:
        yield f"{at_once}: all were simulated to be as small as the first, which alone was measured"


def _note_of_front(config: Config) -> Iterator[str]:
    """What is assumed where there are several objectives, whose front is not simulated."""
    if config.objectives:
        yield (
            "the front keeps its checkpoints, and how many trials it has at the end nobody knows: the disk "
            "is that of a front among the best checkpoint.keep_trials trials, which are "
            f"{config.checkpoint.keep_trials}"
        )


def _scheduler(config: Config, lengths: VirtualEpochs) -> str:
    """`asha, rungs at 1, 3, 9 virtual epochs of up to 27`."""
    asked, length = config.scheduler, config.budget.max_virtual_epochs
    if not hasattr(asked, "reduction_factor"):
        return f"{asked.name}, up to {length} virtual epochs"
    scheduler = build_scheduler(config)
    rungs = scheduler.rungs
    at = f"{rungs.describe(length, lengths, scheduler.first_bracket)} {rungs.axis.replace('_', ' ')}"
    return f"{asked.name}, rungs at {at}, up to {length} virtual epochs"


def _joined(search: SearchConfig, found: Sequence[tuple[StageForecast, Costs, float]]) -> Forecast:
    stages = [stage for stage, _, _ in found]
    last, costs, _ = found[-1]
    race = confirm_plan(search, costs.trials[0].lengths)
    return Forecast(
        name=search.name,
        config=search.raw,
        probe_seconds=round(sum(each for _, _, each in found), 1),
        seconds=_sum(stage.bought.seconds for stage in stages),
        trials=_sum(stage.bought.trials for stage in stages),
        disk_bytes=_sum(stage.bought.disk_bytes for stage in stages),
        stages=stages,
        race_seconds=race and race.virtual_epochs * last.virtual_epoch.high / last.concurrency,
    )


def _sum(ranges: Iterator[Range] | Any) -> Range:
    """Of searches one after another; as if all were short or long together, which is the wider range."""
    given = list(ranges)
    return Range(*(sum(getattr(each, at) for each in given) for at in ("low", "middle", "high")))
