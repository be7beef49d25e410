"""A trial's share of a GPU: what its process takes besides tensors is counted. The driver is stood in for."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainables.process import gpu_share
from trainables.process.gpu_share import LATER, USUAL_CONTEXT, allowed_fraction, bind_share
from trainables.process.nvml import device_used, process_used

GIGABYTE = 2**30
TOTAL = 80 * GIGABYTE


class Driver:
    """A GPU of 80 GB with what torch and NVML would say of it."""

    def __init__(self) -> None:
        self.in_use = 10 * GIGABYTE
        """By others."""
        self.context, self.reserved, self.has_context = 600 * 2**20, 0, False
        self.is_listed, self.is_known = True, True
        self.fractions: list[float] = []
        self.uuid = "GPU-1234"

    def load(self) -> None:
        self.has_context = True

    @property
    def own(self) -> int:
        return self.context + self.reserved if self.has_context else 0

    def device_used(self, uuid: str) -> int | None:
        assert uuid == self.uuid
        return self.in_use + self.own if self.is_known else None

    def process_used(self, uuid: str, pid: int) -> int | None:
        assert pid == os.getpid()
        return self.own if self.is_known and self.has_context else None


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    made = Driver()
    properties = SimpleNamespace(total_memory=TOTAL, uuid="1234")
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: properties)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: made.reserved)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", made.fractions.append)
    monkeypatch.setattr(gpu_share, "_load_libraries", made.load)
    monkeypatch.setattr(gpu_share, "_is_listed", lambda: made.is_listed)
    monkeypatch.setattr(gpu_share, "device_used", made.device_used)
    monkeypatch.setattr(gpu_share, "process_used", made.process_used)
    monkeypatch.setattr(gpu_share, "_measured", {})
    return made


def bytes_allowed(driver: Driver) -> int:
    return round(driver.fractions[-1] * TOTAL)


def test_a_share_is_what_tensors_and_context_take_together(driver: Driver) -> None:
    bind_share(0.25)
    assert bytes_allowed(driver) == 20 * GIGABYTE - driver.context - LATER


def test_what_was_loaded_since_counts_for_the_next_trial_of_a_process(driver: Driver) -> None:
    bind_share(0.25)
    driver.context, driver.reserved = 900 * 2**20, 3 * GIGABYTE
    bind_share(0.25)
    assert bytes_allowed(driver) == 20 * GIGABYTE - 900 * 2**20 - LATER


def test_in_a_container_the_context_is_the_difference_that_it_makes(driver: Driver) -> None:
    driver.is_listed = False
    bind_share(0.25)
    assert bytes_allowed(driver) == 20 * GIGABYTE - driver.context - LATER
    driver.in_use += 7 * GIGABYTE  # of neighbours; the context is there already
    bind_share(0.25)
    assert bytes_allowed(driver) == 20 * GIGABYTE - driver.context - LATER


@pytest.mark.parametrize("disturbance", [5 * GIGABYTE, -5 * GIGABYTE])
def test_a_difference_that_a_neighbour_has_made_is_not_believed(
    driver: Driver, disturbance: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.is_listed = False

    def load() -> None:
        driver.load()
        driver.in_use += disturbance

    monkeypatch.setattr(gpu_share, "_load_libraries", load)
    bind_share(0.25)
    assert bytes_allowed(driver) == 20 * GIGABYTE - USUAL_CONTEXT - LATER


@pytest.mark.parametrize("is_listed", [True, False])
def test_where_the_driver_says_nothing_a_usual_context_is_taken_off(driver: Driver, is_listed: bool) -> None:
    driver.is_known, driver.is_listed = False, is_listed
    bind_share(0.25)
    assert bytes_allowed(driver) == 20 * GIGABYTE - USUAL_CONTEXT - LATER


def test_a_whole_gpu_has_no_bound(driver: Driver) -> None:
    bind_share(1.0)
    assert driver.fractions == [1.0]
    assert not driver.has_context


def test_a_share_smaller_than_the_context_is_an_error_with_the_way_out() -> None:
    with pytest.raises(
        ValueError,
        match=r"gpus_per_trial is 0\.005, which is 0\.43 GB of this GPU; a process takes 0\.63 GB .* larger",
    ):
        allowed_fraction(0.005, total=TOTAL, beside=600 * 2**20)


def test_without_the_drivers_library_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr("ctypes.CDLL", missing)
    assert device_used("GPU-1234") is None
    assert process_used("GPU-1234", os.getpid()) is None


class Library:
    """NVML as its header has it: it fills the structures that it is handed."""

    def __init__(self, processes: list[tuple[int, int]]) -> None:
        self.processes, self.open = processes, 0

    def nvmlInit_v2(self) -> int:  # noqa: N802
        self.open += 1
        return 0

    def nvmlShutdown(self) -> int:  # noqa: N802
        self.open -= 1
        return 0

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:  # noqa: N802
        return 0 if uuid == b"GPU-1234" else 6

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:  # noqa: N802
        memory._obj.used = 123
        return 0

    def nvmlDeviceGetComputeRunningProcesses_v3(self, handle: Any, number: Any, processes: Any) -> int:  # noqa: N802
        room, number._obj.value = number._obj.value, len(self.processes)
        if room < len(self.processes):
            return 7
        for place, (pid, used) in zip(processes, self.processes, strict=False):
            place.pid, place.used = pid, used
        return 0


@pytest.mark.parametrize(
    ("processes", "expected"),
    [
        ([(7, 11), (8, 12)], 12),
        ([(number + 100, 1) for number in range(99)] + [(8, 12)], 12),  # more than was made room for
        ([(7, 11)], None),
        ([(8, 2**64 - 1)], None),
    ],
)
def test_the_drivers_library_is_asked_as_its_header_says(
    monkeypatch: pytest.MonkeyPatch, processes: list[tuple[int, int]], expected: int | None
) -> None:
    library = Library(processes)
    monkeypatch.setattr("ctypes.CDLL", lambda name: library)
    assert process_used("GPU-1234", 8) == expected
    assert device_used("GPU-1234") == 123
    assert device_used("GPU-5678") is None
    assert library.open == 0


_SLICE = "MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"
_OLD_SLICE = "MIG-GPU-e86cb44c-6756-fd30-cd4a-1e6da3caf9b0/2/0"


@pytest.mark.parametrize(
    ("visible", "uuid"),
    [
        (None, "GPU-1234"),
        ("", "GPU-1234"),
        ("0", "GPU-1234"),
        ("GPU-1234", "GPU-1234"),
        (_SLICE, _SLICE),
        (f"{_OLD_SLICE}, {_SLICE}", _OLD_SLICE),
    ],
)
def test_of_a_slice_of_a_gpu_the_driver_is_asked_by_the_name_that_the_process_was_given(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, visible: str | None, uuid: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpu_share.gpu_uuid() == uuid


def test_a_share_of_a_slice_is_one_of_its_own_memory_and_of_its_own_use(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", _OLD_SLICE)
    driver.is_listed, driver.uuid = False, _OLD_SLICE
    bind_share(0.25)  # in a container, where the slice is locked by a file of its name
    assert bytes_allowed(driver) == 20 * GIGABYTE - driver.context - LATER
