"""Searches in this process, one trial after another: for tests of which Ray is not the subject."""

from __future__ import annotations

from functools import partial

import search

search_locally = partial(search.search, local=True)
resume_locally = partial(search.resume, local=True)
