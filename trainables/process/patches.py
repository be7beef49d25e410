"""Every private name of torch that this program uses, in one place.

=========================================  ==================================================  =======
Name                                       What it is for, and what it would be without it     Checked
=========================================  ==================================================  =======
`_MultiProcessingDataLoaderIter._workers`  A worker that was killed is named with its exit      2.13
                                           code. Without it: "connection reset".
`…._shutdown_workers`                      A trial's workers end with its stream. Without it    2.13
                                           they live as long as a trace holds the iterator.
`Queue._on_queue_feeder_error`             A batch that a worker cannot send is sent otherwise.    2.13
(of Python's multiprocessing)              Without it the worker drops it with a trace, and the
                                           trial waits for ever.
`ForkingPickler.register`                  …through its pipe, where shared memory has no room.      2.13
`….collate.default_collate_fn_map`         A worker collates also where shared memory is full.     2.13
`torch.nn.modules.module._global_*`        Hooks on all modules that a trial left behind do     2.13
                                           not reach the next one in its process; torch has no
                                           function that removes a hook whose handle is lost.
`torch._foreach_norm`                      Norms of all gradients in one call; `get_total_norm`  2.13
                                           sorts them by device and type first, which costs a
                                           small model more than the norms.
=========================================  ==================================================  =======

tests/unit/test_patches_torch.py has a test for each row, which fails when the name is gone or means
something else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from multiprocessing.queues import Queue
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from torch import Tensor, UntypedStorage
from torch.nn.modules import module as _modules
from torch.utils.data._utils.collate import default_collate_fn_map

_HOOK_KIND = "_global_is_full_backward_hook"


def loader_workers(iterator: Any) -> Sequence[Any]:
    """The worker processes of a DataLoader's iterator; none where it has none, or is another iterator."""
    return getattr(iterator, "_workers", ())


def shut_down_workers(iterator: Any) -> None:
    """End the workers of a DataLoader's iterator, if it has any, and wait until they are gone."""
    shut_down = getattr(iterator, "_shutdown_workers", None)
    if shut_down is not None:
        shut_down()


def on_lost_results(instead: Callable[[Any, Exception], Any]) -> None:
    """In a DataLoader's worker: send `instead(result, error)` for each result that cannot be sent."""

    def send(queue: Queue[Any], error: Exception, item: Any) -> None:
        # Where the pipe itself fails, the trial is gone, and the item is bytes already.
        if isinstance(item, tuple):
            index, result = item
            queue.put((index, instead(result, error)))

    # A static method there, which is told neither the queue nor where else the result could go.
    Queue._on_queue_feeder_error = send  # type: ignore[attr-defined]


def collate_without_shared_memory() -> None:
    """In a DataLoader's worker: stack tensors in memory of its own where shared memory has no room."""
    shared = default_collate_fn_map[torch.Tensor]

    def stack(batch: Any, *, collate_fn_map: Any = None) -> Any:
        try:
            return shared(batch, collate_fn_map=collate_fn_map)
        except RuntimeError:
            if batch[0].is_nested or batch[0].layout is not torch.strided:
                raise
            return torch.stack(batch, 0)  # which raises again whatever else is wrong

    default_collate_fn_map[torch.Tensor] = stack


def send_without_shared_memory() -> None:
    """In a DataLoader's worker: copy tensors into the pipe from now on."""
    ForkingPickler.register(UntypedStorage, _copied)


def _copied(storage: UntypedStorage) -> Any:
    return _storage_of, (torch.tensor([], dtype=torch.uint8).set_(storage).numpy(),)


def _storage_of(content: np.ndarray) -> UntypedStorage:
    return torch.from_numpy(content).untyped_storage()


class GlobalHooks:
    """Torch's hooks on all modules, as they are when this is made."""

    def __init__(self) -> None:
        self._hooks = {name: dict(hooks) for name, hooks in _hook_tables()}
        self._kind = getattr(_modules, _HOOK_KIND)

    def restore(self) -> None:
        """Remove what was added since, and put back what was removed."""
        for name, hooks in _hook_tables():
            hooks.clear()
            hooks.update(self._hooks[name])
        setattr(_modules, _HOOK_KIND, self._kind)


def tensor_norms(tensors: list[Tensor]) -> Sequence[Tensor]:
    """The Euclidean norm of each tensor; all are on one device and of one type."""
    return torch._foreach_norm(list(tensors))


def _hook_tables() -> Iterator[tuple[str, dict[int, Any]]]:
    for name, value in vars(_modules).items():
        if name.startswith("_global_") and isinstance(value, dict):
            yield name, value
