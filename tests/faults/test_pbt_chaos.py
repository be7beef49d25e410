"""Killed at random moments, a search by population based training comes to what it would have come to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaos import run_with_kills
from in_process import search_locally
from invariants import assert_best_is_there, assert_same_search, assert_told_once, left_over
from programs import no_process_left
from ruamel.yaml import YAML
from tiny_tasks import search_config

from search.config.stages import load_config
from search.study.reading import read_records

POPULATION: dict[str, Any] = {
    "resources": {"cpus_per_trial": 1, "concurrent_trials": 1},
    "virtual_epoch": {"steps": 60},
    "budget": {"trials": 5, "max_virtual_epochs": 6},
    "scheduler": {"name": "pbt", "interval": 2, "quantile": 0.4},
    "sampler": {"name": "random"},
}


def test_killed_three_times_a_population_ends_as_if_nothing_had_been(
    tmp_path: Path, program: Callable[..., Any]
) -> None:
    config = search_config(**POPULATION)
    calm = search_locally(config, results=tmp_path / "calm")
    whole, run = Path(calm.folder), tmp_path / "killed" / "digits"
    file = tmp_path / "digits.yaml"
    with file.open("w", encoding="utf-8") as out:
        YAML(typ="safe").dump(config, out)

    def start() -> Any:
        return program(str(file), "--results", str(run.parent), "--local")

    for kill in run_with_kills(start, run, (whole / "study.journal").stat().st_size, num_kills=3, seed=2):
        print(kill)
    assert calm.best is not None
    assert_same_search(whole, run, calm.best.checkpoint)
    records = read_records(run / "study.journal")
    assert [r.taken_over for r in records] == [r.taken_over for r in read_records(whole / "study.journal")]
    assert any(record.taken_over for record in records)
    assert_told_once(run, records)
    assert_best_is_there(run, load_config(config).first, records)
    assert left_over(run) == []
    no_process_left(tmp_path)
