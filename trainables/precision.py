"""The number format of the forward pass, and the loss scaling that it needs."""

from __future__ import annotations

import torch

_DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Precision:
    """Mixed precision for one device (arXiv:1710.03740): weights stay in fp32, the forward pass may not.

    Args:
        name: auto, fp32, bf16 or fp16. auto is bf16 on a GPU that has it, fp16 on an older one, and fp32
            on any other device.
        device: where the model is.

    Raises:
        ValueError: for an unknown name, and for fp16 on a CPU.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        if name != "auto" and name not in _DTYPES:
            raise ValueError(f"precision is {name!r}; it must be auto, fp32, bf16 or fp16")
        if name == "fp16" and device.type == "cpu":
            raise ValueError("precision is fp16 on a CPU, which is slow and overflows; use bf16 or fp32")
        self.name = _best(device) if name == "auto" else name
        """fp32, bf16 or fp16."""
        self.device = device
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.name == "fp16")
        """Scales the loss so that small fp16 gradients do not vanish; passes everything on otherwise."""

    def autocast(self) -> torch.autocast:
        """A new context manager for forward pass and loss."""
        dtype = _DTYPES[self.name]
        return torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None)


def _best(device: torch.device) -> str:
    if device.type != "cuda":
        return "fp32"
    with torch.cuda.device(device):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
