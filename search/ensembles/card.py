"""The README of an ensemble, a model card as the Hugging Face Hub reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.config.config import Config
from search.exports.card_head import card_head
from search.exports.card_loading import BY_ITSELF, predicting
from search.exports.steps import Leaving
from search.text import counted
from trainables.predicting.ensemble import MEMBERS
from trainables.predicting.inference import read_inference


@dataclass(frozen=True, kw_only=True)
class Story:
    """How the members were found, and what the values of the whole say."""

    method: str
    caveat: str
    """What is to be known of the values: a sentence or more."""
    details: Mapping[str, Any]
    """More for ensemble.json: JSON values."""
    report: Mapping[str, Any] = field(default_factory=dict)
    """More for metrics.json: JSON values."""
    measured: str = "on the validation data"
    """What the values of the whole are of."""
    split: str = "validation"
    """The same, as the Hub's list of results names it."""
    each: str = "alone"
    """What the value of a member is of."""
    alone: str | None = None
    """What the members are worth without the others (default: the best value)."""


def ensemble_card(
    config: Config, report: Mapping[str, Any], story: Story, first: Leaving, folder: Path
) -> str:
    """The README: results, members, how to load them, and what the values do not say.

    Args:
        report: what metrics.json holds.
        story: how the members were found, and what the values say.
        first: the first member.
        folder: of the ensemble, with its members.
    """
    objective, members = report["objective"], report["members"]
    metric, options = objective["metric"], first.checkpoint.info["options"]
    best = (max if objective["mode"] == "max" else min)(member["value"] for member in members)
    rows = "\n".join(f"| {key} | {value:.4f} |" for key, value in report["metrics"].items())
    total = sum(member["parameters"] for member in members)
    inference = read_inference(folder / MEMBERS / "1")
    load = _OWN if inference is None else f"{BY_ITSELF}\n\n```python\n{predicting(inference)}\n```"
    kind = "values" if config.raw["task"] == "regression" else "classes"
    graphs = {"graphs": first.report.get("graphs", {})}
    head = card_head(config, {**report, **graphs}, options, first.preprocessing, ["ensemble"], story.split)
    alone = story.alone or f"its best member alone has {best:.4f}"
    return f"""{head}
# {config.name}, ensemble of {len(members)}

{metric} **{objective["value"]:.4f}** {story.measured}; {alone}.
{counted(len(members), "model")} with {total:,} parameters together, all of which predict each input: \
{_WHAT[kind]}.
Task `{config.task_path}`.

| metric | value |
|---|---|
{rows}

## Members

| folder | from | {metric} {story.each} | counts | network | parameters |
|---|---|---|---|---|---|
{_table(members)}

Found by {story.method}. `ensemble.json` says more.
Each folder is an export of its own, with a card of its own that says how its
weights and graphs are loaded; `tune-search retrain` trains one of them on.

## How to load

{load}

Without tune-search: load each member as its card says, and average the {_AVERAGED[kind]}, each as
often as it counts.{_graphs(first)} `SHA256SUMS` has the sums of all files (`sha256sum -c SHA256SUMS`).

## Limits

- {story.caveat}
- Not tested: data of another source, time, device or place than what was measured, other shares of the
  classes, groups of people or things in particular, damaged or hostile inputs.
- An input takes as long as with all members one after the other.
"""


_OWN = "Inputs are made of raw samples by code of your own, so load each member as its card says."
_WHAT = {
    "classes": "the probabilities are means over the members",
    "values": "a value is the mean over the members",
}
_AVERAGED = {"classes": "probabilities", "values": "values in the target's own units"}


def _table(members: list[dict[str, Any]]) -> str:
    return "\n".join(
        f"| `{MEMBERS}/{each['member']}` | {each['label']}, virtual epoch {each['virtual_epoch']} | "
        f"{each['value']:.4f} | {each['count']} of {sum(m['count'] for m in members)} | "
        f"{each['model'].get('name', '')} | {each['parameters']:,} |"
        for each in members
    )


def _graphs(first: Leaving) -> str:
    graphs = first.report.get("graphs", {})
    if not graphs:
        return ""
    files = " and ".join(graph["files"][0] for graph in graphs.values())
    return f" Each member has its {files}, validated alone; there is no graph of the whole."
