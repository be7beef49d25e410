"""Names of an export's files, and what they say of how its model predicts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from search.errors import RefusedError
from trainables.predicting.ensemble import is_ensemble, members_of
from trainables.predicting.inference import INFERENCE as INFERENCE
from trainables.predicting.inference import METRICS as METRICS
from trainables.predicting.inference import WEIGHTS as WEIGHTS
from trainables.predicting.inference import ExportError, Inference, read_inference

if TYPE_CHECKING:
    from trainables.options import TrialOptions

CONFIG = "config.yaml"
PREPROCESSING = "preprocessing.json"
"""How raw data become the model's inputs; not in every export."""


def inference_of(export: Path) -> Inference:
    """What an export says; of one without `inference.json`, as those of before, what its other files say.

    Raises:
        RefusedError: the folder is no export, or of a task of which nobody but its code knows how it
            predicts.
    """
    export = told_in(export)
    if not (export / WEIGHTS).is_file():
        inner = export / "export"
        hint = f"; did you mean {inner}?" if (inner / METRICS).is_file() else ""
        raise RefusedError(f"{export} is not an export: it has no {WEIGHTS}{hint}")
    try:
        return read_inference(export) or _of_config(export)
    except ExportError as error:
        raise RefusedError(str(error)) from error


def told_in(export: Path) -> Path:
    """The folder whose files say how an export predicts: of an ensemble its first member.

    Raises:
        RefusedError: what says which members there are is damaged.
    """
    if not is_ensemble(export):
        return export
    try:
        return next(iter(members_of(export)))
    except ExportError as error:
        raise RefusedError(str(error)) from error


def training_options(export: Path) -> TrialOptions:
    """The `trial:` section with which the model was trained.

    Raises:
        RefusedError: the file of the export is missing or damaged.
    """
    from search.config.tasks import load_task

    task, trial = _trained_with(told_in(export))
    try:
        return load_task(task).Options.parse(trial)
    except (KeyError, ValueError) as error:
        raise RefusedError(f"{export / CONFIG}: {error.args[0]}") from error


def _trained_with(export: Path) -> tuple[str, Mapping[str, Any]]:
    """Name of the task and its `trial:` section."""
    from search.config.document import read_values

    config = read_values(export / CONFIG)
    if not isinstance(config.get("task"), str) or not isinstance(config.get("trial"), Mapping):
        raise RefusedError(f"{export / CONFIG} is damaged: it must hold `task` and `trial`; export again")
    return config["task"], config["trial"]


def _of_config(export: Path) -> Inference:
    # What only predicts needs neither of these.
    try:
        from search.predicting.describe import described
    except ModuleNotFoundError as error:
        raise RefusedError(
            f"{export} has no {INFERENCE}, and its {CONFIG} is read by what an installed tune-search has "
            f"({error.name} is missing): install it whole, or export again"
        ) from error

    task, trial = _trained_with(export)
    file = export / PREPROCESSING
    try:
        values = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        return described(task, trial, values)
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError, UnicodeError) as error:
        raise RefusedError(
            f"{file} is damaged, or of another task ({type(error).__name__}: {error}): export again"
        ) from error
