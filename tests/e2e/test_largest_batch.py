"""`batch_size: auto` and `full`: found exactly, with few tries, within the memory that a trial may take."""

from __future__ import annotations

import atexit
import json
import math
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from faulty_runs import Watching
from small_trials import CPU, small_trainer
from tiny_tasks import DigitsTask, search_config
from torch import nn

import search
from search.config.document import read_document, write_yaml
from search.config.sections.quantities import parse_size
from search.config.sections.resources import Resources
from search.config.stages import load_config
from search.errors import ConfigError, SearchError
from search.run.before.largest_batch import by_size, find_largest_batch
from search.run.search import resume as resume_search
from search.run.search import search as run_search
from search.screen.texts.summary import check_text
from trainables.batch_probe import UNBOUNDED, BatchProbe, _limits, largest_fitting
from trainables.process.failure import failure_of
from trainables.session import TrialPlan, TrialSession

MEGABYTE = 2**20


class BoundedTask(DigitsTask):
    """Has memory for `data.samples` samples, with wider models for fewer."""

    def forward(self, model: nn.Module, batch: Any) -> Any:
        width = self.options.model.get("hidden", 8)
        if model.training and len(batch[0]) * width > 8 * self.options.data["samples"]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate a lot")
        return super().forward(model, batch)


class HungryTask(DigitsTask):
    """Takes a megabyte for each sample."""

    def forward(self, model: nn.Module, batch: Any) -> Any:
        taken = torch.ones(len(batch[0]), MEGABYTE, dtype=torch.uint8)
        return super().forward(model, batch) + 0.0 * taken[:, :1]


class BrokenTask(DigitsTask):
    def loss(self, outputs: Any, batch: Any) -> Any:
        raise RuntimeError("no such loss")


