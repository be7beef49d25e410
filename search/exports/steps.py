"""What an export is made of: each step writes a file, in the order of `STEPS`."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from search.config.config import Config
from search.config.document import write_yaml
from search.exports.files import (
    CARD,
    DATA,
    PREPARED,
    SOUP,
    write_sums,
)
from search.exports.graphs import written_graphs
from search.exports.model_card import model_card
from search.exports.report import exported_config, exported_report
from search.exports.value import check_value
from search.graphs.write import GraphFormat
from search.predicting.describe import describe
from search.predicting.exported import CONFIG, INFERENCE, METRICS, PREPROCESSING, WEIGHTS
from search.race.confirmed import Confirmed
from search.run.data.record import TrialData
from search.run.disk.folder import write_json
from trainables.checkpoints.checkpoint import Checkpoint
from trainables.files import system_errors
from trainables.function.trainer import FunctionTrainer
from trainables.predicting.inference import read_inference
from trainables.training.reported import OF_A_REPORT
from trainables.training.trainer import Trainer


@dataclass(kw_only=True, eq=False)
class Leaving:
    """A model on its way out: what the steps take, and what they find."""

    config: Config
    checkpoint: Checkpoint
    trainer: Trainer | FunctionTrainer
    """With the weights of the checkpoint."""
    data: TrialData
    prepared: Path
    """File of the arrays that the task prepared, if there are any."""
    race: Confirmed | None
    formats: Sequence[GraphFormat]
    with_preprocessing: bool
    phase: Callable[[str], None]
    """Is told what begins."""
    soup: Mapping[str, Any] | None = None
    """What soup.json will hold, if the weights are no longer those of the checkpoint but such an average."""
    evaluated: bool = False
    """The metrics are those of the written weights; else the recorded ones."""
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    """What metrics.json will hold."""


Step = Callable[[Path, Leaving], None]


def write_weights(folder: Path, leaving: Leaving) -> None:
    """model.safetensors, and load it: what follows is of the written weights, not of those in memory."""
    model = leaving.trainer.evaluated_model
    with system_errors():
        save_file(_plain(model.state_dict()), folder / WEIGHTS)
    model.load_state_dict(load_file(folder / WEIGHTS))


def evaluate(folder: Path, leaving: Leaving) -> None:
    """Validate the written weights, unless the data have changed: they may be normalized otherwise.

    Raises:
        SearchError: they do not give the recorded value.
    """
    info, trainer, other = leaving.checkpoint.info, leaving.trainer, leaving.data.other
    record = info["history"][leaving.checkpoint.virtual_epoch - 1]
    if leaving.soup is not None:
        record = {info["metric"]: leaving.soup["value"]}
    metrics = None if other else trainer.validate()
    leaving.evaluated = metrics is not None and info["metric"] in metrics
    if metrics is None or not leaving.evaluated:
        metrics = {name: value for name, value in record.items() if name not in OF_A_REPORT}
    else:
        check_value(info, record, metrics, trainer)
    leaving.preprocessing = info.get("preprocessing", {}) if other else trainer.preprocessing()
    leaving.report = exported_report(
        leaving.config, leaving.checkpoint, metrics, trainer, leaving.data, leaving.race, leaving.soup
    )


def write_prepared(folder: Path, leaving: Leaving) -> None:
    """prepared.safetensors, if the task prepares any arrays."""
    if leaving.prepared.is_file():
        shutil.copyfile(leaving.prepared, folder / PREPARED)


def write_fingerprint(folder: Path, leaving: Leaving) -> None:
    """data.fingerprint, if the data have one."""
    if leaving.data.fingerprint is not None:
        (folder / DATA).write_bytes(leaving.data.fingerprint.to_bytes())


def write_config(folder: Path, leaving: Leaving) -> None:
    """config.yaml."""
    write_yaml(folder / CONFIG, exported_config(leaving.config, leaving.checkpoint))


def write_preprocessing(folder: Path, leaving: Leaving) -> None:
    """preprocessing.json, if the task knows how raw data become inputs."""
    if leaving.preprocessing:
        write_json(folder / PREPROCESSING, leaving.preprocessing)


def write_inference(folder: Path, leaving: Leaving) -> None:
    """inference.json, if it is known how the model predicts."""
    info = leaving.checkpoint.info
    # What labels of masks mean was found in the data, which are not those of the training any more.
    arrays = {} if leaving.data.other else getattr(getattr(leaving.trainer, "task", None), "arrays", {})
    mask_lookup = arrays.get("mask_lookup")
    if inference := describe(info["task"], info["options"], leaving.preprocessing, mask_lookup):
        write_json(folder / INFERENCE, inference)


def write_graphs(folder: Path, leaving: Leaving) -> None:
    """model.onnx and model.pt2, if asked for, each validated as it was written."""
    if leaving.formats:
        assert isinstance(leaving.trainer, Trainer)
        leaving.report["graphs"] = written_graphs(
            folder,
            leaving.trainer,
            leaving.formats,
            preprocessing=leaving.preprocessing if leaving.with_preprocessing else None,
            metric=leaving.checkpoint.info["metric"],
            metrics=leaving.report["metrics"],
            phase=leaving.phase,
        )


def write_soup(folder: Path, leaving: Leaving) -> None:
    """soup.json, if the weights are an average."""
    if leaving.soup is not None:
        write_json(folder / SOUP, leaving.soup)


def write_report(folder: Path, leaving: Leaving) -> None:
    """metrics.json."""
    write_json(folder / METRICS, leaving.report)


def write_card(folder: Path, leaving: Leaving) -> None:
    """README.md, the model card."""
    parameters = sum(p.numel() for p in leaving.trainer.evaluated_model.parameters())
    options = leaving.checkpoint.info["options"]
    card = model_card(
        leaving.config, leaving.report, options, parameters, leaving.preprocessing, read_inference(folder)
    )
    (folder / CARD).write_text(card, encoding="utf-8")


STEPS: tuple[Step, ...] = (
    write_weights,
    evaluate,
    write_prepared,
    write_fingerprint,
    write_config,
    write_preprocessing,
    write_inference,
    write_graphs,
    write_soup,
    write_report,
    write_card,
    lambda folder, leaving: write_sums(folder),  # the last, of all files that are there
)


def _plain(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """Contiguous copies on the CPU, so that tied weights are written under each of their names."""
    return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
