"""The README of an exported model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from search.config.config import Config
from search.exports.schedule import schedule_text
from trainables.imported import is_path


def model_card(
    config: Config,
    report: Mapping[str, Any],
    options: Mapping[str, Any],
    num_parameters: int,
    preprocessing: Mapping[str, Any],
) -> str:
    """The README of an exported model: its metrics, how to load it and how to prepare its inputs."""
    objective = report["objective"]
    inputs = ""
    if preprocessing:
        how = f", as its `how` says: {preprocessing['how']}" if "how" in preprocessing else ""
        if channels := preprocessing.get("channels"):
            how += f". Inputs have {channels} channel{'s' if channels > 1 else ''}"
        inputs = f"""
## From raw data to inputs

`preprocessing.json` holds the statistics of the training data; apply them to raw data before the model{how}.
"""
    former = " of the training, which have changed since" if "not_evaluated" in report else ""
    rows = "\n".join(f"| {key} | {value:.4f} |" for key, value in report["metrics"].items())
    return f"""# {config.name}, trial {report["trial"]}

{objective["metric"]} **{objective["value"]:.4f}** on the validation data{former},
at optimizer step {report["step"]} (virtual epoch {report["virtual_epoch"]}).
{num_parameters:,} parameters. Task `{config.task_path}`.
{_confirmed(report, objective)}{_changed(report)}
| metric | value |
|---|---|
{rows}

## Loading the weights

```python
{_loading(options)}
```

`config.yaml` is the complete configuration of this trial, `metrics.json` every virtual epoch's values and the
library versions, `SHA256SUMS` the sums of these files (`sha256sum -c SHA256SUMS`).
{inputs}
## Options

```json
{json.dumps(options, indent=2, default=str)}
```
"""


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


_LOAD = 'weights = load_file("model.safetensors")  # parameter name -> tensor; no code of this model is run'


def _loading(options: Mapping[str, Any]) -> str:
    """The lines that load the weights into a model."""
    model, imports = options.get("model", {}), "from safetensors.torch import load_file"
    put = "model.load_state_dict(weights)"
    if isinstance(model, Mapping) and model.get("generator"):
        model = model["generator"]  # of a GAN, the part that is exported
    if not isinstance(model, Mapping) or not is_path(model.get("name")):
        of = "# an instance of the architecture under `trial.model` in config.yaml"
        return f"{imports}\n\n{_LOAD}\n{put}            {of}"
    module, _, name = model["name"].partition(":")
    arguments = ", ".join(f"{key}={value!r}" for key, value in model.items() if key != "name")
    imports = f"from {module} import {name.partition('.')[0]}\n{imports}"
    return f"{imports}\n\nmodel = {name}({arguments})\n{_LOAD}\n{put}"
