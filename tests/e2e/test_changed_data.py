"""Data that change between two runs of a search, or while it runs: told, and trials set apart."""

from __future__ import annotations

import json
import re
import shlex
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from changing_data import images_config, keep_time, make_images
from in_process import ACCEPT, refused, resume_locally, search_locally
from programs import run as run_program
from recorder import Recorder
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import search
from search.errors import RefusedError, SearchError
from search.run.data.record import DataChangedError
from search.run.events import EventKind
from search.run.reporter import ProgressReporter
from search.screen.texts.export import export_text
from search.screen.texts.summary import check_text, summary_text
from search.study.reading import read_records
from search.study.trial import TrialRecord


class Notes(ProgressReporter):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    make_images(tmp_path / "data", 0, 16)
    return tmp_path / "data"


@pytest.fixture
def run(tmp_path: Path, data: Path) -> Path:
    """A search on 16 images that is complete."""
    return Path(search_locally(images_config(data), results=tmp_path / "results").folder)


def records(run: Path) -> list[TrialRecord]:
    return read_records(run / "study.journal")


def test_grown_data_are_refused_with_the_difference_before_anything_is_written(run: Path, data: Path) -> None:
    make_images(data, 16, 32)
    text = refused(run, overrides=["budget.trials=6"])
    assert "--accept-new-data --trials 6 --local\n" in text
    found = re.findall(
        r"(training|validation) (images|masks): (\d+) added \(.*\), (\d+) before and (\d+) now", text
    )
    assert {f"{part} {what}" for part, what, *_ in found} == {
        "training images", "training masks", "validation images", "validation masks",
    }  # fmt: skip
    counts = {(part, what): (int(before), int(now)) for part, what, _, before, now in found}
    assert counts["training", "images"] == (13, 26)
    assert counts["validation", "masks"] == (3, 6)


def test_the_command_that_a_refusal_prints_goes_on_with_new_trials_on_the_data(run: Path, data: Path) -> None:
    make_images(data, 16, 32)
    command = re.search(r"tune-search (resume .* --accept-new-data .*)", refused(run))
    assert command is not None
    done = run_program(*shlex.split(command[1]))
    assert done.returncode == 0, done.stdout + done.stderr
    found = records(run)
    assert [record.of_other_data for record in found] == [True] * 3 + [False] * 3
    assert all(record.values for record in found)


def test_trials_of_before_are_neither_promoted_nor_the_best(run: Path, data: Path) -> None:
    before = records(run)
    make_images(data, 16, 32)
    recorder = Recorder()
    summary = resume_locally(run, overrides=["budget.trials=6"], reporter=recorder, **ACCEPT)
    assert {event.record.number for event in recorder.events} == {3, 4, 5}
    assert [record.values for record in records(run)[:3]] == [record.values for record in before]
    assert summary.best is not None
    assert summary.best.trial >= 3
    assert not summary.best.of_other_data
    assert summary.of_other_data == json.loads((run / "summary.json").read_text())["of_other_data"] == 3
    assert "6: " in summary_text(summary)
    assert "3 of them on other data" in summary_text(summary)
    # The longest of the current ones is trained to its end, although one of before already was.
    assert EventKind.PROMOTED in recorder.kinds()
    assert resume_locally(run).trials == 6  # not asked again


def test_the_best_is_of_other_data_where_no_trial_of_these_has_a_value_and_says_so(
    run: Path, data: Path
) -> None:
    make_images(data, 16, 32)
    summary = resume_locally(run, **ACCEPT)
    assert summary.best is not None
    assert summary.best.of_other_data
    assert ", on other data than there are now" in summary_text(summary)


def test_tensorboard_says_which_trials_are_of_other_data(run: Path, data: Path) -> None:
    make_images(data, 16, 32)
    resume_locally(run, overrides=["budget.trials=4"], **ACCEPT)
    texts = []
    for number in range(4):
        events = EventAccumulator(str(run / "trials" / f"{number:04d}"))
        events.Reload()
        texts.append("data/text_summary" in events.Tags()["tensors"])
        assert events.Scalars("miou")
    assert texts == [True, True, True, False]


def test_a_trial_that_was_cut_off_ends_on_other_data_and_one_without_a_report_begins_on_them(
    tmp_path: Path, data: Path
) -> None:
    class Ending(Recorder):
        def event(self, event: Any) -> None:
            super().event(event)
            if event.kind is EventKind.STARTED and event.record.number == 1:
                self._coordinator.end("test")

    config = images_config(data, scheduler={"name": "none"})
    run = Path(search_locally(config, results=tmp_path, reporter=Ending()).folder)
    assert [len(record.values) for record in records(run)] == [3, 1]
    (run / "study.journal").write_bytes(_without_reports_of(run / "study.journal", 1))
    make_images(data, 16, 32)
    resume_locally(run, overrides=["budget.trials=2"], **ACCEPT)
    first, second = records(run)
    assert (first.of_other_data, second.of_other_data) == (True, False)
    assert second.lengths is not None
    assert second.lengths.epoch_samples == 26
    assert "damaged_000001" in {path.name for path in (run / "trials" / "0001").iterdir()}


