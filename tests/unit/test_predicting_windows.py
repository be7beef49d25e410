"""Images strip by strip: what validation predicts of the whole, with the memory of a few windows."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pytest
import torch
from small_trials import SEGMENTATION, small_trainer
from torch import Tensor, nn

from search.predicting.describe import described
from trainables.networks.options import CNNOptions, MLPOptions, ResNetOptions
from trainables.predicting.flips import FLIPS, flipped_logits
from trainables.predicting.inference import Inference
from trainables.predicting.model import ExportedModel, MemoryLimitError
from trainables.predicting.networks import BUILT_IN, GENERATOR
from trainables.predicting.segmenter import Segmenter
from trainables.predicting.windows import flipped_strips, window_logits
from trainables.segmentation.options import SegformerOptions, UNetOptions
from trainables.segmentation.task import SegmentationTask

SIZES = [(40, 23), (17, 64), (64, 8), (33, 33)]


def strips(model: Any, image: Tensor, **options: Any) -> list[Tensor]:
    def take(rows: slice, columns: slice) -> Tensor:
        return image[:, rows, columns]

    with torch.no_grad():
        return list(flipped_strips(model, take, tuple(image.shape[1:]), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("flips", FLIPS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch_size", [1, 4, 100])
@pytest.mark.parametrize("overlapping", [False, True])
def test_strips_are_the_logits_of_the_whole_image(
    flips: str, size: tuple[int, int], batch_size: int, overlapping: bool
) -> None:
    torch.manual_seed(0)
    model, image = nn.Conv2d(3, 4, 3, padding=1), torch.randn(3, *size)
    windows = {"window": 16, "overlap": 0.4, "batch_size": batch_size}
    found = torch.cat(strips(model, image, flips=flips, overlapping=overlapping, **windows), dim=1)
    with torch.no_grad():
        expected = flipped_logits(
            lambda images: window_logits(model, images, **windows),  # type: ignore[arg-type]
            image[None],
            flips,
            overlapping=overlapping,
        )[0]
    if flips == "none":
        assert torch.equal(found, expected)
    else:  # sums are taken in another order
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_a_strip_is_as_high_as_the_windows_that_are_predicted_at_once() -> None:
    found = strips(lambda images: images, torch.randn(2, 400, 16), window=16, overlap=0.5, batch_size=2)
    assert sum(strip.shape[1] for strip in found) == 400
    assert max(strip.shape[1] for strip in found) == 16  # two steps of half a window


def exported_model(**options: Any) -> tuple[Any, Segmenter]:
    trainer = small_trainer(SegmentationTask, {**SEGMENTATION, **options})
    inference = described("segmentation", {**SEGMENTATION, **options}, trainer.preprocessing())
    return trainer, Segmenter(inference, trainer.evaluated_model, {})


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("window", [None, 8])
@pytest.mark.parametrize("flips", ["none", "horizontal"])
def test_logits_are_those_of_the_validation_bit_for_bit(
    channels_last: bool, window: int | None, flips: str
) -> None:
    validation = {"window": window, "flips": flips}
    trainer, model = exported_model(validation=validation, channels_last=channels_last)
    task = trainer.task
    pixels = task.arrays["valid_inputs"][0]
    with torch.no_grad():
        batch = task.valid_data().batch(np.array([0]), None)
        inputs = model.as_inputs(batch[0].permute(0, 2, 3, 1).numpy())
        expected = task.forward(trainer.evaluated_model.eval(), (inputs, batch[1]))[0]
    found = torch.cat(list(model.strips(pixels)), dim=1)
    if window is None or flips == "none":
        assert torch.equal(found, expected)
    else:
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_what_an_export_says_is_read_as_it_was_written() -> None:
    _, model = exported_model(validation={"window": 8})
    assert Inference.of_json(model.inference.as_json()) == model.inference


def test_every_built_in_network_is_known_by_its_name() -> None:
    options = (UNetOptions, SegformerOptions, CNNOptions, ResNetOptions, MLPOptions)
    names = {name for each in options for name in get_args(each.model_fields["name"].annotation)}
    assert names | {GENERATOR} == set(BUILT_IN)


class Full(nn.Module):
    """Has no memory for more than some samples."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most, self.seen = most, list[int]()

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(len(images))
        if len(images) > self.most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return images


def test_fewer_samples_are_predicted_at_once_where_memory_ends_and_it_stays_so() -> None:
    _, some = exported_model()
    network = Full(most=3)
    model = ExportedModel(some.inference, network, {})
    inputs = torch.randn(20, 1, 4, 4)
    assert torch.equal(model.outputs(inputs, (1, 4, 4)), inputs)
    assert network.seen == [20, 10, 5, *[2] * 10]
    assert torch.equal(model.outputs(inputs[:4], (1, 4, 4)), inputs[:4])
    assert network.seen[13:] == [2, 2]
    with pytest.raises(MemoryLimitError, match="does not fit into memory, also alone"):
        ExportedModel(some.inference, Full(most=0), {}).outputs(inputs, (1, 4, 4))
