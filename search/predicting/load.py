"""`search.load`: an export in Python, which needs torch, NumPy, Pillow and safetensors alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from search.errors import RefusedError
from search.predicting.exported import inference_of
from trainables.predicting.ensemble import is_ensemble, load_ensemble
from trainables.predicting.inference import ExportError
from trainables.predicting.load import load_model
from trainables.predicting.segmenter import set_windows

if TYPE_CHECKING:
    from trainables.predicting.model import ExportedModel


def load(
    export: str | Path,
    *,
    device: str | torch.device = "cpu",
    window: int | None = None,
    flips: str | None = None,
) -> ExportedModel:
    """The model of an export, which predicts raw data as in the validation of the search.

    >>> model = search.load("results/seg/export").to("cuda")
    >>> model.classes[model.predict("street.jpg")]

    Args:
        export: folder that `export` or `retrain` wrote.
        device: where it predicts; `.to(device)` moves it.
        window: side in pixels of the windows by which images are predicted (default: as in validation).
        flips: none, horizontal, vertical or both: test-time augmentation (default: as in validation).

    Returns:
        A `Segmenter`, `Classifier`, `Regressor` or `Generator` of `trainables.predicting`: `predict`,
        `predict_proba` (of a generator `sample`), `classes`, `metrics`, `to`. Of an ensemble one that
        predicts the mean of its `members`.

    Raises:
        RefusedError: the folder is no export, a file of it is damaged, or it is of a task, a data set or a
            training function of the user's own, which alone knows how it predicts.
    """
    folder = Path(export)
    inference = inference_of(folder)
    try:
        model = load_ensemble(folder) if is_ensemble(folder) else load_model(folder, inference)
        set_windows(model, window, flips)
        return model.to(device)
    except ExportError as error:
        raise RefusedError(
            f"{folder} {error}" if str(error).startswith(("is ", "its ")) else str(error)
        ) from error
    except ValueError as error:
        raise RefusedError(str(error)) from error
