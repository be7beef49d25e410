"""How the model of a trial predicts, for an export: from its options and how raw data became its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search.config.tasks import BUILT_IN, load_task, task_path
from search.errors import RefusedError
from trainables.classification.options import ClassificationOptions
from trainables.gan.options import GANOptions
from trainables.gan.task import IMAGE
from trainables.images.masks.labels import label_lookup
from trainables.images.options import ClassOptions, ImageOptions, MaskOptions
from trainables.imported import is_path
from trainables.imported_options import ImportedModel
from trainables.options import TrialOptions
from trainables.predicting.inference import (
    ImageInputs,
    Inference,
    Labels,
    Network,
    Noise,
    RowInputs,
    Target,
    Windows,
)
from trainables.predicting.networks import GENERATOR
from trainables.regression.options import RegressionOptions
from trainables.segmentation.options import SegmentationOptions
from trainables.tables.encoded import num_encoded

_LOAD = "load its weights into your model, as its README.md shows"


class UnknownInferenceError(RefusedError):
    """Only the code of the task knows how its model predicts."""


def describe(
    task: str, options: Mapping[str, Any], preprocessing: Mapping[str, Any], mask_lookup: np.ndarray | None
) -> dict[str, Any]:
    """`described` as JSON values; none for a task of which it is not known."""
    try:
        return described(task, options, preprocessing, mask_lookup).as_json()
    except UnknownInferenceError:
        return {}


def described(
    task: str,
    options: Mapping[str, Any],
    preprocessing: Mapping[str, Any] | None,
    mask_lookup: np.ndarray | None = None,
) -> Inference:
    """How a model of a built-in task predicts.

    Args:
        task: its name or path.
        options: the resolved `trial:` section.
        preprocessing: what `Task.preprocessing` returned; None where the export has no such file.
        mask_lookup: from labels in masks to classes, see `trainables.images.loading`.

    Raises:
        UnknownInferenceError: it is a task or data set of the user's own.
    """
    if task_path(task) not in BUILT_IN.values():
        raise UnknownInferenceError(f"the task {task} is your own, and its code alone predicts: {_LOAD}")
    parsed = load_task(task).Options.parse(options)
    common: dict[str, Any] = {
        "batch_size": parsed.valid_batch_size,
        "precision": parsed.precision,
        "channels_last": parsed.channels_last,
    }
    if isinstance(parsed, GANOptions):
        return Inference(task="gan", **common, **_gan(parsed))
    preprocessing = _known(parsed, preprocessing)
    if isinstance(parsed, SegmentationOptions):
        lookup = None if mask_lookup is None else tuple(mask_lookup.tolist())
        colours = _colours(parsed.data, lookup, len(preprocessing["class_names"]))
        common |= {"mask_lookup": lookup, "colours": colours, **_segmentation(parsed, preprocessing)}
        return Inference(task="segmentation", **common)
    if isinstance(parsed, ClassificationOptions):
        return Inference(task="classification", **common, **_classification(parsed, preprocessing))
    assert isinstance(parsed, RegressionOptions)
    rows = _rows(preprocessing)
    network = _network(parsed.model, in_features=num_encoded(rows.columns), out_features=1)
    target = Target(**preprocessing["target"])
    return Inference(task="regression", **common, network=network, rows=rows, target=target)


def _known(options: TrialOptions, preprocessing: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Refuse data of the user's own, of which preprocessing.json does not say how inputs are made."""
    if preprocessing is not None and ("mean" in preprocessing or "columns" in preprocessing):
        return preprocessing
    source = getattr(options.data, "name", "")
    if not is_path(source):
        raise RefusedError(
            "the export has neither inference.json nor a preprocessing.json that says how raw data become "
            "inputs: copy the missing file, or export again"
        )
    raise UnknownInferenceError(
        f"the training data came from {source}, whose code alone knows how a raw sample becomes an input: "
        f"{_LOAD}"
    )


def _segmentation(options: SegmentationOptions, preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    names, validation = preprocessing["class_names"], options.validation
    labels: Labels = options.data.labels if isinstance(options.data, MaskOptions) else "multiclass"
    return {
        "network": _network(options.model, in_channels=preprocessing["channels"], num_classes=len(names)),
        "classes": tuple(names),
        "labels": labels,
        "images": _images(options.data, preprocessing),
        "windows": Windows(window=validation.window, overlap=validation.overlap, flips=validation.flips),
    }


def _colours(
    data: Any, lookup: Sequence[int] | None, num_classes: int
) -> tuple[tuple[int, int, int], ...] | None:
    """Those of the classes, where masks have colours; None where a class has none."""
    if not isinstance(data, MaskOptions) or not data.colors:
        return None
    classes = label_lookup(data).tolist() if lookup is None else lookup
    found = {classes[label]: colour for label, colour in enumerate(data.colors)}
    return (
        tuple(found[number] for number in range(num_classes))
        if set(range(num_classes)) <= set(found)
        else None
    )


def _classification(options: ClassificationOptions, preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    names = preprocessing["class_names"]
    classes: dict[str, Any] = {"classes": tuple(names)}
    if "columns" in preprocessing:
        rows = _rows(preprocessing)
        network = _network(options.model, in_features=num_encoded(rows.columns), out_features=len(names))
        return {**classes, "network": network, "rows": rows}
    network = _network(options.model, in_channels=preprocessing["channels"], num_classes=len(names))
    return {**classes, "network": network, "images": _images(options.data, preprocessing)}


def _gan(options: GANOptions) -> dict[str, Any]:
    model, evaluation = options.model, options.evaluation
    arguments = {"kind": model.name, "latent_size": model.latent_size, "width": model.width}
    network = Network(name=GENERATOR, arguments=arguments)
    if model.generator is not None:
        network = Network(name=model.generator.name, arguments=model.generator.arguments)
    noise = Noise(
        latent_size=model.latent_size,
        seed=evaluation.seed,
        num_samples=evaluation.num_samples,
        image=IMAGE,
    )
    return {"network": network, "noise": noise}


def _network(model: Any, **of_data: int) -> Network:
    """As `build_model` of the tasks makes it; an imported model knows its channels and outputs."""
    arguments = model.arguments if isinstance(model, ImportedModel) else {**of_data, **model.arguments}
    return Network(name=model.name, arguments=arguments)


def _images(data: Any, preprocessing: Mapping[str, Any]) -> ImageInputs:
    size = (preprocessing["height"], preprocessing["width"]) if "height" in preprocessing else None
    given: dict[str, Any] = {}
    if isinstance(data, ImageOptions):
        given = {
            "range_of_all": data.value_range is not None,
            "range_found": data.value_range is None,
            "orientation": data.orientation,
            "channels_first": data.channels_first,
            "shown": data.shown_channels,
        }
    low_high = preprocessing.get("range")
    return ImageInputs(
        channels=preprocessing["channels"],
        mean=tuple(preprocessing["mean"]),
        std=tuple(preprocessing["std"]),
        range=None if low_high is None else tuple(low_high),
        resize=data.resize if isinstance(data, ClassOptions) else None,
        size=size,
        **given,
    )


def _rows(preprocessing: Mapping[str, Any]) -> RowInputs:
    reading = {key: preprocessing[key] for key in ("decimal", "thousands") if key in preprocessing}
    missing = tuple(preprocessing.get("missing", [""]))
    return RowInputs(columns=preprocessing["columns"], missing=missing, **reading)
