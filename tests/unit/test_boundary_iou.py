"""Boundary IoU against erosions by scipy, and per-class numbers of overlapping classes by scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_erosion
from sklearn.metrics import f1_score, jaccard_score

from trainables.images.masks.packed import packed, packed_tensor
from trainables.segmentation.metrics import ConfusionMetrics, SigmoidMetrics

IGNORE = 255
RATIO = 0.06


def boundary(region: np.ndarray, ratio: float) -> np.ndarray:
    """As in the paper's code: the region without its erosion, outside of the image being nothing."""
    distance = max(1, round(ratio * math.hypot(*region.shape)))
    return region & ~binary_erosion(region, np.ones((3, 3)), iterations=distance, border_value=0)


def expected_ious(truths: list[np.ndarray], predictions: list[np.ndarray], ratio: float) -> dict[int, float]:
    """By class, of lists of bool [K, H, W]."""
    both, either = np.zeros(len(truths[0])), np.zeros(len(truths[0]))
    for truth, predicted in zip(truths, predictions, strict=True):
        for number in range(len(truth)):
            one, other = boundary(truth[number], ratio), boundary(predicted[number], ratio)
            both[number] += (one & other).sum()
            either[number] += (one | other).sum()
    return {number: both[number] / either[number] for number in range(len(both)) if either[number]}


def blobs(seed: int, size: tuple[int, int], classes: int) -> np.ndarray:
    """Large regions of random labels, which touch the borders."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, classes, (5, 6))
    rows, columns = (np.arange(n) * m // n for n, m in zip(size, coarse.shape, strict=True))
    labels = coarse[rows][:, columns]
    noise = rng.random(size) < 0.01
    labels[noise] = rng.integers(0, classes, noise.sum())
    return labels


def logits_of(labels: np.ndarray, classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.from_numpy(labels), classes).movedim(-1, 1).float()


def planes_of(labels: np.ndarray, classes: int) -> np.ndarray:
    return np.stack([labels == number for number in range(classes)])


@pytest.mark.parametrize("ignored", ["nothing", "spots", "frame", "all_of_one"])
@pytest.mark.parametrize("size", [(40, 52), (64, 31), (5, 7), (1, 9)])
def test_exclusive_classes_have_the_boundary_iou_of_scipy(size: tuple[int, int], ignored: str) -> None:
    truth = np.stack([blobs(seed, size, 3) for seed in range(4)])
    predicted = np.stack([blobs(seed if seed % 2 else seed + 9, size, 4) for seed in range(4)])
    known = np.ones(truth.shape, bool)
    if ignored == "spots":
        known = np.random.default_rng(3).random(truth.shape) > 0.02
    elif ignored == "frame":
        known[:, -3:] = known[:, :, :2] = False
        known[0] = True
    elif ignored == "all_of_one":
        known[1] = False
    metrics = ConfusionMetrics(list("abcde"), IGNORE, RATIO)
    masks = np.where(known, truth, IGNORE)
    for first in (0, 1):  # accumulated over batches
        part = slice(first, None, 2)
        metrics.update(logits_of(predicted[part], 5), (None, torch.from_numpy(masks[part])))
    truths, predictions = [], []
    for image in range(4):
        if not known[image].any():
            continue
        rows, columns = (np.flatnonzero(known[image].any(axis=axis)) for axis in (1, 0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        truths.append(planes_of(truth[image][box], 5) & known[image][box])
        predictions.append(planes_of(predicted[image][box], 5) & known[image][box])
    expected = expected_ious(truths, predictions, RATIO)
    values = metrics.compute()
    named = {k: v for k, v in values.items() if k.startswith("boundary_iou/")}
    assert named == {f"boundary_iou/{'abcde'[number]}": iou for number, iou in expected.items()}
    assert values["boundary_iou"] == pytest.approx(np.mean(list(expected.values())), rel=1e-12)


def test_padding_of_a_batch_changes_nothing() -> None:
    sizes = [(30, 40), (44, 20)]
    alone, together = (ConfusionMetrics(list("abc"), IGNORE, RATIO) for _ in range(2))
    padded = np.full((2, 44, 40), IGNORE)
    predicted = np.zeros((2, 44, 40), np.int64)
    for number, size in enumerate(sizes):
        truth, guess = blobs(number, size, 3), blobs(number + 5, size, 3)
        alone.update(logits_of(guess[None], 3), (None, torch.from_numpy(truth[None])))
        padded[number, : size[0], : size[1]] = truth
        predicted[number, : size[0], : size[1]] = guess
    together.update(logits_of(predicted, 3), (None, torch.from_numpy(padded)))
    assert together.compute() == alone.compute()


def test_a_perfect_prediction_has_1_and_nothing_has_none() -> None:
    truth = torch.from_numpy(blobs(0, (20, 20), 2))[None]
    metrics = ConfusionMetrics(["a", "b"], IGNORE, 0.02)
    metrics.update(logits_of(truth.numpy(), 2), (None, truth))
    assert metrics.compute()["boundary_iou"] == 1.0
    empty = ConfusionMetrics(["a", "b"], IGNORE, 0.02)
    assert math.isnan(empty.compute()["boundary_iou"])
    empty.update(logits_of(truth.numpy(), 2), (None, torch.full_like(truth, IGNORE)))
    assert math.isnan(empty.compute()["boundary_iou"])


@pytest.mark.parametrize("classes", [1, 3, 7, 9, 30])
def test_overlapping_classes_have_the_numbers_of_scikit_learn_and_scipy(classes: int) -> None:
    names = [f"c{number}" for number in range(classes)]
    truth = (
        np.stack([blobs(seed, (24, 33), 2) for seed in range(3 * classes)]).reshape(3, classes, 24, 33) > 0
    )
    guess = np.stack([blobs(seed + 99 * (seed % 3), (24, 33), 2) for seed in range(3 * classes)])
    guess = guess.reshape(truth.shape) > 0
    guess[:, -1] = truth[:, -1] = False  # a class that is absent
    known = np.random.default_rng(1).random((3, 24, 33)) > 0.05
    known[:, 0, 0] = known[:, -1, -1] = True
    masks = np.stack([packed(list(planes), ~of) for planes, of in zip(truth, known, strict=True)])
    metrics = SigmoidMetrics(names, RATIO)
    for image in range(3):
        batch = torch.from_numpy(masks[image : image + 1].astype(np.int64))
        metrics.update(torch.from_numpy(guess[image : image + 1]).float() - 0.5, (None, batch))
    values = metrics.compute()
    kept = np.broadcast_to(known[:, None], truth.shape)
    right = [(truth[:, n][known], guess[:, n][known]) for n in range(classes)]
    for number, (name, pair) in enumerate(zip(names, right, strict=True)):
        if number == classes - 1:
            assert f"iou/{name}" not in values
            assert f"dice/{name}" not in values
            continue
        assert values[f"iou/{name}"] == pytest.approx(jaccard_score(*pair), rel=1e-12)
        assert values[f"dice/{name}"] == pytest.approx(f1_score(*pair), rel=1e-12)
    assert values["pixel_accuracy"] == pytest.approx((truth == guess)[kept].mean(), rel=1e-12)
    expected = expected_ious(list(truth & known[:, None]), list(guess & known[:, None]), RATIO)
    named = {k: v for k, v in values.items() if k.startswith("boundary_iou/")}
    assert named == {f"boundary_iou/c{number}": iou for number, iou in expected.items()}
    assert (packed_tensor(torch.from_numpy(truth)).numpy()[known] == masks[known]).all()
