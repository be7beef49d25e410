"""What holds of every search that has come to its end, whatever happened to it on the way."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from decisions import assert_decisions
from simulated_search import history

import search
from search.config.config import Config
from search.config.stages import open_run
from search.run.disk.folder import RunFolder
from search.study.reading import read_records
from search.study.trial import TrialRecord, best_record

DIFFERED = "was computed again and gave"
"""In the note about a virtual epoch that did not repeat exactly."""


def assert_nothing_lost(run: Path) -> None:
    """Assert what must hold of the files of a complete search in `run`.

    As many trials as asked for, each told to Optuna once, with virtual epochs 1 to n; decisions that follow
    from the reports before them; the best checkpoint gives the study's value; nothing temporary is left.
    """
    folder = RunFolder(run)
    config, records = open_run(folder.config).first, read_records(folder.journal)
    assert json.loads(folder.summary.read_text())["status"] == "complete"
    assert [record.number for record in records] == list(range(asked_for(config)))
    assert_told_once(run, records)
    assert_decisions(run, config)
    assert_best_is_there(run, config, records)
    log = folder.log.read_text() if folder.log.exists() else ""
    assert DIFFERED not in log, log
    assert left_over(run) == []


def asked_for(config: Config) -> int:
    """Trials of a complete search."""
    points = len(list(config.space.grid())) if config.sampler.name == "grid" else None
    return min(number for number in (points, config.budget.trials) if number is not None)


def assert_told_once(run: Path, records: Sequence[TrialRecord]) -> None:
    """Every Optuna trial was ended once, and each virtual epoch of a trial told once, in order."""
    told = history(run)
    num_begun = sum(isinstance(entry[1], list) for entry in told)
    ended = [entry[0] for entry in told if entry[1] == "ended"]
    assert sorted(ended) == list(range(num_begun))
    assert all(record.outcome is not None for record in records)
    for record in records:
        mine = [entry[1] for entry in told if entry[0] == record.trial_id and isinstance(entry[1], int)]
        # Of a trial that went on after it had ended, the first ones stand in an earlier Optuna trial.
        assert mine == list(range(record.depth - len(mine) + 1, record.depth + 1)), record.number


def assert_best_is_there(run: Path, config: Config, records: Sequence[TrialRecord]) -> None:
    """The best checkpoint loads, and evaluating it gives what the study and the summary say."""
    mode = config.objective.mode
    best = best_record(records, mode)
    assert best is not None, "no trial came to a result"
    with tempfile.TemporaryDirectory() as folder:
        model = search.export(run, out=Path(folder) / "export")
    told = json.loads((run / "summary.json").read_text())["best"]
    value = best.value(mode)
    assert (model.trial, model.value) == (told["trial"], told["value"]) == (best.number, value)


def assert_traced_once(
    trace: Path, records: Sequence[TrialRecord], *, again: Sequence[tuple[int, int]] = ()
) -> None:
    """What a TracingTask computed is each virtual epoch of each trial once.

    Args:
        trace: the file.
        again: (trial, virtual epoch) that were computed once more, for their process died before their end.
    """
    by_rate = {f"{record.resolved.options['optimizer']['lr']!r}": record.number for record in records}
    assert len(by_rate) == len(records), "trials are told apart by their learning rate"
    computed = Counter((by_rate[rate], int(n)) for rate, n in map(str.split, trace.read_text().splitlines()))
    expected = Counter((r.number, n) for r in records for n in range(1, r.depth + 1)) + Counter(again)
    assert computed == expected


def left_over(run: Path) -> list[Path]:
    """Locks, and files that were being written."""
    return [p for p in run.rglob("*") if p.name.startswith(".") or "partial" in p.name or p.suffix == ".tmp"]


def assert_same_search(calm: Path, run: Path, best_checkpoint: str) -> None:
    """Trials, parameters, values, ends and their order, and the best weights, byte for byte."""
    assert history(run) == history(calm)
    ends = [
        [
            (r.number, r.resolved.options, r.values, r.outcome, r.reason)
            for r in read_records(f / "study.journal")
        ]
        for f in (calm, run)
    ]
    assert ends[0] == ends[1]
    weights = [(f / best_checkpoint / "model.safetensors").read_bytes() for f in (calm, run)]
    assert weights[0] == weights[1]
