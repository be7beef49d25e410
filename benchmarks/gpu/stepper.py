"""A small trial's steps a second: `python -m benchmarks.gpu.stepper cuda 0.25 300`.

It says a line when it is ready, waits for one on its standard input, and says what it has measured.
"""

from __future__ import annotations

import json
import sys
import time

import torch

from benchmarks.gpu.cases import trainer_of
from trainables.process.gpu_share import select_device

_WARM_UP = 20


def main() -> None:
    device, share, steps = torch.device(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(1)
    if device.type == "cuda":
        device = select_device(share)
    trainer = trainer_of("unet", device, "bf16")
    trainer.take_steps(min(_WARM_UP, steps))
    print(json.dumps({"ready": True}), flush=True)
    sys.stdin.readline()
    began = time.perf_counter()
    trainer.take_steps(steps)  # ends with reading the losses, so with the device's last kernel
    print(json.dumps({"steps_per_second": steps / (time.perf_counter() - began)}), flush=True)


if __name__ == "__main__":
    main()
