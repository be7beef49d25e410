"""What a retraining says that has ended worse than the export that it began with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from in_process import search_locally
from tiny_tasks import search_config

import search
from search.screen.texts.summary import retraining_text

pytestmark = pytest.mark.usefixtures("no_fsync")


def test_a_retraining_that_ends_worse_than_its_export_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trial = {"model": {"hidden": 16}, "optimizer": {"name": "adamw", "lr": 0.01}, "batch_size": 16}
    config = search_config(trial=trial, budget={"trials": 1, "max_virtual_epochs": 6})
    exported = search.export(search_locally(config, results=tmp_path).folder)
    worse = search.retrain(exported.folder, virtual_epochs=1, from_scratch=True, out=tmp_path / "worse")
    assert worse.export is not None
    assert worse.export.value < exported.value
    assert worse.is_worse
    text = retraining_text(worse, "")
    assert "note: that is worse than the export that it began with, which stays in digits/export" in text
    same = search.retrain(exported.folder, from_scratch=True, out=tmp_path / "same")
    assert same.export is not None
    assert same.export.value == exported.value
    assert not same.is_worse
    assert "worse" not in retraining_text(same, "")


def test_the_same_retraining_again_says_that_it_trains_nothing_and_how_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trial = {"model": {"hidden": 16}, "optimizer": {"name": "adamw", "lr": 0.01}, "batch_size": 16}
    config = search_config(trial=trial, budget={"trials": 1, "max_virtual_epochs": 2})
    exported = search.export(search_locally(config, results=tmp_path).folder)
    first = search.retrain(exported.folder)
    assert first.export is not None
    assert first.trained == 2
    assert "nothing was trained" not in retraining_text(first, "")
    again = search.retrain(exported.folder)
    assert again.export is not None
    assert (again.trained, again.export.value) == (0, first.export.value)
    text = retraining_text(again, "")
    best = f"best accuracy {first.export.value:.4g}"
    held = f"digits/retrain holds this retraining already, complete with 2 virtual epochs: {best}, "
    assert text.startswith(f"nothing was trained: {held}")
    assert "\nto train anew, give another --out, or remove digits/retrain first" in text
    assert " before, in digits/retrain/export\n" in text
    shutil.rmtree(again.export.folder)  # as if the first call had been killed before its export
    text = retraining_text(search.retrain(exported.folder), "")
    assert text.startswith(f"nothing was trained: {held}")
    assert " before, exported to digits/retrain/export\n" in text
    assert search.retrain(exported.folder, out=tmp_path / "other").trained == 2
