"""Three claims about mini-batches, held against what a run measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from search.commands.batch_noise import BatchNoise

Verdict = Literal["found", "found in part", "not found", "undecided"]

_ARTICLE_BATCH = 50
"""Mini-batches of the article had this size, and 506 samples made the big one."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """The end of the first virtual epoch with a loss at or below a target."""

    virtual_epoch: int
    epochs: float
    steps: int
    steps_before: int
    """Of the virtual epoch before it: the target may have been reached just after them."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """What was claimed, whether this run shows it, and the numbers."""

    claim: str
    verdict: Verdict
    numbers: str


class _Curve(Protocol):
    @property
    def batch_size(self) -> int: ...
    @property
    def epochs(self) -> Sequence[float]: ...
    @property
    def steps(self) -> Sequence[int]: ...


def reached(
    losses: Sequence[float], epochs: Sequence[float], steps: Sequence[int], target: float
) -> Reached | None:
    """Where a curve is at or below the target for the first time; None where it never is."""
    for index, loss in enumerate(losses):
        if loss <= target:
            return Reached(
                virtual_epoch=index + 1,
                epochs=epochs[index],
                steps=steps[index],
                steps_before=steps[index - 1] if index else 0,
            )
    return None


def judge(
    curves: Sequence[_Curve], found: Sequence[Reached | None], noise: BatchNoise
) -> tuple[Claim, Claim, Claim]:
    """The verdicts. The last curve is of the biggest batch, whose loss at its end is the target."""
    return _fewer_epochs(curves, found), _more_steps(curves, found), _calm(noise)


def _fewer_epochs(curves: Sequence[_Curve], found: Sequence[Reached | None]) -> Claim:
    big = found[-1]
    assert big is not None
    smaller = list(zip(curves[:-1], found[:-1], strict=True))
    fewer = [here is not None and here.epochs < big.epochs for _, here in smaller]
    nearest, here = min(smaller, key=lambda pair: abs(pair[0].batch_size - _ARTICLE_BATCH))
    if here is None:
        numbers = f"{_batch(nearest)} does not reach it in {_count(nearest.epochs[-1])} epochs"
    else:
        numbers = (
            f"{_batch(nearest)} needs {_count(here.epochs)} of the {_count(big.epochs)} epochs of the big "
            f"one, a share of {here.epochs / big.epochs:.2f}"
        )
    return Claim(
        claim="mini-batches need fewer epochs over the data (in the article, of 50, about a sixth)",
        verdict=_share(fewer),
        numbers=numbers,
    )


def _more_steps(curves: Sequence[_Curve], found: Sequence[Reached | None]) -> Claim:
    big = found[-1]
    assert big is not None
    more: list[bool | None] = []
    shown = []
    for curve, here in zip(curves[:-1], found[:-1], strict=True):
        if here is None:
            shown.append(f"{_batch(curve)} more than {curve.steps[-1]:,}")
            more.append(True if curve.steps[-1] >= big.steps else None)
            continue
        shown.append(f"{_batch(curve)} {here.steps_before + 1:,} to {here.steps:,}")
        # Only ends of virtual epochs are seen.
        more.append(True if here.steps_before >= big.steps else False if here.steps < big.steps else None)
    undecided = any(item is None for item in more)
    return Claim(
        claim="mini-batches need more steps (function calls) than one big batch",
        verdict="undecided" if undecided else _share([bool(item) for item in more]),
        numbers=f"the big batch needs {big.steps:,}; {', '.join(shown)}",
    )


def _calm(noise: BatchNoise) -> Claim:
    mean, single = noise.means[0], noise.deviations[0]
    return Claim(
        claim="the standard deviation of a batch's loss falls below its mean at a size of 40 to 50",
        verdict="found" if 40 <= noise.calm_from <= 50 else "not found",
        numbers=f"it is below from size {noise.calm_from} on; of single samples it is {single:.3g}, "
        f"{single / mean:.2f} times the mean of {mean:.3g}",
    )


def _share(items: Sequence[bool]) -> Verdict:
    return "found" if all(items) else "found in part" if any(items) else "not found"


def _batch(curve: _Curve) -> str:
    return f"a batch of {curve.batch_size:,}"


def _count(epochs: float) -> str:
    return f"{epochs:.3g}" if epochs < 100 else f"{epochs:.0f}"
