"""The moving average of weights against its formula, and its state."""

import threading
from collections.abc import Callable

import pytest
import torch
from torch import nn

from trainables.optim.ema import WeightAverage


class Rectified(nn.Module):
    """A module of our own: torch.compile does not compile those of torch.nn called by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.linear(inputs).relu()


def moved(model: nn.Module, by: float) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(by)


def test_average_follows_the_formula() -> None:
    model = nn.Linear(2, 2).double()
    average = WeightAverage(model, 0.5)
    expected = model.weight.detach().clone()
    for n in range(12):
        moved(model, 0.1 * n)
        average.update(model)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * model.weight.detach()
        torch.testing.assert_close(average.model.weight.detach(), expected, rtol=1e-12, atol=1e-12)


def test_averaged_model_is_in_eval_mode_and_without_gradients() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    average = WeightAverage(model, 0.9)
    assert not any(module.training for module in average.model.modules())
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_running_statistics_are_averaged_and_counters_copied() -> None:
    model = nn.BatchNorm1d(2)
    average = WeightAverage(model, 0.9)
    model(torch.tensor([[1.0, 2.0], [3.0, 8.0]]))
    average.update(model)
    torch.testing.assert_close(average.model.running_mean, 0.9 * model.running_mean)
    assert average.model.num_batches_tracked == model.num_batches_tracked == 1


def test_buffers_with_infinities_are_copied() -> None:
    model = nn.Linear(1, 1)
    model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    average = WeightAverage(model, 0.9)
    average.update(model)
    assert torch.equal(average.model.mask, model.mask)


def test_tied_weights_are_updated_once_and_stay_tied() -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    start = model[0].weight.detach().clone()
    average = WeightAverage(model, 0.9)
    moved(model, 1.0)
    average.update(model)
    assert average.model[0].weight is average.model[1].weight
    torch.testing.assert_close(average.model[0].weight.detach(), start + 0.9)


def test_mixed_types_are_averaged_together() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double(), nn.Linear(2, 2, dtype=torch.complex64))
    average = WeightAverage(model, 0.9)
    moved(model, 1.0)
    average.update(model)
    for before, now in zip(average.model.parameters(), model.parameters(), strict=True):
        assert before.dtype == now.dtype
        torch.testing.assert_close(before.detach(), now.detach() - 0.1)


def test_a_model_compiled_in_place_is_averaged_and_runs_eagerly() -> None:
    compiled = []
    model = Rectified()

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> torch.fx.GraphModule:
        compiled.append(graph)
        return graph

    model.compile(backend=backend)
    average = WeightAverage(model, 0.9)
    average.update(model)
    inputs = torch.ones(1, 2)
    with torch.no_grad():
        outputs = average.model(inputs)
        assert compiled == []
        torch.testing.assert_close(outputs, model(inputs))
    assert len(compiled) == 1


class Caching(nn.Module):
    """Keeps tensors that were computed from its parameters, as weight_norm does."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.kept = [{"doubled": self.inner.weight * 2}]
        self.register_buffer("count", torch.tensor(3))


@pytest.mark.parametrize(
    "model",
    [
        lambda: nn.utils.weight_norm(nn.Linear(2, 2)),
        lambda: nn.utils.spectral_norm(nn.Linear(2, 2)),
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
        Caching,
    ],
    ids=["weight_norm", "spectral_norm", "parametrization", "cached tensors"],
)
def test_a_model_with_computed_tensors_is_averaged(model: Callable[[], nn.Module]) -> None:
    wrapped = nn.Sequential(model())
    average = WeightAverage(wrapped, 0.9)
    assert average.model is not wrapped
    moved(wrapped, 1.0)
    average.update(wrapped)
    for before, after in zip(wrapped.parameters(), average.model.parameters(), strict=True):
        assert before is not after
    if not isinstance(wrapped[0], Caching):
        assert average.model(torch.ones(1, 2)).shape == (1, 2)


def test_a_module_that_cannot_be_copied_is_named() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2)))
    model[1][0].lock = threading.Lock()  # type: ignore[index,union-attr]
    rule = r"trial\.ema keeps a copy of the model, and its module 1\.0 \(Linear\) cannot be copied: TypeError"
    with pytest.raises(TypeError, match=rule):
        WeightAverage(model, 0.9)


def test_resuming_is_exact() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    whole = WeightAverage(model, 0.99)
    resumed = WeightAverage(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3)), 0.99)
    for n in range(8):
        moved(model, 0.1 * n)
        model(torch.randn(4, 3))
        whole.update(model)
        if n == 3:
            resumed.load_state_dict(whole.state_dict())
        if n > 3:
            resumed.update(model)
    assert resumed.num_updates == whole.num_updates == 8
    for ours, expected in zip(
        resumed.model.state_dict().values(), whole.model.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, expected)


def test_a_state_with_other_parts_is_refused() -> None:
    average = WeightAverage(nn.Linear(1, 1), 0.9)
    state = average.state_dict()
    del state["num_updates"]
    with pytest.raises(ValueError, match=r"has \['decay', 'model'\]; it must have exactly model"):
        average.load_state_dict({**state, "decay": 0.9})
