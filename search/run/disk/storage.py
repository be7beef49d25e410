"""The part of a storage that a search has: its mirror, and the checkpoints of its trials."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from search.addresses import local_path
from search.config.config import Config
from search.errors import RefusedError, SearchError
from search.mirror.claim import take
from search.mirror.fetch import fetch_run
from search.mirror.head import read_head
from search.mirror.mirror import Mirror
from search.run.disk.folder import RunFolder
from search.run.disk.owner import Owner
from trainables.checkpoints.checkpoint import (
    MANIFEST,
    DamagedCheckpointError,
    checkpoint_folder,
    list_checkpoints,
)
from trainables.checkpoints.stored import TrialStore
from trainables.fence import ALONE, Job, newest_job
from trainables.storage.address import below, split_address
from trainables.storage.errors import StorageError
from trainables.storage.store import Store


@contextmanager
def mirrored(storage: str | None, folder: RunFolder, say: Callable[[str], None]) -> Iterator[Mirror | None]:
    """Own the run in its storage, and mirror its folder there until the block ends; nothing without one.

    What another machine has done since is fetched first.

    Args:
        storage: address of all runs.
        folder: of the run.
        say: called with what takes time.

    Raises:
        SearchError: another search owns it, both have gone on apart, or the storage refuses.
    """
    if storage is None:
        yield None
        return
    address = below(storage, folder.path.name)
    store = Store(address)
    with told():
        say(f"looking for {address}")
        claim = take(store, asdict(Owner.here()), lives=_lives, say=say)
        mirror = Mirror(store, claim, folder.path)
        try:
            if fetch_run(store, folder.path):
                say(f"the search goes on from {address}")
            mirror.begin()
            yield mirror
        finally:
            mirror.close()


def fetched_run(address: str, results: str | Path) -> RunFolder:
    """The folder of a run that is in a storage, fetched where that is ahead.

    Args:
        address: of the run, such as `s3://bucket/runs/seg`.
        results: folder of all runs on this machine.

    Raises:
        SearchError: there is no such run, the storage refuses, or both have gone on apart.
    """
    try:
        _, name = split_address(address)
    except ValueError as error:
        raise RefusedError(str(error)) from None
    folder, store = RunFolder(local_path(results).absolute() / name), Store(address)
    with told():
        if read_head(store) is None and not folder.has_begun:
            raise RefusedError(f"{address} is not a run in a storage: no search has been mirrored there")
        folder.create()
        fetch_run(store, folder.path)
    return folder


@contextmanager
def told() -> Iterator[None]:
    """Raise SearchError in the place of a StorageError."""
    try:
        yield
    except StorageError as error:
        raise SearchError(str(error)) from error


def _lives(said: Mapping[str, Any]) -> bool | None:
    known = {name: said[name] for name in Owner.__dataclass_fields__ if name in said}
    try:
        return Owner(**known).lives_here
    except TypeError:
        return None


@dataclass
class StoredTrials:
    """Checkpoints in a storage of the trials of one folder: that of a search, a stage or a race.

    Args:
        run: address of the whole run.
        folder: of this search.
    """

    run: str
    folder: RunFolder
    holding: set[int] = field(default_factory=set)
    """Numbers of trials with checkpoints there when this session began."""

    def address(self, number: int) -> str:
        """Of one trial."""
        trial = self.folder.trial(number).relative_to(self.folder.path).as_posix()
        return below(self.run, self._inside(), trial)

    def of(self, number: int, job: Job = ALONE) -> TrialStore:
        return TrialStore(self.address(number), self.folder.trial(number), job)

    def inventory(self) -> dict[int, set[int]]:
        """Virtual epochs of whole checkpoints there, by trial, in one listing."""
        found: dict[int, set[int]] = {}
        for name in Store(below(self.run, self._inside())).names("trials"):
            key = re.fullmatch(rf"trials/([0-9]+)/checkpoint_([0-9]+)/[^/]+/{re.escape(MANIFEST)}", name)
            if key:
                found.setdefault(int(key[1]), set()).add(int(key[2]))
        return found

    def _inside(self) -> str:
        inside = self.folder.path.relative_to(self.folder.run_path).as_posix()
        return "" if inside == "." else inside

    def newest(self, number: int) -> tuple[int, Job]:
        """Virtual epoch of the newest checkpoint there, 0 if none is; and the newest job that has begun."""
        listing = self.of(number).listing()
        return max(listing.virtual_epochs, default=0), listing.newest_job

    def bring(self, number: int, virtual_epoch: int) -> Path:
        """The folder of one checkpoint, fetched unless it is here."""
        folder = checkpoint_folder(self.folder.trial(number), virtual_epoch)
        if not folder.is_dir():
            store = self.of(number)
            found = [each for each in store.listing().whole if each.virtual_epoch == virtual_epoch]
            if found:
                store.get(found[0])
        return folder

    def check(self, number: int, virtual_epoch: int) -> str | None:
        """What is wrong with a checkpoint there, which is read and left there; None if nothing is."""
        with TemporaryDirectory() as folder:
            store = TrialStore(self.address(number), Path(folder))
            found = [each for each in store.listing().whole if each.virtual_epoch == virtual_epoch]
            try:
                return None if found and store.get(found[0]) else "is missing, here and in the storage"
            except DamagedCheckpointError as error:
                return f"is not here, and damaged in the storage: {error.reason}"


@dataclass
class LiveTrials(StoredTrials):
    """Those of a search that runs.

    Args:
        mirror: of the whole run, which it writes.
    """

    mirror: Mirror = field(kw_only=True)

    def forget(self, numbers: Iterable[int]) -> None:
        """Remove the checkpoints of trials that need none any more, as the mirrored journal then says."""
        unneeded = list(numbers)
        if unneeded:
            self.mirror.flush()
        for number in unneeded:
            self.of(number).remove_all()

    def begin(self) -> None:
        """Mirror the study, and bring there what is here alone, as of a search that began without one."""
        self.mirror.flush()
        there = self.inventory()
        for trial in sorted(self.folder.path.glob("trials/[0-9]*")):
            number = int(trial.name)
            for virtual_epoch in set(list_checkpoints(trial)) - there.get(number, set()):
                with suppress(DamagedCheckpointError):  # set aside where the trial goes on
                    self.of(number, newest_job(trial)).put(virtual_epoch)
                    there.setdefault(number, set()).add(virtual_epoch)
        self.holding = set(there)


def live_trials(mirror: Mirror | None, folder: RunFolder) -> LiveTrials | None:
    """Those of a search that runs, where its run has a mirror."""
    return None if mirror is None else LiveTrials(mirror.store.address, folder, mirror=mirror)


def stored_trials(storage: str | None, folder: RunFolder) -> StoredTrials | None:
    """Those of a search in its folder, where it has a storage."""
    return None if storage is None else StoredTrials(below(storage, folder.run_path.name), folder)


def bring(storage: str | None, folder: RunFolder, number: int, virtual_epoch: int) -> None:
    """Fetch a checkpoint that is not here from where the search has its storage, if it has one.

    Raises:
        SearchError: the storage refuses, or does not answer.
    """
    stored = stored_trials(storage, folder)
    if stored is not None:
        with told():
            stored.bring(number, virtual_epoch)


def send(storage: str | None, folder: RunFolder, file: Path) -> None:
    """Put a file of a run, such as its report, beside what is mirrored of it, if it has a storage.

    Raises:
        SearchError: the storage refuses, or does not answer.
    """
    if storage is not None:
        with told():
            Store(below(storage, folder.run_path.name)).put(file, file.name)


def faults_elsewhere(
    config: Config | None, folder: RunFolder, absent: Iterable[tuple[int, int]]
) -> Iterator[tuple[int, int, str]]:
    """What is wrong with checkpoints that are not here: nothing with those that the search's storage has.

    Args:
        config: of the search, where it can be read.
        folder: of the search.
        absent: trial and virtual epoch of each.

    Raises:
        SearchError: the storage refuses, or does not answer.
    """
    stored = None if config is None else stored_trials(config.storage, folder)
    for number, virtual_epoch in absent:
        with told():
            fault = "is missing" if stored is None else stored.check(number, virtual_epoch)
        if fault is not None:
            yield number, virtual_epoch, fault
