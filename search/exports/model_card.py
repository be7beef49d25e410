"""The README of an exported model, a model card as the Hugging Face Hub reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from search.config.config import Config
from search.exports.card_head import card_head
from search.exports.card_loading import loading
from search.exports.schedule import schedule_text
from trainables.folds.assign import SETTINGS
from trainables.predicting.inference import Inference


def model_card(
    config: Config,
    report: Mapping[str, Any],
    options: Mapping[str, Any],
    num_parameters: int,
    preprocessing: Mapping[str, Any],
    inference: Inference | None,
) -> str:
    """The README: results, data, how to prepare inputs and load the files, and what was not tested.

    Args:
        report: what metrics.json holds.
        options: the trial's.
        preprocessing: what preprocessing.json holds.
        inference: what inference.json holds, if it is there.
    """
    objective = report["objective"]
    former = " of the training, which have changed since" if "not_evaluated" in report else ""
    rows = "\n".join(f"| {key} | {value:.4f} |" for key, value in report["metrics"].items())
    return f"""{card_head(config, report, options, preprocessing)}
# {config.name}, {_title(report)}

{objective["metric"]} **{objective["value"]:.4f}** on the validation data{former},
{_origin(report)}.
{num_parameters:,} parameters. Task `{config.task_path}`.
{_confirmed(report, objective)}{_changed(report)}
| metric | value |
|---|---|
{rows}

## Data

{_data(report, options)}
{_inputs(report, preprocessing)}
## How to load

{loading(options, report.get("graphs", {}), inference)}

{_files(report)},{_listed(inference)} `SHA256SUMS` the sums of these files (`sha256sum -c SHA256SUMS`).

## Limits

{_limits(report, options)}

## Options

```json
{json.dumps(options, indent=2, default=str)}
```
"""


def _title(report: Mapping[str, Any]) -> str:
    return f"average of {len(report['soup'])} trials" if "soup" in report else f"trial {report['trial']}"


def _origin(report: Mapping[str, Any]) -> str:
    """Where the weights come from."""
    if "soup" not in report:
        return f"at optimizer step {report['step']} (virtual epoch {report['virtual_epoch']})"
    return (
        f"of the mean of the weights of the trials {', '.join(map(str, report['soup']))}: a greedy soup, as\n"
        "in Wortsman et al. 2022, Model soups. `soup.json` has the value of each, and of the mean with it"
    )


def _files(report: Mapping[str, Any]) -> str:
    if "soup" not in report:
        return (
            "`config.yaml` is the complete configuration of this trial, `metrics.json` every virtual epoch's "
            "values and the\nlibrary versions"
        )
    return (
        f"`config.yaml` is the complete configuration of trial {report['trial']}, the best of them, "
        "`metrics.json` the values and the\nlibrary versions"
    )


def _listed(inference: Inference | None) -> str:
    return "" if inference is None else " `inference.json` how raw data become inputs and outputs are read,"


def _data(report: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """The samples of each part, and what the fingerprint knows of their files."""
    samples = report.get("samples", {})
    lines = [f"- {part}: {number:,} samples" for part, number in samples.items()]
    if (folds := options.get("data", {}).get("folds")) is not None:
        lines.append(f"- the validation samples are fold {options['data'].get('fold', 0)} of {folds}, from 0")
    found = report.get("data", {})
    lines += [f"- {what}: {number:,}" for what, number in found.items() if _counts(what, number)]
    if any(_counts(what, number) for what, number in found.items()):
        lines.append(f"- fingerprint: `{found['sha256']}`, with the names in `data.fingerprint`")
    if "not_evaluated" in report:
        lines.append(f"- {report['not_evaluated']}")
    return "\n".join(lines) if lines else "Read by the training function itself; their number is not known."


def _counts(what: str, number: Any) -> bool:
    """Whether it is a number of files or rows."""
    return isinstance(number, int) and what != SETTINGS


def _inputs(report: Mapping[str, Any], preprocessing: Mapping[str, Any]) -> str:
    """How raw data become inputs, and where a graph does it itself."""
    if not preprocessing:
        return ""
    how = f", as its `how` says: {preprocessing['how']}" if "how" in preprocessing else ""
    if channels := preprocessing.get("channels"):
        how += f". Inputs have {channels} channel{'s' if channels > 1 else ''}"
    inside = [graph["files"][0] for graph in report.get("graphs", {}).values() if graph["with_preprocessing"]]
    but = f"Not before {' and '.join(inside)}: these take raw values.\n" if inside else ""
    return f"""
## From raw data to inputs

`preprocessing.json` holds the statistics of the training data; apply them to raw data before the model{how}.
{but}"""


def _limits(report: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """What the values above do not say."""
    number = report.get("samples", {}).get("validation")
    of = f"the {number:,} validation samples" if number else "the validation data"
    lines = [
        f"The values above are of {of}. The hyperparameters and the virtual epoch were chosen by them, so "
        "expect less of new data: there was no separate test.",
        "Not tested: data of another source, time, device or place than the validation data, other shares of "
        "the classes, groups of people or things in particular, damaged or hostile inputs.",
    ]
    validation = options.get("validation")
    if isinstance(validation, Mapping) and validation.get("window"):
        lines.append(
            f"The values are of logits averaged over windows of {validation['window']} pixels, as "
            "`validation` in config.yaml says; whole images were not given to the model."
        )
    if "soup" in report:
        lines.append(
            "Which trials are averaged was chosen on the same validation data, which flatters the values "
            "once more."
        )
    if report.get("confirmed") is None:
        lines.append("Trained with one seed; how much another seed changes the values was not measured.")
    if report.get("graphs"):
        lines.append(
            "Graphs were run on a CPU in float32; not on a GPU, in another precision, quantized, or in "
            "another runtime."
        )
    return "\n".join(f"- {line}" for line in lines)


def _changed(report: Mapping[str, Any]) -> str:
    """How the weights came about, if their values changed while they were trained."""
    schedule = report.get("schedule", [])
    if not schedule:
        return ""
    lines = "\n".join(f"- {line}" for line in schedule_text(schedule).splitlines())
    return f"""
Values changed while these weights were trained (population based training), so `config.yaml`, which holds the
last ones, does not lead to them; `tune-search retrain . --from-scratch` repeats all of these:

{lines}
"""


def _confirmed(report: Mapping[str, Any], objective: Mapping[str, Any]) -> str:
    """What a race over seeds says of the configuration, and which of its runs this is."""
    found = report.get("confirmed")
    if found is None:
        return ""
    spread = "" if found["std"] is None else f" ± {found['std']:.4f}"
    rivals = found["rivals"]
    others = f"{rivals} other{'s' if rivals > 1 else ''}"
    compared = (
        "and not compared with other trials"
        if found["chance"] is None
        else f"the best with a chance of {found['chance']:.0%}, against {others} in the race"
    )
    return f"""
Trained anew with {found["seeds"]} seeds on the same split of the data: {objective["metric"]} \
**{found["mean"]:.4f}{spread}** (mean ± standard deviation),
{compared}.
These weights are of `trial.seed` {found["seed"]}, {found["which"]}.
"""
