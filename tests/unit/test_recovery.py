"""What a search that goes on does with the trials that nobody runs, told without writing anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from simulated_search import RULES, Simulation, config_of, cut_journal, num_lines, open_study

from search.run.coordinator import Coordinator
from search.run.recovery import recovery_of
from search.schedulers.build import build_scheduler
from search.study.study import JOURNAL
from search.study.trial import Outcome


def test_making_a_coordinator_and_asking_what_is_needed_write_nothing(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"}, **RULES["asha_stop"])
    Simulation(tmp_path / "whole", config, workers=2).run()
    for lines in range(6, num_lines(tmp_path / "whole"), 5):
        folder = cut_journal(tmp_path / "whole", tmp_path / str(lines), lines)
        scheduler = build_scheduler(config)
        study = open_study(folder, config, scheduler)
        before = (folder / JOURNAL).read_bytes()
        coordinator = Coordinator(study, scheduler, config, concurrency=2)
        [recovery_of(record, study, scheduler, config) for record in study.records]
        assert (folder / JOURNAL).read_bytes() == before
        coordinator.recover()


def test_no_job_is_given_before_the_study_is_recovered(tmp_path: Path) -> None:
    config = config_of(sampler={"name": "random"})
    study = open_study(tmp_path, config)
    coordinator = Coordinator(study, build_scheduler(config), config, concurrency=1)
    with pytest.raises(AssertionError, match="recover"):
        coordinator.next_job()


def test_recover_does_what_was_told_of_each_trial(tmp_path: Path) -> None:
    """The process died after the report at a rung, and before the trial was stopped there."""
    config = config_of(sampler={"name": "random"}, **RULES["asha_stop"])
    Simulation(tmp_path / "whole", config, lambda record, v: -float(record.number)).run()
    lines = (tmp_path / "whole" / JOURNAL).read_text().splitlines()
    first_end = next(n for n, line in enumerate(lines) if '"op_code": 6' in line or '"op_code":6' in line)
    ended = 0
    for number in range(first_end - 2, len(lines)):
        folder = cut_journal(tmp_path / "whole", tmp_path / str(number), number)
        scheduler = build_scheduler(config)
        study = open_study(folder, config, scheduler)
        told = {record.number: recovery_of(record, study, scheduler, config) for record in study.records}
        coordinator = Coordinator(study, scheduler, config, concurrency=1)
        coordinator.recover()
        for record in study.records:
            if told[record.number].ended is not None:
                assert (record.outcome, record.reason) == told[record.number].ended
                ended += record.outcome is Outcome.STOPPED
        runs = {number for number, recovery in told.items() if recovery.runs}
        assert coordinator.going_on() == runs
    assert ended > 0
