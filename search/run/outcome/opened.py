"""A search as one object for Python: its best trial, its trials as tables, its curves as a picture."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import optuna

from search.config.config import Config
from search.config.stages import SearchConfig, open_run
from search.errors import RefusedError
from search.run.disk.folder import RunFolder
from search.run.outcome.curves import Curve, CurvesFigure, draw_curves
from search.run.outcome.summary import Best, Summary
from search.run.outcome.summary_file import read_summary
from search.study.journal import open_journal
from search.study.lineage import measured_at
from search.study.reading import read_records
from search.study.trial import TrialRecord, ranked
from trainables.options import MEASURED

if TYPE_CHECKING:
    import pandas


class _Stage(NamedTuple):
    """One search of the run; without a name where there are no stages."""

    name: str
    config: Config
    folder: RunFolder
    records: list[TrialRecord]


class Run:
    """A search in its folder, complete or not; everything is read from the study on disk.

    >>> run = search.Run("results/seg")
    >>> run.best.params
    >>> run.trials.sort_values("value")

    Args:
        folder: of the run.

    Raises:
        SearchError: there is no run, or it has no summary yet.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = RunFolder.at(folder)
        self._folder.require()
        self._config: SearchConfig = open_run(self._folder.config)
        try:
            self.summary: Summary = read_summary(self._folder)
            """Status, counts, limits and failures."""
        except FileNotFoundError:
            where = self._folder.path
            raise RefusedError(f"{where} has no summary: the search in it has not ended") from None

    @property
    def folder(self) -> Path:
        """With the study, trials, TensorBoard's files, checkpoints."""
        return self._folder.path

    @property
    def status(self) -> str:
        """complete, interrupted, terminated or failed."""
        return self.summary.status

    @property
    def best(self) -> Best | None:
        """The best trial, with `value`, `params`, `trial` and `checkpoint`; None if no trial has a value.

        Raises:
            SearchError: there are several objectives, and so a `front`.
        """
        if self._config.first.objectives:
            raise RefusedError(f"{self.folder} has several objectives, and so no best trial: see run.front")
        return self.summary.best

    @property
    def front(self) -> list[Best]:
        """With several objectives, the trials that no other beats in all of them, each with `objectives`."""
        return self.summary.front

    @cached_property
    def trials(self) -> pandas.DataFrame:
        """A row for each trial, by its number: its rank (1 is the best), how it ended, the value at its best
        virtual epoch, the mean of the reports up to there by which it is ranked, that virtual epoch, virtual
        epochs, steps and seconds of training, what was measured of its model for `limits` in columns such as
        `measured_latency`, and each parameter in a column `params_NAME`, empty where the trial has none of
        that name. With stages, the stage comes first.
        """
        import pandas

        rows = [
            {**({"stage": stage.name} if stage.name else {}), **_row(record, stage, ranks)}
            for stage in self._stages
            for ranks in [_ranks(stage)]
            for record in stage.records
        ]
        measured = [name for name in _OF_A_MODEL if any(name in row for row in rows)]
        names = {f"params_{name}": None for stage in self._stages for name in stage.config.space.names}
        index = ["stage", "trial"] if self._config.is_staged else ["trial"]
        columns = [*index, *_COLUMNS, *measured, *names]
        return pandas.DataFrame(rows, columns=columns).astype({"rank": "Int64"}).set_index(index)

    @cached_property
    def confirmed(self) -> pandas.DataFrame | None:
        """The race of the best trials over seeds, the best first; None without one.

        A row for each candidate, by the number of its trial: mean, std, seeds, chance of being the best,
        the round after which it left and the p-value of that test, and the value with each seed in a column
        `seed_N`: empty where it has not run, or where the run failed or diverged.
        """
        import pandas

        race = self.summary.confirmed
        if race is None:
            return None
        rows = [
            {key: getattr(standing, key) for key in ("trial", *_OF_A_RACE)}
            | {f"seed_{seed}": value for seed, value in standing.values.items()}
            for standing in race.candidates
        ]
        columns = ["trial", *_OF_A_RACE, *(f"seed_{seed}" for seed in race.seeds)]
        return pandas.DataFrame(rows, columns=columns).set_index("trial")

    @cached_property
    def curves(self) -> pandas.DataFrame:
        """A row for each virtual epoch of each trial: trial, virtual_epoch, step, and the objective."""
        import pandas

        metric = self._config.objective.metric
        rows = [
            {**({"stage": stage.name} if stage.name else {}), "trial": record.number}
            | {"virtual_epoch": number, "step": _step(record, number), metric: value}
            for stage in self._stages
            for record in stage.records
            for number, value in enumerate(record.values, 1)
        ]
        stages = ["stage"] if self._config.is_staged else []
        return pandas.DataFrame(rows, columns=[*stages, "trial", "virtual_epoch", "step", metric])

    @property
    def study(self) -> optuna.Study:
        """Optuna's study, for optuna.visualization and optuna.importance; of the last stage, with stages.

        Its trials hold virtual epochs as intermediate values; it is for reading.
        """
        storage, _ = open_journal(self._stages[-1].folder.journal)
        (only,) = optuna.get_all_study_summaries(storage, include_best_trial=False)
        return optuna.load_study(study_name=only.study_name, storage=storage)

    def plot(self) -> CurvesFigure:
        """The objective of all trials against optimizer steps, the best one in colour: a matplotlib Figure.

        A notebook shows it; `run.plot().savefig("curves.png")` keeps it.
        """
        last = self._stages[-1]
        mode = self._config.objective.mode
        curves = [
            Curve(
                record.number,
                [_step(record, number) for number in range(1, record.depth + 1)],
                record.values,
                str(record.outcome or "unfinished"),
                record.best_virtual_epoch(mode),
            )
            for record in last.records
            if record.values and record.lengths
        ]
        best = None if self.summary.best is None else self.summary.best.trial
        return draw_curves(curves, best=best, metric=self._config.objective.metric)

    def __repr__(self) -> str:
        return f"<Run {self.folder.name}: {self._headline}>"

    def _repr_html_(self) -> str:
        lines = [f"<b>{escape(self.folder.name)}</b>: {escape(self._headline)}"]
        if self.summary.best is not None:
            cells = "".join(
                f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>"
                for name, value in self.summary.best.params.items()
            )
            lines.append(f"<table>{cells}</table>")
        return "<br>".join(lines)

    @property
    def _headline(self) -> str:
        found, metric = self.summary, self._config.objective.metric
        best = self.summary.best
        if found.front:
            return f"{found.status}, {found.trials} trials, a front of {len(found.front)}"
        value = "no trial has a value" if best is None else f"{metric} {best.value:.4g} of trial {best.trial}"
        return f"{found.status}, {found.trials} trials, {value}"

    @cached_property
    def _stages(self) -> list[_Stage]:
        return list(self._open_stages())

    def _open_stages(self) -> Iterator[_Stage]:
        for folder in self._folder.stages():
            name = folder.path.name if self._folder.is_staged else ""
            yield _Stage(name, open_run(folder.config).first, folder, read_records(folder.journal))


