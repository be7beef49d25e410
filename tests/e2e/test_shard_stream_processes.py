"""Training from shards: the stream is one whatever reads it, and a task of shards is a task like another."""

from __future__ import annotations

import multiprocessing

import pytest
from shard_data import numbered_shards, source_of, squares
from small_trials import assert_identical, everything, run, segmentation_plan

import search
from search.run.search import search as run_search
from trainables.data.stream import SampleStream
from trainables.session import TrialSession


def drawn(stream, num_batches):
    """Samples and random numbers of the next batches."""
    return [[part.tolist() for part in stream.next_step(1)[0]] for _ in range(num_batches)]


@pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker")
def test_the_stream_is_the_same_for_any_number_of_workers_and_resumes_at_once(tmp_path):
    numbered_shards(tmp_path, [5, 1, 7, 4])
    options = {"batch_size": 3, "seed": 0}
    alone = drawn(SampleStream(source_of(tmp_path), **options), 14)
    for num_workers in (1, 3):
        stream = SampleStream(source_of(tmp_path), num_workers=num_workers, **options)
        assert drawn(stream, 8) == alone[:8]
        stream.load_state_dict({**stream.state_dict(), "position": 3 * 11})
        assert drawn(stream, 3) == alone[11:]
        stream.close()
    assert multiprocessing.active_children() == []


def shard_trial(root, **data):
    return {
        "data": {"source": "shards", "root": str(root), "num_classes": 2, "shuffle": 10, **SPLIT, **data},
        "model": {"name": "unet", "width": 4, "depth": 1},
        "augment": {"horizontal_flip": 0.5},
        "batch_size": 4,
    }


SPLIT = {"train": "train-*.tar", "valid": "valid-{000000..000001}.tar"}


def shard_plan(folder, root, **data):
    """Three virtual epochs of one epoch of 24 samples."""
    return segmentation_plan(
        folder, options=shard_trial(root, **data), unit="epochs", count=1, num_virtual_epochs=3
    )


def test_a_shard_task_resumes_bit_for_bit_with_and_without_workers(tmp_path):
    root = squares(tmp_path / "data")
    whole = run(shard_plan(tmp_path / "whole", root))
    assert [record["samples"] for record in whole.history] == [24, 48, 72]
    begun = TrialSession(shard_plan(tmp_path / "begun", root), None)
    begun.next_report()
    begun.close()
    resumed = run(shard_plan(tmp_path / "begun", root))
    assert_identical(everything(resumed), everything(whole))
    with_workers = run(shard_plan(tmp_path / "workers", root, workers=2))
    with_workers.trainer.stream.close()
    assert [record["train_loss"] for record in with_workers.history] == [
        record["train_loss"] for record in whole.history
    ]
    assert multiprocessing.active_children() == []


def test_a_search_over_shards_with_a_worker_is_exported_and_retrained(ray_session, tmp_path):
    root = squares(tmp_path / "data")
    config = {
        "name": "shards",
        "task": "segmentation",
        "objective": {"metric": "miou", "mode": "max"},
        "trial": shard_trial(root, workers=1)
        | {"optimizer": {"name": "adamw", "lr": {"loguniform": [1e-3, 1e-1]}}},
        "virtual_epoch": {"epochs": 1},
        "budget": {"trials": 1, "max_virtual_epochs": 2},
    }
    summary = run_search(config, results=tmp_path / "results")
    assert summary.counts.get("failed", 0) == 0
    assert summary.samples % 24 == 0
    exported = search.export(summary.folder)
    assert exported.value == summary.best.value
    retrained = search.retrain(exported.folder, virtual_epochs=3, data="train+val")
    assert retrained.export is not None
    assert multiprocessing.active_children() == []
