from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from in_process import resume_locally, search_locally
from jpeg_folder import cut_short, folder_trial, jpeg_folder
from small_trials import run, segmentation_plan
from tiny_tasks import search_config

from search.screen.texts.summary import summary_text
from trainables.images.skipped import SKIPPED_FILE, keep_skipped, read_skipped
from trainables.session import TrialPlan, TrialSession


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return jpeg_folder(tmp_path / "data")


def plan(folder: Path, root: Path, **data: Any) -> TrialPlan:
    options = folder_trial(root, bad_samples="skip", **data)
    return segmentation_plan(folder, options=options, count=4, num_virtual_epochs=3)


def test_files_are_added_to_those_that_are_there_and_the_first_reason_stays(tmp_path: Path) -> None:
    keep_skipped(tmp_path / "trial", {})
    assert not (tmp_path / "trial").exists()
    keep_skipped(tmp_path / "trial", {"a.png": "is empty"})
    keep_skipped(tmp_path / "trial", {"a.png": "is gone", "b.png": "is gone"})
    assert read_skipped(tmp_path / "trial") == {"a.png": "is empty", "b.png": "is gone"}
    assert [file.name for file in (tmp_path / "trial").iterdir()] == [SKIPPED_FILE]


@pytest.mark.parametrize("text", ["", "{", "[1]", "7"])
def test_a_damaged_list_of_files_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / SKIPPED_FILE).write_text(text)
    assert read_skipped(tmp_path) == {}


@pytest.mark.parametrize("max_memory", [0, 2**20], ids=["disk", "memory"])
def test_a_trial_keeps_what_was_skipped_when_its_data_was_loaded(
    tmp_path: Path,
    root: Path,
    max_memory: int,
) -> None:
    cut_short(root / "train/images/5.jpg")
    (root / "val/masks/1.png").unlink()
    TrialSession(plan(tmp_path / "trial", root, max_memory=max_memory), None)
    kept = read_skipped(tmp_path / "trial")
    assert sorted(kept) == [f"{root}/train/images/5.jpg", f"{root}/val/images/1.jpg"]
    assert kept[f"{root}/train/images/5.jpg"].startswith("cannot be decoded")
    assert kept[f"{root}/val/images/1.jpg"] == f"{root}/val/masks/1.png: there is no such file"


def test_a_file_that_broke_in_training_is_still_counted_after_a_restart_without_it(
    tmp_path: Path,
    root: Path,
) -> None:
    session = TrialSession(plan(tmp_path / "trial", root), None)
    session.next_report()
    assert not (tmp_path / "trial" / SKIPPED_FILE).exists()
    whole = (root / "train/images/5.jpg").read_bytes()
    cut_short(root / "train/images/5.jpg")
    session.next_report()
    session.close()
    (root / "train/images/5.jpg").write_bytes(whole)
    run(plan(tmp_path / "trial", root))
    assert list(read_skipped(tmp_path / "trial")) == [f"{root}/train/images/5.jpg"]


def test_a_trial_that_fails_of_too_many_has_kept_those_before(tmp_path: Path, root: Path) -> None:
    session = TrialSession(plan(tmp_path / "trial", root, max_skipped=2), None)
    for number in range(3):
        (root / f"train/images/{number}.jpg").unlink()
    with pytest.raises(ValueError, match=r"3 samples are wrong and data\.max_skipped is 2"):
        session.next_report()
    assert len(read_skipped(tmp_path / "trial")) == 2


def breaking_config(root: Path, trials: int) -> Mapping[str, Any]:
    return search_config(
        task="jpeg_folder:BreakingTask",
        objective={"metric": "miou", "mode": "max"},
        trial=folder_trial(root, bad_samples="skip"),
        virtual_epoch={"epochs": 1},
        budget={"trials": trials, "max_virtual_epochs": 2},
        scheduler={"name": "none"},
        sampler={"name": "random", "seed": 0},
    )


def test_a_search_counts_each_skipped_file_once_over_all_trials_also_when_it_goes_on(
    tmp_path: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(root)
    cut_short(root / "val/images/3.jpg")
    summary = search_locally(breaking_config(root, trials=2), results=tmp_path / "results")
    assert summary.counts == {"completed": 2}
    lost, cut = f"{root}/train/images/2.jpg", f"{root}/val/images/3.jpg"
    assert list(summary.skipped_samples) == [lost, cut]
    assert summary.skipped_samples[lost] == "there is no such file"
    assert json.loads((Path(summary.folder) / "summary.json").read_text())["skipped_samples"] == (
        summary.skipped_samples
    )
    told = summary_text(summary)
    assert "\n2 samples skipped:\n  train/images/2.jpg: there is no such file\n  val/images/3.jpg: " in told
    grown = resume_locally(summary.folder, overrides=["budget.trials=3"])
    assert grown.counts == {"completed": 3}
    assert list(grown.skipped_samples) == [lost, cut]

    many = {f"images/{number}.png": "is empty" for number in range(9)}
    assert "\n9 samples skipped:\n" in summary_text(replace(summary, skipped_samples=many))
    assert "\n  and 4 more, see summary.json\n" in summary_text(replace(summary, skipped_samples=many))
    assert "skipped" not in summary_text(replace(summary, skipped_samples={}))
