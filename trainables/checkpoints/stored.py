"""Checkpoints of a trial in a storage, see `trainables.storage`: uploaded, listed, fetched and removed.

A checkpoint is `checkpoint_000003/2-14/` there, by its virtual epoch and the job that wrote it, with the
files of `checkpoints.checkpoint`; the manifest is put last, and without it nothing else counts. So no two
processes ever write the same object. A job removes only what it and older ones wrote, and stops where a newer
one has begun: each says so with `jobs/2-14`. Files are not shared between checkpoints: what goes is known
without counting who else refers to it, which several writers could not.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from trainables.checkpoints.checkpoint import (
    FILES,
    MANIFEST,
    DamagedCheckpointError,
    checkpoint_folder,
    list_checkpoints,
    read_checkpoint,
    verified,
)
from trainables.fence import ALONE, JOB_FILE, Job, SupersededError
from trainables.files import atomic_file, atomic_folder, discard_all
from trainables.storage.store import Store

OWN_FILE = "trial.yaml"
"""In the folder of a trial on the machine whose driver runs the search, and on those that share it."""
CACHED_TRIALS = 16
"""More than run on a host at once: a checkpoint that is in use is never removed."""
_PATIENCE_SECONDS, _LOOK_SECONDS = 30.0, 0.5
"""In which a storage lists what has been written."""
_FILES = "files"
"""Where the small files of a trial are: events, traces, samples that were skipped."""
_KEY = re.compile(r"checkpoint_([0-9]{6,})/([0-9]+)-([0-9]+)/([^/]+)")
_BEGUN = re.compile(r"jobs/([0-9]+)-([0-9]+)")


@dataclass(frozen=True)
class Stored:
    """A whole checkpoint in a storage."""

    job: Job
    virtual_epoch: int
    names: tuple[str, ...] = field(compare=False)
    """Of its objects, the manifest first, whether they are listed yet or not."""


@dataclass(frozen=True)
class Listing:
    """What a storage has of a trial."""

    whole: tuple[Stored, ...]
    """The newest first: by the job that wrote it, and then by virtual epoch."""
    torn: tuple[Stored, ...]
    """Without a manifest: being written, or left by a process that died."""
    newest_job: Job
    files: Mapping[str, int]
    """Names of the trial's other files, with their sizes."""

    @property
    def virtual_epochs(self) -> list[int]:
        return sorted({each.virtual_epoch for each in self.whole})


