"""FLOPs of layers that torch computes in one kernel in evaluation, which its counter does not see into."""

from __future__ import annotations

import torch
from torch import nn

from trainables.measure import _flops


def flops_of(model: nn.Module, x: torch.Tensor) -> float:
    model.eval()

    def forward() -> None:
        with torch.no_grad():
            model(x)

    return _flops(forward)


def test_an_lstm_is_counted() -> None:
    steps, inputs, hidden = 10, 32, 64
    assert flops_of(nn.LSTM(inputs, hidden), torch.randn(steps, 1, inputs)) == (
        2 * 4 * hidden * (inputs + hidden) * steps
    )


def test_an_encoder_layer_is_counted_and_torch_is_left_as_it_was() -> None:
    tokens, width, inner = 10, 32, 2048
    projections, attention = 2 * tokens * width * 4 * width, 2 * 2 * tokens * tokens * width
    layer = nn.TransformerEncoderLayer(width, 4, inner, batch_first=True)
    found = flops_of(layer, torch.randn(1, tokens, width))
    assert found == projections + attention + 2 * 2 * tokens * width * inner
    assert torch.backends.mha.get_fastpath_enabled()
