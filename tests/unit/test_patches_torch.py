"""Private names of torch: each still is there and does what it is used for."""

from __future__ import annotations

import math
import multiprocessing
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from trainables.process.patches import GlobalHooks, loader_workers, shut_down_workers, tensor_norms


def numbers(num_workers: int) -> Any:
    context = multiprocessing.get_context("fork") if num_workers else None
    data: Any = range(100)
    return DataLoader(data, num_workers=num_workers, multiprocessing_context=context)


@pytest.mark.parametrize("iterator", [iter(numbers(0)), iter([1]), None])
def test_what_has_no_workers_is_left_alone(iterator: Any) -> None:
    assert list(loader_workers(iterator)) == []
    shut_down_workers(iterator)


REGISTER = [
    "register_module_forward_pre_hook",
    "register_module_forward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]


@pytest.mark.parametrize("register", REGISTER)
def test_every_kind_of_hook_on_all_modules_is_taken_back(register: str) -> None:
    called: list[str] = []

    def note(module: Any, *arguments: Any) -> None:
        called.append(register)

    def use() -> None:
        module = nn.BatchNorm1d(2)
        module.child = nn.ReLU()
        module.child(module(torch.ones(3, 2, requires_grad=True))).sum().backward()

    hooks = GlobalHooks()
    getattr(nn.modules.module, register)(note)
    use()
    assert called
    hooks.restore()
    called.clear()
    use()
    assert called == []


def test_the_kind_of_backward_hooks_is_taken_back() -> None:
    """Without that, torch refuses hooks of the other kind: both at once are not allowed."""
    hooks = GlobalHooks()
    nn.modules.module.register_module_backward_hook(lambda *arguments: None)
    hooks.restore()
    nn.modules.module.register_module_full_backward_hook(lambda *arguments: None)
    hooks.restore()


def test_norms_of_many_tensors_are_those_of_each() -> None:
    tensors = [torch.randn(3, 4), torch.randn(7), torch.tensor([3.0, 4.0]), torch.tensor([math.inf])]
    found = tensor_norms(tensors)
    assert [float(norm) for norm in found] == pytest.approx([float(t.norm()) for t in tensors])
    assert float(found[2]) == 5.0
