"""Looking at a host: what it is asked, and how long it may take to show what another one has written."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from patience import PATIENCE

from search.ray.hosts import living_hosts
from search.ray.preflight import Needs, Preflight, _look


@pytest.fixture
def needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Needs:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return Needs(
        working_folder=str(tmp_path), search_path=(), task="", data=(), results=str(tmp_path / "results")
    )


@pytest.mark.usefixtures("ray_session")
def test_a_host_that_has_passed_is_not_looked_at_again_for_the_same(needs: Needs, tmp_path: Path) -> None:
    passed: set[tuple[str, Needs]] = set()
    (host,) = living_hosts()
    first = Preflight(needs, tmp_path, passed)
    assert first.all_answers([host]) == {host: []}
    assert len(list(tmp_path.iterdir())) == 1
    first.close()
    assert list(tmp_path.iterdir()) == []

    again = Preflight(needs, tmp_path, passed)
    assert again.has_passed(host)
    assert again.all_answers([host]) == {host: []}
    assert list(tmp_path.iterdir()) == []
    other = Preflight(replace(needs, data=(f"{tmp_path}/absent",)), tmp_path, passed)
    assert other.all_answers([host]) == {host: [f"the data {tmp_path}/absent"]}
    assert not other.has_passed(host)
    # What a search that was killed has left
    assert len(list(tmp_path.iterdir())) == 1
    Preflight(needs, tmp_path, set()).ask(host)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_host_may_see_the_results_folder_a_moment_later(needs: Needs, tmp_path: Path) -> None:
    marker = tmp_path / "results" / "marker"
    asked = {**asdict(needs), "marker": str(marker), "patience": PATIENCE}
    with ThreadPoolExecutor(1) as pool:
        look = pool.submit(_look(), asked, sys.version_info[:2])
        assert wait([look], timeout=0.5).not_done
        marker.parent.mkdir()
        marker.touch()
        assert look.result() == []
    assert [path.name for path in marker.parent.iterdir()] == ["marker"]
    marker.unlink()
    assert _look()({**asked, "patience": 0.0}, sys.version_info[:2]) == [
        f"the results folder {tmp_path}/results of this search: No such file or directory"
    ]
