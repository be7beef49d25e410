"""Models, losses and metrics by path: outputs of other forms, exact accumulation, what is refused."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from own_parts import largest_error
from torch import Tensor
from torch.nn import functional as F

from search.errors import SearchError
from trainables.build import load_arrays, try_options
from trainables.classification.task import ClassificationTask
from trainables.images.augmentation.flips_and_light import IGNORE
from trainables.imported_options import ImportedCall
from trainables.regression.task import RegressionTask
from trainables.segmentation.losses import MixedLoss
from trainables.segmentation.task import SegmentationTask
from trainables.supervised.calls import ImportedLoss, ImportedMetric
from trainables.supervised.outputs import as_output
from trainables.task import Task

DIGITS = {"source": "digits", "num_train": 32, "num_valid": 8, "size": 16}
NET = {"name": "own_parts:Net", "in_channels": 1, "num_classes": 11}
SHAPE = (2, 3, 8, 8)


def logits_and_masks(number: int, ignored: bool = False) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    logits, masks = torch.randn(number, 3, 5, 4), torch.randint(3, (number, 5, 4))
    if ignored:
        masks[0, :2] = IGNORE
    return logits, masks


def built(task: type[Task], **options: Any) -> Any:
    parsed = task.Options.parse(options)
    return task(parsed, load_arrays(task, parsed))


def tried(task: type[Task], **options: Any) -> None:
    parsed = task.Options.parse(options)
    try_options(task, parsed, load_arrays(task, parsed))


@pytest.mark.parametrize(
    "form", [lambda t: t, lambda t: {"out": t}, lambda t: {"logits": t}, lambda t: (t, 1), lambda t: [t]]
)
def test_logits_are_found_in_what_networks_return(form: Any) -> None:
    logits = torch.randn(SHAPE)
    assert as_output(form(logits), SHAPE) is logits
    assert as_output(SimpleNamespace(logits=logits), SHAPE) is logits


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_smaller_logits_are_resized_bilinearly(stride: int) -> None:
    small = torch.randn(2, 3, 8 // stride, 8 // stride)
    wanted = F.interpolate(small, size=(8, 8), mode="bilinear", align_corners=False)
    assert torch.equal(as_output(small, SHAPE), wanted)


def test_smaller_logits_of_an_odd_size_may_be_rounded_up_or_down() -> None:
    for side in (4, 5):
        assert as_output(torch.randn(1, 3, side, side), (1, 3, 9, 9)).shape == (1, 3, 9, 9)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (torch.zeros(2, 4, 8, 8), "returned [2, 4, 8, 8]; must be [2, 3, 8, 8], [samples, classes, height"),
        (torch.zeros(2, 3, 6, 6), "returned [2, 3, 6, 6]; must be [2, 3, 8, 8]"),  # a border cut off
        (torch.zeros(2, 3, 4, 8), "returned [2, 3, 4, 8]; must be [2, 3, 8, 8]"),
        (torch.zeros(2, 8, 8), "returned [2, 8, 8]; must be [2, 3, 8, 8]"),
        (
            {"pred": torch.zeros(SHAPE)},
            "returned a mapping with 'pred'; must be a tensor [2, 3, 8, 8], a map",
        ),
        (None, "returned a NoneType; must be a tensor"),
    ],
)
def test_outputs_of_another_shape_are_refused_with_both_shapes(outputs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        as_output(outputs, SHAPE)


@pytest.mark.parametrize("returns", ["tensor", "out", "logits", "tuple"])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_network_of_any_form_is_trained_as_the_one_that_returns_a_tensor(returns: str, stride: int) -> None:
    data = built(SegmentationTask, data=DIGITS, model={**NET, "stride": stride})
    torch.manual_seed(0)
    model = data.build_model()
    batch = data.train_data().batch(np.arange(4), None)
    wanted = data.forward(model, batch)
    model.returns = returns
    assert wanted.shape == (4, 11, 16, 16)
    assert torch.equal(data.forward(model, batch), wanted)


def test_an_imported_cross_entropy_is_the_built_in_one() -> None:
    logits, masks = logits_and_masks(4, ignored=True)
    imported = ImportedLoss(ImportedCall(name="torch.nn:CrossEntropyLoss"), IGNORE)
    assert torch.equal(imported.mean(logits, masks), F.cross_entropy(logits, masks, ignore_index=IGNORE))


def test_terms_are_added_with_their_coefficients_after_the_built_in_ones() -> None:
    logits, masks = logits_and_masks(4)
    term = ImportedLoss(ImportedCall(name="own_parts:mean_of_images", factor=3.0), IGNORE)
    mixed = MixedLoss({"cross_entropy": 1.0, "own": 0.5}, imported={"own": term})
    both = mixed.means(logits, masks)
    assert mixed.terms == ("cross_entropy", "own")
    torch.testing.assert_close(both[1], 1.5 * both[0])


def test_micro_batches_of_a_term_that_is_a_mean_over_images_add_up_to_the_large_batch() -> None:
    logits, masks = logits_and_masks(6)
    term = ImportedLoss(ImportedCall(name="own_parts:mean_of_images"), IGNORE)
    mixed = MixedLoss({"dice": 0.3, "own": 2.0}, imported={"own": term})
    parts = [slice(0, 1), slice(1, 6)]
    weights = torch.stack([mixed.weights(masks[part]) for part in parts])
    means = torch.stack([mixed.means(logits[part], masks[part]) for part in parts])
    added = (means * weights / weights.sum(0)).sum(0)
    torch.testing.assert_close(added, mixed.means(logits, masks))


def test_pixels_that_do_not_count_are_refused_for_a_callable_that_does_not_know_them() -> None:
    logits, masks = logits_and_masks(2, ignored=True)
    with pytest.raises(ValueError, match="mean_of_images has no argument ignore_index, and 8 of 40 targets"):
        ImportedLoss(ImportedCall(name="own_parts:mean_of_images"), IGNORE).mean(logits, masks)
    ImportedLoss(ImportedCall(name="own_parts:ignoring"), IGNORE).mean(logits, masks)


def test_targets_come_in_the_form_that_is_asked_for() -> None:
    logits, masks = logits_and_masks(2)
    of_form = {
        form: ImportedLoss(ImportedCall(name="torch.nn:MSELoss", targets=form), IGNORE)
        for form in ("labels", "channel", "one_hot")
    }
    one_hot = F.one_hot(masks, 3).permute(0, 3, 1, 2).float()
    assert torch.equal(of_form["channel"].targets(logits, masks), masks[:, None])
    assert torch.equal(of_form["one_hot"].targets(logits, masks), one_hot)
    assert torch.equal(of_form["one_hot"].mean(logits, masks), F.mse_loss(logits, one_hot))
    with pytest.raises(ValueError, match=r"outputs \[2, 3, 5, 4\] and targets \[2, 5, 4\] raised .*one_hot"):
        of_form["labels"].mean(logits, masks)


def test_shapes_that_torch_would_broadcast_into_a_wrong_loss_are_refused() -> None:
    loss = ImportedLoss(ImportedCall(name="torch.nn:MSELoss"), None)
    with pytest.raises(
        ValueError, match=r"outputs \[4, 4\] and targets \[4\] raised UserWarning: Using a target"
    ):
        loss.mean(torch.zeros(4, 4), torch.zeros(4, dtype=torch.int64))


def test_one_hot_targets_have_nothing_where_a_pixel_does_not_count() -> None:
    logits, masks = logits_and_masks(2, ignored=True)
    callee = ImportedLoss(ImportedCall(name="own_parts:ignoring", targets="one_hot"), IGNORE)
    sums = callee.targets(logits, masks).sum(1)
    assert torch.equal(sums == 0, masks == IGNORE)


def test_a_loss_of_each_sample_is_refused() -> None:
    with pytest.raises(ValueError, match=r"of_each_sample returned \[2, 5, 4\]; must be one number"):
        ImportedLoss(ImportedCall(name="own_parts:of_each_sample"), IGNORE).mean(*logits_and_masks(2))


def test_a_metric_of_batches_is_their_mean_over_samples() -> None:
    metric = ImportedMetric(ImportedCall(name="own_parts:right_share"), None)
    logits = torch.eye(4)
    metric.update(logits[:3], torch.tensor([0, 1, 3]))
    metric.update(logits[3:], torch.tensor([3]))
    assert metric.compute("right") == {"right": pytest.approx(0.75)}


def test_a_metric_that_accumulates_is_asked_once() -> None:
    options = {"num_classes": 11, "average": "macro"}
    metric = {"f1": {"name": "torchmetrics.classification:MulticlassF1Score", **options}}
    task = built(SegmentationTask, data=DIGITS, metrics=metric)
    torch.manual_seed(0)
    model = task.build_model().eval()
    metrics = task.metrics()
    for indices in (np.arange(3), np.arange(3, 8)):
        batch = task.valid_data().batch(indices, None)
        metrics.update(task.forward(model, batch), batch)
    values = metrics.compute()
    assert values["f1"] == pytest.approx(values["mean_dice"], abs=1e-6)


def test_metrics_of_a_regression_are_in_the_units_of_the_target() -> None:
    metrics = {"worst": {"name": "own_parts:largest_error"}}
    task = built(RegressionTask, metrics=metrics)
    target = task.preprocessing()["target"]
    batch = task.valid_data()[0][:5], torch.from_numpy(task.valid_data()[1][:5])
    outputs = torch.zeros(5, 1)
    accumulator = task.metrics()
    accumulator.update(outputs, batch)
    raw = batch[1] * target["std"] + target["mean"]
    assert accumulator.compute()["worst"] == pytest.approx(
        largest_error(outputs + target["mean"], raw), rel=1e-5
    )


def test_a_metric_with_the_name_of_a_built_in_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"metrics\.miou has the name of a metric of the task"):
        tried(SegmentationTask, data=DIGITS, metrics={"miou": {"name": "own_parts:right_share"}})


OWN: dict[type[Task], dict[str, Any]] = {
    SegmentationTask: {
        "data": DIGITS,
        "model": NET,
        "loss": {"terms": {"own": {"name": "own_parts:ignoring"}}},
    },
    ClassificationTask: {
        "data": {"source": "breast_cancer"},
        "model": {"name": "own_parts:Exact", "in_features": 30, "out_features": 2},
        "loss": {"name": "torch.nn:CrossEntropyLoss"},
        "metrics": {"right": {"name": "own_parts:right_share"}},
    },
    RegressionTask: {
        "model": {"name": "own_parts:Exact", "in_features": 10},
        "loss": {"name": "torch.nn:L1Loss"},
        "lr_schedule": {"name": "own_parts:halving"},
        "optimizer": {"name": "own_parts:Slow"},
    },
}


@pytest.mark.parametrize(("task", "options"), OWN.items())
def test_each_task_takes_a_step_with_parts_of_ones_own(task: type[Task], options: dict[str, Any]) -> None:
    tried(task, **options)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({**NET, "num_classes": 10}, "returned [2, 10, 16, 16]; must be [2, 11, 16, 16]"),
        ({**NET, "returns": "nothing"}, "returned a NoneType; must be a tensor"),
        (
            {"name": "own_parts:MADE"},
            "is a Conv2d that is made already, and trials would share",
        ),
        ({"name": "own_parts:Raises"}, "own_parts:Raises() raised RuntimeError: no weights on this machine"),
        (
            {"name": "own_parts:no_net", "size": 3},
            "own_parts:no_net returned an int; must be a torch",
        ),
    ],
)
def test_a_model_that_cannot_be_trained_says_so_in_the_first_step(
    model: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        tried(SegmentationTask, data=DIGITS, model=model)


def test_a_search_tries_each_combination_before_a_trial(tmp_path: Any) -> None:
    from in_process import search_locally

    config = {
        "name": "tried",
        "task": "segmentation",
        "objective": {"metric": "miou", "mode": "max"},
        "virtual_epoch": {"steps": 1},
        "budget": {"trials": 2, "max_virtual_epochs": 1},
        "trial": {"data": DIGITS, "model": {**NET, "num_classes": {"choice": [11, 7]}}},
    }
    with pytest.raises(SearchError, match=r"must be \[2, 11, 16, 16\].*this was tried: trial\.model"):
        search_locally(config, results=tmp_path)
    assert not list(tmp_path.rglob("trials/*"))
