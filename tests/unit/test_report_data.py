"""What the report of a run says: the jobs, the trials as columns, what mattered, and how sure the best is."""

from __future__ import annotations

import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.samplers import RandomSampler
from PIL import Image
from records import trial
from reported_functions import SCRIPT, small_run

import search
from search.errors import SearchError
from search.reports.answer import answer_of
from search.reports.columns import columns
from search.reports.importance import BY_RANK, MIN_TRIALS, depths, importances
from search.reports.opened import OpenedRun, open_for_report
from search.reports.page import page_of
from search.reports.pictures import _embedded
from search.reports.sure import _lead, noise_of
from search.run.disk.folder import RunFolder
from search.study.reading import read_records
from search.study.study import SearchStudy

pytestmark = pytest.mark.usefixtures("no_fsync")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> search.Run:
    return small_run(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def opened(run: search.Run) -> OpenedRun:
    return open_for_report(RunFolder(run.folder))


# --- jobs


def test_every_job_of_a_search_has_its_times_in_order_and_one_at_a_time(run: search.Run) -> None:
    records = read_records(run.folder / "study.journal")
    jobs = sorted((job.began, job.heard_of) for record in records for job in record.jobs)
    promoted = sum(
        1 for entry in (run.folder / "study.journal").read_text().splitlines() if '"promoted"' in entry
    )
    assert len(jobs) == 30 + promoted > 30
    assert all(begin < end for begin, end in jobs)
    assert all(end <= later for (_, end), (later, _) in pairwise(jobs))


# --- columns


def test_the_columns_hold_every_trial_as_the_study_does(opened: OpenedRun, run: search.Run) -> None:
    found = columns(opened.stages[0], running=False)
    trials, table = found["trials"], run.trials
    assert trials["number"] == list(table.index)
    assert [rank or 0 for rank in trials["rank"]] == list(table["rank"].fillna(0))
    assert [len(values) for values in trials["values"]] == list(table["virtual_epochs"])
    known = [value for value in trials["value"] if value is not None]
    assert known == pytest.approx(list(table["value"].dropna()), rel=1e-5)
    assert len(known) == 28
    names = [each["name"] for each in found["parameters"]]
    assert names == ["lr", "kind", "kind.2.by", "idle"]
    assert [None if by is None else 2 for by in trials["params"][2]] == [
        kind if kind == 2 else None for kind in trials["params"][1]
    ]
    assert found["parameters"][1]["options"][0] == SCRIPT
    assert trials["params"][0] == pytest.approx(list(table["params_lr"]), rel=1e-5)


# --- what mattered


def test_what_decided_has_the_greatest_share_and_what_did_nothing_may_be_chance(opened: OpenedRun) -> None:
    stage = opened.stages[0]
    for depth in (BY_RANK, 1):
        found = importances(stage, depth)
        assert found is not None
        assert found.trials == 28  # two diverged
        assert found.of[0].name == "lr"
        assert found.of[0].matters
        assert not next(each for each in found.of if each.name == "idle").matters
        assert sum(each.share for each in found.of) == pytest.approx(1.0, abs=1e-3)
        assert all(each.low <= each.share <= each.high for each in found.of)


def test_the_same_study_gives_the_same_shares(opened: OpenedRun) -> None:
    assert importances(opened.stages[0], 1) == importances(opened.stages[0], 1)


def test_trials_are_compared_where_enough_have_come(opened: OpenedRun) -> None:
    stage = opened.stages[0]
    numbers = depths(stage)
    assert list(numbers) == [1, 3, 9]
    assert numbers[1] == 28
    assert numbers[9] < MIN_TRIALS
    assert importances(stage, 9) is None


# --- the answer


def test_the_answer_names_the_best_trial_its_lead_and_its_noise(opened: OpenedRun, run: search.Run) -> None:
    answer = answer_of(opened)
    assert run.best is not None
    assert float(answer.value) == pytest.approx(run.best.value, rel=1e-3)
    assert answer.what.startswith(f"loss of trial {run.best.trial}, virtual epoch 9 of 9, step 18")
    assert "It leads trial " in answer.sure[0]
    assert "vary by" in answer.sure[0]
    assert dict(answer.params)["kind"] in (SCRIPT, f"<b>{SCRIPT}", "2")
    cost = dict(answer.cost)
    spent = sum(run.trials["virtual_epochs"]) / 9
    assert cost["compute"] == f"that of {spent:.1f} full trainings"
    assert cost["trials"].startswith("30: 5 completed, 2 diverged, 23 stopped")


def test_a_lead_that_reports_vary_by_is_no_lead_and_equal_values_are_told(tmp_path: Path) -> None:
    stage = open_for_report(RunFolder(small_run(tmp_path, trials=3).folder)).stages[0]
    best, second = stage.ranked[:2]
    best.window = second.window = 1
    best.values, second.values = [0.5, 0.3, 0.4, 0.2, 0.3], [0.31, 0.21, 0.3]
    told = list(_lead(stage, best, second))
    assert told[0].startswith(f"It leads trial {second.number} by 0.01; ")
    assert told[0].endswith("so the two may as well be equal.")
    second.values = [0.2, 0.2, 0.2, 0.2]
    (told_equal,) = _lead(stage, best, second)
    assert told_equal.startswith(f"It leads trial {second.number} by 0; ")
    assert told_equal.endswith("equal.")
    second.values = [1.2, 0.9]
    (told_far,) = _lead(stage, best, second)
    assert not told_far.endswith("equal.")
    best.window = second.window = 3  # two reports have no mean of three: the trial is ranked by its best
    assert list(_lead(stage, best, second)) == []


def test_noise_is_without_the_trend_of_the_reports() -> None:
    assert noise_of(trial(0, 0.1, 0.2)) is None
    assert noise_of(trial(0, 0.5, 0.5, 0.5)) == 0.0
    rising = [0.1 * number for number in range(5)]
    assert noise_of(trial(0, *rising)) == pytest.approx(0.1 / 2**0.5)
    assert noise_of(trial(0, 1.0, 0.0, 1.0, 0.0, 1.0)) == pytest.approx(0.5**0.5)


def test_trials_of_other_data_and_diverged_ones_are_shown_and_not_compared(tmp_path: Path) -> None:
    stage = open_for_report(RunFolder(small_run(tmp_path, trials=12).folder)).stages[0]
    stage.records[3].of_other_data = True
    found = columns(stage, running=False)
    compared = found["trials"]["compared"]
    assert not compared[3]
    assert found["trials"]["other"][3]
    assert found["depths"][0] == [BY_RANK, sum(compared)]
    assert sum(compared) == sum(bool(record.values) for record in stage.records) - 1


def test_rungs_on_the_axis_of_steps_are_compared_where_they_are_reached(tmp_path: Path) -> None:
    scheduler = {"name": "asha", "axis": "steps", "grace_period": 3, "reduction_factor": 3}
    run = small_run(tmp_path, trials=12, scheduler=scheduler)
    found = columns(open_for_report(RunFolder(run.folder)).stages[0], running=False)
    assert found["rungs"] == [2, 5]  # virtual epochs of two steps: rungs of 3 and 9 steps
    assert [depth for depth, _ in found["depths"]] == [BY_RANK, 2, 5, 9]
    assert found["depth"] == BY_RANK


def test_an_absent_parameter_is_not_the_option_none(tmp_path: Path) -> None:
    kind = search.choice(["a", {"name": "b", "by": search.choice([None, 1])}])
    run = small_run(tmp_path, trials=9, space={"kind": kind})
    found = columns(open_for_report(RunFolder(run.folder)).stages[0], running=False)
    place = [each["name"] for each in found["parameters"]].index("kind.1.by")
    kinds = found["trials"]["params"][place - 1]
    assert [value is None for value in found["trials"]["params"][place]] == [each == 0 for each in kinds]


def test_a_search_that_went_on_after_its_end_and_was_killed_is_not_complete(tmp_path: Path) -> None:
    run = small_run(tmp_path, trials=3)
    journal = run.folder / "study.journal"
    space = open_for_report(RunFolder(run.folder)).stages[0].records[0].space
    SearchStudy(journal, name="fit", mode="min", space=space, sampler=lambda study: RandomSampler(0)).ask()
    opened = open_for_report(RunFolder(run.folder))
    assert answer_of(opened).state.startswith("interrupted: it went on after its end")
    assert "tune-search resume" in page_of(opened)


# --- the page


class _Texts(HTMLParser):
    """What a browser makes of a page: tags with their attributes, and the text in each script."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            self.scripts.append(data)


def test_texts_of_a_run_never_become_html_and_nothing_is_requested(opened: OpenedRun) -> None:
    page = page_of(opened)
    found = _Texts()
    found.feed(page)
    scripts = [attrs for tag, attrs in found.tags if tag == "script"]
    assert len(scripts) == 2  # the data, and what draws them
    assert "document.title" not in "".join(found.scripts[-1:])
    data = json.loads(found.scripts[0])
    assert SCRIPT in data["stages"][0]["parameters"][1]["options"]
    links = [attrs.get("href") or attrs.get("src") for _, attrs in found.tags]
    assert all(link.startswith(("#", "data:")) for link in links if link)
    assert "default-src 'none'" in page
    assert not re.search(r"https?://(?!www\.w3\.org)", page)


def test_a_finished_search_has_written_its_report_and_none_is_written_where_it_cannot_be(
    run: search.Run, tmp_path: Path
) -> None:
    assert (run.folder / "report.html").read_text().startswith("<!doctype html>")
    elsewhere = search.report(run.folder, out=tmp_path / "page.html")
    assert elsewhere == tmp_path / "page.html"
    with pytest.raises(SearchError, match="not the folder of a search"):
        search.report(tmp_path)


def test_a_search_without_a_value_has_a_page_that_says_so(tmp_path: Path) -> None:
    run = small_run(tmp_path, trials=3, space={"idle": search.uniform(0.95, 1.0)})
    page = (run.folder / "report.html").read_text()
    assert "no trial has a value" in page
    assert "diverged: " in page
    assert 'id="curves"' not in page


def test_the_stages_of_a_run_are_chosen_in_the_page(tmp_path: Path) -> None:
    stages = [
        {"name": "first", "trial": {"idle": 0.5}},
        {"name": "second", "trial": {"idle": {"uniform": [0.0, 0.5]}}},
    ]
    run = small_run(tmp_path, trials=3, stages=stages)
    page = (run.folder / "report.html").read_text()
    assert '<option value="1" selected>2-second</option>' in page
    found = _Texts()
    found.feed(page)
    data = json.loads(found.scripts[0])
    assert [stage["name"] for stage in data["stages"]] == ["1-first", "2-second"]
    assert data["shown"] == 1
    assert [each["name"] for each in data["stages"][1]["parameters"]] == ["idle"]


def test_several_objectives_have_a_front_and_no_single_best(tmp_path: Path) -> None:
    objectives = [{"metric": "loss", "mode": "min"}, {"metric": "distance", "mode": "min"}]
    run = small_run(tmp_path, trials=9, objective=None, objectives=objectives)
    answer = answer_of(open_for_report(RunFolder(run.folder)))
    assert answer.value == ""
    assert answer.front[0] == ["trial", "loss", "distance", "parameters"]
    assert [row[0] for row in answer.front[1:]] == [str(best.trial) for best in run.front]
    assert "The front" in (run.folder / "report.html").read_text()


def test_what_cannot_be_shown_leaves_the_rest_of_the_page(tmp_path: Path) -> None:
    run = small_run(tmp_path, trials=3)
    (run.folder / "summary.json").write_text("{}", encoding="utf-8")
    page = search.report(run.folder).read_text()
    assert "summary.json is damaged" in page
    with pytest.raises(SearchError, match="give another --out"):
        search.report(run.folder, out=tmp_path / "nowhere" / "page.html")


def test_a_large_picture_is_made_smaller_and_one_that_is_none_is_left_out() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (900, 900, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, format="PNG")
    source = _embedded(stream.getvalue())
    assert source is not None
    assert source.startswith("data:image/jpeg;base64,")
    assert len(source) < 170_000
    assert _embedded(b"no picture") is None
