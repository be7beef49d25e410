import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score

from trainables.segmentation.metrics import ConfusionMetrics

NAMES = ["road", "car", "tree", "sky", "never"]


def batches():
    """Three batches of different sizes; class 4 occurs nowhere, class 3 in the prediction alone."""
    generator = torch.Generator().manual_seed(0)
    for count in (4, 1, 3):
        logits = torch.randn(count, 5, 6, 9, generator=generator)
        logits[:, 4] = -9.0
        masks = torch.randint(0, 3, (count, 6, 9), generator=generator)
        masks[torch.rand(masks.shape, generator=generator) < 0.2] = 255
        yield logits, masks


def accumulated():
    metrics = ConfusionMetrics(NAMES)
    truth, predicted = [], []
    for logits, masks in batches():
        metrics.update(logits, (None, masks))
        valid = masks != 255
        truth.append(masks[valid].numpy())
        predicted.append(logits.argmax(1)[valid].numpy())
    return metrics, np.concatenate(truth), np.concatenate(predicted)


def test_confusion_is_that_of_scikit_learn():
    metrics, truth, predicted = accumulated()
    np.testing.assert_array_equal(
        metrics.confusion(), confusion_matrix(truth, predicted, labels=list(range(5)))
    )
    assert metrics.confusion().dtype == np.int64


def test_numbers_are_those_of_scikit_learn_over_the_classes_that_occur():
    metrics, truth, predicted = accumulated()
    values = metrics.compute()
    seen = [0, 1, 2, 3]
    iou = jaccard_score(truth, predicted, labels=seen, average=None)
    dice = f1_score(truth, predicted, labels=seen, average="macro", zero_division=0)
    assert values["miou"] == pytest.approx(iou.mean(), rel=1e-12)
    assert values["mean_dice"] == pytest.approx(dice, rel=1e-12)
    assert values["pixel_accuracy"] == pytest.approx(accuracy_score(truth, predicted), rel=1e-12)
    assert metrics.confusion().sum() == len(truth)
    for name, expected in zip(NAMES, iou, strict=False):
        assert values[f"iou/{name}"] == pytest.approx(expected, rel=1e-12)
    assert "iou/never" not in values
    assert values["iou/sky"] == 0.0


def test_miou_is_of_the_data_set_and_not_a_mean_over_images():
    masks = torch.tensor([[[0, 0, 0, 1]], [[1, 1, 1, 1]]])
    predicted = torch.tensor([[[0, 0, 0, 0]], [[1, 1, 1, 1]]])
    metrics = ConfusionMetrics(["a", "b"])
    for row in (0, 1):
        logits = torch.nn.functional.one_hot(predicted[row : row + 1], 2).permute(0, 3, 1, 2).float()
        metrics.update(logits, (None, masks[row : row + 1]))
    assert metrics.compute()["miou"] == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_wrong_predictions_on_ignored_pixels_do_not_count():
    logits = torch.zeros(1, 2, 1, 2)
    logits[0, 1, 0, 1] = 1.0
    metrics = ConfusionMetrics(["a", "b"])
    metrics.update(logits, (None, torch.tensor([[[0, 255]]])))
    assert metrics.compute() == {
        "miou": 1.0,
        "mean_dice": 1.0,
        "pixel_accuracy": 1.0,
        "iou/a": 1.0,
        "dice/a": 1.0,
    }


def test_other_ignored_labels_are_left_out():
    metrics = ConfusionMetrics(["a", "b"], ignore_index=0)
    metrics.update(
        torch.tensor([0.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2), (None, torch.tensor([[[0, 1]]]))
    )
    np.testing.assert_array_equal(metrics.confusion(), [[0, 0], [0, 1]])


@pytest.mark.parametrize("updates", [0, 1])
def test_without_a_valid_pixel_means_are_nan_and_not_a_score(updates):
    metrics = ConfusionMetrics(["a", "b"])
    for _ in range(updates):
        metrics.update(torch.zeros(1, 2, 1, 1), (None, torch.tensor([[[255]]])))
    values = metrics.compute()
    assert np.isnan(values["miou"])
    assert metrics.confusion().sum() == 0
