"""Predicts files with an exported model: the command, which goes on where it was interrupted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from search.addresses import local_path
from search.errors import RefusedError, SearchError
from search.predicting.exported import inference_of
from search.predicting.folder import Predicted, begun, is_output
from search.predicting.images import InputImage, find_images, refuse_same_stems
from search.predicting.load import load
from search.predicting.page import PAGE, write_page
from search.predicting.sample import GRID, sample
from search.predicting.score import Scores, Truth, score, write_scores
from search.predicting.segment import Layout, Wanted, segment
from search.predicting.table import PREDICTIONS, classify_images, predict_table, read_table
from search.text import short_path
from trainables.files import atomic_write
from trainables.predicting.classifier import Classifier
from trainables.predicting.generator import Generator
from trainables.predicting.inference import Inference
from trainables.predicting.model import ExportedModel, MemoryLimitError, OutputError, memory_limits
from trainables.predicting.regressor import Regressor
from trainables.predicting.segmenter import Segmenter
from trainables.process.gpu_share import select_device

FAILED = "failed.txt"
COUNT = 100
"""Samples of a generator where no number is given."""

Progress = Callable[[str, int, int], None]
"""Takes what is done, such as `images`, how many of it are done, and how many there are."""

_OF_TASK = {
    "segmentation": ("window", "flips", "masks", "overlay", "probabilities"),
    "classification": (),
    "regression": (),
    "gan": ("count", "seed"),
}
"""Options that only some tasks have."""
_FLAGS = {"flips": "--tta"}


@dataclass(frozen=True)
class Asked:
    """What a call asks for."""

    export: Path
    given: Path | None
    out: Path
    masks: Path | None
    options: dict[str, Any]
    """Those of `_OF_TASK` that are set."""
    held: ExitStack
    """Ends when the call does; holds the folder from `_begin` on."""


def predict(
    export: str | Path,
    given: str | Path | None = None,
    *,
    out: str | Path,
    window: int | None = None,
    flips: str | None = None,
    masks: str | Path | None = None,
    overlay: bool = False,
    probabilities: bool = False,
    count: int | None = None,
    seed: int | None = None,
    batch_size: int | None = None,
    device: str | torch.device | None = None,
    progress: Progress = lambda what, done, of: None,
) -> Predicted:
    """Predict images, or the rows of a table, with an exported model, and write the results into a folder.

    The same call again goes on where an interrupted one ended; a table begins anew. What cannot be
    read is left out, and named in the result.

    Args:
        export: folder that `export` or `retrain` wrote.
        given: a folder of images, an image, or a CSV file; none for a generator.
        out: folder to write.
        window, flips: of a segmentation: other windows and flips than those of the validation.
        masks: of a segmentation: a folder of true masks, named as the images.
        overlay, probabilities: of a segmentation: whether these are written beside the masks.
        count, seed: of a generator: number of samples, and seed of their noise (default: that with which it
            was measured).
        batch_size: images, windows or rows that are predicted at once (default: as in validation).
        device: where to predict (default: a GPU if there is one).
        progress: called while it goes on.

    Raises:
        SearchError: `export` is none, or of a task whose code alone knows how it predicts; an option is of
            another task; nothing can be read; or another call has written `out`.
    """
    options = {"window": window, "flips": flips, "overlay": overlay, "probabilities": probabilities}
    asked = _asked(export, given, out, masks, {**options, "count": count, "seed": seed})
    with asked.held:
        return _asked_for(asked, window, flips, batch_size, device, progress)


def _asked_for(
    asked: Asked,
    window: int | None,
    flips: str | None,
    batch_size: int | None,
    device: str | torch.device | None,
    progress: Progress,
) -> Predicted:
    inference = inference_of(asked.export)
    _refuse_other_tasks(asked, inference)
    model = load(asked.export, device=device or select_device(1.0), window=window, flips=flips)
    model.batch_size = batch_size or model.batch_size
    try:
        with memory_limits():
            found = _predict(model, asked, progress)
        _list_failed(found)
    except OSError as error:
        raise SearchError(f"{error}; the same command goes on from what {asked.out} holds") from error
    except (MemoryLimitError, OutputError) as error:
        raise SearchError(f"the model {error}") from error
    return found


def _asked(
    export: str | Path,
    given: str | Path | None,
    out: str | Path,
    masks: str | Path | None,
    options: dict[str, Any],
) -> Asked:
    export, out = (local_path(each).absolute() for each in (export, out))
    given, masks = (None if each is None else local_path(each).absolute() for each in (given, masks))
    options |= {"masks": masks}
    is_set = {key: value for key, value in options.items() if value is not None and value is not False}
    return Asked(export, given, out, masks, is_set, ExitStack())


def _refuse_other_tasks(asked: Asked, inference: Inference) -> None:
    task = inference.task
    for name in asked.options:
        if name not in _OF_TASK[task]:
            flag = _FLAGS.get(name, f"--{name}")
            owners = [of for of, names in _OF_TASK.items() if name in names]
            raise RefusedError(
                f"{flag} is of {owners[0]}, and {asked.export} is of task {task}; leave it out"
            )
    if task == "gan" and asked.given is not None:
        raise RefusedError(
            f"a generator has no input; leave {short_path(asked.given)} out, --count says how many"
        )
    what = "a folder of images, or an image" if inference.images is not None else "a CSV file"
    if task != "gan" and asked.given is None:
        raise RefusedError(f"give {what} to predict after the export")
    if asked.given is not None and not asked.given.exists():
        raise RefusedError(f"there is no {short_path(asked.given)}; give {what}")
    if inference.rows is not None and asked.given is not None and not asked.given.is_file():
        raise RefusedError(f"{short_path(asked.given)} is a folder, and the model takes rows; give {what}")
    if asked.masks is not None and not asked.masks.is_dir():
        raise RefusedError(f"there is no folder {short_path(asked.masks)}; --masks is a folder of masks")


def _predict(model: ExportedModel, asked: Asked, progress: Progress) -> Predicted:
    inference = model.inference
    if isinstance(model, Generator):
        assert inference.noise is not None
        count, seed = asked.options.get("count", COUNT), asked.options.get("seed", inference.noise.seed)
        _begin(asked, inference, seed=seed)
        written, kept = sample(model, count, seed, asked.out, lambda done, of: progress("samples", done, of))
        return Predicted(asked.out, "sample", written, kept, main=GRID)
    assert asked.given is not None
    if isinstance(model, Regressor) or (isinstance(model, Classifier) and inference.rows is not None):
        sheet = read_table(model, asked.export, asked.given)
        _begin(asked, inference)
        rows = predict_table(model, sheet, asked.out, lambda n, of: progress("rows", n, of))
        return Predicted(asked.out, "row", rows[0], failed=rows[1], notes=rows[2], main=PREDICTIONS)
    if is_output(asked.given):
        raise RefusedError(
            f"{short_path(asked.given)} is written by `predict`; give a folder of images, such as one in it"
        )
    notes: list[str] = []
    without = [each for each in (asked.out, asked.masks) if each is not None]
    images = find_images(asked.given, without, notes.append)

    def of_images(done: int, of: int) -> None:
        progress("images", done, of)

    if isinstance(model, Classifier):
        _begin(asked, inference)
        written, kept, failed = classify_images(model, images, asked.out, of_images)
        return Predicted(asked.out, "image", written, kept, failed, tuple(notes), main=PREDICTIONS)
    assert isinstance(model, Segmenter)
    return replace(_segment(model, images, asked, progress), notes=tuple(notes))


def _segment(model: Segmenter, images: list[InputImage], asked: Asked, progress: Progress) -> Predicted:
    refuse_same_stems(images)
    layout = Layout(asked.out, model.inference)
    truth = None if asked.masks is None else Truth(asked.export, model.inference, images, asked.masks)
    wanted = Wanted(overlay="overlay" in asked.options, probabilities="probabilities" in asked.options)
    windows = model.windows
    _begin(
        asked,
        model.inference,
        window=windows.window,
        tta=windows.flips,
        overlay=wanted.overlay,
        probabilities=wanted.probabilities,
    )
    written, kept, failed = segment(model, images, layout, wanted, lambda n, of: progress("images", n, of))
    done = Predicted(asked.out, "image", written, kept, failed, main="masks")
    return done if truth is None else _compare(done, truth, layout, failed, progress)


def _compare(
    done: Predicted, truth: Truth, layout: Layout, failed: dict[str, str], progress: Progress
) -> Predicted:
    scores: Scores = score(truth, layout, failed, lambda n, of: progress("masks compared", n, of))
    write_scores(scores, layout.out)
    if scores.images:
        title = f"Predictions in {short_path(layout.out)}"
        write_page(scores, truth, layout, title, lambda n, of: progress("images of index.html", n, of))
        done = replace(done, main=PAGE)
    return replace(done, scores=scores.metrics, num_scored=len(scores.images), failed=dict(failed))


def _begin(asked: Asked, inference: Inference, **options: Any) -> None:
    given = None if asked.given is None else str(asked.given)
    options = {"input": given, **options}
    asked.held.enter_context(begun(asked.out, asked.export, inference, options))


def _list_failed(found: Predicted) -> None:
    """All that could not be predicted, as the screen shows the first of it only."""
    file = found.folder / FAILED
    if found.failed:
        atomic_write(file, "".join(f"{name}: {why}\n" for name, why in found.failed.items()))
    else:
        file.unlink(missing_ok=True)
