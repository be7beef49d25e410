"""The state of what a training function tracks, as checkpoints hold it: tensors, numbers and texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainables.findings import a_type

_PLAIN = (Tensor, int, float, str, bool, bytes, type(None))


class Tracked:
    """What has state, by name, in the order in which it was declared."""

    def __init__(self) -> None:
        self._parts: dict[str, Any] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    def add(self, name: str, part: Any) -> None:
        """Track one more.

        Raises:
            ValueError: there is one of this name.
            TypeError: it has no state that can be saved and loaded.
        """
        if name in self._parts:
            raise ValueError(f"{name!r} is tracked twice; track each thing once, before the loop")
        if not (hasattr(part, "state_dict") and hasattr(part, "load_state_dict")):
            raise TypeError(
                f"trial.track({name}=…) received {a_type(part)}; must have state_dict() and "
                "load_state_dict(); plain values go into trial.state"
            )
        self._parts[name] = part

    @property
    def modules(self) -> dict[str, nn.Module]:
        return {name: part for name, part in self._parts.items() if isinstance(part, nn.Module)}

    def weights(self) -> dict[str, Tensor]:
        """Parameters and buffers of the one module, or of several with their names before them.

        Raises:
            ValueError: there is no module.
        """
        modules = self.modules
        if not modules:
            raise ValueError(
                "no model is tracked, and a checkpoint needs one; call trial.track(model=…) before the loop"
            )
        if len(modules) == 1:
            return dict(next(iter(modules.values())).state_dict())
        return {
            f"{name}.{key}": value
            for name, module in modules.items()
            for key, value in module.state_dict().items()
        }

    def states(self) -> dict[str, Any]:
        """The states of all that is no module.

        Raises:
            TypeError: one holds something else than tensors, numbers, texts and lists and mappings of them.
        """
        modules = self.modules
        return {
            name: plain(part.state_dict(), name) for name, part in self._parts.items() if name not in modules
        }

    def load(self, name: str, weights: Mapping[str, Tensor], states: Mapping[str, Any], saved: int) -> None:
        """Restore one part.

        Args:
            saved: number of modules that were saved, which decides their names.

        Raises:
            ValueError: the checkpoint has nothing for it.
        """
        part = self._parts[name]
        if not isinstance(part, nn.Module):
            if name not in states:
                raise ValueError(
                    f"the checkpoint has no state of {name!r}, only of {', '.join(states) or 'nothing'}: the "
                    "function tracks other things than when it was saved"
                )
            part.load_state_dict(states[name])
            return
        prefix = "" if saved == 1 else f"{name}."
        own = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
        part.load_state_dict(own)


class PlainState(dict[str, Any]):
    """A dict of plain values that is saved with the trial: `trial.state["last_loss"] = 0.3`."""

    def state_dict(self) -> dict[str, Any]:
        return dict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.clear()
        self.update(state)


def plain(value: Any, where: str) -> Any:
    """The value with numbers and arrays of numpy as those of Python and torch.

    Raises:
        TypeError: something else is in it, which could be loaded by executing it only.
    """
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, Mapping):
        kept = {key: plain(item, f"{where}[{key!r}]") for key, item in value.items()}
        return type(value)(kept) if type(value) is dict else kept
    if isinstance(value, list | tuple):
        items = [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
        return items if isinstance(value, list) else tuple(items)
    raise TypeError(
        f"the state of {where} is {a_type(value)}; a checkpoint holds only tensors, numbers, "
        "texts, lists and mappings, for which nothing has to be executed"
    )
