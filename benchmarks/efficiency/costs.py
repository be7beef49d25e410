"""What the model of a configuration costs, as a search measures it before the first step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.efficiency.problems import LENGTH, Problem
from benchmarks.efficiency.recorded_data import write_digits
from search.config.tasks import BUILT_IN
from search.space.domains import Choice
from trainables.build import build_trainer, load_arrays
from trainables.measure import measure
from trainables.session import load_task_class

_FREE = ("dropout", "stochastic_depth")
"""Last parts of names of options of a model that change neither its weights nor its operations."""


class Costs:
    """One measured quantity of a problem's models: each model is built once, when it is first asked for.

    Args:
        problem: whose models differ in choices under `model` alone; of ranges there dropout and stochastic
            depth change nothing that is measured.
        quantity: `parameters` or `flops`, which no machine changes.

    Raises:
        ValueError: another range under `model` may change what is measured.
    """

    def __init__(self, problem: Problem, quantity: str) -> None:
        for domain, _ in problem.domains:
            is_free = isinstance(domain, Choice) or domain.name.rpartition(".")[2] in _FREE
            if domain.name.startswith("model.") and not is_free:
                raise ValueError(
                    f"{problem.name}: {domain.name} is a range, and may change the {quantity} of a model; "
                    f"give its values as a choice, or add it to _FREE in {__name__} if it does not"
                )
        self.quantity = quantity
        self._problem = problem
        self._names = [
            domain.name
            for domain, _ in problem.domains
            if domain.name.startswith("model.") and isinstance(domain, Choice)
        ]
        self._known: dict[tuple[Any, ...], float] = {}

    def __call__(self, params: Mapping[str, Any]) -> float:
        key = tuple(params[name] for name in self._names)
        if key not in self._known:
            self._known[key] = self._measured(params)
        return self._known[key]

    def _measured(self, params: Mapping[str, Any]) -> float:
        problem = self._problem
        resolved = problem.space.resolve(params).options
        with TemporaryDirectory() as folder:
            if "path" in resolved["data"]:
                file = Path(folder) / resolved["data"]["path"]
                write_digits(file)
                resolved = {**resolved, "data": {**resolved["data"], "path": str(file)}}
            task = load_task_class(BUILT_IN[problem.task])
            options = task.Options.model_validate(resolved)
            found = measure(
                [self.quantity],
                lambda: build_trainer(
                    task,
                    options,
                    load_arrays(task, options),
                    unit="steps",
                    count=problem.steps,
                    num_virtual_epochs=LENGTH,
                    device=torch.device("cpu"),
                ),
            )
        return found[self.quantity]
