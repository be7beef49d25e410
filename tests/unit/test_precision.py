"""Precision on the CPU; on a GPU the same class gives bf16 or fp16."""

import pytest
import torch

from trainables.optim.precision import Precision

CPU = torch.device("cpu")


def test_auto_on_a_cpu_is_fp32() -> None:
    assert Precision("auto", CPU).name == "fp32"


@pytest.mark.parametrize(("name", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_autocast_sets_the_type_of_the_forward_epoch(name: str, dtype: torch.dtype) -> None:
    precision = Precision(name, CPU)
    for _ in range(2):
        with precision.autocast():
            assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype
    assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.float32


def test_fp32_holds_inside_another_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16), Precision("fp32", CPU).autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.float32


@pytest.mark.parametrize("name", ["fp32", "bf16"])
def test_the_scaler_epochs_on_what_needs_no_scaling(name: str) -> None:
    scaler = Precision(name, CPU).scaler
    loss = torch.tensor(2.0)
    assert not scaler.is_enabled()
    assert scaler.scale(loss) is loss


def test_fp16_on_a_cpu_is_refused_with_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"fp16 on a CPU.*use bf16 or fp32"):
        Precision("fp16", CPU)
