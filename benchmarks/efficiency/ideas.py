"""Ideas for samplers and schedulers, tried on the surrogates in a simulator that has nothing else.

    python -m benchmarks.efficiency.ideas                                    all ideas, 30 seeds
    python -m benchmarks.efficiency.ideas --ideas capped "grace 3" --problems digits_schedules --seeds 0:10

A search takes a third of a second, a tenth of what it takes with a study on disk (`run.py`), so that an idea
gets its thirty seeds on each problem within minutes. What does well here is built, and measured there.

Each figure is a regret after 2, 5, 10 and 30 full trainings, chosen in three ways: by the best report, by the
best mean of five successive reports (as a search does), and by what no search can see, the best without noise
of all that was trained. The last one tells what was found from what was chosen.
"""

from __future__ import annotations

import argparse
import heapq
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks.efficiency.parzen import TPE, Widths, by_count, gamma, gaps_to_neighbours
from benchmarks.efficiency.problems import LENGTH, PROBLEMS
from benchmarks.efficiency.quality import Spread
from benchmarks.efficiency.simulate import pace
from benchmarks.efficiency.surrogate import Surrogate

BUDGETS = (2, 5, 10, 30)
"""Full trainings."""
NUM_WORKERS = 4
MEAN_OF = 5
"""Reports that are averaged."""


@dataclass(frozen=True)
class Idea:
    """A search method; the defaults are tune-search's."""

    sampler: str = "tpe"
    startup: int = 10
    random_share: float = 0.0
    """Of the trials, drawn at random all the same (BOHB, Falkner et al. 2018)."""
    good_share: float | None = None
    """Of the trials, that count as good; None: Optuna's tenth, at most 25."""
    widths: Widths = gaps_to_neighbours
    """Of the kernels of tpe."""
    min_trials: int = 1
    """Trials that make a rung count in the scores; 1: halving scores."""
    deepest_only: bool = False
    """Only trials that have reached that rung are scored."""
    grace: int = 1
    """First rung, in virtual epochs."""
    delayed: bool = False
    """Promote only while the next rung has less than a third of this one's trials (D-ASHA of Hyper-Tune, Li
    et al. 2022)."""
    brackets: tuple[float, ...] = ()
    """Shares of the trials whose first rung is the first, second, … one: Hyperband's brackets at once."""
    every: int = 0
    """Of so many trials one is let through to the deepest rung, and the others begin at the first rung whose
    ranks agree with those there, as `search.schedulers.brackets` has it; 0: none."""
    offset: int = 10
    """Number of the first that is let through."""
    believed: float = 0.5
    """Kendall's tau from which on ranks agree; 0.1 more at first, which counts as two trials."""


_ONE_WIDTH = Idea(widths=by_count)
_CAPPED = Idea(widths=by_count, min_trials=10)
IDEAS = {
    "default": Idea(),
    "random": Idea(sampler="random"),
    "capped": Idea(min_trials=10),
    "one width": _ONE_WIDTH,
    "one width, capped": _CAPPED,
    # All with kernels of one width:
    "random third": replace(_ONE_WIDTH, random_share=1 / 3),
    "deepest only": replace(_CAPPED, deepest_only=True),
    "delayed": replace(_ONE_WIDTH, delayed=True),
    "delayed, capped": replace(_CAPPED, delayed=True),
    "good quarter": replace(_CAPPED, good_share=0.25),
    "grace 3": replace(_CAPPED, grace=3),
    "grace 9": replace(_CAPPED, grace=9),
    "grace 3, random": Idea(grace=3, sampler="random"),
    "brackets": replace(_CAPPED, brackets=(0.5, 0.3, 0.2)),
    "agreement": replace(_ONE_WIDTH, every=20),
    "agreement, from the first": replace(_ONE_WIDTH, every=20, offset=0),
    "agreement, of thirty": replace(_ONE_WIDTH, every=30),
    "agreement, 0.4": replace(_ONE_WIDTH, every=20, believed=0.4),
    "agreement, 0.6": replace(_ONE_WIDTH, every=20, believed=0.6),
}


@dataclass(eq=False)
class Trial:
    """One configuration; values are such that larger is better."""

    number: int
    row: np.ndarray
    curve: np.ndarray
    """Without noise: float64 [LENGTH]."""
    reported: np.ndarray
    pace: float
    best: np.ndarray
    """Best report up to each virtual epoch."""
    depth: int = 0
    rung: int = 0
    """Rungs that were reached."""
    running: bool = True
    bracket: int = 0
    """Rungs at which it does not pause."""

    @property
    def done(self) -> bool:
        return self.depth == LENGTH


