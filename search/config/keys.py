"""Where in a configuration a key stands that somebody wrote elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from search.config.messages import models_in
from search.config.schema import Sections
from search.errors import KeyPath
from search.text import dotted
from trainables.options import TrialOptions

_MEANT = {
    "epoch": "budget.max_virtual_epochs",
    "epochs": "budget.max_virtual_epochs",
    "max_epochs": "budget.max_virtual_epochs",
    "num_epochs": "budget.max_virtual_epochs",
    "learning_rate": "trial.optimizer.lr",
}
"""Keys by what options of training scripts are called, where the key has another name."""


def key_called(name: str) -> str | None:
    """The dotted key that is called so, or means that."""
    return _MEANT.get(name) or next((key for key in _keys() if key.rpartition(".")[2] == name), None)


def with_place(path: KeyPath, message: str) -> str:
    """The message about an unknown key at the top or in `trial:`, with the place of the key of that name."""
    if not message.startswith("unknown key") or len(path) > 2 or (len(path) == 2 and path[0] != "trial"):
        return message
    key = key_called(str(path[-1]))
    if key is None or key == dotted(path):
        return message
    return f"unknown key {path[-1]!r}; did you mean {key!r}?"


def _keys() -> Iterator[str]:
    """Dotted keys of a configuration, those of the sections first."""
    yield "budget.steps"  # not those of virtual_epoch
    for name, field in Sections.model_fields.items():
        yield from (f"{name}.{key}" for model in models_in(field) for key in model.model_fields)
        yield name
    for name, field in TrialOptions.model_fields.items():
        yield from (f"trial.{name}.{key}" for model in models_in(field) for key in model.model_fields)
        yield f"trial.{name}"
