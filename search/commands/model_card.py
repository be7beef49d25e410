"""The README of an exported model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def model_card(
    name: str,
    task: str,
    report: Mapping[str, Any],
    options: Mapping[str, Any],
    num_parameters: int,
    preprocessing: Mapping[str, Any],
) -> str:
    """What the model is, its metrics, how to load it and how to prepare its inputs, as Markdown."""
    objective = report["objective"]
    rows = "\n".join(f"| {key} | {value:.4f} |" for key, value in report["metrics"].items())
    return f"""# {name}, trial {report["trial"]}

{objective["metric"]} **{objective["value"]:.4f}** on the validation data, at optimizer step {report["step"]}
(virtual epoch {report["virtual_epoch"]}). {num_parameters:,} parameters. Task `{task}`.

| metric | value |
|---|---|
{rows}

## Loading the weights

```python
from safetensors.torch import load_file

weights = load_file("model.safetensors")  # parameter name -> tensor; no code of this model is run
model.load_state_dict(weights)            # an instance of the architecture under `trial.model` in config.yaml
```

`config.yaml` is the complete configuration of this trial, `metrics.json` every virtual epoch's values and the
library versions, `SHA256SUMS` the sums of these files (`sha256sum -c SHA256SUMS`).
{_inputs(preprocessing)}
## Options

```json
{json.dumps(options, indent=2, default=str)}
```
"""


def _inputs(preprocessing: Mapping[str, Any]) -> str:
    if not preprocessing:
        return ""
    how = f", as its `how` says: {preprocessing['how']}" if "how" in preprocessing else ""
    return f"""
## From raw data to inputs

`preprocessing.json` holds the statistics of the training data; apply them to raw data before the model{how}.
"""
