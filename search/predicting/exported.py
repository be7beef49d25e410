"""Names of an export's files, and what they say of how its model predicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from search.errors import RefusedError
from trainables.predicting.inference import INFERENCE as INFERENCE
from trainables.predicting.inference import METRICS as METRICS
from trainables.predicting.inference import WEIGHTS as WEIGHTS
from trainables.predicting.inference import ExportError, Inference, read_inference

CONFIG = "config.yaml"
PREPROCESSING = "preprocessing.json"
"""How raw data become the model's inputs; not in every export."""


def inference_of(export: Path) -> Inference:
    """What an export says; of one without `inference.json`, as those of before, what its other files say.

    Raises:
        RefusedError: the folder is no export, or of a task of which nobody but its code knows how it
            predicts.
    """
    if not (export / WEIGHTS).is_file():
        inner = export / "export"
        hint = f"; did you mean {inner}?" if (inner / WEIGHTS).is_file() else ""
        raise RefusedError(f"{export} is not an export: it has no {WEIGHTS}{hint}")
    try:
        return read_inference(export) or _of_config(export)
    except ExportError as error:
        raise RefusedError(str(error)) from error


def _of_config(export: Path) -> Inference:
    # What only predicts needs neither of these.
    from search.config.document import read_values
    from search.predicting.describe import described

    config = read_values(export / CONFIG)
    file = export / PREPROCESSING
    preprocessing: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return described(config["task"], config["trial"], preprocessing)
