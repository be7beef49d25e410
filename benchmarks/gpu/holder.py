"""A process that takes its whole share of a GPU and holds it until its standard input ends.

`python -m benchmarks.gpu.holder 0.25` prints one line of JSON when it can get no more.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from trainables.process.gpu_share import bind_share

_BLOCKS = (256 * 2**20, 16 * 2**20)


def main() -> None:
    share = float(sys.argv[1])
    bind_share(share)
    device = torch.cuda.current_device()
    total = torch.cuda.get_device_properties(device).total_memory
    allowed = int(torch.cuda.get_per_process_memory_fraction(device) * total)
    _work()
    held, message = _fill()
    answer: dict[str, Any] = {
        "share": share,
        "total": total,
        "allowed": allowed,
        "reserved": torch.cuda.memory_reserved(),
        "beside": int(share * total) - allowed,
        "message": message,
    }
    print(json.dumps(answer), flush=True)
    sys.stdin.read()
    del held


def _work() -> None:
    """What a training loads: convolutions and products in three precisions, forward and backward."""
    images = torch.randn(8, 16, 64, 64, device="cuda", requires_grad=True)
    layer = torch.nn.Sequential(
        torch.nn.Conv2d(16, 32, 3, padding=1),
        torch.nn.BatchNorm2d(32),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 8, 1),
    ).cuda()
    optimizer = torch.optim.AdamW(layer.parameters(), fused=True)
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        with torch.autocast("cuda", dtype=dtype, enabled=dtype is not torch.float32):
            loss = layer(images).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    torch.cuda.synchronize()


def _fill() -> tuple[list[torch.Tensor], str]:
    """Blocks until no more are to be had, and how that was said."""
    held: list[torch.Tensor] = []
    message = ""
    for block in _BLOCKS:
        while True:
            try:
                held.append(torch.empty(block, dtype=torch.uint8, device="cuda"))
            except torch.OutOfMemoryError as error:
                message = str(error).splitlines()[0]
                break
    return held, message


if __name__ == "__main__":
    main()
