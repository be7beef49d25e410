"""A trial's share of a GPU's memory, with what its process takes beside torch's tensors counted.

Torch bounds only what its own allocator takes. The CUDA context, the kernels that are loaded and the
libraries' own memory come on top: half a gigabyte and more for each process.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from trainables.process.nvml import device_used, process_used

USUAL_CONTEXT = 768 * 2**20
"""Bytes that are taken off where the driver does not say; H100 and A100 have 500 to 700 MB."""
LATER = 192 * 2**20
"""Bytes besides for what is loaded only while a trial runs, such as the kernels of its model."""
_CREDIBLE = (200 * 2**20, 2 * 2**30)
"""A difference outside of this is not that of a context alone."""
_INITIAL_NAMESPACE = "pid:[4026531836]"
"""Of processes that are in no container: the driver knows them by the numbers that they have themselves."""
_LOCK_SECONDS = 60.0

_measured: dict[str, int] = {}
"""By GPU, what this process's context took when it was made; where the driver does not list the process."""


def select_device(gpu_fraction: float) -> torch.device:
    """The GPU, limited to its share of the memory, if one exists and a share is granted; else the CPU."""
    if gpu_fraction <= 0 or not torch.cuda.is_available():
        return torch.device("cpu")
    bind_share(gpu_fraction)
    return torch.device("cuda")


def why_no_gpu() -> str:
    """Why torch sees no GPU in this process, where there should be one."""
    if torch.version.cuda is None and torch.version.hip is None:
        return f"this torch, {torch.__version__}, is built without CUDA"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None and not visible.strip():
        return "CUDA_VISIBLE_DEVICES is empty"
    return "torch finds no device or driver; what does nvidia-smi say?"


def bind_share(share: float) -> None:
    """Hold this process to `share` of the present GPU's memory, all that it takes there counted.

    Called again in a process, it counts what has been loaded since.

    Raises:
        ValueError: the share is smaller than what the process takes besides tensors.
    """
    if share >= 1.0:
        torch.cuda.set_per_process_memory_fraction(1.0)
        return
    uuid = gpu_uuid()
    with _alone(uuid):
        before = None if _is_listed() else device_used(uuid)
        _load_libraries()
        beside = _memory_beside(uuid, before)
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    torch.cuda.set_per_process_memory_fraction(allowed_fraction(share, total=total, beside=beside + LATER))


def allowed_fraction(share: float, *, total: int, beside: int) -> float:
    """The part of the GPU's `total` bytes for torch's allocator, in a process that takes `beside` besides.

    Raises:
        ValueError: nothing is left for tensors.
    """
    allowed = share * total - beside
    if allowed <= 0:
        raise ValueError(
            f"resources.gpus_per_trial is {share:g}, which is {share * total / 1e9:.2f} GB of this GPU; a "
            f"process takes {beside / 1e9:.2f} GB of it before its first tensor. Give a trial a larger share"
        )
    return allowed / total


def _memory_beside(uuid: str, before: int | None) -> int:
    """Bytes that this process takes besides torch's allocator.

    Args:
        before: in use on the whole GPU before this process had a context, None if unknown or not needed.
    """
    reserved = torch.cuda.memory_reserved()
    if _is_listed() and (used := process_used(uuid, os.getpid())) is not None:
        return max(0, used - reserved)
    if uuid not in _measured:
        after = device_used(uuid)
        found = USUAL_CONTEXT if before is None or after is None else after - before - reserved
        low, high = _CREDIBLE
        _measured[uuid] = found if low <= found <= high else USUAL_CONTEXT
    return _measured[uuid]


def _load_libraries() -> None:
    """Make the context and load what every training loads, so that it can be measured."""
    images = torch.zeros(2, 8, 16, 16, device="cuda", requires_grad=True)
    kernels = torch.zeros(8, 8, 3, 3, device="cuda", requires_grad=True)
    matrix = torch.zeros(16, 16, device="cuda")
    for dtype in (torch.float32, torch.float16):
        made = torch.nn.functional.conv2d(images.to(dtype), kernels.to(dtype), padding=1)
        ((made.flatten(1)[:, :16] @ matrix.to(dtype)).float().sum()).backward()
    torch.cuda.synchronize()
    del images, kernels, matrix, made
    torch.cuda.empty_cache()


def gpu_uuid() -> str:
    """The present GPU's UUID as the driver writes it, `GPU-…`; of a slice, what this process was given.

    That is `MIG-…`, or `MIG-GPU-…/1/0` with drivers before R470.
    """
    device = torch.cuda.current_device()
    if (given := _visible(device)).startswith("MIG-"):
        return given  # by the UUID of the whole, the driver would tell of other slices too
    return f"GPU-{str(torch.cuda.get_device_properties(device).uuid).removeprefix('GPU-')}"


def _visible(device: int) -> str:
    """What CUDA_VISIBLE_DEVICES has for a device; empty where it says nothing."""
    given = [each.strip() for each in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    return given[device] if device < len(given) else ""


def _is_listed() -> bool:
    """Whether the driver lists this process under the number that it has here."""
    try:
        return os.readlink("/proc/self/ns/pid") == _INITIAL_NAMESPACE
    except OSError:
        return False


@contextmanager
def _alone(uuid: str) -> Iterator[None]:
    """One process at a time makes its context, where it is measured by the difference that it makes."""
    if _is_listed() or uuid in _measured:
        yield
        return
    lock = FileLock(Path(tempfile.gettempdir()) / f"tune-search-{os.getuid()}-{uuid.replace('/', '-')}.lock")
    try:
        lock.acquire(timeout=_LOCK_SECONDS)
    except (Timeout, OSError):
        _measured[uuid] = USUAL_CONTEXT
    try:
        yield
    finally:
        if lock.is_locked:
            lock.release()
