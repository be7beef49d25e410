"""Whole images from overlapping windows: exact where one window is enough, bounded in memory."""

import numpy as np
import pytest
import torch
from PIL import Image
from small_trials import CPU, run, segmentation_plan, small_trainer
from torch import nn

from trainables.build import build_trainer, load_arrays
from trainables.predicting.windows import _gaussian, _starts, window_logits
from trainables.segmentation.task import SegmentationTask

WINDOW = {"window": 16, "overlap": 0.5}


def pointwise(images):
    """Logits that depend on a pixel alone."""
    return torch.cat([images, 2.0 * images[:, :1] - 1.0], dim=1)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (9, 16), (7, 5)])
def test_an_image_that_one_window_covers_is_predicted_whole(height, width):
    model = nn.Conv2d(3, 4, 3, padding=1)
    images = torch.randn(2, 3, height, width)
    found = window_logits(model, images, window=16, overlap=0.5, batch_size=1)
    assert torch.equal(found, model(images))


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize(("height", "width"), [(17, 40), (64, 16), (5, 50)])
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_logits_of_single_pixels_are_those_of_the_whole_image(height, width, overlap, batch_size):
    images = torch.randn(2, 3, height, width)
    found = window_logits(pointwise, images, window=16, overlap=overlap, batch_size=batch_size)
    torch.testing.assert_close(found, pointwise(images), rtol=1e-5, atol=1e-5)


def test_overlapping_windows_are_averaged_with_a_gaussian():
    """Each window says its own number; between two of them the nearer one weighs more."""
    numbers = iter([1.0, 2.0, 4.0])

    def numbered(crops):
        return torch.stack([torch.full((1, *crop.shape[1:]), next(numbers)) for crop in crops])

    found = window_logits(numbered, torch.zeros(1, 1, 8, 16), window=8, overlap=0.5, batch_size=2)[0, 0]
    weight = _gaussian(8, 8)
    assert torch.equal(found[:, :4], torch.ones(8, 4))
    torch.testing.assert_close(found[:, 12:], torch.full((8, 4), 4.0))
    shared = (weight[:, 4:] * 1.0 + weight[:, :4] * 2.0) / (weight[:, 4:] + weight[:, :4])
    torch.testing.assert_close(found[:, 4:8], shared)
    assert found[4, 4] < 1.5 < found[4, 7]


def test_weights_are_a_gaussian_of_an_eighth_of_the_window_as_in_nnunet():
    weight = _gaussian(33, 17)
    assert weight[16, 8] == weight.max() == 1.0
    torch.testing.assert_close(weight[16 + 4, 8], torch.tensor(np.exp(-0.5 * (4 / (33 / 8)) ** 2)).float())
    assert weight[0, 0] == weight.min() == torch.tensor(1e-3)


@pytest.mark.parametrize("length", [16, 17, 31, 32, 100])
@pytest.mark.parametrize("overlap", [0.0, 0.5, 0.75])
def test_windows_cover_the_side_and_overlap_as_asked_for(length, overlap):
    starts = _starts(length, 16, overlap)
    assert (starts[0], starts[-1]) == (0, length - 16)
    steps = np.diff(starts)
    assert (steps <= np.ceil(16 * (1 - overlap))).all()
    assert not len(steps) or steps.max() - steps.min() <= 1


def test_no_more_windows_than_asked_for_are_predicted_at_once():
    sizes = []

    def recorded(crops):
        sizes.append(len(crops))
        return pointwise(crops)

    window_logits(recorded, torch.randn(1, 3, 64, 64), window=16, overlap=0.5, batch_size=4)
    assert sizes == [4] * 12 + [1]


