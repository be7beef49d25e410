"""An export as a model that predicts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file

from trainables.predicting.classifier import Classifier
from trainables.predicting.generator import Generator
from trainables.predicting.inference import METRICS, WEIGHTS, ExportError, Inference
from trainables.predicting.model import ExportedModel
from trainables.predicting.networks import build_network
from trainables.predicting.regressor import Regressor
from trainables.predicting.segmenter import Segmenter

MODELS: Mapping[str, type[ExportedModel]] = {
    "segmentation": Segmenter,
    "classification": Classifier,
    "regression": Regressor,
    "gan": Generator,
}


def load_model(export: Path, inference: Inference) -> ExportedModel:
    """The model of an export, with the weights of its file.

    Raises:
        ExportError: a file is missing or damaged, or the weights are of another network.
    """
    network = build_network(inference.network)
    try:
        weights = load_file(export / WEIGHTS)
        metrics = json.loads((export / METRICS).read_text(encoding="utf-8"))["metrics"]
    except FileNotFoundError as error:
        raise ExportError(f"{error.filename or export / WEIGHTS} is missing: export again") from error
    except (OSError, SafetensorError, json.JSONDecodeError, KeyError, TypeError, UnicodeError) as error:
        raise ExportError(f"a file of {export} is damaged ({error}): export again") from error
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        cause = " ".join(str(error).split()[:40])
        raise ExportError(
            f"{export / WEIGHTS} is of another network than {inference.network.name} with "
            f"{dict(inference.network.arguments)} ({cause}): has its code changed since the export?"
        ) from error
    return MODELS[inference.task](inference, network, metrics)
