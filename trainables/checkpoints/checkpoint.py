"""Checkpoints on disk: written atomically, with a manifest of hashes that loading verifies.

A checkpoint is a folder `checkpoint_000003` (virtual epoch 3) with model.safetensors (parameters and
buffers), state.pt (everything else, loaded with weights_only=True) and manifest.json, which has its own hash
too. A folder under its final name is whole; anything else is ignored and removed. One that was damaged later
is set aside as `damaged_000003`, and the one before it is loaded.
"""

from __future__ import annotations

import errno
import hashlib
import json
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainables.fence import ALONE, Job, is_of_newer, own_name, require_newest
from trainables.files import atomic_folder, discard, discard_all, folder_bytes, list_partial, system_errors
from trainables.findings import a_type

MANIFEST_VERSION = 1
_PREFIX, _DAMAGED, _ORIGIN = "checkpoint_", "damaged_", "origin_"
_WEIGHTS, _STATE, MANIFEST = "model.safetensors", "state.pt", "manifest.json"
FILES = (_WEIGHTS, _STATE)
"""Of a checkpoint, beside its manifest."""
REASON = "reason.txt"
"""File in a checkpoint that was set aside, which says why."""
_NOT_THE_FILE = (errno.EACCES, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)
"""Errors unrelated to the file: a checkpoint must not be set aside for them."""


