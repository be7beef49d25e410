import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from small_trials import run, segmentation_plan
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trainables.data.source import BatchSource, to_device
from trainables.findings import SampleError, sample_error
from trainables.images import kinds
from trainables.pictures import GAP, IGNORED_COLOUR, palette, sample_grid
from trainables.segmentation.options import SegmentationOptions
from trainables.segmentation.task import SegmentationTask

CPU = torch.device("cpu")
DIGITS = {"source": "digits", "size": 20, "num_train": 48, "num_valid": 10}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)


def frozen(arrays):
    """As they come out of Ray's object store."""
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


def make_task(**options):
    parsed = SegmentationOptions(**{"data": DIGITS, "model": {"name": "unet", "width": 4}, **options})
    return SegmentationTask(parsed, frozen(SegmentationTask.load_data(parsed)))


@pytest.fixture
def photos(tmp_path):
    """Colour images of different sizes with two classes and ignored borders."""
    rng = np.random.default_rng(0)
    for part, count in (("train", 4), ("val", 3)):
        for number in range(count):
            size = 12 + number, 17 - number
            mask = np.full(size, 255, np.uint8)
            mask[1:-1, 1:-1] = rng.integers(0, 2, (size[0] - 2, size[1] - 2))
            image = rng.integers(0, 256, (*size, 3), np.uint8)
            for folder, array in (("images", image), ("masks", mask)):
                (tmp_path / part / folder).mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).save(tmp_path / part / folder / f"{number}.png")
    return {"source": "folder", "root": str(tmp_path)}


def evaluate(task, model):
    """The metrics over the validation data, not computed yet."""
    model.eval()
    metrics, source = task.metrics(), task.valid_data()
    with torch.inference_mode():
        for start in range(0, len(source), 4):
            batch = source.batch(np.arange(start, min(start + 4, len(source))), None)
            metrics.update(task.forward(model, batch), batch)
    return metrics


def test_defaults_are_a_complete_configuration():
    options = SegmentationOptions()
    assert (options.data.source, options.model.name) == ("digits", "unet")


def test_a_digits_trial_learns():
    task = make_task(model={"name": "unet", "width": 8, "depth": 1})
    model, source = task.build_model(), task.train_data()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    before = evaluate(task, model).compute()["pixel_accuracy"]
    losses = []
    for step in range(30):
        batch = source.batch((np.arange(16) + 16 * step) % 48, None)
        model.train()
        loss = task.loss(task.forward(model, batch), batch)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    assert evaluate(task, model).compute()["pixel_accuracy"] > max(before, 0.7)


def test_batches_are_float_images_and_integer_masks():
    task = make_task()
    source = task.train_data()
    assert isinstance(source, BatchSource)
    images, masks = source.batch(np.array([3, 1]), None)
    assert (images.shape, images.dtype) == ((2, 1, 20, 20), torch.float32)
    assert (masks.shape, masks.dtype) == ((2, 20, 20), torch.int64)
    whole = source.batch(np.arange(len(source)), None)[0]
    assert abs(whole.mean()) < 1e-3
    assert abs(whole.std() - 1) < 1e-3


@pytest.mark.parametrize("max_memory", [2**30, 0], ids=["memory", "disk"])
@pytest.mark.parametrize("model", [{"name": "unet", "width": 4}, {"name": "segformer", "size": "tiny"}])
def test_folder_of_different_sizes_trains_on_crops_and_validates_whole(photos, model, max_memory):
    task = make_task(
        data={**photos, "max_memory": max_memory},
        model=model,
        augment={"crop": 32, "horizontal_flip": 0.5, "scale_min": 0.5, "scale_max": 2.0, "gamma": 0.2},
        loss={"cross_entropy": 1.0, "dice": 0.5, "class_weights": "median_frequency"},
    )
    source = task.train_data()
    randoms = np.random.default_rng(0).random((4, source.num_randoms))
    batch = source.batch(np.arange(4), randoms)
    assert batch[0].shape == (4, 3, 32, 32)
    network = task.build_model()
    loss = task.loss(task.forward(network, batch), batch)
    assert loss.shape == task.loss_weight(batch).shape == (2,)
    loss.sum().backward()
    # Padding to the largest image is not counted.
    assert evaluate(task, network).confusion().sum() == sum((10 + n) * (15 - n) for n in range(3))


def test_loss_and_weight_of_micro_batches_make_the_large_batch(photos):
    task = make_task(
        data=photos,
        model={"name": "unet", "width": 4, "normalization": "none"},
        augment={"crop": 16},
        loss={"cross_entropy": 1.0, "dice": 0.5, "focal": 0.3, "class_weights": [0.3, 2.0]},
    )
    assert task._loss.terms == ("cross_entropy", "dice", "focal")
    images, masks = task.train_data().batch(np.arange(4), np.full((4, 8), 0.4))
    model = task.build_model()

    def loss_of(rows):
        batch = images[rows], masks[rows]
        return task.loss(task.forward(model, batch), batch), task.loss_weight(batch)

    whole, total = loss_of(slice(None))
    parts = [loss_of(slice(0, 1)), loss_of(slice(1, 4))]
    torch.testing.assert_close(sum(mean * weight / total for mean, weight in parts), whole)
    torch.testing.assert_close(sum(weight for _, weight in parts), total)


