"""Population based training on Ray: two members at a time there come to what one at a time comes to here."""

from __future__ import annotations

from pathlib import Path

import pytest
from in_process import search_locally
from populations import of_a_population
from simulated_search import outcomes

from search.run.search import search as run_search
from search.study.reading import read_records

pytestmark = pytest.mark.usefixtures("ray_session")


def test_two_at_a_time_on_ray_give_the_trials_and_weights_of_one_at_a_time_here(tmp_path: Path) -> None:
    here = search_locally(of_a_population(), results=tmp_path / "here")
    two = of_a_population(resources={"cpus_per_trial": 1, "concurrent_trials": 2})
    there = run_search(two, results=tmp_path / "there")
    assert (here.status, there.status) == ("complete", "complete")
    records = [read_records(Path(summary.folder) / "study.journal") for summary in (here, there)]
    assert outcomes(records[0]) == outcomes(records[1])
    lineages = [[record.taken_over for record in found] for found in records]
    assert lineages[0] == lineages[1]
    assert any(lineages[0])
    assert here.best is not None
    weights = [
        (Path(s.folder) / here.best.checkpoint / "model.safetensors").read_bytes() for s in (here, there)
    ]
    assert weights[0] == weights[1]
