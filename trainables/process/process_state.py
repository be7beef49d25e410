"""What a trial may change in its process: random states, settings of torch and numpy, environment, hooks."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from trainables.process.patches import GlobalHooks

HANDLED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGALRM,
    signal.SIGCHLD,
    signal.SIGPIPE,
)


def restore_handlers(handlers: Mapping[signal.Signals, Any]) -> None:
    """Set these handlers of signals again; only the main thread can, and those of C code cannot be set."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number, handler in handlers.items():
        if handler is not None and signal.getsignal(number) is not handler:
            signal.signal(number, handler)


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch on every device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def clean_process() -> None:
    """Undo what a trial may have left behind in its process, so that the next one starts as in a new one."""
    torch.set_default_dtype(torch.float32)
    torch.set_default_device(None)
    torch.set_grad_enabled(True)
    torch.use_deterministic_algorithms(False)
    torch.autograd.set_detect_anomaly(False)
    torch.set_float32_matmul_precision("highest")
    torch.set_flush_denormal(False)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = False
    _forget_accelerator()
    # Of arrays that all trials share; a batch is a copy of their rows.
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")
    if torch.cuda.is_initialized():
        # What only a cycle still holds, such as the trace of an error, counts against the next trial's share.
        gc.collect()
        torch.cuda.empty_cache()


def _forget_accelerator() -> None:
    """Of accelerate, if it is in use: a process has the precision, device and accumulation of its first."""
    state = sys.modules.get("accelerate.state")
    if state is not None:
        state.AcceleratorState._reset_state(reset_partial_state=True)
        state.GradientState._reset_state()


def use_deterministic_algorithms() -> None:
    """Algorithms that give the same bits each time, until `clean_process`; torch warns where it has none."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS wants for it
    torch.use_deterministic_algorithms(True, warn_only=True)


class RandomStates:
    """The global random states as something with a state_dict, made of tensors and numbers only."""

    def state_dict(self) -> dict[str, Any]:
        version, words, gauss = random.getstate()
        name, keys, position, has_gauss, cached = np.random.get_state()
        return {
            "python": {"version": version, "words": torch.tensor(words), "gauss": gauss},
            "numpy": {
                "name": name,
                "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
                "position": int(position),
                "has_gauss": int(has_gauss),
                "cached": float(cached),
            },
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        python, numpy = state["python"], state["numpy"]
        random.setstate((python["version"], tuple(python["words"].tolist()), python["gauss"]))
        keys = numpy["keys"].numpy().astype(np.uint32)
        np.random.set_state((numpy["name"], keys, numpy["position"], numpy["has_gauss"], numpy["cached"]))
        torch.set_rng_state(state["torch"])
        if state["cuda"] is not None and torch.cuda.is_initialized():
            torch.cuda.set_rng_state(state["cuda"])


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Meanwhile the global random numbers of Python, numpy and torch on the CPU begin from this seed."""
    states = RandomStates()
    before = states.state_dict()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        states.load_state_dict(before)


class ProcessState:
    """The environment, arguments, signal handlers, warning filters, the level that is logged,
    numpy's error handling and torch's hooks on all modules, as they are now."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._argv = list(sys.argv)
        self._handlers = {number: signal.getsignal(number) for number in HANDLED}
        self._filters = list(warnings.filters)
        self._logged = logging.root.manager.disable
        self._numpy = np.geterr()
        self._hooks = GlobalHooks()

    def restore(self) -> None:
        """Make them what they were."""
        for name in os.environ.keys() - self._environment.keys():
            del os.environ[name]
        os.environ.update(self._environment)
        sys.argv[:] = self._argv
        restore_handlers(self._handlers)
        warnings.filters[:] = self._filters  # type: ignore[index]
        logging.disable(self._logged)
        np.seterr(**self._numpy)
        self._hooks.restore()
