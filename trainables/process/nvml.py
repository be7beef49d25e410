"""What NVIDIA's management library says of a GPU's memory: it comes with the driver and needs no context."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_INSUFFICIENT_SIZE = 7
_NOT_AVAILABLE = 2**64 - 1
"""Memory of a process as the driver gives it where it does not know."""


class _Memory(ctypes.Structure):
    """nvmlMemory_t."""

    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Process(ctypes.Structure):
    """nvmlProcessInfo_t, as version 3 of the call fills it."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


def device_used(uuid: str) -> int | None:
    """Bytes in use on the GPU with this UUID (`GPU-…`), or on a slice of one (`MIG-…`), by all processes.

    None where it cannot be asked.
    """
    memory = _Memory()
    with _device(uuid) as (library, handle):
        if library is None or library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) != 0:
            return None
    return int(memory.used)


def process_used(uuid: str, pid: int) -> int | None:
    """Bytes that a process uses on this GPU; None where it cannot be asked, or the process is not listed.

    In a container processes are listed under their numbers outside of it, or not at all.
    """
    with _device(uuid) as (library, handle):
        if library is None:
            return None
        ask = getattr(library, "nvmlDeviceGetComputeRunningProcesses_v3", None)
        if ask is None:
            return None
        number = ctypes.c_uint(64)
        for _ in range(2):
            processes = (_Process * number.value)()
            code = ask(handle, ctypes.byref(number), processes)
            if code != _INSUFFICIENT_SIZE:
                break
            number.value += 16  # others may begin meanwhile
        listed = processes[: number.value] if code == 0 else []
    found = [int(process.used) for process in listed if process.pid == pid]
    return None if not found or found[0] == _NOT_AVAILABLE else found[0]


@contextmanager
def _device(uuid: str) -> Iterator[tuple[ctypes.CDLL | None, ctypes.c_void_p]]:
    """The library and its handle of a GPU; None for the library where either is missing."""
    handle = ctypes.c_void_p()
    try:
        library = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        yield None, handle
        return
    if library.nvmlInit_v2() != 0:
        yield None, handle
        return
    try:
        known = library.nvmlDeviceGetHandleByUUID(uuid.encode(), ctypes.byref(handle)) == 0
        yield library if known else None, handle
    finally:
        library.nvmlShutdown()
