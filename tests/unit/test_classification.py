"""The classification task: its data, loss, metrics and networks, against references and by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from scipy import stats
from sklearn import metrics as reference
from small_trials import assert_identical, everything, run, segmentation_plan, small_trainer, timeless

from search.config.stages import load_config
from search.errors import ConfigError
from trainables.classification.confusion_picture import MOST_CLASSES, confusion_picture
from trainables.classification.loss import ClassificationLoss, balanced_weights
from trainables.classification.metrics import ClassificationMetrics
from trainables.classification.mixup import ClassificationSource, beta_numbers, shift
from trainables.classification.options import AugmentOptions, ClassificationOptions
from trainables.classification.task import ClassificationTask
from trainables.images.samples import StackedSamples
from trainables.networks.cnn import CNN
from trainables.networks.mlp import MLP
from trainables.networks.resnet import ResNet

TABLE = {"data": {"source": "breast_cancer"}, "model": {"name": "mlp", "width": 8}}


def make_task(options: Mapping[str, Any] | None = None) -> ClassificationTask:
    parsed = ClassificationOptions.model_validate(options or {})
    arrays = ClassificationTask.load_data(parsed)
    for array in arrays.values():
        array.flags.writeable = False  # as they come out of Ray's object store
    return ClassificationTask(parsed, arrays)


def csv_task(folder: Path, text: str, **data: Any) -> ClassificationTask:
    file = folder / "data.csv"
    file.write_text(text)
    return make_task({**TABLE, "data": {"source": "csv", "path": str(file), "target": "y", **data}})


# Data


def test_digits_are_split_by_class_and_normalized_by_the_training_images() -> None:
    task = make_task()
    images, labels = task.train_data().batch(np.arange(len(task.train_data())), None)
    assert images.shape == (len(labels), 1, 8, 8)
    assert len(images) + len(task.valid_data()) == 1797
    assert abs(float(images.mean())) < 1e-4
    assert abs(float(images.std()) - 1.0) < 1e-3
    of_valid = task.valid_data().batch(np.arange(len(task.valid_data())), None)[1]
    np.testing.assert_allclose(labels.bincount() / 4, of_valid.bincount(), atol=2)
    other = make_task({"data": {"source": "digits", "split_seed": 1}})
    assert not torch.equal(other.valid_data().batch(np.arange(350), None)[1], of_valid[:350])


def test_classes_of_a_csv_are_in_the_order_of_their_numbers_or_names(tmp_path: Path) -> None:
    numbers = csv_task(tmp_path, "a,y\n" + "".join(f"{n},{n % 3 * 5}\n" for n in range(30)))
    assert numbers.class_names == ("0", "5", "10")
    texts = csv_task(tmp_path, "a,y\n" + "".join(f"{n},{'yes' if n % 3 else 'no'}\n" for n in range(30)))
    assert texts.class_names == ("no", "yes")
    rows, labels = texts.train_data().batch(np.arange(24), None)
    assert (rows.shape, rows.dtype, labels.dtype) == ((24, 1), torch.float32, torch.int64)
    assert labels.tolist().count(0) == 8
    preprocessing = texts.preprocessing()
    assert preprocessing["class_names"] == ["no", "yes"]
    assert [column["name"] for column in preprocessing["columns"]] == ["a"]


def test_a_class_that_only_validation_has_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "valid.csv").write_text("a,y\n1,x\n2,z\n")
    with pytest.raises(
        ValueError,
        match=r"valid\.csv:3: column 'y': received 'z', which no training row has; must be one of their 2",
    ):
        csv_task(tmp_path, "a,y\n1,x\n2,x\n3,w\n4,w\n", valid_path=str(tmp_path / "valid.csv"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,y\n1,x\n2,\n3,x\n4,x\n", r"data\.csv:3: column 'y': is empty; every row must have a target"),
        ("a,y\n1,x\n2,x\n3,x\n", "holds 'x' only; a target must have two classes at least"),
        (
            "a,y\n" + "".join(f"{n % 7},{n / 7:.2f}\n" for n in range(40)),
            "use task: regression for a quantity",
        ),
        ("a,y\n1,x\n2,z\n", "every class has a single sample"),
        ("a,y\n1,x\n", "has 1 row; training and validation need one each"),
    ],
)
def test_a_target_that_cannot_be_learnt_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        csv_task(tmp_path, text)


# Images in folders


def paint(folder: Path, classes: Mapping[str, int], size: tuple[int, int] = (8, 8)) -> None:
    """Random colour images of each class."""
    rng = np.random.default_rng(0)
    for name, number in classes.items():
        (folder / name).mkdir(parents=True)
        for index in range(number):
            Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(folder / name / f"{index}.png")


def folder_task(root: Path, **data: Any) -> ClassificationTask:
    return make_task({"data": {"source": "images", "root": str(root), **data}})


def test_a_folder_per_class_is_split_by_the_hash_of_names(tmp_path: Path) -> None:
    paint(tmp_path / "one", {"cat": 10, "dog": 5})
    before = folder_task(tmp_path / "one")
    assert before.class_names == ("cat", "dog")
    assert [len(before.train_data()), len(before.valid_data())] == [12, 3]
    images, labels = before.valid_data().batch(np.arange(3), None)
    assert images.shape == (3, 3, 8, 8)
    assert labels.tolist() == [0, 0, 1]
    (tmp_path / "one").rename(tmp_path / "two")
    paint(tmp_path / "two", {"eel": 4})
    after = folder_task(tmp_path / "two")
    np.testing.assert_array_equal(after.arrays["valid_inputs"][:3], before.arrays["valid_inputs"])
    other = folder_task(tmp_path / "two", split_seed=1)
    assert not np.array_equal(other.arrays["valid_inputs"], after.arrays["valid_inputs"])


def test_a_folder_that_is_split_keeps_its_split(tmp_path: Path) -> None:
    paint(tmp_path / "train", {"a": 3, "b": 2})
    paint(tmp_path / "valid", {"b": 2})
    task = folder_task(tmp_path, channels=1)
    assert task.class_names == ("a", "b")
    assert task.valid_data().batch(np.arange(2), None)[1].tolist() == [1, 1]
    assert task.arrays["train_inputs"].shape == (5, 8, 8, 1)


def test_images_of_other_sizes_and_forms_are_read_with_resize(tmp_path: Path) -> None:
    paint(tmp_path, {"a": 2, "b": 2})
    stripes = np.zeros((20, 40, 3), np.uint8)
    stripes[:, 10:30] = 200  # the middle square
    Image.fromarray(stripes).save(tmp_path / "a" / "wide.JPG", quality=95)
    (tmp_path / "a" / "notes.txt").write_text("not an image")
    (tmp_path / "a" / ".hidden.png").write_text("not an image")
    with pytest.raises(ValueError, match=r"wide\.JPG: is 40x20, and .*: is one|set data\.resize"):
        folder_task(tmp_path)
    task = folder_task(tmp_path, resize=10)
    pixels = np.concatenate([task.arrays["train_inputs"], task.arrays["valid_inputs"]])
    assert pixels.shape == (5, 10, 10, 3)
    assert any((np.abs(image[:, 1:-1].astype(int) - 200) < 12).all() for image in pixels)
    assert task.preprocessing()["resize"] == 10


def test_preprocessing_normalizes_raw_images_as_the_batches_are(tmp_path: Path) -> None:
    paint(tmp_path / "train", {"a": 3, "b": 2})
    paint(tmp_path / "val", {"a": 1})
    task = folder_task(tmp_path)
    preprocessing = json.loads(json.dumps(task.preprocessing()))
    with Image.open(tmp_path / "val" / "a" / "0.png") as image:
        pixels = (np.asarray(image) / 255 - preprocessing["mean"]) / preprocessing["std"]
    batch, _ = task.valid_data().batch(np.arange(1), None)
    np.testing.assert_allclose(batch[0].permute(1, 2, 0).numpy(), pixels, rtol=1e-4, atol=1e-5)
    assert (preprocessing["height"], preprocessing["width"], preprocessing["class_names"]) == (
        8,
        8,
        ["a", "b"],
    )


def test_a_folder_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    def refused(message: str, **data: Any) -> None:
        with pytest.raises(ValueError, match=message):
            folder_task(**{"root": tmp_path, **data})

    refused("holds no folders; it must hold one for each class")
    (tmp_path / "cat").mkdir()
    refused(r"cat: holds no PNG or JPEG image; fill it, or remove the class")
    Image.new("RGB", (8, 8)).save(tmp_path / "cat" / "1.png")
    refused("holds the one class 'cat'; there must be two at least")
    Image.new("RGB", (8, 8)).save(tmp_path / "2.png")
    refused(r"2\.png: lies in no class; images must lie in a folder of a class")
    (tmp_path / "2.png").unlink()
    paint(tmp_path, {"dog": 1})
    refused("each class has one image; training and validation need one each")
    (tmp_path / "dog" / "more").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "dog" / "more" / "1.png")
    refused(r"dog/more: is a folder inside of a class")
    (tmp_path / "dog" / "more" / "1.png").unlink()
    (tmp_path / "dog" / "more").rename(tmp_path / "train")
    refused(r"has train/ and none of val/, valid/, validation/")
    refused("must be a folder with a folder of images", root=tmp_path / "nothing")


def test_a_class_that_only_the_validation_folder_has_is_named(tmp_path: Path) -> None:
    paint(tmp_path / "train", {"a": 1, "b": 1})
    paint(tmp_path / "val", {"b": 1, "bb": 1})
    with pytest.raises(ValueError, match=r"val/bb: is a class that .*train lacks.*: a, b"):
        folder_task(tmp_path)


def test_every_broken_image_is_named_before_training(tmp_path: Path) -> None:
    paint(tmp_path, {"a": 3, "b": 3})
    (tmp_path / "a" / "0.png").write_bytes((tmp_path / "a" / "0.png").read_bytes()[:60])
    (tmp_path / "b" / "1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"2 of 6 samples are wrong:\n.*a/0\.png: .*\n.*b/1\.png: is empty"):
        folder_task(tmp_path)
    (tmp_path / "b" / "x.gif").write_bytes(b"")
    with pytest.raises(ValueError, match=r"x\.gif: is \.gif; images must be PNG or JPEG"):
        folder_task(tmp_path)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    paint(tmp_path / "data", {"a": 3, "b": 3})
    (tmp_path / "data" / "b" / "9.png").symlink_to(tmp_path / "data" / "a" / "0.png")
    assert len(folder_task(tmp_path / "data").train_data()) == 5
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    (tmp_path / "data" / "b" / "8.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(ValueError, match=r"8\.png: leads to .*secret\.png, outside of data\.root"):
        folder_task(tmp_path / "data")


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


def measured(logits: torch.Tensor, labels: torch.Tensor, size: int = 37) -> ClassificationMetrics:
    metrics = ClassificationMetrics(logits.shape[1])
    for chosen in torch.arange(len(labels)).split(size):
        metrics.update(logits[chosen], (None, labels[chosen]))
    return metrics


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


# Networks


@pytest.mark.parametrize("side", [1, 7, 8, 40])
@pytest.mark.parametrize(
    "model",
    [
        CNN(in_channels=3, num_classes=5, width=4, depth=3),
        ResNet(in_channels=3, num_classes=5, width=4, stages=3, blocks=2),
        ResNet(in_channels=3, num_classes=5, width=4, stages=2, stem="large"),
    ],
    ids=["cnn", "resnet", "large"],
)
def test_image_networks_take_any_size_and_name_each_parameter_once(model: Any, side: int) -> None:
    images = torch.randn(1, 3, side, side)
    assert model.train()(images).shape == (1, 5)
    named = [id(p) for layer in model.layers() for part in layer for p in part.parameters()]
    assert sorted(named) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("normalization", ["batch", "layer", "none"])
def test_a_perceptron_trains_on_one_row(normalization: Any) -> None:
    model = MLP(in_features=3, out_features=2, width=4, depth=2, normalization=normalization)
    model(torch.randn(1, 3)).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    named = [id(p) for layer in model.layers() for part in layer for p in part.parameters()]
    assert sorted(named) == sorted(id(p) for p in model.parameters())


def test_batch_normalization_is_that_of_torch_for_more_than_one_row() -> None:
    model = MLP(in_features=3, out_features=2, width=4, depth=1, normalization="batch")
    plain = torch.nn.Sequential(
        torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    )
    plain.load_state_dict(dict(zip(plain.state_dict(), model.state_dict().values(), strict=True)))
    rows = torch.randn(5, 3)
    torch.testing.assert_close(model(rows), plain(rows))
    torch.testing.assert_close(model.eval()(rows), plain.eval()(rows))


# Trials

MIXED = {
    "data": {"source": "digits"},
    "model": {"name": "resnet", "width": 4, "stages": 2, "dropout": 0.2},
    "loss": {"mixup": 0.4, "class_weights": "balanced", "label_smoothing": 0.1},
    "augment": {"shift": 1, "horizontal_flip": 0.5},
    "optimizer": {"name": "adamw", "lr": 0.02, "layer_decay": 0.8},
    "lr_schedule": {"name": "cosine", "warmup": 0.1},
    "batch_size": 6,
    "accumulate": 2,
    "ema": 0.9,
    "seed": 3,
}


def test_a_trial_with_mixup_resumed_in_new_sessions_is_the_uninterrupted_one(tmp_path: Path) -> None:
    task = "trainables.classification.task:ClassificationTask"
    fields: dict[str, Any] = {"task": task, "options": MIXED, "metric": "accuracy"}
    whole = run(segmentation_plan(tmp_path / "whole", **fields))
    assert len({record["train_loss"] for record in whole.history}) == 4
    for reported, point in enumerate((1, 2, 3)):  # killed at each: not closed
        run(segmentation_plan(tmp_path / "cut", reported=reported, **fields), point)
    resumed = run(segmentation_plan(tmp_path / "cut", reported=3, **fields))
    assert_identical(everything(resumed), everything(whole))
    assert timeless(resumed.history)[-1]["step"] == 20


def test_a_digits_trial_learns() -> None:
    trainer = small_trainer(ClassificationTask, {"model": {"name": "cnn", "width": 8}}, count=60)
    assert trainer.run_virtual_epoch()["accuracy"] > 0.7


def test_whole_epochs_may_end_in_a_batch_of_one_row() -> None:
    options = {**TABLE, "model": {"name": "mlp", "width": 4, "normalization": "batch"}, "batch_size": 16}
    num_train = small_trainer(ClassificationTask, options).virtual_epochs.epoch_samples
    assert num_train is not None
    trainer = small_trainer(
        ClassificationTask, {**options, "batch_size": num_train - 1}, unit="epochs", count=1
    )
    assert np.isfinite(trainer.run_virtual_epoch()["train_loss"])


# Options


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"data": {"source": "csv", "path": "x", "target": "y"}}, "use model.name mlp"),
        ({"model": {"name": "mlp"}}, "use model.name cnn or resnet"),
        ({**TABLE, "augment": {"shift": 1}}, "augment changes images"),
        ({"data": {"source": "csv", "path": "x"}}, "data.csv.target"),
        ({"model": {"name": "resnet", "depth": 2}}, "model.resnet.depth"),
        ({"loss": {"mixup": -1}}, "greater than or equal to 0"),
    ],
)
def test_wrong_options_are_refused_with_their_place(section: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ClassificationOptions.model_validate(section)
    found = str(caught.value) + " ".join(".".join(map(str, error["loc"])) for error in caught.value.errors())
    assert message in found


def test_mistakes_in_a_file_are_told_by_line(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(
        "task: classification\n"
        "objective: {metric: accuracy, mode: max}\n"
        "virtual_epoch: {steps: 5}\n"
        "trial:\n"
        "  data: {source: breast_cancer}\n"
        "  model:\n"
        "    name: {choice: [mlp, resnet]}\n"
        "  loss:\n"
        "    label_smothing: 0.1\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    told = [f"{problem.where}: {problem.path}: {problem.message}" for problem in caught.value.problems]
    assert len(told) == 2
    assert "c.yaml:6: trial.model: model.name is resnet, which takes images" in told[0]
    assert "c.yaml:9: trial.loss.label_smothing: unknown key 'label_smothing'" in told[1]
    assert "'label_smoothing'" in told[1]


def test_augmentation_is_off_by_default() -> None:
    samples = StackedSamples(np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int64))
    assert ClassificationSource(samples, np.zeros(1), np.ones(1)).num_randoms == 0
    assert AugmentOptions() == ClassificationOptions().augment
