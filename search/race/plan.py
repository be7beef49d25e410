"""Who races over which seeds: chosen from a search, and recorded in the race's folder."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from search.config.document import read_values, write_yaml, yaml_text
from search.config.schema import Confirm, Mode
from search.errors import ConfigError, RefusedError, SearchError
from search.race.race import Race, race_of
from search.space.parse import parse_space
from search.space.space import Space
from search.study.trial import BROKEN_OFF, Outcome, TrialRecord, as_loss, ranked

SEED = "seed"
"""The option of a trial that initial weights, the order of the data and augmentation come from."""
_LARGEST_SEED = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A configuration that races, as the search found it."""

    trial: int
    """Its number in the search."""
    value: float
    virtual_epochs: int
    """How long it was trained in the search."""
    params: Mapping[str, Any]
    options: Mapping[str, Any]
    """All options but the seed."""

    @cached_property
    def space(self) -> Space:
        """What its runs are drawn from: its options with any seed."""
        return parse_space({**self.options, SEED: {"randint": [0, _LARGEST_SEED]}})


@dataclass(frozen=True, kw_only=True)
class RacePlan:
    """What race.yaml holds."""

    top: int
    """Number of candidates that were asked for."""
    seeds: tuple[int, ...]
    error: float
    virtual_epochs: int
    """Full length of a run."""
    candidates: tuple[Candidate, ...]
    configured: Confirm | None = None
    """The section `confirm` of the search when the race was last planned."""
    lost: tuple[int, ...] = ()
    """Numbers of runs that count no longer, as their checkpoints were removed: an export may need them."""

    def is_that_of(self, other: RacePlan) -> bool:
        """Whether the same configurations race at the same length."""
        mine, others = (
            yaml_text({"all": [dict(each.options) for each in plan.candidates], "of": plan.virtual_epochs})
            for plan in (self, other)
        )
        return mine == others

    def write(self, file: Path) -> None:
        """Write it as YAML, which reads back identically."""
        plain = asdict(self)
        configured = None if self.configured is None else self.configured.model_dump(mode="json")
        lists = {name: list(plain[name]) for name in ("seeds", "candidates", "lost")}
        write_yaml(file, {**plain, **lists, "configured": configured})

    def left_out_by(self, other: RacePlan) -> list[int]:
        """Which of these candidates do not race by the other plan, by their numbers in the search."""
        there = [each.options for each in other.candidates]
        return [each.trial for each in self.candidates if each.options not in there]

    def runs(self, records: Iterable[TrialRecord]) -> dict[tuple[int, int], TrialRecord]:
        """By candidate and seed, the last run of full length that has ended, however it did.

        A study may hold runs of former candidates, of a shorter full length, or of other data.
        """
        found = {}
        for record in records:
            candidate = self.candidate_of(record)
            if candidate >= 0 and record.number not in self.lost and self._has_ended(record):
                found[candidate, record.params[SEED]] = record
        return found

    def candidate_of(self, record: TrialRecord) -> int:
        """Whose run it is; -1 for that of a former candidate."""
        sources = (candidate.space.source for candidate in self.candidates)
        return next((place for place, source in enumerate(sources) if source == record.space.source), -1)

    def race(self, records: Iterable[TrialRecord], mode: Mode) -> Race:
        """The state of the race after these runs."""
        losses = {key: run_loss(record, mode) for key, record in self.runs(records).items()}
        return race_of(len(self.candidates), self.seeds, losses, error=self.error)

    def _has_ended(self, record: TrialRecord) -> bool:
        if record.outcome is None or record.of_other_data or record.stopped_by_budget:
            return False
        return record.outcome is not Outcome.COMPLETED or record.depth >= self.virtual_epochs


def run_loss(record: TrialRecord, mode: Mode) -> float:
    """The value of a run as a number to minimize; infinity if it failed or diverged."""
    value = None if record.outcome in BROKEN_OFF else record.value(mode)
    return math.inf if value is None else as_loss(value, mode)


def read_plan(file: Path) -> RacePlan | None:
    """The recorded plan; None if there is none.

    Raises:
        SearchError: the file is damaged.
    """
    if not file.is_file():
        return None
    try:
        tree = read_values(file)
        candidates = tuple(Candidate(**candidate) for candidate in tree["candidates"])
        given = tree.get("configured")
        configured = None if given is None else Confirm.model_validate(given)
        read = {"seeds": tuple(tree["seeds"]), "candidates": candidates, "configured": configured}
        return RacePlan(**{**tree, **read, "lost": tuple(tree.get("lost", ()))})
    except (ConfigError, KeyError, TypeError, ValueError) as error:
        raise SearchError(
            f"{file} is damaged ({error}); remove it, and the race is planned again: its runs are kept"
        ) from error


def default_race(before: RacePlan | None, configured: Confirm | None) -> Confirm:
    """How many trials race over how many seeds, where no command says it: as the race has begun.

    A section `confirm` that is not the one of then says it anew.
    """
    if before is None or configured not in (None, before.configured):
        return configured or Confirm()
    return Confirm(top=before.top, seeds=len(before.seeds), error=before.error)


def plan_race(
    asked: Confirm,
    records: Sequence[TrialRecord],
    *,
    mode: Mode,
    virtual_epochs: int,
    before: RacePlan | None = None,
    configured: Confirm | None = None,
) -> RacePlan:
    """The best trials of a search, and the seeds that they race over.

    Trials that differ in nothing but the seed are one candidate. None of the seeds is one that a candidate
    was found with, as it was chosen for what that gave: from 1 upwards, those are left out. A race that has
    begun keeps its seeds, and may get more.

    Raises:
        SearchError: no trial on the data of now has a value.
    """
    candidates: list[Candidate] = []
    taken: set[int] = set()
    for record in ranked(records, mode):
        options, value = record.resolved.options, record.value(mode)
        others = {key: item for key, item in options.items() if key != SEED}
        if record.of_other_data or value is None:
            continue
        is_new = all(others != candidate.options for candidate in candidates)
        if is_new and len(candidates) == asked.top:
            break
        taken.add(options.get(SEED, 0))
        if is_new:
            params = {key: item for key, item in record.params.items() if key != SEED}
            candidates.append(
                Candidate(
                    trial=record.number,
                    value=value,
                    virtual_epochs=record.depth,
                    params=params,
                    options=others,
                )
            )
    if not candidates:
        raise RefusedError("no trial on the data of now has a value; there is nothing to confirm")
    return RacePlan(
        top=asked.top,
        seeds=_seeds(asked.seeds, taken, before),
        error=asked.error,
        virtual_epochs=virtual_epochs,
        candidates=tuple(candidates),
        configured=configured,
    )


def _seeds(number: int, taken: set[int], before: RacePlan | None) -> tuple[int, ...]:
    kept = [] if before is None else [seed for seed in before.seeds if seed not in taken]
    more = (seed for seed in itertools.count(1) if seed not in taken and seed not in kept)
    return (*kept, *itertools.islice(more, max(0, number - len(kept))))
