"""An export with graphs: files that other programs run, a card that the Hub reads, and what is refused."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from huggingface_hub import ModelCard
from in_process import search_locally
from PIL import Image
from safetensors.torch import load_file
from small_trials import small_trainer
from tiny_tasks import search_config

import search
from search.cli.main import main
from search.errors import RefusedError
from search.graphs.call import recorded
from search.graphs.capture import Captures, Graph
from search.graphs.write import write_graph
from search.run.outcome.summary import Summary
from trainables.images.augmentation.flips_and_light import normalize
from trainables.networks.unet import UNet
from trainables.segmentation.task import SegmentationTask

pytestmark = pytest.mark.usefixtures("no_fsync")


def test_graphs_give_the_value_of_the_weights_and_the_export_is_trained_on(
    run: Path, finished_run: Summary
) -> None:
    exported = search.export(run, formats=["onnx", "pt2"])
    assert finished_run.best is not None
    report = json.loads((exported.folder / "metrics.json").read_text())
    assert set(report["graphs"]) == {"onnx", "pt2"}
    for graph in report["graphs"].values():
        assert graph["objective"]["metric"] == "accuracy"
        assert graph["objective"]["value"] == pytest.approx(finished_run.best.value, rel=1e-3)
    summed = (exported.folder / "SHA256SUMS").read_text()
    assert "  model.onnx\n" in summed
    assert "  model.pt2\n" in summed
    assert search.verify(run).damages == []
    again = search.retrain(exported.folder, virtual_epochs=1)
    assert again.before == exported.value
    with (exported.folder / "model.onnx").open("ab") as file:
        file.write(b"\0")
    assert [damage.path for damage in search.verify(run).damages] == ["export/model.onnx"]


def test_the_lines_of_the_card_load_every_graph_without_this_program(run: Path) -> None:
    folder = search.export(run, formats=["onnx", "pt2"]).folder
    blocks = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)
    code = (
        "\n".join(blocks[-2:])
        + "\nprint(torch.tensor(output.numpy()).shape)\nimport sys\nprint('trainables' in sys.modules)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=folder, env=environment)
    assert printed.splitlines() == ["torch.Size([1, 10])", "False"]


def test_the_hub_reads_the_head_of_the_card(run: Path) -> None:
    exported = search.export(run, formats=["onnx"])
    head = ModelCard.load(exported.folder / "README.md").data
    assert head.library_name == "pytorch"
    assert head.license is None
    assert {"tune-search", "onnx", "safetensors"} <= set(head.tags or [])
    assert head.eval_results is not None
    values = {result.metric_name: result.metric_value for result in head.eval_results}
    assert values["accuracy"] == exported.value
    assert {result.dataset_split for result in head.eval_results} == {"validation"}


def test_a_graph_with_preprocessing_takes_the_pixels_of_a_file(discs_run: Summary, tmp_path: Path) -> None:
    exported = search.export(
        discs_run.folder, out=tmp_path / "discs", formats=["onnx"], with_preprocessing=True
    )
    head = ModelCard.load(exported.folder / "README.md").data
    assert head.pipeline_tag == "image-segmentation"
    assert head.eval_results is not None
    assert head.eval_results[0].metric_type == "mean_iou"
    card = (exported.folder / "README.md").read_text()
    assert "| `pixels` | uint8 | [batch, 3, height, width] | pixels as decoded, 0 to 255 |" in card
    file = sorted(Path(data_root(exported.folder)).glob("val/images/*.png"))[0]
    pixels = np.asarray(Image.open(file))
    session = onnxruntime.InferenceSession(exported.folder / "model.onnx")
    (logits,) = session.run(None, {"pixels": pixels.transpose(2, 0, 1)[None]})
    statistics = json.loads((exported.folder / "preprocessing.json").read_text())
    mean, std = (np.array(statistics[key], np.float32) for key in ("mean", "std"))
    model = UNet(in_channels=3, num_classes=len(statistics["class_names"]), width=8, depth=1).eval()
    model.load_state_dict(load_file(exported.folder / "model.safetensors"))
    inputs = normalize(pixels[None], mean, std).transpose(0, 3, 1, 2)
    expected = model(torch.from_numpy(np.ascontiguousarray(inputs))).detach().numpy()
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()


def data_root(exported: Path) -> str:
    found = re.search(r"root: (\S+?)[,}\n]", (exported / "config.yaml").read_text())
    assert found is not None
    return found[1]


def test_a_refused_graph_leaves_nothing_behind(tmp_path: Path) -> None:
    config = {**search_config(), "task": "graph_tasks:PartsTask"}
    config["trial"] = {"optimizer": {"name": "adamw", "lr": 1e-2}, "batch_size": 32}
    config["budget"] = {"trials": 1, "max_virtual_epochs": 1}
    run = Path(search_locally(config, results=tmp_path).folder)
    with pytest.raises(RefusedError, match="the task uses 'upper' of its model"):
        search.export(run, formats=["onnx"])
    assert not list(run.glob("*export*"))
    assert search.export(run).evaluated


def test_a_segformer_takes_images_of_any_size_in_onnx(tmp_path: Path) -> None:
    options = {
        "data": {"source": "digits", "size": 32, "num_train": 8, "num_valid": 4},
        "model": {"name": "segformer", "size": "tiny"},
        "batch_size": 4,
    }
    trainer = small_trainer(SegmentationTask, options)
    call = recorded(trainer)
    written = write_graph("onnx", Captures(Graph(call, None), call.tensors), call, tmp_path)
    assert written.multiple == 1
    for shape in ((1, 1, 64, 64), (3, 1, 50, 41), (2, 1, 7, 33)):
        images = torch.randn(shape)
        expected = trainer.evaluated_model(images).detach()
        assert (written.loaded.run([images])[0] - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_the_model_of_a_training_function_is_refused(tmp_path: Path) -> None:
    config = {
        "name": "function",
        "task": "own_functions:train",
        "objective": {"metric": "accuracy", "mode": "max"},
        "trial": {"lr": 0.1},
        "virtual_epoch": {"steps": 4},
        "budget": {"trials": 1, "max_virtual_epochs": 1},
    }
    run = search_locally(config, results=tmp_path).folder
    with pytest.raises(RefusedError, match="own_functions:train is a training function, whose model only it"):
        search.export(run, formats=["onnx"])


def test_what_is_no_format_is_told(run: Path) -> None:
    for formats in ("onnx", ["tflite"]):
        with pytest.raises(RefusedError, match=r"formats: received .*must be a list of safetensors, onnx"):
            search.export(run, formats=formats)  # type: ignore[arg-type]
    with pytest.raises(RefusedError, match="--with-preprocessing is for graphs; give --format onnx or"):
        search.export(run, with_preprocessing=True)
    with pytest.raises(RefusedError, match="nothing says how raw data become the inputs of this model"):
        search.export(run, formats=["onnx"], with_preprocessing=True)


def test_onnx_without_its_libraries_says_what_to_install(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)  # as if it were not there
    with pytest.raises(
        RefusedError, match=r"needs onnxscript, not installed here: pip install 'tune-search\[onnx\]'"
    ):
        search.export(run, formats=["onnx"])


def test_the_command_writes_what_it_is_asked_for(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["export", str(run), "--format", "pt2"])
    out = capsys.readouterr().out
    assert re.search(r"model\.pt2 validated in torch \S+: accuracy 0\.\d+, outputs equal to the model's", out)
    assert not (run / "export/model.onnx").exists()