def test_same_random_state_gives_the_same_model():
    task = make_task()
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(task.build_model().state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_sheet_shows_image_truth_and_prediction_and_restores_the_mode(photos):
    task = make_task(data=photos, augment={"crop": 16})
    model = task.build_model().train()
    ((tag, sheet),) = task.images(model, CPU).items()
    assert tag == "validation"
    assert (sheet.dtype, sheet.shape[2]) == (np.uint8, 3)
    assert model.training
    left = sheet[:, : sheet.shape[1] // 3]
    truth = sheet[:, sheet.shape[1] // 3 : 2 * sheet.shape[1] // 3]
    assert (truth == IGNORED_COLOUR).all(-1).any()
    assert len(np.unique(left.reshape(-1, 3), axis=0)) > 50


def test_sheet_has_the_colours_of_the_classes_and_white_for_ignored():
    truth, predicted = np.array([[[0, 1], [2, 255]]]), np.array([[[2, 1], [0, 0]]])
    sheet = sample_grid(np.full((1, 2, 2, 1), 0.5), truth, predicted)
    side = 128 + GAP
    corners = [
        (GAP, GAP),
        (GAP, side - 1),
        (sheet.shape[0] - GAP - 1, GAP),
        (sheet.shape[0] - GAP - 1, side - 1),
    ]
    for place, labels in ((1, truth), (2, predicted)):
        found = [sheet[y, place * side + x] for y, x in corners]
        np.testing.assert_array_equal(found, palette()[labels.ravel()])
    assert (sheet[0, 0] == 128).all()
    assert len(np.unique(palette(), axis=0)) == 256


def test_large_pictures_are_thinned():
    sheet = sample_grid(np.zeros((2, 700, 900, 3)), *np.zeros((2, 2, 700, 900), np.int64))
    assert max(sheet.shape) < 900


def test_channels_last_batches_reach_the_model_unchanged():
    batch = make_task().train_data().batch(np.arange(2), None)
    moved = to_device(batch, CPU, channels_last=True)
    assert torch.equal(moved[0], batch[0])
    assert torch.equal(moved[1], batch[1])


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"data": {"source": "web"}}, "'digits', 'folder'"),
        ({"data": {"size": 40}}, "source"),
        ({"data": {"source": "folder"}}, "data.folder.root"),
        ({"data": {"source": "digits", "sise": 40}}, "data.digits.sise"),
        ({"model": {"name": "unet", "width": 0}}, "model.unet.width"),
        ({"model": {"name": "segformer", "width": 16}}, "model.segformer.width"),
        ({"loss": {"cross_entropy": 0}}, "at least one must be above 0"),
        ({"loss": {"class_weights": [1.0, 0.0]}}, "greater than 0"),
        ({"augment": {"scale_min": 0.5}}, "set crop to a side in pixels"),
        ({"augment": {"crop": 8, "scale_min": 2.0}}, "scale_min may not be larger"),
        (
            {"data": {"source": "folder", "root": "x", "channels": 1, "normalization": "imagenet"}},
            "channels: 3",
        ),
        ({"data": {"source": "folder", "root": "x", "mask_values": {300: 1}}}, "less than or equal to 255"),
    ],
)
def test_wrong_options_are_refused_with_their_place(section, message):
    with pytest.raises(ValidationError) as caught:
        SegmentationOptions(**section)
    found = str(caught.value) + " ".join(".".join(map(str, error["loc"])) for error in caught.value.errors())
    assert message in found


def test_a_wrong_number_of_class_weights_names_the_classes():
    with pytest.raises(
        ValueError, match=r"loss\.class_weights has 2 numbers; there are 11 classes: background"
    ):
        make_task(loss={"class_weights": [1.0, 2.0]})


def test_training_on_different_sizes_without_a_crop_is_an_error_that_names_the_option(photos):
    with pytest.raises(ValueError, match=r"set augment\.crop"):
        make_task(data=photos).train_data()
    assert len(make_task(data=photos).valid_data()) == 3


def test_preprocessing_normalizes_raw_images_as_the_batches_are(photos):
    task = make_task(data=photos, augment={"crop": 16})
    preprocessing = json.loads(json.dumps(task.preprocessing()))
    assert (preprocessing["channels"], preprocessing["class_names"]) == (3, ["0", "1"])
    with Image.open(Path(photos["root"]) / "val" / "images" / "0.png") as image:
        pixels = (np.asarray(image) / 255 - preprocessing["mean"]) / preprocessing["std"]
    batch, _ = task.valid_data().batch(np.arange(1), None)
    np.testing.assert_allclose(batch[0].permute(1, 2, 0).numpy(), pixels, rtol=1e-4, atol=1e-5)


def test_curves_of_classes_are_named_as_the_data_names_them(photos, tmp_path):
    (Path(photos["root"]) / "classes.txt").write_text("road\ntraffic light\n")
    options = {
        "data": photos,
        "model": {"name": "unet", "width": 4, "depth": 1},
        "augment": {"crop": 8},
        "batch_size": 2,
    }
    plan = segmentation_plan(tmp_path / "trial", options=options, count=1, num_virtual_epochs=1)
    record = run(replace(plan, metric="iou/road")).history[0]
    assert {"iou/road", "iou/traffic light", "miou"} <= set(record)
    events = EventAccumulator(str(tmp_path / "trial"))
    events.Reload()
    tags = events.Tags()["scalars"]
    assert {"iou/road", "iou/traffic light", "best/iou/road"} <= set(tags)


def test_what_is_wrong_with_a_sample_survives_the_way_from_a_worker_process():
    error = sample_error(kinds.UNREADABLE, "a.png", "is cut short", "copy it again")
    copied = pickle.loads(pickle.dumps(error))
    assert str(copied) == "a.png: is cut short; copy it again"
    assert copied.finding == error.finding
    assert str(SampleError(str(error))) == str(error)  # as a DataLoader raises it again
