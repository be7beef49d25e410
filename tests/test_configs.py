"""The configurations that come with the program hold what they promise."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import TESTS

import search


@pytest.mark.slow
def test_seg_finds_a_good_model_within_four_minutes_and_ends_most_trials_early(
    ray_session: None, tmp_path: Path
) -> None:
    summary = search.search(TESTS.parent / "configs" / "seg.yaml", results=tmp_path)
    assert summary.best is not None
    assert summary.best.value >= 0.85
    assert summary.trials >= 16
    assert summary.counts["stopped"] > summary.trials / 2
    assert summary.seconds < 240
