"""Searches by population based training, trained one trial after another in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from faulty_runs import interrupted_after
from in_process import resume_locally, search_locally
from invariants import assert_best_is_there, left_over
from populations import of_a_population
from safetensors.torch import load_file
from simulated_search import outcomes

import search
from search.config.stages import load_config
from search.errors import ConfigError, SearchError
from search.run.outcome.summary import Summary
from search.study.reading import read_records
from search.study.trial import Outcome, TrialRecord
from trainables.checkpoints.checkpoint import checkpoint_folder, list_origins


def records_in(folder: Path) -> list[TrialRecord]:
    return read_records(folder / "study.journal")


def lineages(folder: Path) -> list[Any]:
    return [record.taken_over for record in records_in(folder)]


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Summary:
    return search_locally(of_a_population(), results=tmp_path_factory.mktemp("calm"))


def test_all_are_trained_to_full_length_and_the_summary_says_who_went_on_from_whom(calm: Summary) -> None:
    folder, records = Path(calm.folder), records_in(Path(calm.folder))
    assert [(record.outcome, record.depth) for record in records] == [(Outcome.COMPLETED, 6)] * 5
    told = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert [(one["trial"], one["at"], one["donor"]) for one in told["taken_over"]] == [
        (record.number, item.at, item.donor) for record in records for item in record.taken_over
    ]
    assert len(told["taken_over"]) == 2 * 2
    assert calm.steps == 5 * 6 * 5
    assert_best_is_there(folder, load_config(of_a_population()).first, records)
    assert left_over(folder) == []
    assert [list_origins(folder / "trials" / f"{n:04d}") for n in range(5)] == [[]] * 5
    assert search.verify(folder).damages == []


@pytest.mark.parametrize("reports", [3, 9, 11, 13, 17, 23])
def test_interrupted_anywhere_it_ends_as_if_it_had_not_been(
    tmp_path: Path, calm: Summary, reports: int
) -> None:
    first = search_locally(of_a_population(), results=tmp_path, reporter=interrupted_after(reports))
    assert first.status == "interrupted"
    search_locally(of_a_population(), results=tmp_path)
    run, whole = tmp_path / "digits", Path(calm.folder)
    assert outcomes(records_in(run)) == outcomes(records_in(whole))
    assert lineages(run) == lineages(whole)
    assert same_weights(run, whole)


def same_weights(run: Path, whole: Path) -> bool:
    found = sorted(path.relative_to(whole) for path in whole.glob("trials/*/checkpoint_*/model.safetensors"))
    assert found
    return all((run / path).read_bytes() == (whole / path).read_bytes() for path in found)


def test_lost_checkpoints_after_a_takeover_are_computed_again_from_the_same_origin(
    tmp_path: Path, calm: Summary
) -> None:
    records = records_in(Path(calm.folder))
    config = of_a_population(checkpoint={"every": 1, "keep": 1})
    whole = search_locally(config, results=tmp_path / "whole")
    # In the middle of the first job that goes on from another trial.
    search_locally(config, results=tmp_path, reporter=interrupted_after(11))
    run = tmp_path / "digits"
    changed = next(record for record in records_in(run) if record.taken_over)
    assert changed.depth == 3
    newest = checkpoint_folder(run / "trials" / f"{changed.number:04d}", 3)
    (newest / "model.safetensors").write_bytes(b"damaged")
    search_locally(config, results=tmp_path)
    assert outcomes(records_in(run)) == outcomes(records_in(Path(whole.folder))) == outcomes(records)


def test_an_origin_that_is_damaged_ends_the_trial_and_is_named(tmp_path: Path) -> None:
    config = of_a_population(checkpoint={"every": 1, "keep": 1}, max_failures=0)
    search_locally(config, results=tmp_path, reporter=interrupted_after(11))
    run = tmp_path / "digits"
    changed = next(record for record in records_in(run) if record.taken_over)
    trial = run / "trials" / f"{changed.number:04d}"
    for damaged in (checkpoint_folder(trial, 3), *list_origins(trial)):
        (damaged / "state.pt").unlink()
        (damaged / "state.pt").write_bytes(b"damaged")
    search_locally(config, results=tmp_path)
    ended = records_in(run)[changed.number]
    assert ended.outcome is Outcome.FAILED
    donor = changed.taken_over[0].donor
    assert f"goes on from trial {donor} at virtual epoch 2" in ended.reason
    assert "SHA-256" in ended.reason


def test_from_scratch_the_values_are_repeated_and_the_weights_are_those_of_the_search(
    tmp_path: Path, calm: Summary
) -> None:
    run = Path(calm.folder)
    number = next(r.number for r in records_in(run) if r.taken_over and r.best_virtual_epoch("max") > 2)
    exported = search.export(run, trial=number, out=tmp_path / "export")
    report = json.loads((tmp_path / "export" / "metrics.json").read_text(encoding="utf-8"))
    assert report["schedule"][-1]["trial"] == number
    assert len(report["schedule"]) > 1
    assert "Values changed while these weights were trained" in (tmp_path / "export/README.md").read_text()
    done = search.retrain(exported.folder, from_scratch=True)
    assert done.virtual_epochs == 6
    repeated = list((tmp_path / "retrain").rglob(f"checkpoint_{report['virtual_epoch']:06d}"))
    assert repeated
    first, second = load_file(exported.folder / "model.safetensors"), averaged(repeated[0])
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(SearchError, match="leave out --virtual-epochs"):
        search.retrain(exported.folder, from_scratch=True, virtual_epochs=9, out=tmp_path / "other")


def averaged(checkpoint: Path) -> dict[str, torch.Tensor]:
    """What an export takes of a checkpoint with a moving average."""
    weights: dict[str, torch.Tensor] = torch.load(checkpoint / "state.pt", weights_only=True)["average"][
        "model"
    ]
    return weights


def test_the_weights_are_trained_on_with_the_last_values_and_that_is_said(
    tmp_path: Path, calm: Summary, caplog: pytest.LogCaptureFixture
) -> None:
    run = Path(calm.folder)
    number = next(r.number for r in records_in(run) if r.taken_over and r.best_virtual_epoch("max") > 2)
    exported = search.export(run, trial=number, out=tmp_path / "export")
    assert search.retrain(exported.folder, virtual_epochs=1).export is not None
    assert "--from-scratch repeats them all" in caplog.text


def test_a_population_neither_grows_nor_races_nor_teaches_another_search(
    tmp_path: Path, calm: Summary
) -> None:
    with pytest.raises(ConfigError, match=r"budget\.trials"):
        resume_locally(calm.folder, overrides=["budget.trials=9"])
    with pytest.raises(SearchError, match="a race trains configurations anew"):
        search.confirm(calm.folder, local=True)
    with pytest.raises(SearchError, match="nothing for a sampler to learn"):
        search_locally(of_a_population(), results=tmp_path, name="other", from_run=calm.folder)
