"""The process that makes the checks, one after the other, for `runner.py`, which may end it at any time.

Its arguments are the device and the module whose `CHECKS` they are. A line on standard input is the name of a
check; a line of JSON that answers it goes to where standard output was. What checks print goes to standard
error, and from there into the log.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time

import torch

from benchmarks.gpu.check import Context, as_values, make

READY = "ready\n"
"""The first line that it says."""


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    context = Context(torch.device(sys.argv[1]))
    checks = {check.name: check for check in importlib.import_module(sys.argv[2]).CHECKS}
    answers.write(READY)
    answers.flush()
    for line in sys.stdin:
        name = line.strip()
        print(f"\n--- {name}", file=sys.stderr, flush=True)
        made = make(checks[name], context, time.monotonic)
        answers.write(json.dumps(as_values(made)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
