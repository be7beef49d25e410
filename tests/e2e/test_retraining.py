"""Retraining of an export of a finished search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_tasks import DigitsTask

import search
from search.errors import SearchError
from search.run.outcome.summary import Summary
from trainables.options import TrialOptions


def keep_in(records: list[dict]) -> Callable[[dict, int], None]:
    return lambda record, of: records.append(record)


def test_retraining_begins_with_the_exported_weights(run: Path) -> None:
    exported = search.export(run)
    records = []
    done = search.retrain(exported.folder, virtual_epochs=2, progress=keep_in(records))
    assert [record["virtual_epoch"] for record in records] == [1, 2]
    assert records[0]["accuracy"] > exported.value - 0.15
    assert done.export is not None
    assert done.export.value == records[-1]["accuracy"], "at the end of the only window of two"
    assert done.export.folder == run / "retrain" / "export"


def test_retraining_from_scratch_repeats_the_search(run: Path, finished_run: Summary) -> None:
    """The same trainer, seed, data and length: the weights of the search, bit for bit."""
    assert finished_run.best is not None
    exported = search.export(run)
    done = search.retrain(exported.folder, from_scratch=True)
    assert done.export is not None
    assert done.export.value == finished_run.best.value
    first, second = (
        load_file(folder / "model.safetensors") for folder in (exported.folder, done.export.folder)
    )
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_retraining_is_resumed_by_the_same_call_and_refuses_another(run: Path) -> None:
    exported = search.export(run)

    def interrupt(record: dict, of: int) -> None:
        if record["virtual_epoch"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search.retrain(exported.folder, virtual_epochs=4, from_scratch=True, progress=interrupt)
    records = []
    search.retrain(
        exported.folder,
        virtual_epochs=4,
        from_scratch=True,
        progress=keep_in(records),
    )
    assert [record["virtual_epoch"] for record in records] == [3, 4]
    with pytest.raises(SearchError, match="a retraining with other virtual_epochs"):
        search.retrain(exported.folder, virtual_epochs=5, from_scratch=True)


def test_steps_are_rounded_up_to_virtual_epochs(run: Path) -> None:
    done = search.retrain(search.export(run).folder, steps=12)
    assert done.of == 3


def test_the_length_of_a_retraining_is_given_in_one_unit(run: Path) -> None:
    exported = search.export(run)
    with pytest.raises(SearchError, match="give --virtual-epochs or --steps, not both"):
        search.retrain(exported.folder, virtual_epochs=2, steps=12)


def test_retraining_on_all_data_draws_the_validation_samples_too() -> None:
    task = DigitsTask(TrialOptions(), DigitsTask.load_data(TrialOptions()))
    assert len(task.all_data()) == 1797


def test_a_retraining_refuses_an_export_with_other_files_before_it_trains(run: Path) -> None:
    exported = search.export(run).folder
    done = search.retrain(exported, virtual_epochs=1)
    assert done.export is not None
    (done.export.folder / "mine.txt").write_text("mine")
    records: list[int] = []
    with pytest.raises(SearchError, match=r"holds mine\.txt, which no export wrote"):
        search.retrain(exported, virtual_epochs=1, progress=lambda record, of: records.append(of))
    assert records == []
    assert (done.export.folder / "mine.txt").read_text() == "mine"