def _without_reports_of(journal: Path, trial: int) -> bytes:
    """As if the search had been killed between a trial's checkpoint and its report."""
    lines = journal.read_bytes().splitlines(keepends=True)
    entries = [json.loads(line) for line in lines]
    return b"".join(
        line for line, entry in zip(lines, entries, strict=True) if entry.get("trial_id") != trial
    )


def test_a_paused_trial_ends_with_the_reason(tmp_path: Path, data: Path) -> None:
    class Ending(Recorder):
        def event(self, event: Any) -> None:
            super().event(event)
            if event.kind is EventKind.PAUSED and event.record.number == 1:
                self._coordinator.end("test")

    summary = search_locally(images_config(data), results=tmp_path, reporter=Ending())
    run = Path(summary.folder)
    make_images(data, 16, 32)
    resume_locally(run, **ACCEPT)
    reasons = {record.reason for record in records(run) if record.of_other_data}
    assert reasons >= {"the data have changed since: it cannot continue where it was"} or reasons


def test_data_that_are_put_back_are_told_and_their_trials_count_again(run: Path, data: Path) -> None:
    make_images(data, 16, 17)
    resume_locally(run, overrides=["budget.trials=4"], **ACCEPT)
    for folder in ("images", "masks"):
        (data / folder / "016.png").unlink()
    assert "removed (" in refused(run)
    resume_locally(run, **ACCEPT)
    assert [record.of_other_data for record in records(run)] == [False, False, False, True]


def test_a_mask_of_the_same_size_and_time_with_other_classes_is_a_change(run: Path, data: Path) -> None:
    mask = sorted((data / "masks").iterdir())[0]
    content = mask.read_bytes()
    keep_time(mask, content[:-20] + bytes(1) + content[-19:])
    assert re.search(r"masks: 1 changed \(masks/000.png\)", refused(run))


def test_files_that_were_written_anew_with_the_same_contents_are_no_change(run: Path, data: Path) -> None:
    for file in data.rglob("*.png"):
        file.write_bytes(file.read_bytes())
    notes = Notes()
    assert resume_locally(run, reporter=notes).status == "complete"
    assert notes.lines == []


