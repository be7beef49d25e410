"""Every command, configuration and program that README and docs/ show is run, or says what it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_blocks import RUN, blocks_of, pages, parse
from page_folders import common_folder, folder_of
from page_runner import Runner
from s3_server import s3_server

NEED = {"loggers.md": "variables", "python.md": "ray_session", "storage.md": "s3"}
"""Pages with a fixture: texts with `${env:NAME}`, Python that searches on Ray, a bucket of S3."""


def has_runnable(page: Path) -> bool:
    return any(block.language in RUN and "needs" not in block.marks for block in blocks_of(page))


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return common_folder(tmp_path_factory.mktemp("pages") / "common")


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKING", "sqlite:///mlflow.db")
    monkeypatch.setenv("PEOPLE", "json://127.0.0.1")
    monkeypatch.setenv("TOPIC", "streets")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with s3_server(monkeypatch):
        yield


@pytest.mark.parametrize("page", [page for page in pages() if has_runnable(page)], ids=lambda page: page.name)
def test_the_blocks_of_a_page_run_in_their_order(
    page: Path, common: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if page.name in NEED:
        request.getfixturevalue(NEED[page.name])
    monkeypatch.chdir(folder_of(page, common, tmp_path))
    monkeypatch.syspath_prepend(".")
    runner = Runner()
    for block in blocks_of(page):
        if block.language in RUN and "needs" not in block.marks:
            runner.run(block)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "```sh\ntune-search list nowhere\n```\n",
            "page.md:1: `tune-search list nowhere` ended with 2, not 0",
        ),
        ("```sh\nfalse | cat\n```\n", "page.md:1: `false | cat` ended with 1, not 0"),
        ("<!-- doc: exit=1 -->\n```console\n$ true\n```\n", "page.md:2: `true` ended with 0, not 1"),
        ("```yaml\nbudget: {trails: 3}\n```\n", "unknown key 'trails'"),
        ("```python\nsearch.load('nowhere')\n```\n", "nowhere"),
        ("<!-- doc: compile -->\n```python\nif True\n```\n", "expected ':'"),
    ],
)
def test_a_page_that_is_wrong_is_told_with_its_line(
    text: str, error: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = parse(text, Path("docs/page.md"))
    with pytest.raises(Exception, match=re.escape(error)):
        Runner().run(block)


def test_commands_are_run_as_they_stand_but_for_what_a_comment_replaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = (
        '<!-- doc: "small=50 -> 5" -->\n```sh\n# told\necho "a 50" > a.txt  # > b.txt\n'
        'python -c \\\n  \'open("c", "x")\'\n```\n'
    )
    (block,) = parse(text, Path("docs/page.md"))
    Runner().run(block)
    assert Path("a.txt").read_text() == "a 5\n"
    assert Path("c").exists()
    assert not Path("b.txt").exists()