@pytest.fixture
def photos(tmp_path):
    """Images of three sizes: smaller than a window, as large, and larger."""
    rng = np.random.default_rng(0)
    for part, sizes in (("train", [(24, 24)] * 4), ("val", [(12, 10), (16, 16), (40, 23), (23, 31)])):
        for number, size in enumerate(sizes):
            mask = np.full(size, 255, np.uint8)
            mask[1:-1, 1:-1] = rng.integers(0, 2, (size[0] - 2, size[1] - 2))
            for kind, array in (("images", rng.integers(0, 256, (*size, 3), np.uint8)), ("masks", mask)):
                (tmp_path / "photos" / part / kind).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(tmp_path / "photos" / part / kind / f"{number}.png")
    return {"source": "folder", "root": str(tmp_path / "photos")}


def options(photos, **changes):
    model = {"name": "unet", "width": 4, "depth": 1, "normalization": "none"}
    return {"data": photos, "model": model, "augment": {"crop": 16}, "batch_size": 2, **changes}


def test_the_metric_is_that_of_whole_images_one_at_a_time(photos):
    """Of images of any size, each at its own: nothing is padded, so nothing of the padding is seen."""
    trainer = small_trainer(SegmentationTask, options(photos, validation=WINDOW, valid_batch_size=3))
    assert trainer.valid_batch_size == 1
    metrics, model = trainer.task.metrics(), trainer.model.eval()
    with torch.inference_mode():
        for number in range(4):
            images, masks = trainer.valid_source.batch(np.array([number]), None)
            logits = window_logits(model, images, window=16, overlap=0.5, batch_size=7)
            metrics.update(logits, (images, masks))
    assert metrics.confusion().sum() == 10 * 8 + 14 * 14 + 38 * 21 + 21 * 29
    found = trainer.validate()
    assert {name: found[name] for name in metrics.compute()} == metrics.compute()


@pytest.mark.parametrize("window", [40, 512])
def test_windows_that_cover_every_image_change_no_value(photos, window):
    whole = small_trainer(SegmentationTask, options(photos, valid_batch_size=1))
    windows = small_trainer(SegmentationTask, options(photos, validation={"window": window}))
    assert windows.validate() == whole.validate()


def test_training_is_not_touched_and_pictures_show_what_is_validated(photos, tmp_path):
    whole, windows = (
        run(segmentation_plan(tmp_path / name, options=options(photos, **more), num_virtual_epochs=1))
        for name, more in (("whole", {}), ("windows", {"validation": WINDOW}))
    )
    for name, weights in whole.trainer.weights().items():
        assert torch.equal(windows.trainer.weights()[name], weights)
    assert whole.history[0]["train_loss"] == windows.history[0]["train_loss"]
    assert whole.history[0]["valid_loss"] != windows.history[0]["valid_loss"]
    seen = []
    task, predict = windows.trainer.task, SegmentationTask.forward

    def recorded(model, batch):
        seen.append(tuple(batch[0].shape))
        return predict(task, model, batch)

    task.forward = recorded
    sheet = task.images(windows.trainer.model, CPU)["validation"]
    assert seen == [(1, 3, 12, 10), (1, 3, 16, 16), (1, 3, 40, 23), (1, 3, 23, 31)]
    assert sheet.dtype == np.uint8


def test_a_batch_of_augmented_images_of_a_model_that_trains_is_predicted_whole(photos):
    parsed = SegmentationTask.Options.model_validate(options(photos, validation={"window": 8}))
    trainer = build_trainer(
        SegmentationTask, parsed, load_arrays(SegmentationTask, parsed),
        unit="steps", count=1, num_virtual_epochs=1, device=CPU,
    )  # fmt: skip
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(trainer.task.forward(trainer.model.train(), (images,)), trainer.model(images))


@pytest.mark.parametrize(
    ("validation", "message"),
    [({"window": 4}, "greater than or equal to 8"), ({"overlap": 1.0}, "less than 1")],
)
def test_wrong_windows_are_refused(validation, message):
    with pytest.raises(ValueError, match=message):
        SegmentationTask.Options.model_validate({"validation": validation})
