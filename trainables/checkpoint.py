"""Checkpoints on disk: written beside and renamed, with a manifest of hashes, and checked on loading.

A checkpoint is a folder `checkpoint_000003` (virtual epoch 3) with model.safetensors (parameters and
buffers), state.pt (everything else, loaded with weights_only=True) and manifest.json, which is written
last and carries a sum of itself too. A folder under its final name is whole; anything else is ignored and
removed.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

log = logging.getLogger(__name__)

MANIFEST_VERSION = 1
_PREFIX = "checkpoint_"
_WEIGHTS, _STATE, _MANIFEST = "model.safetensors", "state.pt", "manifest.json"
_FILES = (_WEIGHTS, _STATE)


class DamagedCheckpointError(Exception):
    """A checkpoint whose files are not those of its manifest."""


@dataclass(frozen=True)
class Checkpoint:
    """A verified checkpoint: `info` is what the writer gave, the rest is read on demand."""

    folder: Path
    virtual_epoch: int
    info: dict[str, Any]

    def weights(self) -> dict[str, Tensor]:
        return load_file(self.folder / _WEIGHTS)

    def state(self) -> dict[str, Any]:
        return torch.load(self.folder / _STATE, map_location="cpu", weights_only=True)


def write_checkpoint(
    trial_folder: Path,
    virtual_epoch: int,
    *,
    weights: Mapping[str, Tensor],
    state: Mapping[str, Any],
    info: Mapping[str, Any],
) -> Path:
    """Write one checkpoint so that it is there whole or not at all; returns its folder."""
    final = checkpoint_folder(trial_folder, virtual_epoch)
    partial = trial_folder / f".{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in weights.items()}
    save_file(plain, partial / _WEIGHTS)
    torch.save(dict(state), partial / _STATE)
    manifest = {
        "version": MANIFEST_VERSION,
        "virtual_epoch": virtual_epoch,
        "files": {name: {"sha256": sha256(partial / name)} for name in _FILES},
        "versions": library_versions(),
        "info": dict(info),
    }
    # Through JSON first: what is summed up is what is read back, with keys of mappings as text.
    content = json.loads(json.dumps(manifest))
    (partial / _MANIFEST).write_text(json.dumps(content | {"sha256": _content_sum(content)}, indent=1))
    for name in (*_FILES, _MANIFEST):
        _sync(partial / name)
    _sync(partial)
    if final.exists():
        shutil.rmtree(final)
    partial.rename(final)
    _sync(trial_folder)
    return final


def checkpoint_folder(trial_folder: Path, virtual_epoch: int) -> Path:
    return trial_folder / f"{_PREFIX}{virtual_epoch:06d}"


def list_checkpoints(trial_folder: Path) -> list[int]:
    """Virtual epochs that have a checkpoint, in rising order; nothing is verified."""
    return sorted(
        int(path.name.removeprefix(_PREFIX))
        for path in trial_folder.glob(f"{_PREFIX}*")
        if path.name.removeprefix(_PREFIX).isdigit()
    )


def read_checkpoint(trial_folder: Path, virtual_epoch: int) -> Checkpoint:
    """Verify one checkpoint against its manifest.

    Raises:
        DamagedCheckpointError: a file is missing or its SHA-256 sum is another.
        ValueError: it is whole, but another version of this program wrote it.
    """
    folder = checkpoint_folder(trial_folder, virtual_epoch)
    try:
        manifest = json.loads((folder / _MANIFEST).read_text())
        _compare(folder / _MANIFEST, _content_sum(manifest), manifest["sha256"])
        version = manifest["version"]
        if version == MANIFEST_VERSION:
            for name in _FILES:
                _compare(folder / name, sha256(folder / name), manifest["files"][name]["sha256"])
            if manifest["virtual_epoch"] != virtual_epoch:
                raise DamagedCheckpointError(f"{folder} holds virtual epoch {manifest['virtual_epoch']}")
            return Checkpoint(folder, virtual_epoch, manifest["info"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedCheckpointError(f"{folder}: {type(error).__name__}: {error}") from error
    raise ValueError(
        f"{folder} has version {version} of the checkpoint format and this program reads version "
        f"{MANIFEST_VERSION}; go on with the version of tune-search that wrote it, or take another folder"
    )


def newest_checkpoint(trial_folder: Path) -> Checkpoint | None:
    """The newest checkpoint that is intact; damaged ones are passed over with a warning.

    Raises:
        ValueError: the newest intact one was written by another version of this program.
    """
    for virtual_epoch in reversed(list_checkpoints(trial_folder)):
        try:
            return read_checkpoint(trial_folder, virtual_epoch)
        except DamagedCheckpointError as error:
            log.warning("damaged checkpoint passed over: %s", error)
    return None


def remove_old_checkpoints(trial_folder: Path, *, newest: int, best: int, keep: int) -> None:
    """Keep the best one and, with it, the newest ones up to `keep` in all (at least best and newest).

    What lies beyond `newest`, the one just written, is a damaged one that was passed over: it goes too, and
    so do the rests of an interrupted writing.
    """
    there = list_checkpoints(trial_folder)
    newest_first = [number for number in reversed(there) if number != best and number <= newest]
    kept = {best, *newest_first[: max(1, keep - 1)]}
    unwanted = [checkpoint_folder(trial_folder, number) for number in there if number not in kept]
    for folder in (*unwanted, *trial_folder.glob(f".{_PREFIX}*.partial")):
        shutil.rmtree(folder, ignore_errors=True)


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
    """SHA-256 of a manifest's content: everything in it besides this sum."""
    content = {name: value for name, value in manifest.items() if name != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _compare(file: Path, found: str, expected: str) -> None:
    if found != expected:
        raise DamagedCheckpointError(f"{file}: SHA-256 is {found[:12]}…, the manifest says {expected[:12]}…")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
