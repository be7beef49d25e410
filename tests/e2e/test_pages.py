"""Every command, configuration and program that README and docs/ show is run, or says what it needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_blocks import RUN, blocks_of, pages
from page_folders import common_folder, folder_of
from page_runner import Runner

NEED_RAY = {"python.md"}
"""Pages whose Python searches on Ray."""


def has_runnable(page: Path) -> bool:
    return any(block.language in RUN and "needs" not in block.marks for block in blocks_of(page))


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return common_folder(tmp_path_factory.mktemp("pages") / "common")


@pytest.mark.parametrize("page", [page for page in pages() if has_runnable(page)], ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_in_their_order(
    page: Path, common: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if page.name in NEED_RAY:
        request.getfixturevalue("ray_session")
    monkeypatch.chdir(folder_of(page, common, tmp_path))
    monkeypatch.syspath_prepend(".")
    runner = Runner()
    for block in blocks_of(page):
        if block.language in RUN and "needs" not in block.marks:
            runner.run(block)
