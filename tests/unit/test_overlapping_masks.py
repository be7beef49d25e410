"""Binary masks and masks of classes that overlap, however they are saved, and what is learnt from them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mask_folders import load, options_of
from overlapping import (
    NAMES,
    SHAPE,
    Save,
    as_archive,
    as_array,
    as_bits,
    as_both,
    as_folders,
    as_suffixes,
    dataset,
    planes,
)
from PIL import Image

from trainables.images.augmentation.crops import cropped
from trainables.images.augmentation.flips_and_light import num_randoms
from trainables.images.augmentation.options import JointAugmentOptions
from trainables.images.masks.packed import counts_of_classes, holds, packed, unpacked
from trainables.images.samples import LoadedImages
from trainables.inspect.images import MaskInspection
from trainables.predicting.flips import flipped_logits
from trainables.segmentation.losses import TERMS
from trainables.segmentation.options import SegmentationOptions
from trainables.segmentation.sigmoid_losses import SigmoidLoss
from trainables.segmentation.task import SegmentationTask


def targets(root: Path, **options: Any) -> dict[str, np.ndarray]:
    """bool [K, H, W] by name of the sample, of both parts."""
    given = {"labels": "multilabel", "class_names": NAMES, **options}
    arrays = load(root, max_memory=0, **given)
    loaded, found = LoadedImages(arrays, options_of(root, max_memory=0, **given)), {}
    for part in ("train", "valid"):
        samples = loaded.samples(part)
        for number, (file, *_) in enumerate(arrays[f"{part}_image_files"]):
            _, mask = samples.one(number)
            truth, _ = unpacked(torch.from_numpy(mask.astype(np.int64))[None], len(loaded.class_names))
            found[Path(file).stem] = truth[0].numpy()
    return found


@pytest.mark.parametrize("save", [as_folders, as_suffixes, as_both, as_bits, as_array, as_archive])
def test_classes_are_those_that_were_saved(tmp_path: Path, save: Save) -> None:
    truths = dataset(tmp_path, save)
    found = targets(tmp_path)
    for seed, truth in enumerate(truths):
        np.testing.assert_array_equal(found[str(seed)], truth)
    arrays = load(tmp_path, labels="multilabel", class_names=NAMES)
    train = [
        int(Path(f).stem)
        for f, *_ in load(tmp_path, labels="multilabel", class_names=NAMES, max_memory=0)["train_image_files"]
    ]
    expected = sum(truths[number].sum(axis=(1, 2)) for number in train)
    np.testing.assert_array_equal(arrays["class_counts"], expected)


def test_a_class_without_a_file_is_absent_and_told(tmp_path: Path) -> None:
    truths = dataset(tmp_path, as_folders)
    (tmp_path / "masks/exudate/2.png").unlink()
    lines: list[str] = []
    load(tmp_path, labels="multilabel", class_names=NAMES, progress=lines.append)
    assert any("of 6 samples lack one: 1 of exudate, taken as absent" in line for line in lines)
    truths[2][1] = False
    np.testing.assert_array_equal(targets(tmp_path)["2"], truths[2])
    (tmp_path / "masks/3.png").write_bytes((tmp_path / "masks/exudate/3.png").read_bytes())
    with pytest.raises(ValueError, match=r"and 1 name none of optic_disc, exudate, hard_exudate: .*3\.png"):
        load(tmp_path, labels="multilabel", class_names=NAMES)


def test_ignored_pixels_of_arrays_count_nowhere(tmp_path: Path) -> None:
    dataset(tmp_path, as_array)
    array = np.moveaxis(planes(0), 0, 2).astype(np.uint8)
    array[:3] = 255
    np.save(tmp_path / "masks/0.npy", array)
    assert not targets(tmp_path)["0"][:, :3].any()
    array[5, 5] = 0, 255, 1
    np.save(tmp_path / "masks/0.npy", array)
    with pytest.raises(
        ValueError, match=r"0\.npy: holds 255 in some classes of a pixel and not in others; a"
    ):
        load(tmp_path, labels="multilabel", class_names=NAMES)


def with_array(values: np.ndarray) -> Callable[[Path], None]:
    return lambda root: np.save(root / "masks/1.npy", values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_array(np.full((*SHAPE, 3), 2)), "holds label 2 in 576 pixels; it must hold 0 and 1"),
        (with_array(np.zeros((*SHAPE, 4), np.uint8)), "has 4 planes, and there are 3 classes"),
        (with_array(np.zeros((*SHAPE, 3))), "holds float64, and a mask must hold whole numbers"),
        (
            with_array(np.full(SHAPE, 8)),
            "holds label 8 in 192 pixels; with 3 classes numbers are sums of 1, 2",
        ),
    ],
)
def test_a_wrong_mask_is_named(tmp_path: Path, change: Callable[[Path], None], message: str) -> None:
    dataset(tmp_path, as_array)
    change(tmp_path)
    with pytest.raises(ValueError, match=rf"masks/1\.npy: {message}"):
        load(tmp_path, labels="multilabel", class_names=NAMES)
    found = MaskInspection(options_of(tmp_path, labels="multilabel", class_names=NAMES))
    contents = [found.look(number) for number in range(len(found.samples))]
    assert [Path(f.where).name for c in contents for f in c.findings] == ["1.npy"]
    assert list(found.conclude(contents).class_names) == list(NAMES)


def test_more_than_two_numbers_in_the_mask_of_a_class_are_refused(tmp_path: Path) -> None:
    dataset(tmp_path, as_folders)
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(SHAPE) % 3).save(tmp_path / "masks/exudate/1.png")
    with pytest.raises(
        ValueError, match=r"exudate/1\.png: holds label .*; the mask of a class must hold 0, and"
    ):
        load(tmp_path, labels="multilabel", class_names=NAMES)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"labels": "multilabel", "mask_values": {255: 1}, "class_names": NAMES},
            "mask_values has no meaning",
        ),
        ({"labels": "multilabel", "num_classes": 31}, "multilabel with 31 classes; there may be 30"),
        ({"labels": "binary", "num_classes": 3}, "num_classes is 3 and labels binary"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        options_of(tmp_path, **options)


def test_packed_classes_come_back() -> None:
    for classes in (1, 7, 8, 30):
        truth = planes(classes, classes)
        ignored = np.random.default_rng(0).random(SHAPE) < 0.1
        mask = packed(list(truth), ignored)
        found, known = unpacked(torch.from_numpy(mask.astype(np.int64))[None], classes)
        np.testing.assert_array_equal(found[0].numpy(), truth & ~ignored)
        np.testing.assert_array_equal(known[0, 0].numpy(), ~ignored)
        counts = counts_of_classes(mask, classes)
        assert counts[255] == ignored.sum()
        assert [counts[number] for number in range(classes)] == (truth & ~ignored).sum(axis=(1, 2)).tolist()


# Losses


def a_batch(number: int = 4, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor, np.ndarray, np.ndarray]:
    truth = np.stack([planes(seed, classes) for seed in range(number)])
    ignored = np.random.default_rng(5).random((number, *SHAPE)) < 0.2
    masks = np.stack([packed(list(of), where) for of, where in zip(truth, ignored, strict=True)])
    logits = torch.randn(number, classes, *SHAPE, generator=torch.Generator().manual_seed(1))
    return logits, torch.from_numpy(masks.astype(np.int64)), truth & ~ignored[:, None], ~ignored


def test_losses_are_those_of_their_formulas_over_known_pixels() -> None:
    logits, masks, truth, known = a_batch()
    weights = np.array([1.0, 2.0, 0.5])
    loss = SigmoidLoss(3, coefficients=dict.fromkeys(TERMS, 1.0), class_weights=weights)
    kept = torch.from_numpy(np.broadcast_to(known[:, None], truth.shape).copy())
    labels, of_class = torch.from_numpy(truth).float(), torch.from_numpy(weights).float().view(1, 3, 1, 1)
    each = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    w = of_class.expand_as(each)[kept]
    probability = torch.where(labels > 0, logits.sigmoid(), 1 - logits.sigmoid())
    focal = (1 - probability) ** 2 * -probability.log()
    p = logits.sigmoid() * kept
    dice = 1 - (2 * (p * labels).sum((2, 3)) + 1) / ((p + labels).sum((2, 3)) + 1)
    by_name = {
        "cross_entropy": (each[kept] * w).sum() / w.sum(),
        "focal": (focal[kept] * w).sum() / w.sum(),
        "dice": dice.mean(),
    }
    expected = torch.stack([by_name[name] for name in loss.terms])
    torch.testing.assert_close(loss.means(logits, masks), expected)


def test_micro_batches_add_up_to_the_large_batch() -> None:
    logits, masks, _, _ = a_batch()
    masks[0] = 255
    loss = SigmoidLoss(3, coefficients=dict.fromkeys(TERMS, 0.7), label_smoothing=0.1)
    parts = [
        (loss.means(logits[n : n + 1], masks[n : n + 1]), loss.weights(masks[n : n + 1])) for n in range(4)
    ]
    total = sum(mean * weight for mean, weight in parts) / sum(weight for _, weight in parts)
    torch.testing.assert_close(total, loss.means(logits, masks))


# The task


def task_of(root: Path, **trial: Any) -> SegmentationTask:
    data = {"source": "folder", "root": str(root), **trial.pop("data")}
    options = SegmentationOptions(
        data=data, model={"name": "unet", "width": 4, "depth": 1}, batch_size=2, **trial
    )
    return SegmentationTask(options, SegmentationTask.load_data(options))


@pytest.mark.parametrize("labels", ["binary", "multilabel"])
def test_a_task_has_an_output_for_each_class_and_says_how_to_read_it(tmp_path: Path, labels: str) -> None:
    dataset(tmp_path, as_bits if labels == "multilabel" else as_label)
    names = NAMES if labels == "multilabel" else ("background", "vessel")
    task = task_of(
        tmp_path,
        data={"labels": labels, "class_names": names},
        loss={"dice": 1.0, "class_weights": "median_frequency"},
        augment={"crop": 8, "horizontal_flip": 0.5, "scale_min": 0.5},
        validation={"boundary_iou": 0.02},
    )
    outputs = 3 if labels == "multilabel" else 1
    assert task.class_names == names[-outputs:]
    source = task.train_data()
    batch = source.batch(np.arange(3), np.random.default_rng(0).random((3, source.num_randoms)))
    model = task.build_model()
    logits = task.forward(model, batch)
    assert logits.shape == (3, outputs, 8, 8)
    assert torch.isfinite(task.loss(logits, batch)).all()
    metrics = task.metrics()
    valid = task.valid_data().batch(np.arange(1), None)
    metrics.update(task.forward(model.eval(), valid), valid)
    assert {"miou", "mean_dice", "boundary_iou", f"dice/{names[-1]}"} <= set(metrics.compute())
    described = task.preprocessing()
    assert described["threshold"] == 0.5
    assert "sigmoid" in described["how"]
    assert task.images(model, torch.device("cpu"))["validation"].shape[2] == 3
    assert task.data_picture() is not None


def as_label(root: Path, name: str, truth: np.ndarray) -> None:
    Image.fromarray(truth[0].astype(np.uint8)).save(root / f"masks/{name}.png")


def test_binary_masks_of_0_and_255_name_the_way_out_which_works(tmp_path: Path) -> None:
    dataset(
        tmp_path,
        lambda root, name, truth: Image.fromarray(truth[0].astype(np.uint8) * 255).save(
            root / f"masks/{name}.png"
        ),
    )
    arrays = load(tmp_path, labels="binary", mask_values={255: 1})
    assert set(np.unique(arrays["train_targets"])) == {0, 1}
    assert arrays["class_names"].tolist() == ["foreground"]
    np.testing.assert_array_equal(arrays["class_counts"], [(arrays["train_targets"] == 1).sum()])


def test_a_model_for_other_channels_or_outputs_is_told_the_number(tmp_path: Path) -> None:
    dataset(tmp_path, as_bits)
    network = {"name": "monai.networks.nets:UNet", "spatial_dims": 2, "channels": [4, 8], "strides": [2]}
    data = {"source": "folder", "root": str(tmp_path), "labels": "multilabel", "class_names": NAMES}
    for inputs, outputs, message in (
        (4, 3, r"takes inputs of 4 channels, and the data have 3: .* such as model\.in_channels: 3"),
        (3, 4, r"the model returned \[2, 4, 12, 16\]; must be \[2, 3, 12, 16\]"),
    ):
        model = {**network, "in_channels": inputs, "out_channels": outputs}
        options = SegmentationOptions(data=data, model=model, batch_size=2)
        task = SegmentationTask(options, SegmentationTask.load_data(options))
        with pytest.raises(ValueError, match=message):
            task.forward(task.build_model(), task.train_data().batch(np.arange(2), None))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("torch.nn:BCEWithLogitsLoss", {}),
        ("monai.losses:DiceLoss", {"sigmoid": True}),
    ],
)
def test_losses_by_their_path_get_a_plane_for_each_class(
    tmp_path: Path, name: str, arguments: dict[str, Any]
) -> None:
    dataset(tmp_path, as_bits)
    term = {"name": name, **arguments}
    task = task_of(
        tmp_path,
        data={"labels": "multilabel", "class_names": NAMES},
        loss={"cross_entropy": 0.0, "terms": {"own": term}},
        metrics={"f1": {"name": "torchmetrics.classification:MultilabelF1Score", "num_labels": 3}},
    )
    batch = task.train_data().batch(np.arange(2), None)
    logits = task.forward(task.build_model(), batch)
    value = task.loss(logits, batch)
    if name.startswith("torch.nn"):
        truth, _ = unpacked(batch[1], 3)
        torch.testing.assert_close(value[0], F.binary_cross_entropy_with_logits(logits, truth.float()))
    metrics = task.metrics()
    metrics.update(logits.detach(), batch)
    values = metrics.compute()
    assert values["f1"] == pytest.approx(values["mean_dice"], rel=1e-6)


@pytest.mark.parametrize("classes", [1, 3, 9])
def test_crops_show_a_class_that_overlaps_and_ignored_pixels_are_of_none(classes: int) -> None:
    truth = np.zeros((classes, 60, 80), bool)
    truth[:-1] = True
    truth[-1, 41, 66] = True
    ignored = np.zeros((60, 80), bool)
    ignored[:20] = True
    mask = packed(list(truth), ignored)
    image = np.zeros((60, 80, 5), np.uint8)
    augment = JointAugmentOptions(crop=8, oversample={"p": 1.0}, rotation={"degrees": 30}, elastic={})
    rng = np.random.default_rng(0)
    for _ in range(30):
        row = rng.random(num_randoms(augment))
        pixels, labels = cropped(image, mask, row, augment, np.zeros(5), [classes - 1], overlapping=True)
        assert pixels.shape == (8, 8, 5)
        assert holds(labels, classes - 1).any()
        assert set(np.unique(labels)) <= {*np.unique(mask), 255}


def test_flips_average_the_sigmoid() -> None:
    images = torch.randn(2, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    weight = torch.randn(1, 1, 8, 9, generator=torch.Generator().manual_seed(1))

    def predict(batch: torch.Tensor) -> torch.Tensor:
        return batch * weight * 4.0

    dims: list[tuple[int, ...]] = [(), (-1,), (-2,), (-2, -1)]
    expected = sum(predict(images.flip(d)).flip(d).sigmoid() for d in dims) / 4
    found = flipped_logits(predict, images, "both", overlapping=True)
    torch.testing.assert_close(found.sigmoid(), expected)
    assert flipped_logits(predict, images, "none", overlapping=True).equal(predict(images))
