"""Recorded learning curves: a small file for each problem, complete or not."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.efficiency.problems import LENGTH, NUM_REPEATED, REPEAT_SEEDS, Problem

FOLDER = Path(__file__).with_name("tables")
NUM_BEFORE_REPEATS = 200
"""Random configurations of which those that are repeated are chosen."""


class Kind(IntEnum):
    """Why a configuration was trained."""

    RANDOM = 0
    NEAR = 1
    """Near one of the best tenth of the random ones; of earlier recordings."""
    REPEAT = 2
    """A random one again, with another seed."""


@dataclass(frozen=True)
class Recorded:
    """The curves of one problem so far, in the order in which they were trained."""

    params: list[dict[str, Any]]
    values: np.ndarray
    """The metric: float32 [N, LENGTH]; NaN from where a training diverged."""
    kinds: np.ndarray
    """int8 [N], of Kind."""
    seeds: np.ndarray
    """`trial.seed`: int32 [N]."""

    @classmethod
    def empty(cls) -> Recorded:
        none = np.zeros(0)
        return cls([], np.zeros((0, LENGTH), np.float32), none.astype(np.int8), none.astype(np.int32))

    @classmethod
    def load(cls, problem: Problem, folder: Path = FOLDER) -> Recorded:
        """What the file holds; nothing if there is none."""
        file = file_of(problem, folder)
        if not file.exists():
            return cls.empty()
        with np.load(file) as stored:
            return cls(json.loads(str(stored["params"])), stored["values"], stored["kinds"], stored["seeds"])

    def save(self, problem: Problem, folder: Path = FOLDER) -> None:
        folder.mkdir(exist_ok=True)
        new = file_of(problem, folder).with_suffix(".new")
        with new.open("wb") as stream:
            np.savez_compressed(
                stream,
                params=np.asarray(json.dumps(self.params)),
                values=self.values,
                kinds=self.kinds,
                seeds=self.seeds,
            )
        new.replace(file_of(problem, folder))

    def with_curve(self, params: dict[str, Any], curve: list[float], kind: Kind, seed: int) -> Recorded:
        return replace(
            self,
            params=[*self.params, params],
            values=np.concatenate([self.values, np.asarray([curve], np.float32)]),
            kinds=np.append(self.kinds, np.int8(kind)),
            seeds=np.append(self.seeds, np.int32(seed)),
        )

    def count(self, kind: Kind) -> int:
        return int((self.kinds == kind).sum())

    def rows(self, *kinds: Kind) -> np.ndarray:
        """The places of curves of these kinds: int64 [M]."""
        return np.flatnonzero(np.isin(self.kinds, kinds))


def file_of(problem: Problem, folder: Path = FOLDER) -> Path:
    return folder / f"{problem.name}.npz"


def bounded(raw: np.ndarray, problem: Problem) -> np.ndarray:
    """Values as float64; those that are no number, or worse than the worst that counts, are that worst."""
    values = np.where(np.isfinite(raw), raw, problem.worst).astype(np.float64)
    return np.maximum(values, problem.worst) if problem.mode == "max" else np.minimum(values, problem.worst)


def repeated_rows(recorded: Recorded, problem: Problem) -> np.ndarray:
    """Places of the random configurations that are repeated: int64 [NUM_REPEATED].

    Of the first NUM_BEFORE_REPEATS, at even distances among the better three quarters: the noise of those
    that learn nothing is of no interest.
    """
    rows = recorded.rows(Kind.RANDOM)[:NUM_BEFORE_REPEATS]
    assert len(rows) == NUM_BEFORE_REPEATS, "not enough curves to choose the repeated ones"
    best = (problem.sign * bounded(recorded.values[rows], problem)).max(1)
    ranked = rows[np.argsort(-best, kind="stable")]
    return ranked[np.linspace(0, 0.75 * len(ranked) - 1, NUM_REPEATED).round().astype(int)]


def repeats_in_order(rows: np.ndarray) -> list[tuple[int, int]]:
    """The repeats as (place of the configuration, seed), in the order of the recording.

    Every eighth configuration first, so that also the first few are of all qualities.
    """
    spread = sorted(range(len(rows)), key=lambda place: (place % 8, place))
    return [(int(rows[place]), seed) for place in spread for seed in REPEAT_SEEDS]
