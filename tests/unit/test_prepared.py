"""What a run computes once: kept whole or not at all, verified, and the same for everybody who needs it."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import torch
from small_trials import digits_plan
from tiny_tasks import DigitsTask

from trainables.build import load_arrays
from trainables.data.prepared import (
    DamagedArraysError,
    prepared_file,
    read_arrays,
    write_arrays,
)
from trainables.session import TrialSession

ARRAYS = {
    "weights": np.arange(12, dtype=np.float32).reshape(3, 4).T,
    "scalar": np.array(2.5),
    "labels": np.array([3, 1], np.int64),
    "empty": np.zeros((0, 2), np.uint8),
}


class PreparingTask(DigitsTask):
    """Prepares an array by drawing it, and notes how often and with how many threads."""

    calls = 0
    threads = 0

    @classmethod
    def prepare(cls, options, arrays):
        cls.calls += 1
        cls.threads = torch.get_num_threads()
        return {"drawn": torch.randn(5).numpy() + arrays["x"].mean()}


class ClashingTask(DigitsTask):
    @classmethod
    def prepare(cls, options, arrays):
        return {"x": arrays["x"] * 2, "new": arrays["y"]}


@pytest.fixture(autouse=True)
def no_calls():
    PreparingTask.calls = 0


def test_arrays_are_read_as_they_were_written(tmp_path):
    file = tmp_path / "new" / "a.safetensors"
    write_arrays(file, ARRAYS)
    found = read_arrays(file)
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert np.array_equal(found[name], array)


def test_equal_arrays_are_equal_bytes_in_any_order_of_names_and_memory(tmp_path):
    write_arrays(tmp_path / "a", ARRAYS)
    write_arrays(tmp_path / "b", {n: np.asarray(ARRAYS[n], order="C") for n in reversed(list(ARRAYS))})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_first_of_several_writers_counts(tmp_path):
    file = tmp_path / "a.safetensors"
    write_arrays(file, {"x": np.zeros(3)})
    write_arrays(file, {"x": np.ones(3)})
    assert read_arrays(file)["x"].tolist() == [0.0, 0.0, 0.0]
    assert os.listdir(tmp_path) == [file.name]


def test_where_there_are_no_hard_links_it_is_renamed(tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_arrays(tmp_path / "a", ARRAYS)
    assert set(read_arrays(tmp_path / "a")) == set(ARRAYS)
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_arrays(tmp_path / "a", ARRAYS)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("damage", ["flipped", "truncated", "text", "empty", "other sum"])
def test_a_damaged_file_is_told_with_the_way_out(tmp_path, damage):
    file = tmp_path / "a.safetensors"
    write_arrays(file, ARRAYS)
    content = file.read_bytes()
    number = content.index(np.float32(7).tobytes())
    file.write_bytes(
        {
            "flipped": content[:number] + b"\x01" + content[number + 1 :],
            "truncated": content[:-3],
            "text": b"not a safetensors file at all",
            "empty": b"",
            "other sum": content.replace(b'"sha256"', b'"sha255"'),
        }[damage]
    )
    with pytest.raises(DamagedArraysError, match=r"a\.safetensors is damaged \(.*\); remove it"):
        read_arrays(file)


def test_what_a_task_prepares_is_computed_once_and_then_read(tmp_path):
    file = prepared_file(tmp_path, "m:T", {})
    first = load_arrays(PreparingTask, PreparingTask.Options(), file)
    second = load_arrays(PreparingTask, PreparingTask.Options(), file)
    assert PreparingTask.calls == 1
    assert np.array_equal(first["drawn"], second["drawn"])
    assert {"x", "y", "drawn"} == set(second)


def test_without_a_file_it_is_computed_each_time_and_alike(tmp_path):
    torch.manual_seed(1)
    first = load_arrays(PreparingTask, PreparingTask.Options())
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = load_arrays(PreparingTask, PreparingTask.Options())
    assert PreparingTask.calls == 2
    assert np.array_equal(first["drawn"], second["drawn"])
    assert torch.equal(torch.get_rng_state(), before)


def test_it_is_computed_on_one_thread_whoever_asks():
    torch.set_num_threads(2)
    try:
        load_arrays(PreparingTask, PreparingTask.Options())
        assert (PreparingTask.threads, torch.get_num_threads()) == (1, 2)
    finally:
        torch.set_num_threads(1)


def test_a_task_that_prepares_nothing_leaves_no_file(tmp_path):
    load_arrays(DigitsTask, DigitsTask.Options(), tmp_path / "prepared" / "a")
    assert os.listdir(tmp_path) == []


def test_a_name_that_the_data_has_is_refused():
    with pytest.raises(ValueError, match=r"prepare\(\) returns x, which load_data\(\) returned; rename it"):
        load_arrays(ClashingTask, ClashingTask.Options())


def test_other_data_has_a_file_of_its_own(tmp_path):
    plans = [
        digits_plan(tmp_path, prepared=str(tmp_path), options={"batch_size": size, "data": {"seed": seed}})
        for size, seed in ((8, 0), (16, 0), (8, 1))
    ]
    files = [plan.prepared_file for plan in plans]
    assert files[0] == files[1] != files[2]
    assert digits_plan(tmp_path).prepared_file is None


def test_trials_that_load_their_own_data_share_what_was_prepared(tmp_path):
    options = {"batch_size": 16, "data": {"seed": 5}}
    common = {"task": "test_prepared:PreparingTask", "prepared": str(tmp_path / "prepared")}
    found = []
    for number in (0, 1):
        plan = digits_plan(tmp_path / str(number), options=options, **common)
        session = TrialSession(plan, None)
        found.append(session.trainer.task.arrays["drawn"])
        session.close()
    assert np.array_equal(*found)
    assert os.listdir(tmp_path / "prepared") == [plan.prepared_file.name]
    assert sys.modules["test_prepared"].PreparingTask.calls == 1
