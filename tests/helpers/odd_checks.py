"""Checks that end in every way there is, for the tests of the harness that makes them."""

from __future__ import annotations

import os
import signal
import sys
import time

from benchmarks.gpu.check import Check, Context, Figure, Skip


def passes(context: Context) -> Figure:
    return Figure(0.5, "of it", limit=1.0, note=f"in {os.getpid()}")


def too_much(context: Context) -> Figure:
    return Figure(2.0, "of it", limit=1.0)


def no_number(context: Context) -> Figure:
    return Figure(float("nan"), "of it", limit=1.0)


def raises(context: Context) -> Figure:
    raise RuntimeError("CUDA error: device-side assert triggered\nmore lines")


def is_skipped(context: Context) -> Figure:
    raise Skip("there is no such program here")


def dies(context: Context) -> Figure:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def leaves(context: Context) -> Figure:
    sys.stdout.flush()
    os._exit(7)


def hangs(context: Context) -> Figure:
    time.sleep(600)
    raise AssertionError


def prints(context: Context) -> Figure:
    print("this is no answer")
    os.write(1, b"nor is this\n")
    return Figure(1, "line")


def _check(run, **fields) -> Check:
    return Check(name=run.__name__, shows=f"what {run.__name__} does", run=run, **fields)


CHECKS = [
    _check(passes),
    _check(too_much),
    _check(no_number),
    _check(raises),
    _check(is_skipped),
    _check(dies),
    _check(leaves),
    _check(hangs, seconds=1.0),
    _check(prints),
    _check(passes, needs_gpu=True, fresh=True),
]
