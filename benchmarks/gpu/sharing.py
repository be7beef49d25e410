"""Shares of a GPU's memory with the CUDA context counted, in processes that take all that they get."""

from __future__ import annotations

from benchmarks.gpu.check import Check, Context, Figure
from benchmarks.gpu.programs import device_memory, running
from trainables.process.gpu_share import LATER, USUAL_CONTEXT

_HOLDER = "benchmarks.gpu.holder"
_SHARE = 0.25
_SECONDS = 60.0


def one_share(context: Context) -> Figure:
    """What the device has in use for a process that takes its whole share, over the share."""
    before, _ = device_memory()
    with running(_HOLDER, [str(_SHARE)], 1) as (holder,):
        said = holder.answer(_SECONDS)
        taken = device_memory()[0] - before
    beside = taken - said["reserved"]
    note = f"{beside / 2**20:.0f} MB besides tensors, {said['beside'] / 2**20:.0f} MB were taken off for that"
    return Figure(taken / (_SHARE * said["total"]), "of the share", limit=1.005, least=0.9, note=note)


def four_shares(context: Context) -> Figure:
    """Four processes with a quarter each: none is refused what the others have, all get their part."""
    with running(_HOLDER, [str(_SHARE)], 4) as holders:
        said = [holder.answer(_SECONDS) for holder in holders]
        used, _ = device_memory()
    total = said[0]["total"]
    short = [one for one in said if one["reserved"] < one["allowed"] - 64 * 2**20]
    if short:
        raise AssertionError(
            f"{len(short)} of 4 got less than they may have: {short[0]['reserved']:,} of "
            f"{short[0]['allowed']:,} bytes ({short[0]['message']})"
        )
    largest = max(one["beside"] for one in said)
    return Figure(
        used / total, "of the device", limit=1.0, note=f"at most {largest / 2**20:.0f} MB besides tensors"
    )


def context_size(context: Context) -> Figure:
    """What is taken off a share for the context, in MB: not more than is usual by far."""
    with running(_HOLDER, ["0.05"], 1) as (holder,):
        said = holder.answer(_SECONDS)
    guessed = " (the driver did not say)" if abs(said["beside"] - USUAL_CONTEXT - LATER) < 2**20 else ""
    return Figure(said["beside"] / 2**20, "MB", limit=2048, least=64, note=f"measured{guessed}")


CHECKS: list[Check] = [
    Check(
        name="share/context",
        shows="what a process takes besides tensors is measured",
        run=context_size,
        seconds=60,
        needs_gpu=True,
        fresh=True,
    ),
    Check(
        name="share/one",
        shows="a process with a quarter takes a quarter, context included",
        run=one_share,
        seconds=75,
        needs_gpu=True,
        fresh=True,
    ),
    Check(
        name="share/four",
        shows="four quarters fit on one device",
        run=four_shares,
        seconds=90,
        needs_gpu=True,
        fresh=True,
    ),
]
