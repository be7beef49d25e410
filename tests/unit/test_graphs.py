"""Graphs of models: equal to the model at every size that they take, or refused with the cause."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import graph_tasks
import numpy as np
import onnx
import pytest
import torch
from small_trials import SEGMENTATION, small_trainer
from torch import Tensor

from search.errors import RefusedError, SearchError
from search.exports.graphs import written_graphs
from search.graphs.begins import where_it_begins
from search.graphs.call import recorded
from search.graphs.capture import Captures, Graph
from search.graphs.onnx import FILE, OnnxGraph
from search.graphs.preprocess import RawColumns, RawImages, preprocessing_of
from search.graphs.pt2 import Pt2Graph
from search.graphs.write import GraphFormat, write_graph
from trainables.images.augmentation.flips_and_light import normalize
from trainables.images.depth import ValueRange
from trainables.segmentation.task import SegmentationTask
from trainables.tables.encode import encode, fit_encoding
from trainables.training.trainer import Trainer


def segmenting(**model: Any) -> Trainer:
    """A trainer of digits of 16x16, with this network."""
    options = {**SEGMENTATION, "model": model, "augment": {}, "ema": None}
    return small_trainer(
        SegmentationTask, {key: value for key, value in options.items() if value is not None}
    )


def graphs_of(trainer: Trainer, folder: Path, *formats: GraphFormat, **given: Any) -> dict[str, Any]:
    return written_graphs(
        folder,
        trainer,
        formats,
        preprocessing=given.get("preprocessing"),
        metric="miou" if isinstance(trainer.task, SegmentationTask) else "accuracy",
        metrics=trainer.validate(),
        phase=lambda text: None,
    )


def assert_equal(found: Tensor, expected: Tensor) -> None:
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_unet_takes_any_size_in_onnx_too(tmp_path: Path) -> None:
    trainer = segmenting(name="unet", width=4, depth=3)
    described = graphs_of(trainer, tmp_path, "onnx")["onnx"]
    (given,), (found,) = described["inputs"], described["outputs"]
    assert (given["name"], given["dtype"], given["shape"]) == (
        "images",
        "float32",
        ["batch", 1, "height", "width"],
    )
    assert (found["name"], found["shape"]) == ("logits", ["batch", 11, "height", "width"])
    assert "not probabilities" in found["what"]
    assert described["multiple"] == 1
    session = OnnxGraph(tmp_path)
    for shape in ((1, 1, 64, 64), (3, 1, 50, 41), (2, 1, 7, 33), (1, 1, 1, 9)):
        images = torch.randn(shape)
        assert_equal(session.run([images])[0], trainer.evaluated_model(images).detach())


def test_the_unet_takes_any_size_as_pt2_and_the_file_holds_no_sample(tmp_path: Path) -> None:
    trainer = segmenting(name="unet", width=4, depth=2)
    described = graphs_of(trainer, tmp_path, "pt2")["pt2"]
    graph, program = Pt2Graph(tmp_path), torch.export.load(tmp_path / "model.pt2").module()
    assert described["least_side"] == 5
    assert program(torch.zeros(1, 1, 5, 5))[0].numpy().shape == (1, 11, 5, 5)  # and has no gradient
    with pytest.raises((RuntimeError, AssertionError)):
        program(torch.zeros(1, 1, 4, 4))
    for shape in ((1, 1, 64, 64), (3, 1, 50, 41), (2, 1, 7, 33)):
        images = torch.randn(shape)
        assert_equal(graph.run([images])[0], trainer.evaluated_model(images).detach())
    with zipfile.ZipFile(tmp_path / "model.pt2") as archive:
        examples = [entry.file_size for entry in archive.infolist() if "sample_inputs" in entry.filename]
    assert sum(examples) == 0


def test_weights_beyond_the_limit_of_one_file_are_in_a_second_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.graphs.onnx.MAX_BYTES", 0)
    trainer = segmenting(name="graph_tasks:OneSize")
    described = graphs_of(trainer, tmp_path, "onnx")["onnx"]
    assert described["files"] == ["model.onnx", "model.onnx.data"]
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    images = torch.randn(3, 1, 16, 16)
    assert_equal(OnnxGraph(moved).run([images])[0], trainer.evaluated_model(images).detach())


def test_sides_are_multiples_of_what_the_network_takes(tmp_path: Path) -> None:
    trainer = segmenting(name="graph_tasks:Fours")
    for described in graphs_of(trainer, tmp_path, "onnx", "pt2").values():
        assert described["multiple"] == 4
        assert all(side % 4 == 0 for shape in described["checked"] for side in shape[2:])
        assert described["inputs"][0]["shape"] == ["batch", 1, "height", "width"]


def test_a_network_of_one_size_keeps_it_and_takes_any_batch(tmp_path: Path) -> None:
    described = graphs_of(segmenting(name="graph_tasks:OneSize"), tmp_path, "onnx")["onnx"]
    assert described["inputs"][0]["shape"] == ["batch", 1, 16, 16]
    assert [shape[0] for shape in described["checked"]] == [2, 1, 3]


def test_several_inputs_and_outputs_have_the_names_that_the_model_gives_them(tmp_path: Path) -> None:
    trainer = small_trainer(graph_tasks.TwoInputsTask, {"batch_size": 8})
    described = graphs_of(trainer, tmp_path, "onnx")["onnx"]
    assert [each["name"] for each in described["inputs"]] == ["upper", "lower"]
    assert [each["name"] for each in described["outputs"]] == ["logits", "upper_output"]
    assert described["objective"]["value"] == described["objective"]["in_pytorch"]


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ("Counting", "the model gives other outputs for the same inputs when it is called again"),
        ("Bessel", r"cannot be written as onnx: .*bessel_j0.*; use layers that it has"),
        ("Deciding", r"cannot be captured as a graph: .*; write what depends on values without `if`"),
    ],
)
def test_a_network_that_is_no_graph_is_refused_in_one_line(
    network: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(RefusedError, match=message) as error:
        graphs_of(segmenting(name=f"graph_tasks:{network}"), tmp_path, "onnx")
    assert "leave out --format" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_task_that_calls_parts_of_its_model_is_refused(tmp_path: Path) -> None:
    trainer = small_trainer(graph_tasks.PartsTask, {"batch_size": 8})
    with pytest.raises(RefusedError, match="the task uses 'upper' of its model besides calling it"):
        graphs_of(trainer, tmp_path, "pt2")


def test_the_layer_where_a_graph_begins_to_differ_is_named(tmp_path: Path) -> None:
    call = recorded(segmenting(name="unet", width=4, depth=1))
    captures = Captures(Graph(call, None), call.tensors)
    write_graph("onnx", captures, call, tmp_path)
    examples = captures.example(1)
    assert "not in the outputs of its layers" in where_it_begins(
        captures.graph, OnnxGraph(tmp_path), examples
    )
    model = onnx.load(tmp_path / FILE)
    (node,) = [each for each in model.graph.node if "shrink.0" in str(each.metadata_props)]
    (weight,) = [each for each in model.graph.initializer if each.name == node.input[1]]
    weight.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(weight) * 2, weight.name))
    onnx.save(model, tmp_path / FILE)
    assert where_it_begins(captures.graph, OnnxGraph(tmp_path), examples) == "from layer shrink.0 on"


def test_a_layer_of_a_pt2_is_named_too(tmp_path: Path) -> None:
    call = recorded(segmenting(name="unet", width=4, depth=1))
    captures = Captures(Graph(call, None), call.tensors)
    write_graph("pt2", captures, call, tmp_path)
    with torch.no_grad():
        call.model.up[0][0].weight.mul_(2)  # type: ignore[index,operator,union-attr]
    where = where_it_begins(captures.graph, Pt2Graph(tmp_path), captures.example(1))
    assert where == "from layer up.0.0 on"


def test_weights_that_are_not_those_of_the_metrics_are_refused(tmp_path: Path) -> None:
    trainer = segmenting(name="unet", width=4, depth=1)
    metrics = trainer.validate()
    with torch.no_grad():
        trainer.model.head.bias[0] += 100.0  # type: ignore[index,union-attr]
    with pytest.raises(SearchError, match=r"model.onnx gives miou .* 0.001 of it is allowed; nothing was"):
        written_graphs(
            tmp_path,
            trainer,
            ["onnx"],
            preprocessing=None,
            metric="miou",
            metrics=metrics,
            phase=lambda text: None,
        )


@pytest.mark.parametrize("of_each", [False, True])
def test_raw_pixels_become_the_inputs_of_the_training(of_each: bool) -> None:
    rng = np.random.default_rng(0)
    mean, std = np.array([0.3, 0.6], np.float32), np.array([0.1, 0.25], np.float32)
    low, high = ([12.0, 40.0], [3000.0, 4095.0]) if of_each else (12.0, 4095.0)
    values = rng.integers(0, 5000, (2, 9, 7, 2)).astype(np.uint16)
    scaled = ValueRange(*(tuple(b) if of_each else b for b in (low, high))).scaled(values)  # type: ignore[arg-type]
    expected = torch.from_numpy(normalize(scaled, mean, std)).permute(0, 3, 1, 2)
    statistics = {"mean": mean.tolist(), "std": std.tolist()}
    ranged = preprocessing_of({**statistics, "range": [low, high]}, expected)
    raw = torch.from_numpy(values.astype(np.float32)).permute(0, 3, 1, 2)
    torch.testing.assert_close(ranged(raw), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(ranged(ranged.raw(expected)), expected, rtol=0, atol=1e-6)
    plain = RawImages(statistics)
    pixels = torch.from_numpy(scaled).permute(0, 3, 1, 2)
    torch.testing.assert_close(plain(pixels), expected, rtol=0, atol=1e-6)
    assert torch.equal(plain.raw(expected), pixels)


def test_statistics_of_other_images_are_refused() -> None:
    made = RawImages({"mean": [0.3], "std": [0.1]})
    with pytest.raises(RefusedError, match="the validation images are not those that prepro"):
        made.raw(torch.full((1, 1, 4, 4), 0.123))


def test_raw_columns_become_the_inputs_of_the_training() -> None:
    columns = {
        "size": np.array([1.5, np.nan, 1e9, 3.0]),
        "colour": np.array(["red", "blue", "", "red"]),
    }
    encoding = fit_encoding(columns)
    expected = torch.from_numpy(encode({**columns, "colour": np.array(["red", "?", "", "blue"])}, encoding))
    made = RawColumns({"columns": encoding})
    raw = torch.tensor([[1.5, 2], [np.nan, 7], [1e9, 0], [3.0, 1]], dtype=torch.float64)
    assert torch.equal(made(raw), expected)
    assert torch.equal(made(made.raw(expected)), expected)
