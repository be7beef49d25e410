"""Messages on the end, a failure and a new best, to a real HTTP server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from answering_server import Answering, answering
from listed_runs import RANDOM, begun
from simulated_search import by_number, config_of

from search.config.sections.loggers import Notify
from search.followers.destination import DestinationError
from search.followers.look import Look
from search.followers.notify import NotifyDestination
from search.run.disk.folder import RunFolder

pytestmark = pytest.mark.usefixtures("no_fsync")
VALUES = [0.1, 0.4, 0.2, 0.6, 0.5, 0.7]


@pytest.fixture
def people() -> Iterator[Answering]:
    with answering(200) as server:
        yield server


class Search:
    """A simulated search, and a process that tells people of it; each look at another time."""

    def __init__(self, folder: Path, people: Answering, **how: Any) -> None:
        config = config_of(
            budget={"trials": 6, "max_virtual_epochs": 1}, sampler=RANDOM, scheduler={"name": "none"}
        )
        self.simulation = begun(folder / "run", config, curve=by_number(VALUES), workers=1)
        self.folder, self.now = folder, 1000.0
        address = f"json://127.0.0.1:{people.port}/token"
        self.notify = Notify.model_validate({"to": [address], **how})
        self._restart: Callable[[], NotifyDestination] = lambda: NotifyDestination(
            self.notify, folder / "told.json", clock=lambda: self.now
        )
        self.destination = self._restart()

    def report(self, number: int) -> None:
        self.simulation.run(max_reports=number)

    def look(self, ended: str | None = None) -> None:
        run = Look(RunFolder(self.folder / "run")).take(ended)
        self.destination.open(run)
        self.destination.write(run.search, parent=None)

    def restart(self) -> None:
        self.destination = self._restart()


def test_a_new_best_is_told_at_most_once_in_the_time_and_then_the_newest(
    tmp_path: Path, people: Answering
) -> None:
    search = Search(tmp_path, people, best_every="10m")
    search.report(1)
    search.look()
    assert people.titles == []  # the first value of all is no news
    search.report(1)
    search.look()
    assert people.titles == ["run: new best"]
    assert "best accuracy 0.4, trial 1" in people.received[0]["message"]
    search.report(2)
    search.look()
    assert len(people.received) == 1
    search.now += 599
    search.restart()
    search.look()
    assert len(people.received) == 1
    search.now += 1
    search.look()
    search.look()
    assert len(people.received) == 2
    assert "best accuracy 0.6, trial 3" in people.received[1]["message"]


@pytest.mark.parametrize(
    ("ended", "titles"),
    [
        ("terminated", ["run: interrupted"]),
        ("killed", ["run: interrupted"]),
        ("failed: the disk is full", ["run: failed"]),
        ("interrupted", []),  # whoever pressed Ctrl-C knows it
    ],
)
def test_the_end_is_told_once(tmp_path: Path, people: Answering, ended: str, titles: list[str]) -> None:
    search = Search(tmp_path, people)
    search.report(2)
    search.look()
    del people.received[:]
    search.look(ended)
    search.restart()
    search.look(ended)
    assert people.titles == titles
    search.look()
    search.look(ended)
    assert people.titles == titles * 2  # it was resumed, and ended again


def test_who_asks_for_failures_alone_is_told_of_nothing_else(tmp_path: Path, people: Answering) -> None:
    search = Search(tmp_path, people, on=["failure"])
    search.report(1)
    search.look()
    search.report(2)
    search.look()
    search.look("terminated")
    assert people.titles == []
    search.look()
    search.look("failed: it is broken")
    assert people.titles == ["run: failed"]
    assert "it is broken" in people.received[0]["message"]


@pytest.mark.parametrize("status", [500, None])
def test_what_cannot_be_sent_is_tried_again_and_the_address_is_not_told(
    tmp_path: Path, status: int | None
) -> None:
    with answering(status) as broken:
        search = Search(tmp_path, broken)
        search.report(1)
        search.look()
        for _ in range(2):
            with pytest.raises(DestinationError, match=r"no message could be sent to json://…") as error:
                search.look("killed")
            assert "token" not in str(error.value)
        broken.status = 200
        search.look("killed")
        assert broken.titles == ["run: interrupted"]


def test_an_address_that_apprise_does_not_know_is_refused_without_telling_it(tmp_path: Path) -> None:
    with pytest.raises(DestinationError, match=r"nowhere://… is no address") as error:
        NotifyDestination(Notify(to=["nowhere://token"]), tmp_path / "told.json")
    assert "token" not in str(error.value)
