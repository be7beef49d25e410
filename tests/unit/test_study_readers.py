"""Reading a study from another thread while it is written."""

from __future__ import annotations

from pathlib import Path

from simulated_search import FLAT_SPACE, config_of, open_study

from trainables.data.virtual_epoch import VirtualEpochs

LENGTHS = VirtualEpochs(unit="samples", count=100, step_samples=16, epoch_samples=None)


def test_who_reads_a_running_study_finds_the_other_objectives_of_each_value(tmp_path: Path) -> None:
    """As the screen's thread does at any moment."""
    study = open_study(tmp_path, config_of(FLAT_SPACE, sampler={"name": "random"}))
    record, seen = study.ask(), []

    class Read(list[float]):
        def append(self, value: float) -> None:
            seen.append((len(record.others), study.last_sequence))
            super().append(value)

    record.values = Read()
    for number in (1, 2):
        study.report(record, 0.5, LENGTHS, seconds=float(number), others={"latency": 1.0})
    assert seen == [(1, 0), (2, 1)]
