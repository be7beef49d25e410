"""What is measured of jobs, also of those that compute virtual epochs again."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import trial
from simulated_search import NONE, Simulation, config_of

from search.run.outcome.job_times import JobTimes
from search.study.times import Times

pytestmark = pytest.mark.usefixtures("no_fsync")


def test_the_start_of_a_job_is_kept_until_a_report_of_it_counts() -> None:
    clock = iter([0.0, 32.0, 34.0, 36.5])
    times = JobTimes(lambda: next(clock))
    record = trial(0, 0.1, 0.2, 0.3, 0.4, seconds=8.0)
    times.begin(0)
    times.repeat(record, 5.9)
    times.repeat(record, 7.7)
    # Its own clock is behind what the study holds, as virtual epochs took less when they were computed again.
    own, found = times.report(record, 9.9)
    assert own == pytest.approx(2.2)
    assert found == Times(ms=2200, squares=2200**2, timed=1, start_ms=30_300, starts=1)


def test_virtual_epochs_after_repeated_ones_count_with_their_own_time(tmp_path: Path) -> None:
    config = config_of(scheduler=NONE, budget={"trials": 1, "max_virtual_epochs": 6})
    options = {"pace": lambda number: 2.0, "starting": lambda number: 30.0}
    Simulation(tmp_path, config, **options).run(max_reports=4)
    again = Simulation(tmp_path, config, stale=2, **options).run()
    (record,) = again.records
    assert record.depth == 6
    assert (record.times.timed, record.times.ms) == (6, 12_000)
    assert (record.times.starts, record.times.start_ms) == (2, 60_000)
    assert again.coordinator.slowest == 2.0