@dataclass
class Chosen:
    """The incumbents, by the three ways of choosing."""

    values: list[float] = field(default_factory=lambda: [-np.inf] * 3)
    """Noise-free."""
    _reported: float = -np.inf
    _mean: tuple[bool, float] = (False, -np.inf)

    def see(self, trial: Trial) -> None:
        """A virtual epoch of the trial was trained."""
        value, last = float(trial.curve[trial.depth - 1]), trial.reported[: trial.depth]
        if last[-1] > self._reported:
            self._reported, self.values[0] = float(last[-1]), value
        # Fewer reports do not make the mean: they count only as long as no trial has enough.
        mean = len(last) >= MEAN_OF, float(last[-MEAN_OF:].mean())
        if mean > self._mean:
            self._mean, self.values[1] = mean, value
        self.values[2] = max(self.values[2], value)


class Search:
    """One simulated search."""

    def __init__(self, idea: Idea, surrogate: Surrogate, seed: int) -> None:
        self.idea, self._surrogate, self._seed = idea, surrogate, seed
        self.rungs = [depth for depth in (1, 3, 9) if depth >= idea.grace]
        self.trials: list[Trial] = []
        self._tpe = TPE(surrogate.encoding, idea.widths)

    def run(self) -> list[list[float]]:
        """The regrets of each budget, by the three ways of choosing."""
        chosen, found = Chosen(), []
        events: list[tuple[float, int, Trial]] = []
        cost, now, idle = 0, 0.0, NUM_WORKERS
        while cost < max(BUDGETS) * LENGTH:
            while idle:
                trial = self._promotable() or self._begin()
                trial.running, idle = True, idle - 1
                heapq.heappush(events, (now + trial.pace, cost + idle, trial))
            now, _, trial = heapq.heappop(events)
            trial.depth, cost = trial.depth + 1, cost + 1
            chosen.see(trial)
            if cost in (budget * LENGTH for budget in BUDGETS):
                found.append(
                    [self._surrogate.regret(self._surrogate.sign * value) for value in chosen.values]
                )
            if self._goes_on(trial):
                heapq.heappush(events, (now + trial.pace, cost + NUM_WORKERS, trial))
            else:
                trial.running, idle = False, idle + 1
        return found

    def _begin(self) -> Trial:
        number, surrogate = len(self.trials), self._surrogate
        row = self._draw(np.random.default_rng((self._seed, number, 3)))
        curve = surrogate.curve_of_row(row)
        reported = surrogate.sign * surrogate.reported(curve, seed=self._seed, trial=number)
        best = np.maximum.accumulate(reported)
        trial = Trial(number, row, surrogate.sign * curve, reported, pace(self._seed, number), best)
        trial.bracket = self._bracket(number)
        self.trials.append(trial)
        return trial

    def _bracket(self, number: int) -> int:
        idea = self.idea
        if idea.brackets:
            draw = np.random.default_rng((self._seed, number, 9)).random()
            return int(np.searchsorted(np.cumsum(idea.brackets)[:-1], draw, side="right"))
        let_through = idea.every and number % idea.every == idea.offset
        return len(self.rungs) - 1 if let_through else self._believed()

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        idea, scored = self.idea, self._scored()
        if idea.sampler == "random" or len(scored) < idea.startup or rng.random() < idea.random_share:
            return self._tpe.encoding.random(rng, 1)[0]
        rows = np.stack([trial.row for _, _, trial in scored])
        running = [trial.row for trial in self.trials if trial.running and not trial.depth]
        places = sorted(range(len(scored)), key=lambda place: scored[place][:2])
        scores = np.empty(len(scored))
        scores[places] = np.arange(len(scored))
        return self._tpe.draw(
            rows, scores, np.reshape(running, (-1, rows.shape[1])), rng, num_good=self._num_good
        )

    def _num_good(self, count: int) -> int:
        share = self.idea.good_share
        return gamma(count) if share is None else max(1, round(share * count))

    def _scored(self) -> list[tuple[int, float, Trial]]:
        """Level and value of each trial that has reported, by number."""
        reported, idea = [trial for trial in self.trials if trial.depth], self.idea
        levels = sorted((trial.rung + trial.done for trial in reported), reverse=True)
        enough = len(levels) >= idea.min_trials
        cap = (
            len(self.rungs) + 1
            if idea.min_trials == 1
            else max(1, levels[idea.min_trials - 1])
            if enough
            else 1
        )
        scored = []
        for trial in reported:
            if idea.every and (rung := self._earned(trial)):
                scored.append((rung, self._at(trial, rung), trial))
                continue
            level = trial.rung + trial.done
            if level >= cap or not idea.deepest_only:
                depth = self.rungs[cap - 1] if level >= cap <= len(self.rungs) else trial.depth
                scored.append((min(level, cap), float(trial.best[depth - 1]), trial))
        return scored

    def _earned(self, trial: Trial) -> int:
        """The rung as of which a trial is scored that passed one without being among the best; 0: of all."""
        for rung in range(self._believed() + 1, min(trial.bracket, trial.rung) + 1):
            ranked = self._ranked(rung)
            if ranked.index(trial) >= max(1, len(ranked) // 3):
                return rung
        return 0

    def _promotable(self) -> Trial | None:
        for rung in range(len(self.rungs), self._believed(), -1):
            ranked = self._ranked(rung)
            waiting = (
                t for t in ranked[: len(ranked) // 3] if not t.running and t.rung == rung and not t.done
            )
            if self.idea.delayed and len(ranked) < 3 * (
                1 + sum(t.rung > rung or t.running or t.done for t in ranked)
            ):
                continue
            if (trial := next(waiting, None)) is not None:
                return trial
        return None

    def _ranked(self, rung: int) -> list[Trial]:
        """The trials that have reached a rung, best first."""
        return sorted(
            (t for t in self.trials if t.rung >= rung), key=lambda t: (-self._at(t, rung), t.number)
        )

    def _at(self, trial: Trial, rung: int) -> float:
        return float(trial.best[self.rungs[rung - 1] - 1])

    def _goes_on(self, trial: Trial) -> bool:
        if trial.done:
            return False
        if trial.depth not in self.rungs[trial.rung :]:
            return True
        trial.rung += 1
        return trial.rung <= trial.bracket

    def _believed(self) -> int:
        """The bracket of a trial that is not let through."""
        deepest, idea = len(self.rungs), self.idea
        there = [trial for trial in self.trials if trial.depth >= self.rungs[-1]]
        known = [place for place, trial in enumerate(there) if trial.bracket == deepest - 1]
        if not idea.every or len(there) < 3:
            return 0
        values = np.array([[self._at(trial, rung + 1) for rung in range(deepest)] for trial in there])
        for rung in range(deepest - 1):
            signs = np.sign(values[known][:, None] - values[None])
            total = float((signs[:, :, rung] * signs[:, :, -1]).sum()) / (len(there) - 1)
            if (total + 2 * (idea.believed + 0.1)) / (len(known) + 2) >= idea.believed:
                return rung
        return deepest - 1


@cache
def _surrogate(name: str) -> Surrogate:
    return Surrogate(PROBLEMS[name])


def _regrets(job: tuple[str, str, int]) -> tuple[tuple[str, str, int], list[list[float]]]:
    problem, idea, seed = job
    return job, Search(IDEAS[idea], _surrogate(problem), seed).run()


def _lines(found: dict[tuple[str, str, int], list[list[float]]]) -> Iterator[str]:
    for problem in dict.fromkeys(problem for problem, _, _ in found):
        yield f"\n{problem}\n{'':24}{'by report':^34} {'by mean of five':^34} {'best trained':^34}"
        for idea in dict.fromkeys(idea for name, idea, _ in found if name == problem):
            of_seeds = np.asarray([regrets for key, regrets in found.items() if key[:2] == (problem, idea)])
            yield f"{idea:24}" + " ".join(_row(of_seeds[:, :, way]) for way in range(of_seeds.shape[2]))


def _row(regrets: np.ndarray) -> str:
    """Means [seeds, budgets], and at the last budget the interval and the worst."""
    last = Spread.of(list(regrets[:, -1]))
    return "".join(f"{mean:6.1f}" for mean in regrets.mean(0)) + f" ±{last.half:4.1f} {last.worst:4.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choosable = [name for name, problem in PROBLEMS.items() if not problem.held_out]
    parser.add_argument("--ideas", nargs="+", choices=list(IDEAS), default=list(IDEAS), metavar="IDEA")
    parser.add_argument("--problems", nargs="+", choices=choosable, default=choosable)
    parser.add_argument("--seeds", type=lambda text: range(*map(int, text.split(":"))), default=range(30))
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    args: Any = parser.parse_args()
    jobs = [(p, idea, seed) for p in args.problems for idea in args.ideas for seed in args.seeds]
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        done = track(pool.imap(_regrets, jobs, chunksize=2), "simulating", total=len(jobs))
        print(*_lines(dict(done)), sep="\n")


if __name__ == "__main__":
    main()