@pytest.mark.parametrize("limit", [1, 2, 7, 64, 1000])
def test_the_largest_that_fits_is_found_exactly_with_logarithmically_many_tries(limit: int) -> None:
    for largest in {0, 1, 2, 3, limit // 2, limit - 1, limit, limit + 5}:
        tried: list[int] = []

        def fits(size: int, tried: list[int] = tried, largest: int = largest) -> bool:
            tried.append(size)
            return size <= largest

        assert largest_fitting(fits, limit) == min(largest, limit)
        assert len(tried) <= 2 * math.log2(limit) + 2
        assert max(tried) <= limit
        assert len(set(tried)) == len(tried)


def bounded(samples: int, **trial: Any) -> list[dict[str, Any]]:
    return [{"data": {"samples": samples}, "model": {"hidden": 8}, **trial}]


MEMORY = Resources(memory_per_trial="4GB")  # type: ignore[arg-type]


def test_it_is_tried_on_the_real_model_in_a_process_of_its_own() -> None:
    found = find_largest_batch("test_largest_batch:BoundedTask", bounded(77), MEMORY)
    assert found.size == 77
    assert found.tries <= 2 * math.log2(1200) + 2
    assert str(found).startswith("77, the most that fits into a trial's memory")


def test_of_several_models_the_one_that_needs_the_most_memory_decides() -> None:
    widths = [{"data": {"samples": 600}, "model": {"hidden": hidden}} for hidden in (8, 64, 16, 32)]
    found = find_largest_batch("test_largest_batch:BoundedTask", widths, MEMORY)
    assert found.size == 600 * 8 // 64


def test_where_nothing_bounds_the_memory_nothing_is_tried() -> None:
    found = find_largest_batch("tiny_tasks:DigitsTask", [{}], Resources())
    assert (found.size, found.tries) == (UNBOUNDED, 0)


@pytest.mark.slow
def test_a_limit_of_memory_holds_and_more_of_it_is_a_larger_batch() -> None:
    sizes = [
        find_largest_batch("test_largest_batch:HungryTask", [{}], Resources(memory_per_trial=text)).size  # type: ignore[arg-type]
        for text in ("900MB", "1100MB")
    ]
    assert 0 < sizes[0] < 900
    # 200 MB are 191 samples of 2**20 bytes; what else a step takes and leaves in the heap varies a little.
    assert 150 < sizes[1] - sizes[0] < 230


def test_what_cannot_be_found_is_said() -> None:
    with pytest.raises(SearchError, match="not even one sample fits into memory with"):
        find_largest_batch("test_largest_batch:BoundedTask", bounded(0), MEMORY)
    with pytest.raises(SearchError, match="batch_size: auto: RuntimeError: no such loss"):
        find_largest_batch("test_largest_batch:BrokenTask", [{}], MEMORY)
    with pytest.raises(SearchError, match="there is no GPU here; write a number"):
        find_largest_batch("tiny_tasks:DigitsTask", [{}], Resources(gpus_per_trial=1))


def test_a_probe_leaves_no_memory_behind_that_a_later_try_would_miss() -> None:
    probe = BatchProbe("test_largest_batch:BoundedTask", CPU)
    answers = [probe.fits(bounded(50)[0], size) for size in (50, 51, 50, 200, 2)]
    assert answers == [True, False, True, False, True]


# --- in a configuration


def asking(batch_size: Any, **sections: Any) -> dict[str, Any]:
    trial = {"data": {"samples": 77}, "model": {"hidden": 8}, "batch_size": batch_size}
    return search_config(task="test_largest_batch:BoundedTask", trial=trial, **sections)


@pytest.mark.parametrize(
    "batch_size",
    [
        "auto",
        {"lograndint": [4, "auto"]},
        {"randint": [4, "auto"]},
        {"choice": [8, "auto"]},
        {"choice": [16, "auto"], "prior": "auto"},
        {"lograndint": [4, "auto"], "prior": "auto"},
    ],
)
def test_auto_stands_alone_or_ends_a_range(batch_size: Any) -> None:
    config = load_config(asking(batch_size))
    assert config.auto_batch is not None
    settled = load_config(config.auto_batch.with_size(77).tree).first
    sizes = {resolved.options["batch_size"] for resolved in settled.space.candidates()}
    assert max(sizes) == 77
    if isinstance(batch_size, dict) and "prior" in batch_size:
        assert settled.space.prior_point == {"batch_size": 77}


def test_elsewhere_auto_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"trial\.batch_size: received 'auto' in \['auto', 9\]"):
        load_config(asking({"randint": ["auto", 9]}))
    with pytest.raises(ConfigError, match=r"received \[0, auto\]; lograndint needs .* 1 <= low"):
        load_config(asking({"lograndint": [0, "auto"]}))
    with pytest.raises(ConfigError, match=r"trial\.accumulate: received 'auto'"):
        load_config(search_config(trial={"accumulate": "auto"}))


def test_a_range_that_begins_above_it_is_told_at_its_line(tmp_path: Path) -> None:
    write_yaml(
        tmp_path / "c.yaml", asking({"lograndint": [77, "auto"]}, resources={"memory_per_trial": "4GB"})
    )
    with pytest.raises(
        ConfigError, match=r"c\.yaml:\d+: trial\.batch_size: the largest batch that fits is 77"
    ):
        search.check(tmp_path / "c.yaml")


def test_check_tells_the_number() -> None:
    text = check_text(search.check(asking("auto", resources={"memory_per_trial": "4GB"})))
    assert "auto is 77, the most that fits into a trial's memory" in text


def test_the_number_is_told_and_recorded_and_stays_whatever_the_machine_has(
    ray_session: None, tmp_path: Path
) -> None:
    asked = asking({"lograndint": [4, "auto"]}, resources={"memory_per_trial": "4GB"})
    asked["budget"] = {"trials": 2, "max_virtual_epochs": 1}
    watching = Watching()
    summary = run_search(asked, results=tmp_path, reporter=watching)
    assert any(line.startswith("batch_size: auto is 77, the most that fits") for line in watching.lines)
    recorded = read_document(Path(summary.folder) / "config.yaml").tree
    assert recorded["trial"]["batch_size"] == {"lograndint": [4, 77]}
    again = Watching()
    # With so little memory not even the data would fit.
    asked["resources"] = {"memory_per_trial": "1MB"}
    asked["budget"] = {"trials": 3, "max_virtual_epochs": 1}
    assert run_search(asked, results=tmp_path, reporter=again).trials == 3
    assert "batch_size: auto is 77, as when this search began" in again.lines
    assert resume_search(summary.folder).trials == 3


