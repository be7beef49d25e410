"""What a trial may change in its process besides random states and the settings of torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.nn.modules import module as torch_module

_HOOK_KIND = "_global_is_full_backward_hook"


class ProcessState:
    """The environment, numpy's error handling and torch's hooks on all modules, as they are now."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._numpy = np.geterr()
        self._hooks = {name: dict(hooks) for name, hooks in _global_hooks()}
        self._hook_kind = getattr(torch_module, _HOOK_KIND)

    def restore(self) -> None:
        """Make them what they were."""
        for name in os.environ.keys() - self._environment.keys():
            del os.environ[name]
        os.environ.update(self._environment)
        np.seterr(**self._numpy)
        for name, hooks in _global_hooks():
            hooks.clear()
            hooks.update(self._hooks[name])
        setattr(torch_module, _HOOK_KIND, self._hook_kind)


def _global_hooks() -> Iterator[tuple[str, dict[int, Any]]]:
    """Torch has no function that removes a hook whose handle is lost."""
    for name, value in vars(torch_module).items():
        if name.startswith("_global_") and isinstance(value, dict):
            yield name, value