class TrialStore:
    """The part of a storage that a trial has.

    Args:
        address: of the trial, such as `s3://bucket/runs/seg/trials/0007`.
        folder: of the trial on this machine.
        job: which uploads, fetches and removes.
    """

    def __init__(self, address: str, folder: Path, job: Job = ALONE) -> None:
        self._store, self._folder, self._job = Store(address), folder, job
        self._sent: dict[str, tuple[int, int]] = {}
        """Size and date of the small files as they were sent."""

    def listing(self) -> Listing:
        found: dict[tuple[Job, int], list[str]] = {}
        jobs: list[Job] = [ALONE]
        files: dict[str, int] = {}
        for name, size in self._store.names().items():
            if key := _KEY.fullmatch(name):
                job = int(key[2]), int(key[3])
                found.setdefault((job, int(key[1])), []).append(name)
                jobs.append(job)
            elif begun := _BEGUN.fullmatch(name):
                jobs.append((int(begun[1]), int(begun[2])))
            elif name.startswith(f"{_FILES}/"):
                files[name.removeprefix(f"{_FILES}/")] = size
        whole: list[Stored] = []
        torn: list[Stored] = []
        for (job, number), names in sorted(found.items(), reverse=True):
            place = names[0].rpartition("/")[0]
            in_order = tuple(f"{place}/{name}" for name in (MANIFEST, *FILES))
            stored = Stored(job, number, in_order)
            # Asked for by its name, as a listing may lag: what is whole must not be removed as torn.
            is_whole = in_order[0] in names or self._store.exists(in_order[0])
            (whole if is_whole else torn).append(stored)
        return Listing(tuple(whole), tuple(torn), max(jobs), files)

    def begin(self, expected: int = 0) -> list[str]:
        """Say that this job has begun, and bring here what the storage has of the trial and the folder lacks.

        Args:
            expected: virtual epoch of a checkpoint that must be there, for which it waits a while where the
                storage does not list it yet.

        Returns:
            A line for each checkpoint that is damaged in the storage.

        Raises:
            SupersededError: a newer job has begun.
        """
        listing = self.listing()
        self._require_newest(listing)
        self._store.write(f"jobs/{_text(self._job)}", b"")
        discard_cached(self._folder)
        self.fetch_files(listing)
        damaged, deadline = self.fetch(listing), time.monotonic() + _PATIENCE_SECONDS
        while max(list_checkpoints(self._folder), default=0) < expected and not damaged:
            if time.monotonic() > deadline:
                break  # who loads it says so
            time.sleep(_LOOK_SECONDS)
            damaged = self.fetch()
        return damaged

    def fetch(self, listing: Listing | None = None) -> list[str]:
        """Bring the checkpoint here that a job goes on from, unless it is here: the newest, verified.

        Args:
            listing: of just now.

        Returns:
            A line for each one that is damaged in the storage.
        """
        damaged: list[str] = []
        here = max(list_checkpoints(self._folder), default=0)
        for stored in (listing or self.listing()).whole:
            if stored.virtual_epoch <= here:
                break
            try:
                self.get(stored)
            except DamagedCheckpointError as error:
                damaged.append(
                    f"{stored.names[0].rpartition('/')[0]} in the storage is damaged ({error.reason})"
                )
            else:
                break
        return damaged

    def get(self, stored: Stored) -> Path:
        """Fetch one checkpoint, which is there under its name only when its hashes are right.

        Raises:
            DamagedCheckpointError: they are not.
        """
        final = checkpoint_folder(self._folder, stored.virtual_epoch)
        self._folder.mkdir(parents=True, exist_ok=True)
        with atomic_folder(final, writer=f".{_text(self._job)}") as partial:
            for name in stored.names:
                try:
                    self._store.get(name, partial / name.rpartition("/")[2])
                except FileNotFoundError as error:
                    raise DamagedCheckpointError(final, f"{name} is missing") from error
            try:
                verified(partial, stored.virtual_epoch)
            except DamagedCheckpointError as error:
                raise DamagedCheckpointError(final, error.reason) from error
        return final

    def put(self, virtual_epoch: int) -> None:
        """Upload a checkpoint of this machine as this job's, if it is not there.

        Raises:
            SupersededError: a newer job has begun.
            DamagedCheckpointError: it is damaged here.
        """
        listing = self.listing()
        self._require_newest(listing)
        self._upload(virtual_epoch, listing)

    def keep(self, *, newest: int, best: int, keep: int) -> None:
        """After a checkpoint was written: upload it and the trial's other files, and remove old ones.

        Raises:
            SupersededError: a newer job has begun; nothing was written.
        """
        listing = self.listing()
        self._require_newest(listing)
        self._send_files()
        self._upload(newest, listing)
        there = sorted({*listing.virtual_epochs, newest}, reverse=True)
        up_to = [number for number in there if number <= newest and number != best]
        kept = {best, *up_to[: max(1, keep - 1)]}
        self._remove(
            stored
            for stored in (*listing.whole, *listing.torn)
            if stored.job <= self._job and (stored.virtual_epoch not in kept or stored in listing.torn)
            if (stored.job, stored.virtual_epoch) != (self._job, newest)
        )

    def remove_beyond(self, newest: int) -> None:
        """When a job begins: remove what older jobs wrote after the checkpoint that it goes on from."""
        listing = self.listing()
        self._require_newest(listing)
        self._remove(
            stored
            for stored in (*listing.whole, *listing.torn)
            if stored.job < self._job and (stored.virtual_epoch > newest or stored in listing.torn)
        )

    def send_files(self) -> None:
        """Upload what has changed of the trial's other files."""
        self._require_newest(self.listing())
        self._send_files()

    def missing(self) -> list[Stored]:
        """Whole checkpoints there that are not here, each virtual epoch once."""
        here, found = set(list_checkpoints(self._folder)), dict[int, Stored]()
        for stored in self.listing().whole:
            if stored.virtual_epoch not in here:
                found.setdefault(stored.virtual_epoch, stored)
        return list(found.values())

    def fetch_files(self, listing: Listing | None = None) -> None:
        """Bring the trial's other files here, where they are not, or have grown since."""
        for name, size in (listing or self.listing()).files.items():
            file = self._folder / name
            here = file.stat().st_size if file.exists() else -1
            if here < size and file.name != OWN_FILE:
                self._folder.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError), atomic_file(file) as partial:
                    self._store.get(f"{_FILES}/{name}", partial)

    def remove_all(self) -> None:
        """Remove all checkpoints of the trial; its other files stay."""
        listing = self.listing()
        self._remove((*listing.whole, *listing.torn))

    def _upload(self, virtual_epoch: int, listing: Listing) -> None:
        if any((s.job, s.virtual_epoch) == (self._job, virtual_epoch) for s in listing.whole):
            return
        folder = read_checkpoint(self._folder, virtual_epoch).folder
        for name in (*FILES, MANIFEST):
            self._store.put(folder / name, f"{folder.name}/{_text(self._job)}/{name}")

    def _send_files(self) -> None:
        for file in sorted(self._folder.glob("[!.]*")):
            if not file.is_file() or file.name == JOB_FILE:
                continue
            with suppress(FileNotFoundError):  # it was removed since the folder was listed
                status = file.stat()
                now = status.st_size, status.st_mtime_ns
                if self._sent.get(file.name) != now:
                    self._store.put(file, f"{_FILES}/{file.name}")
                    self._sent[file.name] = now

    def _remove(self, unwanted: Iterable[Stored]) -> None:
        for stored in unwanted:
            self._store.remove(stored.names)

    def _require_newest(self, listing: Listing) -> None:
        if listing.newest_job > self._job and self._job != ALONE:
            raise SupersededError(
                f"job {_text(listing.newest_job)} of this trial has begun elsewhere; job {_text(self._job)} "
                f"stops, and writes nothing more in {self._store.address}"
            )


def discard_cached(trial_folder: Path) -> None:
    """Bound what a host without the run's own folder keeps of checkpoints that are in the storage anyway.

    Of the trials beside this one, the `CACHED_TRIALS` that were trained there last keep theirs.
    """
    others = [folder for folder in trial_folder.parent.glob("[0-9]*") if folder != trial_folder]
    # The run's own folder has this file in each trial's, and its driver sees to the checkpoints there.
    cached = [folder for folder in others if not (folder / OWN_FILE).exists() and list_checkpoints(folder)]
    for folder in sorted(cached, key=_last_change)[:-CACHED_TRIALS]:
        discard_all(checkpoint_folder(folder, number) for number in list_checkpoints(folder))


def _last_change(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _text(job: Job) -> str:
    return f"{job[0]}-{job[1]}"
