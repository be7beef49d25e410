"""Augmentation, mixup, loss and metrics of a classification, against references and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from class_tasks import TABLE, make_task, measured
from scipy import stats
from sklearn import metrics as reference
from small_trials import small_trainer

from trainables.classification.confusion_picture import MOST_CLASSES, confusion_picture
from trainables.classification.loss import ClassificationLoss, balanced_weights
from trainables.classification.metrics import ClassificationMetrics
from trainables.classification.mixup import beta_numbers, shift
from trainables.classification.task import ClassificationTask

# Augmentation and mixup


def test_shift_moves_each_image_and_fills_with_the_mean_colour() -> None:
    images = np.arange(1.0, 33.0, dtype=np.float32).reshape(2, 4, 4, 1)
    moved = shift(images, np.array([[0.0, 0.5], [0.99, 0.99]]), 1)
    # The first number is the smallest: the window begins a pixel higher, so the image moves down.
    np.testing.assert_array_equal(moved[0, 1:], images[0, :-1])
    assert (moved[0, 0] == 0).all()
    np.testing.assert_array_equal(moved[1, :-1, :-1], images[1, 1:, 1:])
    assert (moved[1, -1] == 0).all()
    assert (moved[1, :, -1] == 0).all()


def test_flips_and_shifts_change_training_images_only() -> None:
    task = make_task({"augment": {"horizontal_flip": 1.0}})
    source, indices = task.train_data(), np.arange(6)
    plain, _ = source.batch(indices, None)
    flipped, _ = source.batch(indices, np.full((6, source.num_randoms), 0.5))
    assert torch.equal(flipped, plain.flip(3))
    assert task.valid_data().num_randoms == 0


def test_lambdas_are_beta_distributed() -> None:
    uniforms = (np.arange(5000) + 0.5) / 5000
    for alpha in (0.1, 0.4, 1.0, 3.0):
        found = beta_numbers(uniforms, alpha).astype(np.float64)
        inside = (found > 0.001) & (found < 0.999)
        assert inside.mean() > 0.4
        np.testing.assert_allclose(stats.beta(alpha, alpha).cdf(found)[inside], uniforms[inside], atol=1e-3)
        assert found.mean() == pytest.approx(0.5, abs=1e-3)
    assert np.isfinite(beta_numbers(np.array([0.0, 1e-300, 0.5, 1 - 2**-53]), 1e-4)).all()


def test_mixup_mixes_inputs_and_targets_by_the_same_share() -> None:
    task = make_task({**TABLE, "loss": {"mixup": 0.5}})
    source = task.train_data()
    randoms = np.random.default_rng(0).random((8, source.num_randoms))
    mixed, labels, others, share = source.batch(np.arange(8), randoms)
    partners = (randoms[:, 3] * len(source)).astype(int)
    (first, own), (second, of_partners) = (source.batch(chosen, None) for chosen in (np.arange(8), partners))
    assert torch.equal(labels, own)
    assert torch.equal(others, of_partners)
    torch.testing.assert_close(mixed, share[:, None] * first + (1 - share[:, None]) * second)
    logits = torch.randn(8, 2)
    both = [
        torch.nn.functional.cross_entropy(logits, target, reduction="none") for target in (labels, others)
    ]
    torch.testing.assert_close(
        task.loss(logits, (mixed, labels, others, share)), (share * both[0] + (1 - share) * both[1]).mean()
    )
    assert len(task.valid_data().batch(np.arange(3), None)) == 2


def test_a_mixed_sample_is_the_same_in_any_batch() -> None:
    source = make_task({"loss": {"mixup": 0.5}, "augment": {"shift": 1, "horizontal_flip": 0.5}}).train_data()
    randoms = np.random.default_rng(0).random((10, source.num_randoms))
    whole = source.batch(np.arange(10), randoms)
    parts = [source.batch(np.arange(10)[rows], randoms[rows]) for rows in (slice(0, 3), slice(3, 10))]
    for number, tensor in enumerate(whole):
        assert torch.equal(torch.cat([part[number] for part in parts]), tensor)


def test_all_data_mixes_training_and_validation_samples_alike() -> None:
    joined = make_task({"loss": {"mixup": 0.5}}).all_data()
    randoms = np.random.default_rng(0).random((40, joined.num_randoms))
    batch = joined.batch(np.arange(1400, 1440), randoms)
    assert [len(part) for part in batch] == [40, 40, 40, 40]
    assert len(joined) == 1797


# Loss


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_accumulated_micro_batches_are_the_large_batch_with_class_weights(mixup: float) -> None:
    options = {**TABLE, "loss": {"class_weights": "balanced", "label_smoothing": 0.1, "mixup": mixup}}
    task = make_task(options)
    source, randoms = task.train_data(), np.random.default_rng(0).random((12, 8))
    model = task.build_model()

    def loss_of(rows: slice) -> tuple[torch.Tensor, torch.Tensor]:
        batch = source.batch(np.arange(12)[rows], randoms[rows])
        return task.loss(task.forward(model, batch), batch), task.loss_weight(batch)

    whole, total = loss_of(slice(None))
    parts = [loss_of(rows) for rows in (slice(0, 2), slice(2, 7), slice(7, 12))]
    torch.testing.assert_close(sum(mean * weight / total for mean, weight in parts), whole)
    torch.testing.assert_close(sum(weight for _, weight in parts), total)


@pytest.mark.parametrize("mixup", [0.0, 0.4])
def test_trained_weights_do_not_depend_on_how_a_step_is_cut(mixup: float) -> None:
    options = {
        **TABLE,
        "loss": {"class_weights": [1.0, 3.0], "mixup": mixup},
        "optimizer": {"name": "sgd", "lr": 0.1},
    }
    cut = small_trainer(ClassificationTask, {**options, "batch_size": 4, "accumulate": 4})
    whole = small_trainer(ClassificationTask, {**options, "batch_size": 16})
    found, expected = cut.run_virtual_epoch(), whole.run_virtual_epoch()
    assert found["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-5)
    for name, weight in whole.weights().items():
        torch.testing.assert_close(cut.weights()[name], weight)


def test_the_weighted_mean_is_that_of_torch() -> None:
    logits, labels = torch.randn(9, 3), torch.arange(9) % 3
    weights = np.array([0.5, 1.0, 4.0])
    expected = torch.nn.functional.cross_entropy(
        logits, labels, weight=torch.tensor(weights, dtype=torch.float32), label_smoothing=0.2
    )
    torch.testing.assert_close(ClassificationLoss(weights, 0.2).mean(logits, (None, labels)), expected)


def test_balanced_weights_are_those_of_scikit_learn() -> None:
    from sklearn.utils.class_weight import compute_class_weight

    labels = np.repeat([0, 1, 2], [5, 30, 7])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    np.testing.assert_allclose(balanced_weights(np.bincount(labels)), expected)
    np.testing.assert_allclose(balanced_weights(np.array([2, 0, 1])), [0.5, 1.0, 1.0])
    with pytest.raises(
        ValueError, match=r"loss\.class_weights has 3 numbers; there are 2 classes: malignant, benign"
    ):
        make_task({**TABLE, "loss": {"class_weights": [1.0, 2.0, 3.0]}})


# Metrics


def numpy_calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """As the paper defines it, bin by bin."""
    confidence, right = probabilities.max(1), probabilities.argmax(1) == labels
    error = 0.0
    for number in range(1, 16):
        inside = (confidence > (number - 1) / 15) & (confidence <= number / 15)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error


@pytest.mark.parametrize("num_classes", [2, 5])
def test_metrics_are_those_of_scikit_learn(num_classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(0, num_classes, (500,), generator=generator)
    logits = 2 * torch.randn(500, num_classes, generator=generator)
    logits[torch.arange(500), labels] += 1.0
    metrics = measured(logits, labels)
    predicted, probabilities = logits.argmax(1), logits.softmax(1).double().numpy()
    found = metrics.compute()
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    assert found["balanced_accuracy"] == pytest.approx(reference.balanced_accuracy_score(labels, predicted))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(labels, predicted, average="macro"))
    assert found["calibration_error"] == pytest.approx(numpy_calibration_error(probabilities, labels.numpy()))
    np.testing.assert_array_equal(metrics.confusion(), reference.confusion_matrix(labels, predicted))


def test_classes_that_do_not_occur_are_left_out_as_scikit_learn_does() -> None:
    labels, predicted = torch.tensor([0, 0, 1, 1, 1]), torch.tensor([0, 3, 1, 1, 0])
    found = measured(torch.eye(5)[predicted], labels).compute()
    assert found["balanced_accuracy"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    expected = reference.f1_score(labels, predicted, average="macro", zero_division=0)
    assert found["macro_f1"] == pytest.approx(expected)


def test_certainty_and_chance_have_the_calibration_error_of_their_definition() -> None:
    right = measured(100.0 * torch.eye(4), torch.arange(4)).compute()
    assert right["calibration_error"] == pytest.approx(0.0, abs=1e-6)
    wrong = measured(100.0 * torch.eye(4), torch.tensor([1, 2, 3, 0])).compute()
    assert wrong["calibration_error"] == pytest.approx(1.0, abs=1e-6)
    assert all(np.isnan(value) for value in ClassificationMetrics(3).compute().values())


# Pictures


def test_the_confusion_matrix_is_drawn_after_a_validation() -> None:
    trainer = small_trainer(ClassificationTask, {}, count=1)
    task = trainer.task
    assert task.images(trainer.model, trainer.device) == {}
    trainer.validate()
    picture = task.images(trainer.model, trainer.device)["confusion"]
    assert picture.dtype == np.uint8
    assert picture.shape[2] == 3
    assert min(picture.shape[:2]) > 400


def test_cells_are_blue_where_right_red_where_wrong_and_white_where_empty() -> None:
    picture = confusion_picture(np.array([[8, 2], [0, 5]]), ["a", "b"]).astype(int)
    is_blue = picture[..., 2] > picture[..., 0] + 50
    is_red = picture[..., 0] > picture[..., 2] + 20
    rows, columns = (np.argwhere(is_blue)[:, axis] for axis in (0, 1))
    middle = (rows.min() + rows.max()) // 2, (columns.min() + columns.max()) // 2
    assert is_blue[: middle[0], : middle[1]].sum() > 1000  # true a, predicted a
    assert is_blue[middle[0] :, middle[1] :].sum() > 1000
    assert is_red[: middle[0] - 2, middle[1] + 2 :].sum() > 1000  # true a, predicted b
    empty = picture[middle[0] + 5 : rows.max() - 5, columns.min() + 5 : middle[1] - 5]
    assert (empty == 255).all()


def test_of_many_classes_those_with_the_most_errors_are_drawn() -> None:
    confusion = np.diag(np.full(200, 7))
    confusion[5, 150] = 3
    picture = confusion_picture(confusion, [f"a class with a long name {n}" for n in range(200)])
    assert max(picture.shape) < (MOST_CLASSES + 8) * 44
