"""The fidelity audit: which trials are let through, what they change, and what is read from them."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from records import NewIndexes, promote, trial
from simulated_search import Simulation, config_of, cut_journal, num_lines, outcomes

from search.cli.main import cli
from search.commands.audit import audit as run_audit
from search.config.document import write_yaml
from search.config.schema import Asha, Sampler
from search.errors import ConfigError
from search.fidelity.audit import audit, read_audit, spearman
from search.fidelity.draw import is_audited
from search.run.disk.folder import RunFolder, write_json
from search.run.outcome.summary import Summary, summarize
from search.run.outcome.summary_file import read_summary
from search.samplers.view import HalvingScores
from search.schedulers.asha import ASHA
from search.schedulers.base import Decision, Rungs
from search.schedulers.rung_table import RungTable
from search.screen.texts.audit import audit_lines
from search.screen.texts.summary import summary_text
from search.study.reading import read_records
from search.study.study import JOURNAL, SearchStudy
from search.study.trial import Outcome, TrialRecord

pytestmark = pytest.mark.usefixtures("no_fsync")

RUNGS = Rungs(1, 3)


def config(audit: int = 0, trials: int = 9, length: int = 9, **sections: Any) -> Any:
    scheduler = {"name": "asha", "audit": audit, **sections.pop("scheduler", {})}
    budget = {"trials": trials, "max_virtual_epochs": length}
    return config_of(sampler={"name": "random"}, scheduler=scheduler, budget=budget, **sections)


@functools.cache
def plain() -> Any:
    """Nine trials of nine virtual epochs, without an audit."""
    return config()


def crossing(record: TrialRecord, virtual_epoch: int) -> float:
    """Late values are in the opposite order of the first."""
    number = record.number / 100
    return 0.5 - number if virtual_epoch < 3 else 0.6 + number


# --- reading the rungs


def full(number: int, at_1: float, at_3: float, at_9: float, **fields: Any) -> TrialRecord:
    """A trial of nine virtual epochs whose best is reached just at the rungs."""
    values = [at_1, at_1, at_3, at_3, at_3, at_3, at_3, at_3, at_9]
    return trial(number, *values, outcome=Outcome.COMPLETED, **fields)


FIRST = [0.10, 0.20, 0.30, 0.40, 0.50]
"""After one virtual epoch, of five trials."""
MIDDLE = [0.60, 0.62, 0.64, 0.63, 0.66]
LATE = [0.75, 0.74, 0.73, 0.72, 0.71]
FIVE = [full(number, *values) for number, values in enumerate(zip(FIRST, MIDDLE, LATE, strict=True))]


def test_spearmans_correlation_is_that_of_ranks_shared_by_equal_values() -> None:
    from scipy.stats import spearmanr

    one, other = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0], [2.0, 7.0, 1.0, 8.0, 2.0, 8.0]
    assert spearman(one, other) == pytest.approx(spearmanr(one, other).statistic, abs=1e-4)
    assert spearman(FIRST, LATE) == -1.0
    assert spearman([1.0] * 5, LATE) is None
    assert spearman(FIRST[:4], LATE[:4]) is None


def test_each_rung_is_compared_with_full_length_among_those_that_reached_both() -> None:
    paused = [trial(5, 0.9), trial(6, 0.1, 0.1, 0.2)]
    diverged = full(7, 0.0, 0.0, 0.0)
    diverged.outcome = Outcome.DIVERGED
    elsewhere = full(8, 0.0, 0.0, 0.0, of_other_data=True)
    found = audit([*FIVE, *paused, diverged, elsewhere], RUNGS, plain())
    assert found is not None
    assert [(rung.rung, rung.trials, rung.correlation) for rung in found.rungs] == [
        (1, 5, -1.0),
        (3, 5, -0.9),
    ]
    assert found.survivors_only


def test_a_search_of_losses_is_compared_alike() -> None:
    losses = [
        full(n, *(1 - v for v in values)) for n, values in enumerate(zip(FIRST, MIDDLE, LATE, strict=True))
    ]
    least = config(objective={"metric": "valid_loss", "mode": "min"})
    found, same = audit(losses, RUNGS, least), audit(FIVE, RUNGS, plain())
    assert found is not None
    assert same is not None
    assert found.rungs == same.rungs


def test_fewer_than_five_trials_are_too_few() -> None:
    found = audit([*FIVE[:4], trial(5, 0.9)], RUNGS, plain())
    assert found is not None
    assert [(rung.trials, rung.correlation) for rung in found.rungs] == [(4, None), (4, None)]
    assert "too few trials (4 of full length; 5 with" in found.grace_period
    assert audit_lines(found) == []
    assert "  after 1 virtual epoch: too few (4 trials)" in audit_lines(found, always=True)


def test_a_search_without_rungs_below_full_length_has_no_audit() -> None:
    assert audit([trial(0, 0.5)], RUNGS, config(length=1)) is None
    assert audit([], RUNGS, plain()) is None


def test_what_stopping_would_have_cost_is_known_of_audited_trials() -> None:
    # Trials 0 and 1 are the worst after one virtual epoch, and the best in the end.
    records = [
        full(0, 0.1, 0.2, 0.95, audited=True),
        full(1, 0.2, 0.9, 0.91, audited=True),
        full(2, 0.6, 0.7, 0.8),
        *(trial(number, number / 10) for number in range(3, 6)),
    ]
    found = audit(records, RUNGS, config(audit=2))
    assert found is not None
    first, second = found.rungs
    assert (first.audited, first.stopped) == (2, 2)
    assert first.lost == pytest.approx(0.95 - 0.8)
    # After three virtual epochs trial 1 is the best of three and goes on.
    assert second.stopped == 1
    assert second.lost == pytest.approx(0.95 - 0.91)
    assert audit_lines(found)[2] == (
        "  after 1 virtual epoch: too few (3 trials); too few (2 audited trials); "
        "stopping 2 of the audited here would have lost 0.15"
    )


def advice(first: list[float], middle: list[float], **fields: Any) -> tuple[str, str]:
    late = [0.91, 0.92, 0.93, 0.94, 0.95]
    values = zip(first, middle, late, strict=True)
    records = [full(number, *three, **fields) for number, three in enumerate(values)]
    found = audit([*records, trial(9, 0.0)], RUNGS, plain())
    assert found is not None
    return found.grace_period, found.virtual_epoch


def test_the_advice_follows_from_the_correlations() -> None:
    rising, falling = [0.1, 0.2, 0.3, 0.4, 0.5], [0.5, 0.4, 0.3, 0.2, 0.1]
    mixed = [0.1, 0.3, 0.2, 0.5, 0.4]  # 0.8
    assert advice(mixed, rising) == (
        "1 can stay, as ranks there agree with those at full length (0.80 of 5 trials)",
        "5 steps can stay, as nothing measured here speaks against them",
    )
    grace_period, virtual_epoch = advice(rising, rising)
    assert grace_period.startswith("1 can stay")
    assert virtual_epoch.startswith(
        "less than 5 steps would tell trials apart earlier, as ranks after the first"
    )
    higher = [0.6, 0.7, 0.8, 0.85, 0.9]
    grace_period, virtual_epoch = advice(falling, higher)
    assert grace_period.startswith(
        "3 is better than 1, as ranks at 1 say little of those at full length (-1.00 of 5"
    )
    assert grace_period.endswith("set scheduler.audit to be sure")
    assert virtual_epoch.startswith("15 steps in the place of 5 would do, as values before virtual epoch 3")
    audited = advice(falling, higher, audited=True)[0]
    assert audited.endswith("those at 3 do (1.00 of 5 audited trials)")
    nowhere = advice(falling, [0.9, 0.8, 0.7, 0.65, 0.6], audited=True)[0]
    assert nowhere.startswith("more than 3, or scheduler none, as ranks at no rung say much")


def test_where_nothing_stops_at_a_rung_the_advice_is_for_a_scheduler_that_would() -> None:
    values = [0.1, 0.2, 0.3, 0.4, 0.5]
    records = [full(number, value, value, value) for number, value in enumerate(values)]
    found = audit(records, RUNGS, config(scheduler={"name": "none"}))
    assert found is not None
    assert found.grace_period.startswith("nothing stops at a rung here; of asha, 1 would do, as ranks there")


# --- letting trials through


def chosen(records: int, seed: int = 0, audit: int = 5, trials: int = 20) -> list[int]:
    sampler, scheduler = Sampler(seed=seed), Asha(audit=audit)
    options = plain().model_copy(update={"sampler": sampler, "scheduler": scheduler})
    found: list[TrialRecord] = []
    for number in range(records):
        found.append(trial(number, audited=is_audited(found, options, trials)))
    return [record.number for record in found if record.audited]


def test_as_many_trials_are_let_through_as_were_asked_for_and_any_may_be() -> None:
    sets = [chosen(20, seed) for seed in range(12)]
    assert {len(each) for each in sets} == {5}
    assert len(set(map(tuple, sets))) == 12
    assert {number for each in sets for number in each} > set(range(2, 18))
    assert chosen(3, audit=3, trials=3) == [0, 1, 2]
    assert chosen(20, audit=0) == []


def test_a_search_that_grows_lets_the_missing_ones_through() -> None:
    taken = chosen(20)
    before = [trial(number, audited=number in taken) for number in range(10)]
    options = plain().model_copy(update={"scheduler": Asha(audit=5)})
    while len(before) < 40:
        before.append(trial(len(before), audited=is_audited(before, options, 40)))
    assert sum(record.audited for record in before) == 5


def test_audited_trials_train_to_full_length_and_the_best_of_the_others_too(tmp_path: Path) -> None:
    search = Simulation(tmp_path, config(audit=3), crossing).run()
    audited = [record for record in search.records if record.audited]
    assert len(audited) == 3
    assert {(record.depth, record.outcome) for record in audited} == {(9, Outcome.COMPLETED)}
    earned = [r for r in search.records if not r.audited and r.outcome is Outcome.COMPLETED]
    assert len(earned) == 1
    assert len(search.records) == 9
    assert [r.audited for r in read_records(tmp_path / JOURNAL)] == [r.audited for r in search.records]


def test_the_others_are_promoted_as_if_the_audited_were_not_there(tmp_path: Path) -> None:
    rule = ASHA(RUNGS, "max", 9)
    others = [trial(0, 0.5), trial(1, 0.4), trial(2, 0.6)]
    let_through = [full(3, 0.9, 0.9, 0.9, audited=True), full(4, 0.1, 0.1, 0.1, audited=True)]
    assert promote(rule, *others, *let_through) == promote(rule, *others) == 2
    assert promote(rule, others[0], others[1], let_through[0]) is None
    # The end: one of full length is there, but not as the best.
    assert promote(rule, others[0], others[1], let_through[0], closing=True) == 0
    table = RungTable([*others, *let_through], RUNGS, "max")
    assert (table.num_rungs, table.num_ranked(1)) == (1, 3)


def test_samplers_see_audited_trials_as_they_stood_at_the_first_rung() -> None:
    late_bloomer = full(0, 0.1, 0.5, 0.99, audited=True)
    scores = HalvingScores([late_bloomer, trial(1, 0.2), trial(2, 0.3, 0.3, 0.3)], RUNGS, "max")
    assert [record.number for record, _ in scores()] == [0, 1, 2]


def test_a_trial_that_is_let_through_is_not_stopped_on_a_plateau(tmp_path: Path) -> None:
    asked = config(audit=2, trials=4, scheduler={"name": "none"}, plateau={"patience": 1})
    search = Simulation(tmp_path, asked, lambda record, _: 0.5).run()
    assert sorted(record.depth for record in search.records) == [2, 2, 9, 9]
    assert all(record.audited == (record.depth == 9) for record in search.records)


@pytest.mark.parametrize("name", ["asha", "asha_stop", "hyperband", "median"])
def test_an_audited_search_is_the_same_wherever_it_was_interrupted(tmp_path: Path, name: str) -> None:
    asked = config(audit=2, trials=5, length=3, scheduler={"name": name})
    whole = Simulation(tmp_path / "whole", asked, crossing).run()
    expected = [
        (*each, record.audited) for each, record in zip(outcomes(whole.records), whole.records, strict=True)
    ]
    assert sum(record.audited for record in whole.records) == 2
    for cut in range(4, num_lines(tmp_path / "whole"), 7):
        folder = cut_journal(tmp_path / "whole", tmp_path / f"cut-{cut}", cut)
        again = Simulation(folder, asked, crossing).run().records
        assert [(*each, r.audited) for each, r in zip(outcomes(again), again, strict=True)] == expected


def test_audited_trials_of_a_grown_search_go_on_as_such(tmp_path: Path) -> None:
    Simulation(tmp_path, config(audit=2, trials=5, length=3), crossing).run()
    longer = Simulation(tmp_path, config(audit=2, trials=5, length=9), crossing).run()
    assert [r.depth for r in longer.records if r.audited] == [9, 9]
    assert sum(record.audited for record in longer.records) == 2


def test_without_an_audit_nothing_is_written_of_it(tmp_path: Path) -> None:
    search = Simulation(tmp_path, config(), crossing).run()
    assert not any(record.audited for record in search.records)
    assert "audited" not in (tmp_path / JOURNAL).read_text(encoding="utf-8")


# --- configuration, summary, text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"audit": 3, "scheduler": {"name": "none"}},
            "received 3, but with scheduler none every trial is trained",
        ),
        (
            {"audit": 10},
            "received 10; must be at most budget.trials, which is 9, as these trials are among them",
        ),
        ({"audit": -1}, "received -1; must be at least 0"),
    ],
)
def test_an_audit_that_cannot_be_is_refused(options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"scheduler\.audit: {message}"):
        config(**options)


def test_the_audit_is_part_of_the_summary_and_of_the_last_screen(tmp_path: Path) -> None:
    asked = config(audit=5)
    search = Simulation(tmp_path, asked, crossing).run()
    found = audit(search.records, search.rule.rungs, asked)
    assert found is not None
    assert [(r.audited, r.audited_correlation) for r in found.rungs] == [(5, -1.0), (5, 1.0)]
    folder = RunFolder(tmp_path)
    bare = summarize(search.coordinator, folder, "accuracy", "complete", "all 9 trials are done")
    assert "audit" not in bare.as_dict()
    summary = Summary(**{**bare.__dict__, "audit": found})
    write_json(folder.summary, summary.as_dict())
    assert read_summary(folder).audit == found
    assert read_audit(json.loads(folder.summary.read_text(encoding="utf-8"))["audit"]) == found
    lines = summary_text(summary).splitlines()
    start = lines.index("fidelity: ranks at each rung against those at full length (Spearman's correlation)")
    assert lines[start + 1].startswith("  after 1 virtual epoch: ")
    assert lines[start + 2].startswith("  after 3 virtual epochs: ")
    assert lines[start + 3].startswith("  grace_period: 3 is better than 1, as ranks at 1 say little")
    assert lines[start + 4].startswith("  virtual epoch: 15 steps in the place of 5 would do")


def test_the_command_reads_a_search_that_is_running(tmp_path: Path) -> None:
    asked = config(audit=5)
    folder = RunFolder(tmp_path / "run")
    folder.create()
    write_yaml(folder.config, asked.raw)
    search = Simulation(folder.path, asked, crossing).run(max_reports=45)
    assert any(record.outcome is None for record in search.records)
    before = folder.journal.read_bytes()
    (found,) = run_audit(folder.path).values()
    assert found == audit(search.records, search.rule.rungs, asked)
    shown = CliRunner().invoke(cli, ["audit", str(folder.path)])
    assert shown.output.splitlines() == audit_lines(found, always=True)
    assert folder.journal.read_bytes() == before


def test_a_scheduler_decides_of_audited_trials_that_they_go_on() -> None:
    rule = ASHA(RUNGS, "max", 9)
    study: Any = NewIndexes()
    assert rule.decision(study, trial(0, 0.5, audited=True)) is Decision.GO_ON
    assert rule.decision(study, trial(0, 0.5)) is Decision.PAUSE


def test_a_study_without_the_mark_is_read(tmp_path: Path) -> None:
    Simulation(tmp_path, config(trials=2), crossing).run(max_reports=2)
    study = SearchStudy(tmp_path / JOURNAL, name="x", mode="max", space=config().space)
    assert [record.audited for record in study.records] == [False] * len(study.records)
