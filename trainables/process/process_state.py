"""What a trial may change in its process besides random states and the settings of torch."""

from __future__ import annotations

import os

import numpy as np

from trainables.process.patches import GlobalHooks


class ProcessState:
    """The environment, numpy's error handling and torch's hooks on all modules, as they are now."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._numpy = np.geterr()
        self._hooks = GlobalHooks()

    def restore(self) -> None:
        """Make them what they were."""
        for name in os.environ.keys() - self._environment.keys():
            del os.environ[name]
        os.environ.update(self._environment)
        np.seterr(**self._numpy)
        self._hooks.restore()
