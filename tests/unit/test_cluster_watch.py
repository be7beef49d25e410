"""What a search is told of a cluster whose head is gone, and that it is told in any case."""

from __future__ import annotations

import logging
from threading import Event

import pytest

from search.errors import SearchError
from search.ray import dead
from search.ray.cluster import line_to
from search.ray.dead import DeathNotice


class Left(BaseException):
    """In the place of the end of this process."""


def leave(cause: str) -> None:
    raise Left(cause)


def test_a_death_is_told_before_the_first_wait() -> None:
    notice, over, told = DeathNotice(), Event(), list[str]()

    def tell(cause: str) -> None:
        told.append(cause)
        over.set()

    notice.to(tell, leave)
    notice.give("the head is dead", over, patience=0.0)
    assert told == ["the head is dead"]


def test_a_search_that_is_over_is_told_of_no_death() -> None:
    notice, over = DeathNotice(), Event()
    over.set()
    notice.to(leave, leave)
    notice.give("the head is dead", over, patience=0.0)


def test_a_death_that_cannot_be_told_ends_the_process_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(dead, "_LOOK_SECONDS", 0.0)
    notice = DeathNotice()

    def tell(cause: str) -> None:
        raise OSError("the output is closed")

    notice.to(tell, leave)
    with caplog.at_level(logging.ERROR), pytest.raises(Left, match="the head is dead"):
        notice.give("the head is dead", Event(), patience=0.0)
    assert "the output is closed" in caplog.text


def test_a_head_that_cannot_be_asked_is_an_error_with_a_way_out() -> None:
    with pytest.raises(SearchError, match=r"^Ray could not be reached at nowhere: .*; give the address"):
        line_to("nowhere", is_own=False)
