"""Simulated searches that end and continue, and what must be the same of two of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from optuna.storages.journal._storage import JournalOperation
from simulated_search import (
    SPACE,
    Simulation,
    config_of,
    cut_journal,
    num_lines,
    outcomes,
)

from search.config.config import Config
from search.study.reading import read_records
from search.study.study import JOURNAL
from search.study.trial import TrialRecord
from trainables.data.virtual_epoch import VirtualEpochs

RANDOM = {"name": "random", "seed": 1}


LENGTHS = VirtualEpochs(unit="steps", count=5, step_samples=16, epoch_samples=1200)


def asking(trials: int = 9, virtual_epochs: int = 9, **sections: Any) -> Config:
    budget = {"trials": trials, "max_virtual_epochs": virtual_epochs}
    return config_of(**{"space": SPACE, "sampler": RANDOM, "budget": budget} | sections)


def entries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]


def assert_told_once(folder: Path, records: Sequence[TrialRecord]) -> Counter[int]:
    """Each Optuna trial ended once, and goes on from where the one before it stood; no virtual epoch twice.

    Returns:
        How many Optuna trials there are for each of ours.
    """
    told: list[dict[int, float]] = []
    ended: list[int] = []
    newest: dict[int, int] = {}
    begun: Counter[int] = Counter()
    for entry in entries(folder):
        if entry["op_code"] == JournalOperation.CREATE_TRIAL:
            number = entry["user_attrs"]["trial"]
            carried = {int(step): value for step, value in entry["intermediate_values"].items()}
            assert carried == (told[newest[number]] if number in newest else {})
            assert entry["user_attrs"].get("continues") == newest.get(number)
            newest[number] = len(told)
            begun[number] += 1
            told.append(carried)
        elif entry["op_code"] == JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE:
            assert entry["step"] == len(told[entry["trial_id"]]) + 1
            told[entry["trial_id"]][entry["step"]] = entry["intermediate_value"]
        elif entry["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES:
            ended.append(entry["trial_id"])
    assert sorted(ended) == list(range(len(told)))
    assert [list(told[newest[r.number]].values()) for r in records] == [r.values for r in records]
    assert [newest[r.number] for r in records] == [r.trial_id for r in records]
    return begun


def results(records: Sequence[TrialRecord]) -> list[tuple[Any, ...]]:
    """As `outcomes`, without the words about an end."""
    return [(r.number, r.resolved.params, r.values, r.outcome, r.steps) for r in records]


def assert_alike_when_killed(folder: Path, before: int, config: Config, stride: int, **options: Any) -> None:
    """A search that was gone on with after so many lines comes to the same if it is killed from there on."""
    reference = outcomes(read_records(folder / JOURNAL))
    for lines in range(before, num_lines(folder), stride):
        cut = cut_journal(folder, folder.with_name(f"cut{lines}"), lines)
        records = Simulation(cut, config, **options).run().records
        assert outcomes(records) == reference, f"killed after write {lines}"
        assert_told_once(cut, records)