_OF_A_RACE = ("mean", "std", "seeds", "chance", "left_after", "p")
_COLUMNS = (
    "rank",
    "outcome",
    "value",
    "mean",
    "virtual_epoch",
    "virtual_epochs",
    "steps",
    "seconds",
    "reason",
)
_OF_A_MODEL = tuple(f"measured_{name}" for name in MEASURED)


def _ranks(stage: _Stage) -> dict[int, int]:
    """By number of the trial, from 1 for the best."""
    in_order = ranked(stage.records, stage.config.objective.mode)
    return {record.number: rank for rank, record in enumerate(in_order, start=1)}


def _row(record: TrialRecord, stage: _Stage, ranks: Mapping[int, int]) -> dict[str, Any]:
    mode = stage.config.objective.mode
    best = record.best_virtual_epoch(mode) if record.values else None
    params = record.params if best is None else record.params_at(best)
    measured = record.measured if best is None else measured_at(stage.records, record, best)
    return {
        "trial": record.number,
        "rank": ranks.get(record.number),
        "outcome": str(record.outcome or "unfinished"),
        "value": record.value(mode),
        "mean": record.mean(mode),
        "virtual_epoch": best,
        "virtual_epochs": record.depth,
        "steps": record.steps,
        "seconds": record.seconds,
        "reason": record.reason,
        **{f"measured_{name}": value for name, value in measured.items()},
        **{f"params_{name}": value for name, value in params.items()},
    }


def _step(record: TrialRecord, virtual_epoch: int) -> int:
    assert record.lengths is not None
    return record.lengths.end_step(virtual_epoch)
