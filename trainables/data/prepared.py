"""Arrays that a run computes once and keeps in its folder, so that all of its trials are measured alike.

A file is written beside and linked to its name: it exists completely or not at all, and if several processes
compute it at once, all use the first one's. The file is safetensors, with a sum of its content.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from trainables.files import atomic_file

Arrays = dict[str, np.ndarray]

_SUM = "sha256"


class DamagedArraysError(Exception):
    """A file of prepared arrays that is not as it was written."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(
            f"{file} is damaged ({reason}); remove it, and it is computed again: values from before and "
            "after compare only where the same libraries give the same arrays"
        )
        self.file, self.reason = file, reason


def data_key(task: str, options: Mapping[str, Any]) -> str:
    """Names the decoded data of a task: trials with equal keys can share it."""
    return f"{task} {json.dumps(options.get('data', {}), sort_keys=True)}"


def prepared_file(folder: Path, task: str, options: Mapping[str, Any]) -> Path:
    """The file in `folder` for the data of these options."""
    key = data_key(task, options).encode()
    return folder / f"{hashlib.sha256(key).hexdigest()[:16]}.safetensors"


def with_prepared(
    arrays: Mapping[str, np.ndarray], file: Path | None, prepare: Callable[[], Arrays]
) -> Arrays:
    """The loaded arrays and the prepared ones: from `file`, or computed and, where there are any, kept there.

    Raises:
        DamagedArraysError: the file is not as it was written.
        ValueError: a prepared array has the name of a loaded one.
    """
    if file is None:
        prepared = prepare()
    elif file.is_file():
        prepared = read_arrays(file)
    else:
        prepared = prepare()
        if prepared:
            write_arrays(file, prepared)
            prepared = read_arrays(file)  # another process may have been first
    clashing = sorted(set(arrays) & set(prepared))
    if clashing:
        raise ValueError(f"prepare() returns {', '.join(clashing)}, which load_data() returned; rename it")
    return {**arrays, **prepared}


def write_arrays(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the file whole, unless it is there."""
    plain = {name: np.asarray(array, order="C") for name, array in sorted(arrays.items())}
    content = save(plain, metadata={_SUM: _content_sum(plain)})
    file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file, keep_first=True) as partial:
        partial.write_bytes(content)


def read_arrays(file: Path) -> Arrays:
    """The arrays of a file, compared with their sum.

    Raises:
        DamagedArraysError: they are others than were written, or cannot be read.
    """
    try:
        with safe_open(file, framework="numpy") as opened:
            arrays = {name: opened.get_tensor(name) for name in sorted(opened.keys())}
            expected = (opened.metadata() or {}).get(_SUM, "nothing")
    except (SafetensorError, ValueError, TypeError, KeyError) as error:
        raise DamagedArraysError(file, f"cannot be read: {type(error).__name__}") from error
    found = _content_sum(arrays)
    if found != expected:
        raise DamagedArraysError(file, f"SHA-256 is {found[:12]}…, its header says {expected[:12]}…")
    return arrays


def _content_sum(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of names, types, shapes and bytes."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()
