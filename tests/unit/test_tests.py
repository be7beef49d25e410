"""The list for `make test` and the names of tests in docs are right; what tests share is in tests/helpers."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
from collections.abc import Callable

import pytest
from core import CORE
from programs import ROOT

TESTS = ROOT / "tests"


def test_every_test_that_make_test_shall_run_is_there() -> None:
    names = [name.partition("::") for listed in CORE.values() for name in listed]
    assert len(names) > 30
    lost = [f"{file}::{test}" for file, _, test in names if f"def {test}" not in (TESTS / file).read_text()]
    assert lost == []


def test_no_test_file_imports_another_one() -> None:
    files = sorted(TESTS.rglob("*.py"))
    importing = re.compile(r"^\s*(?:from|import) (?:test_|conftest)", re.MULTILINE)
    assert [file.name for file in files if importing.search(file.read_text())] == []


def test_tests_that_the_docs_name_are_there() -> None:
    named = re.compile(r"\b(test_\w+)::(test_\w+)")
    files = {file.stem: file.read_text() for file in TESTS.rglob("test_*.py")}
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    found = [pair for doc in documents for pair in named.findall(doc.read_text())]
    assert len(found) > 30
    assert [f"{file}::{test}" for file, test in found if f"def {test}" not in files.get(file, "")] == []


@pytest.mark.parametrize(
    "start",
    [
        lambda: subprocess.Popen(["true"]),
        lambda: multiprocessing.get_context("spawn").Process().start(),
        lambda: os.fork() or os._exit(0),
    ],
    ids=["subprocess", "multiprocessing", "fork"],
)
def test_a_process_is_refused_in_tests_unit(start: Callable[[], object]) -> None:
    with pytest.raises(AssertionError, match="a test in tests/unit starts no process"):
        start()