def test_a_folder_that_has_moved_is_no_change(run: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA", str(data))
    config = images_config(data, data={"root": "${env:DATA}"}, name="moving")
    moving = search_locally(config, results=run.parent).folder
    data.rename(data.with_name("elsewhere"))
    monkeypatch.setenv("DATA", str(data.with_name("elsewhere")))
    assert resume_locally(moving).status == "complete"


def test_removed_and_moved_images_are_named(run: Path, data: Path) -> None:
    for folder in ("images", "masks"):
        (data / folder / "001.png").unlink()
        (data / folder / "002.png").unlink()
    assert re.search(r"images: 2 removed \(images/001.png, images/002.png\)", refused(run))


def test_images_that_move_between_the_parts_when_others_are_added_are_told(run: Path, data: Path) -> None:
    """Names with the smallest hashes are for validation: added ones take the place of others."""
    smallest = sorted(range(100, 999), key=lambda number: sha256(f"0/{number}".encode()).digest())[:3]
    for number in smallest:
        make_images(data, number, number + 1)
    text = refused(run)
    line = r"validation images: 3 added .*, 2 moved to the training images \(images/0\d\d.png,"
    assert re.search(line, text)
    assert "training images: " not in text.replace("the training images", "")


def test_a_run_made_before_fingerprints_says_one_line(run: Path, data: Path) -> None:
    (run / "data.fingerprint").unlink()
    journal = (run / "study.journal").read_text().splitlines(keepends=True)
    (run / "study.journal").write_text("".join(line for line in journal if '"user_attr":{"data"' not in line))
    make_images(data, 16, 32)
    notes = Notes()
    resume_locally(run, reporter=notes)
    assert notes.lines == [
        "what the data were before is not recorded in this run; they are compared from now on"
    ]
    assert not any(record.of_other_data for record in records(run))
    make_images(data, 32, 33)
    refused(run)


def test_the_old_best_is_exported_with_its_own_preprocessing_and_is_not_evaluated(
    run: Path, data: Path, tmp_path: Path
) -> None:
    evaluated = search.export(run, out=tmp_path / "before")
    make_images(data, 16, 32)
    with pytest.raises(RefusedError, match=r"a graph is validated .*: put back the data as they were"):
        search.export(run, trial=evaluated.trial, out=tmp_path / "graph", formats=["pt2"])
    assert not (tmp_path / "graph").exists()
    for out in ("changed", "accepted"):
        exported = search.export(run, trial=evaluated.trial, out=tmp_path / out)
        assert exported.value == evaluated.value
        assert "training images: 13 added" in exported.other_data[0]
        assert "not evaluated, as the data have changed" in export_text(exported)
        for name in ("preprocessing.json", "model.safetensors", "data.fingerprint"):
            assert (tmp_path / out / name).read_bytes() == (tmp_path / "before" / name).read_bytes(), name
        assert "not_evaluated" in json.loads((tmp_path / out / "metrics.json").read_text())
        resume_locally(run, overrides=["budget.trials=4"], **ACCEPT)
    new = search.export(run, out=tmp_path / "new")
    assert (new.trial, new.other_data) == (3, ())
    assert "not_evaluated" not in json.loads((tmp_path / "new" / "metrics.json").read_text())


def test_a_run_without_fingerprints_whose_data_grew_says_why_it_cannot_be_exported(
    run: Path, data: Path
) -> None:
    (run / "data.fingerprint").unlink()
    make_images(data, 16, 32)
    with pytest.raises(SearchError, match=r"was trained on other data than there are now .*13, 26"):
        search.export(run)


def test_retraining_on_other_data_is_refused_unless_accepted(run: Path, data: Path, tmp_path: Path) -> None:
    exported = search.export(run).folder
    search.retrain(exported, virtual_epochs=1, out=tmp_path / "old")
    make_images(data, 16, 32)
    with pytest.raises(DataChangedError, match=r"13 added(.*\n){5}  tune-search retrain .*--accept-new-data"):
        search.retrain(exported, virtual_epochs=1, out=tmp_path / "new")
    done = search.retrain(exported, virtual_epochs=1, out=tmp_path / "new", accept_new_data=True)
    assert done.export is not None
    with pytest.raises(DataChangedError, match="holds a retraining on other data"):
        search.retrain(exported, virtual_epochs=2, out=tmp_path / "old", accept_new_data=True)


def test_check_says_that_the_data_of_a_run_have_changed(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.parents[1])
    assert search.check(images_config(data)).data_changes == ()
    make_images(data, 16, 32)
    text = check_text(search.check(images_config(data)))
    assert "the data have changed since results/run was last run\n  training images: 13 added" in text


def test_batch_sizes_are_not_compared_on_other_data(tmp_path: Path, data: Path) -> None:
    config = images_config(data, objective={"metric": "train_loss", "mode": "min"})
    config["trial"]["batch_size"] = {"choice": [2, 4]}
    config["trial"]["optimizer"] = {"lr": 0.01}
    run = search_locally(
        config | {"sampler": {"name": "grid"}, "scheduler": {"name": "none"}}, results=tmp_path
    )
    make_images(data, 16, 32)
    with pytest.raises(DataChangedError, match="13 added"):
        search.study_batch_sizes(run.folder)


def test_a_search_learns_from_an_older_run_on_other_data_only_if_that_is_accepted(
    run: Path, data: Path
) -> None:
    make_images(data, 16, 32)
    with pytest.raises(DataChangedError, match="leave out --from-run"):
        search_locally(images_config(data, name="two"), results=run.parent, from_run=run)
    done = search_locally(images_config(data, name="two"), results=run.parent, from_run=run, **ACCEPT)
    assert done.status == "complete"


def stages_config(data: Path) -> dict[str, Any]:
    config = images_config(data)
    trial = config.pop("trial")
    lr = trial.pop("optimizer")
    budget = config.pop("budget")
    first = {"name": "optimizer", "trial": {"optimizer": lr}, "budget": budget}
    second = {"name": "width", "trial": {"model": {"width": {"choice": [2, 4]}}}, "budget": budget}
    return config | {"trial": trial, "stages": [first, second]}


def test_all_stages_are_set_apart(tmp_path: Path, data: Path) -> None:
    summary = search_locally(stages_config(data), results=tmp_path)
    make_images(data, 16, 32)
    first, second = (tmp_path / "run" / "stages" / stage.name / "study.journal" for stage in summary.stages)
    assert resume_locally(summary.folder, **ACCEPT).status == "complete"  # both are done
    with pytest.raises(DataChangedError):
        resume_locally(summary.folder, overrides=["stages.1.budget.trials=5"])
    resume_locally(summary.folder, overrides=["stages.1.budget.trials=5"], **ACCEPT)
    assert all(record.of_other_data for record in read_records(first))
    assert [record.of_other_data for record in read_records(second)] == [True] * 3 + [False] * 2


def test_a_file_that_is_written_while_a_search_runs_ends_it_and_no_trial_is_lost(
    tmp_path: Path, data: Path
) -> None:
    class Relabelling(Recorder):
        def event(self, event: Any) -> None:
            super().event(event)
            if self.kinds().count(EventKind.REPORTED) == 1:
                for mask in (data / "masks").iterdir():
                    mask.write_bytes(mask.read_bytes())

    config = images_config(data, data={"max_memory": 0, "bad_samples": "skip"})
    summary = search_locally(config, results=tmp_path, reporter=Relabelling())
    assert summary.status == "failed"
    assert re.search(r"masks/\d+.png: was written while the search ran", summary.reason)
    assert summary.failures == {}
    assert resume_locally(summary.folder).counts.get("failed", 0) == 0