class DamagedCheckpointError(Exception):
    """A checkpoint whose files are not those of its manifest, or cannot be loaded."""

    def __init__(self, folder: Path, reason: str) -> None:
        super().__init__(f"{folder}: {reason}")
        self.folder, self.reason = folder, reason


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: `info` is what the writer gave, the rest is read on demand.

    `weights` and `state` raise DamagedCheckpointError for files with the right hash that do not hold tensors
    and plain values. Nothing in them is executed.
    """

    folder: Path
    virtual_epoch: int
    info: dict[str, Any]

    def weights(self) -> dict[str, Tensor]:
        with _reraise_as_damaged(self.folder, _WEIGHTS):
            return load_file(self.folder / _WEIGHTS)

    def state(self) -> dict[str, Any]:
        with _reraise_as_damaged(self.folder, _STATE):
            state = torch.load(self.folder / _STATE, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise DamagedCheckpointError(self.folder, f"{_STATE} holds {a_type(state)}, not a dict")
        return state


@dataclass(frozen=True)
class Loaded:
    """The contents of a checkpoint, all in memory."""

    virtual_epoch: int
    weights: dict[str, Tensor]
    state: dict[str, Any]
    info: dict[str, Any]


def write_checkpoint(
    trial_folder: Path,
    virtual_epoch: int,
    *,
    weights: Mapping[str, Tensor],
    state: Mapping[str, Any],
    info: Mapping[str, Any],
    job: Job = ALONE,
) -> Path:
    """Write one checkpoint atomically, as the newest job of the trial; returns its folder.

    Raises:
        SupersededError: a newer job has begun; nothing is left of the attempt.
        OSError: the disk is full or cannot be written; nothing is left of the attempt.
    """
    final = checkpoint_folder(trial_folder, virtual_epoch)

    def give_way() -> None:
        require_newest(trial_folder, job)
        if final.exists():
            discard(final)

    require_newest(trial_folder, job)
    with (
        atomic_folder(final, writer=own_name("", job), before=give_way) as folder,
        system_errors(),
    ):
        _write_files(folder, virtual_epoch, weights, state, info)
    return final


def _write_files(
    folder: Path,
    virtual_epoch: int,
    weights: Mapping[str, Tensor],
    state: Mapping[str, Any],
    info: Mapping[str, Any],
) -> None:
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    save_file(plain, folder / _WEIGHTS)
    # Python opens the file, as torch's own writer hides why it could not write.
    with (folder / _STATE).open("wb") as file:
        torch.save(dict(state), file)
    manifest = {
        "version": MANIFEST_VERSION,
        "virtual_epoch": virtual_epoch,
        "files": {name: {"sha256": sha256(folder / name)} for name in FILES},
        "versions": library_versions(),
        "info": dict(info),
    }
    # Through JSON first: what is hashed is what is read back, with keys of mappings as text.
    content = json.loads(json.dumps(manifest))
    (folder / MANIFEST).write_text(
        json.dumps(content | {"sha256": _content_sum(content)}, indent=1), encoding="utf-8"
    )


def checkpoint_folder(trial_folder: Path, virtual_epoch: int) -> Path:
    return trial_folder / f"{_PREFIX}{virtual_epoch:06d}"


def origin_folder(trial_folder: Path, virtual_epoch: int) -> Path:
    """Where the checkpoint of another trial is that this one goes on from, see `checkpoints.origin`."""
    return trial_folder / f"{_ORIGIN}{virtual_epoch:06d}"


def list_origins(trial_folder: Path) -> list[Path]:
    """Such checkpoints, the oldest first."""
    return sorted(trial_folder.glob(f"{_ORIGIN}*"))


def list_checkpoints(trial_folder: Path) -> list[int]:
    """Virtual epochs that have a checkpoint, ascending; nothing is verified."""
    numbers = (path.name.removeprefix(_PREFIX) for path in trial_folder.glob(f"{_PREFIX}*"))
    return sorted(int(number) for number in numbers if re.fullmatch("[0-9]{6,}", number))


def read_checkpoint(trial_folder: Path, virtual_epoch: int) -> Checkpoint:
    """Verify one checkpoint against its manifest.

    Raises:
        DamagedCheckpointError: a file is missing or has another SHA-256.
        ValueError: it is whole, but another version of this program wrote it.
        OSError: it could not be read for a reason outside it, such as missing rights.
    """
    return verified(checkpoint_folder(trial_folder, virtual_epoch), virtual_epoch)


def verified(folder: Path, virtual_epoch: int) -> Checkpoint:
    """Verify the checkpoint in this folder, as `read_checkpoint`."""
    with _reraise_as_damaged(folder, MANIFEST):
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        _compare(folder, MANIFEST, _content_sum(manifest), manifest["sha256"])
        version = manifest["version"]
    if version != MANIFEST_VERSION:
        raise ValueError(
            f"{folder} has version {version} of the checkpoint format and this program reads version "
            f"{MANIFEST_VERSION}; use the version of tune-search that wrote it, or take another folder"
        )
    for name in FILES:
        with _reraise_as_damaged(folder, name):
            _compare(folder, name, sha256(folder / name), manifest["files"][name]["sha256"])
    with _reraise_as_damaged(folder, MANIFEST):
        number, info = manifest["virtual_epoch"], manifest["info"]
    if number != virtual_epoch:
        raise DamagedCheckpointError(folder, f"holds virtual epoch {number}")
    if not isinstance(info, dict):
        raise DamagedCheckpointError(folder, f"{MANIFEST}: info is {a_type(info)}, not a mapping")
    return Checkpoint(folder, virtual_epoch, info)


def load_newest(trial_folder: Path, job: Job | None = None) -> tuple[Loaded | None, list[str]]:
    """Load the newest checkpoint that is intact; damaged ones are set aside, by a job while it is the newest.

    Returns:
        The checkpoint if there is one, and a line for each damaged one.

    Raises:
        SupersededError: a newer job has begun, and one is damaged.
        ValueError: the newest intact one was written by another version of this program.
        OSError: a checkpoint could not be read for a reason outside it.
    """
    damaged: list[str] = []
    loaded = None
    for virtual_epoch in reversed(list_checkpoints(trial_folder)):
        try:
            checkpoint = read_checkpoint(trial_folder, virtual_epoch)
            weights, state = checkpoint.weights(), checkpoint.state()
        except DamagedCheckpointError as error:
            set_aside(trial_folder, virtual_epoch, error.reason, job)
            damaged.append(f"{error.folder.name} is damaged ({error.reason}) and was set aside")
        else:
            loaded = Loaded(virtual_epoch, weights, state, checkpoint.info)
            break
    before = "the trial begins again" if loaded is None else "the one before is used"
    if damaged:
        damaged[-1] += f"; {before}"
    return loaded, damaged


def set_aside(trial_folder: Path, virtual_epoch: int, reason: str, job: Job | None = None) -> Path:
    """Rename a damaged checkpoint so that it is not loaded again, and record why in its reason.txt.

    Returns:
        Where it is now: `damaged_000003`, or `damaged_000003_2` where there is one of that name.

    Raises:
        SupersededError: a newer job than this one has begun, which may have written it.
    """
    if job is not None:
        require_newest(trial_folder, job)
    target = trial_folder / f"{_DAMAGED}{virtual_epoch:06d}"
    others = 1
    while target.exists():
        others += 1
        target = trial_folder / f"{_DAMAGED}{virtual_epoch:06d}_{others}"
    # The checkpoint may have vanished meanwhile, and a full disk has no room for the reason.
    with suppress(FileNotFoundError):
        checkpoint_folder(trial_folder, virtual_epoch).rename(target)
        with suppress(OSError):
            (target / REASON).write_text(reason + "\n", encoding="utf-8")
    return target


def remove_old_checkpoints(trial_folder: Path, *, newest: int, best: int, keep: int) -> None:
    """Of those up to `newest`, keep the best one and the newest ones, `keep` in all (at least these two).

    One that is newer is another job's, which has gone further.
    """
    there = [number for number in list_checkpoints(trial_folder) if number <= newest]
    newest_first = [number for number in reversed(there) if number != best]
    kept = {best, *newest_first[: max(1, keep - 1)]}
    discard_all(checkpoint_folder(trial_folder, number) for number in there if number not in kept)


def remove_beyond(trial_folder: Path, newest: int, job: Job | None = None) -> None:
    """When a job begins: remove what is newer than the checkpoint that it goes on from, or half written.

    Raises:
        SupersededError: a newer job has begun.
    """
    beyond = (number for number in list_checkpoints(trial_folder) if number > newest)
    partial = (path for path in _list_partial(trial_folder) if job is None or not is_of_newer(path.name, job))
    unwanted = [*(checkpoint_folder(trial_folder, number) for number in beyond), *partial]
    if job is not None:
        require_newest(trial_folder, job)  # since it began, it has read much, and may have waited
    discard_all(unwanted)


def remove_checkpoints(trial_folder: Path) -> int:
    """Remove all checkpoints of a trial, also those set aside or half written; returns the bytes freed."""
    freed = 0
    for folder in _all_folders(trial_folder):
        size = folder_bytes(folder)
        with suppress(OSError):
            discard(folder)
            freed += size
    return freed


def checkpoint_bytes(trial_folder: Path) -> int:
    """Bytes that `remove_checkpoints` would free."""
    return sum(folder_bytes(folder) for folder in _all_folders(trial_folder))


def list_damaged(trial_folder: Path) -> list[Path]:
    """Checkpoints that were set aside."""
    return sorted(trial_folder.glob(f"{_DAMAGED}*"))


def _list_partial(trial_folder: Path) -> list[Path]:
    """Checkpoints whose writing or removal was interrupted or is under way."""
    return [p for p in list_partial(trial_folder) if p.name.startswith((f".{_PREFIX}", f".{_ORIGIN}"))]


def _all_folders(trial_folder: Path) -> list[Path]:
    whole = [checkpoint_folder(trial_folder, number) for number in list_checkpoints(trial_folder)]
    others = [*list_damaged(trial_folder), *list_origins(trial_folder)]
    return [*whole, *others, *_list_partial(trial_folder)]


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def library_versions() -> dict[str, str]:
    """Versions that decide whether a number can be computed again exactly."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "safetensors": safetensors.__version__,
    }


def _content_sum(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of everything in a manifest but the hash itself."""
    content = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _compare(folder: Path, name: str, found: str, expected: str) -> None:
    if found != expected:
        reason = f"{name}: SHA-256 is {found[:12]}…, the manifest says {expected[:12]}…"
        raise DamagedCheckpointError(folder, reason)


@contextmanager
def _reraise_as_damaged(folder: Path, name: str) -> Iterator[None]:
    """Raise DamagedCheckpointError for whatever goes wrong in reading a damaged file."""
    try:
        yield
    except DamagedCheckpointError:
        raise
    except Exception as error:
        own = isinstance(error, OSError) and error.errno in _NOT_THE_FILE
        # Torch reports a full main memory as a plain RuntimeError.
        if own or isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            raise
        # Torch's own text is a page, and says how to load the file unsafely.
        kind = type(error).__name__
        cause = (error.strerror or kind) if isinstance(error, OSError) else f"cannot be read ({kind})"
        raise DamagedCheckpointError(folder, f"{name}: {cause}") from error