def test_auto_in_a_later_stage_is_found_before_the_first_one() -> None:
    stages = [
        {"name": "width", "trial": {"model": {"hidden": {"choice": [8, 16]}}}},
        {"name": "batch", "trial": {"batch_size": {"lograndint": [4, "auto"]}}},
    ]
    config = load_config(asking(16, stages=stages))
    assert config.auto_batch is not None
    assert config.auto_batch.paths == (("stages", 1, "trial", "batch_size", "lograndint", 1),)
    ((_, trials),) = by_size(config)
    assert {options["model"]["hidden"] for options in trials} == {8, 16}


@pytest.mark.parametrize(
    ("text", "size"), [("500MB", 5e8), ("2 GB", 2e9), ("1.5GiB", 1.5 * 2**30), ("3kB", 3e3), (None, None)]
)
def test_sizes_have_units(text: Any, size: Any) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["2", 2, "2gb", "GB", "-1GB", "0GB", "1e99GB"])
def test_a_size_without_a_unit_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match="must be a size with its unit, such as 500MB"):
        parse_size(text)


# --- one big batch


def test_full_is_the_whole_training_data_in_one_step() -> None:
    losses = []
    for size in ("full", 1200):
        trainer = small_trainer(DigitsTask, {"batch_size": size, "seed": 1}, unit="epochs", count=1)
        assert trainer.virtual_epochs.end_step(1) == 1
        assert trainer.virtual_epochs.step_samples == 1200
        losses.append(trainer.run_virtual_epoch()["train_loss"])
    assert losses[0] == losses[1]


def test_full_is_an_option_of_a_choice() -> None:
    config = load_config(search_config(trial={"batch_size": {"choice": [8, "full"]}}))
    assert [c.options["batch_size"] for c in config.first.space.candidates()] == [8, "full"]
    with pytest.raises(ConfigError, match="received 0; must be greater than 0, 'full' or 'auto'"):
        load_config(search_config(trial={"batch_size": 0}))


class LoaderTask(DigitsTask):
    def train_data(self) -> Any:
        data = torch.utils.data.TensorDataset(*map(torch.from_numpy, super().train_data()))
        return torch.utils.data.DataLoader(data, batch_size=16)


def test_full_needs_data_of_known_length() -> None:
    with pytest.raises(ValueError, match="batch_size is full, and train_data\\(\\) gives a DataLoader"):
        small_trainer(LoaderTask, {"batch_size": "full"})


def test_out_of_memory_with_full_names_the_way_out(tmp_path: Path) -> None:
    plan = TrialPlan(
        number=0,
        folder=str(tmp_path),
        task="test_largest_batch:BoundedTask",
        options={"batch_size": "full", "data": {"samples": 77}},
        unit="steps",
        count=1,
        num_virtual_epochs=1,
        metric="accuracy",
        mode="max",
    )
    session = TrialSession(plan, None)
    with pytest.raises(torch.OutOfMemoryError) as caught:
        session.next_report()
    assert failure_of(caught.value, session.where).cause == (
        "out of memory on the GPU at step 0 with batch_size full: 1200 samples; smaller ones with accumulate "
        "take less memory"
    )
    assert json.loads(json.dumps(plan.as_dict()))["options"]["batch_size"] == "full"


class PartingTask(DigitsTask):
    """Prints when its process ends."""

    def build_model(self) -> nn.Module:
        atexit.register(print, "goodbye")
        return super().build_model()


def test_what_a_task_prints_at_the_end_of_its_process_is_no_answer() -> None:
    found = find_largest_batch("test_largest_batch:PartingTask", [{"batch_size": 2}], Resources())
    assert found.size == UNBOUNDED


def test_a_peak_inside_a_single_operation_is_too_much() -> None:
    """The median of a tensor takes a copy of it, which is gone when the operation has ended."""
    values = torch.rand(2**25)
    values.median()
    held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    with pytest.raises(MemoryError), _limits(held + 2**26):
        values.median()
