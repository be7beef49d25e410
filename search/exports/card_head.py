"""The YAML at the head of a model card, by which the Hugging Face Hub lists a model and its results."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from search.config.config import Config
from search.config.document import yaml_text

_COMMENTS = """\
# license: yours to choose, such as mit or apache-2.0; the Hub warns while there is none
# datasets: names of data sets on the Hub that the model was trained on, if there are any
"""
_NAMES = {
    "segmentation": ("image-segmentation", "Semantic segmentation"),
    "classification": ("image-classification", "Image classification"),
    "classification of a table": ("tabular-classification", "Classification of a table"),
    "regression": ("tabular-regression", "Regression"),
    "gan": ("unconditional-image-generation", "Image generation"),
}
"""The Hub's pipeline of a task, and the task's name."""
_METRICS = {"miou": "mean_iou", "macro_f1": "f1", "r2": "r_squared"}
"""Those that have another name on the Hub."""


def card_head(
    config: Config,
    report: Mapping[str, Any],
    options: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    tags: Sequence[str] = (),
    split: str = "validation",
) -> str:
    """The head with its two lines of `---`; what only a person knows is left as a comment.

    Args:
        tags: more than those of every export.
        split: what the values are of.
    """
    pipeline, name = pipeline_of(config, preprocessing)
    metric = report["objective"]["metric"]
    values = {key: value for key, value in report["metrics"].items() if _is_told(key, value)}
    names = [metric, *(key for key in values if key != metric)] if metric in values else list(values)
    head: dict[str, Any] = {
        "library_name": "pytorch",
        **({} if pipeline is None else {"pipeline_tag": pipeline}),
        "tags": [*_tags(config, report, options), *tags],
        "metrics": [hub_name(key) for key in names],
    }
    if values:
        result = {
            "task": {"type": pipeline or "other", "name": name},
            "dataset": {"name": _data_name(config, options), "type": "custom", "split": split},
            "metrics": [{"type": hub_name(key), "name": key, "value": values[key]} for key in names],
        }
        head["model-index"] = [{"name": config.name, "results": [result]}]
    return f"---\n{_COMMENTS}{yaml_text(head).strip()}\n---\n"


def pipeline_of(config: Config, preprocessing: Mapping[str, Any]) -> tuple[str | None, str]:
    """The Hub's pipeline, None for a task of somebody's own, and the task's name."""
    task = str(config.raw["task"])
    if task == "classification" and "columns" in preprocessing:
        task = "classification of a table"
    return _NAMES.get(task, (None, config.task_path))


def hub_name(metric: str) -> str:
    """The name that the Hub has for a metric, or its own."""
    return _METRICS.get(metric, metric)


def _is_told(name: str, value: Any) -> bool:
    """Whether it is a metric of the whole, which JSON and YAML have."""
    return "/" not in name and isinstance(value, int | float) and math.isfinite(value)


def _tags(config: Config, report: Mapping[str, Any], options: Mapping[str, Any]) -> list[str]:
    model = options.get("model")
    name = str(model.get("name", "")) if isinstance(model, Mapping) else ""
    network = name.rpartition(":")[2].rpartition(".")[2].lower()
    tags = ["tune-search", str(config.raw["task"]).rpartition(":")[2], network, "safetensors"]
    return [tag for tag in dict.fromkeys([*tags, *report.get("graphs", {})]) if tag]


def _data_name(config: Config, options: Mapping[str, Any]) -> str:
    """The last part of the data's path, as the whole one is of this machine; or the source's name."""
    data = options.get("data")
    if not isinstance(data, Mapping):
        return config.name
    for key in ("root", "path", "train_path"):
        if isinstance(value := data.get(key), str):
            return PurePath(value).name or config.name
    return str(data.get("source") or data.get("name") or config.name).rpartition(":")[2]
