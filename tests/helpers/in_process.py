"""Searches in this process, one trial after another: for tests of which Ray is not the subject."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from search.run.data.record import DataChangedError
from search.run.search import resume as resume_search
from search.run.search import search as run_search

search_locally = partial(run_search, local=True)
resume_locally = partial(resume_search, local=True)

ACCEPT: dict[str, Any] = {"accept_new_data": True}


def refused(run: Path, **options: Any) -> str:
    """The message with which a run whose data have changed is refused; nothing in it is written."""
    before = (run / "study.journal").read_bytes(), (run / "config.yaml").read_bytes()
    with pytest.raises(DataChangedError) as error:
        resume_locally(run, **options)
    assert error.value.exit_code == 2
    assert before == ((run / "study.journal").read_bytes(), (run / "config.yaml").read_bytes())
    return str(error.value)
