"""What a race has come to, for summary.json, the last screen and notebooks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, Literal

from search.config.schema import Mode
from search.race.plan import SEED, RacePlan, run_loss
from search.race.race import Race
from search.race.statistics import RESAMPLES, chances, standard_deviation
from search.study.trial import TrialRecord, as_loss
from search.text import counted

METHOD = (
    "paired one-sided t-test against the leader after each round from the second on, "
    f"Bonferroni-corrected over candidates; chance by {RESAMPLES:,} bootstraps over paired seeds"
)

EXPORTED = "the run of median value"
"""Which of the winner's runs is exported; of an even number the worse of the two."""

RaceStatus = Literal["complete", "unfinished", "outdated"]
"""outdated: the search has other best trials, or another full length, since."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One candidate and its runs. One that failed or diverged counts as the worst, and is not in the mean."""

    trial: int
    """Its number in the search."""
    mean: float | None
    std: float | None
    """Of the sample; None with less than two values."""
    seeds: int
    """Number of seeds that it has run."""
    chance: float | None
    """Of being the best; None until the race is over, and of one that races alone."""
    left_after: int | None
    """The round after which it left the race; None for one that has not."""
    p: float | None
    """Of the test by which it left."""
    values: dict[str, float | None]
    """By seed; None for a run that failed or diverged."""
    broken: dict[str, str]
    """Why, by seed."""
    searched: float
    """Its value in the search, by which it was chosen."""
    virtual_epochs: int
    """How long it was trained for that."""
    params: dict[str, Any]
    measured: dict[str, float] = field(default_factory=dict)
    """What was measured of its model in the search for `limits`, by name: seconds, bytes and numbers."""


@dataclass(frozen=True, kw_only=True)
class Confirmed:
    """A race, the best candidate first."""

    status: RaceStatus
    top: int
    """Number of candidates that were asked for."""
    seeds: list[int]
    error: float
    virtual_epochs: int
    """Full length of a run."""
    steps: int
    """Optimizer steps of all runs."""
    winner: int | None
    """Its number in the search; None until the race is over, or if no candidate has a value."""
    run: int | None
    """Number of the winner's run of median value, which is exported."""
    seed: int | None
    """The seed of that run."""
    candidates: list[Standing]
    notes: list[str]
    """What a person should read."""
    method: str = METHOD

    @property
    def best(self) -> Standing | None:
        """The winner."""
        return self.candidates[0] if self.winner is not None else None

    def of_winner(self) -> dict[str, Any]:
        """What the race says of its winner, and which of its runs is exported."""
        best = self.best
        assert best is not None
        kept = ("mean", "std", "seeds", "chance", "values")
        found = {key: getattr(best, key) for key in kept} | {"rivals": len(self.candidates) - 1}
        return found | {"seed": self.seed, "which": EXPORTED}

    @classmethod
    def of(cls, written: Mapping[str, Any]) -> Confirmed:
        """From what summary.json holds."""
        return cls(**{**written, "candidates": [Standing(**each) for each in written["candidates"]]})


def confirmed_by(
    plan: RacePlan,
    records: Sequence[TrialRecord],
    mode: Mode,
    *,
    searched: Sequence[TrialRecord] = (),
    outdated: bool = False,
) -> Confirmed:
    """What these runs have come to.

    Args:
        records: of the race's study.
        searched: of the search's study, where the candidates' models were measured.
        outdated: the search has gone on since.
    """
    race, runs = plan.race(records, mode), plan.runs(records)
    order = _order(race)
    has_winner = race.is_over and any(map(math.isfinite, race.losses[race.leader]))
    # One that races alone is compared with nothing.
    compared = has_winner and len(order) > 1
    chance = chances(race.losses, race.leader) if compared else [None for _ in order]
    measured = {record.number: record.measured for record in searched}
    standings = [
        replace(standing, measured=dict(measured.get(standing.trial, {})))
        for standing in (_standing(plan, race, runs, c, mode, chance[c]) for c in order)
    ]
    chosen = _median_run(plan, runs, race.leader, mode) if has_winner else None
    return Confirmed(
        status="outdated" if outdated else "complete" if race.is_over else "unfinished",
        top=plan.top,
        seeds=list(plan.seeds),
        error=plan.error,
        virtual_epochs=plan.virtual_epochs,
        steps=sum(record.steps for record in records),
        winner=None if chosen is None else plan.candidates[race.leader].trial,
        run=None if chosen is None else chosen.number,
        seed=None if chosen is None else chosen.params[SEED],
        candidates=standings,
        notes=_notes(plan, standings),
    )


def _order(race: Race) -> list[int]:
    """Candidates, the leader first, those who left last before those who left first."""

    def key(candidate: int) -> tuple[float, int, float, int]:
        left, losses = race.exits.get(candidate), race.losses[candidate]
        whole = [loss for loss in losses if math.isfinite(loss)]
        stayed = -math.inf if left is None else -left.after
        return stayed, len(losses) - len(whole), fmean(whole) if whole else math.inf, candidate

    return sorted(range(len(race.losses)), key=key)


def _standing(
    plan: RacePlan,
    race: Race,
    runs: Mapping[tuple[int, int], TrialRecord],
    candidate: int,
    mode: Mode,
    chance: float | None,
) -> Standing:
    found, left = plan.candidates[candidate], race.exits.get(candidate)
    values, broken = dict[str, float | None](), dict[str, str]()
    for seed, loss in zip(plan.seeds, race.losses[candidate], strict=False):
        values[str(seed)] = as_loss(loss, mode) if math.isfinite(loss) else None
        if not math.isfinite(loss):
            record = runs[candidate, seed]
            broken[str(seed)] = f"{record.outcome}: {record.reason}"
    whole = [value for value in values.values() if value is not None]
    return Standing(
        trial=found.trial,
        mean=fmean(whole) if whole else None,
        std=standard_deviation(whole),
        seeds=len(values),
        chance=chance,
        left_after=None if left is None else left.after,
        p=None if left is None else left.p,
        values=values,
        broken=broken,
        searched=found.value,
        virtual_epochs=found.virtual_epochs,
        params=dict(found.params),
    )


def _median_run(
    plan: RacePlan, runs: Mapping[tuple[int, int], TrialRecord], candidate: int, mode: Mode
) -> TrialRecord:
    """The run of median value, of an even number the worse of the two: what a new seed should give.

    The best one would be chosen by the validation data that it is measured on.
    """
    found = []
    for seed in plan.seeds:
        record = runs[candidate, seed]
        loss = run_loss(record, mode)
        if math.isfinite(loss):
            found.append((loss, record.number, record))
    return sorted(found, key=lambda each: each[:2])[len(found) // 2][2]


def _notes(plan: RacePlan, standings: Sequence[Standing]) -> list[str]:
    notes = []
    if len(plan.candidates) < plan.top:
        number = counted(len(plan.candidates), "trial")
        notes.append(f"{number} of {plan.top} race: no other one has a value and values of its own")
    for standing in standings:
        whole = {value for value in standing.values.values() if value is not None}
        if len(whole) == 1 and len(standing.values) - len(standing.broken) > 1:
            notes.append(
                f"trial {standing.trial} has the same value with every seed: does its training use "
                "trial.seed?"
            )
        notes += [f"trial {standing.trial} with seed {s} {why}" for s, why in standing.broken.items()]
    return notes
