"""The files of an export, their checksums, and what a folder may hold that an export replaces."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from search.errors import RefusedError
from search.graphs.write import FILES as GRAPHS
from search.predicting.exported import CONFIG, INFERENCE, METRICS, PREPROCESSING, WEIGHTS
from trainables.checkpoint import sha256

CARD = "README.md"
SUMS = "SHA256SUMS"
FILES = (WEIGHTS, CONFIG, METRICS, CARD)
"""Files of every export, besides their checksums."""
PREPARED = "prepared.safetensors"
"""Arrays that the task prepared for the run; not in every export."""
DATA = "data.fingerprint"
"""What the data were made of, see `trainables.data.fingerprint`; not in every export."""
OPTIONAL_FILES = (PREPARED, PREPROCESSING, DATA, INFERENCE, *GRAPHS)
_OF_THE_SYSTEM = (".DS_Store", "Thumbs.db", "desktop.ini")
"""What file managers write into any folder."""


def refuse_other_content(out: Path) -> None:
    """Refuse a folder with anything that no export wrote, or that a person has edited since.

    Raises:
        SearchError: with the names of such files.
    """
    there = sorted(out.iterdir()) if out.is_dir() else []
    if out.exists() and (there or not out.is_dir()) and not (out / SUMS).is_file():
        raise RefusedError(f"{out} exists and is not an export: it has no {SUMS}; give another --out")
    written = _sums(out / SUMS) if there else {}
    foreign = [path.name for path in there if path.name not in (*written, SUMS, *_OF_THE_SYSTEM)]
    edited = [path.name for path in there if path.name in written and sha256(path) != written[path.name]]
    if foreign or edited:
        found = [f"{_listed(foreign)}, which no export wrote"] if foreign else []
        found += [f"{_listed(edited)}, edited since"] if edited else []
        raise RefusedError(
            f"{out} holds {', and '.join(found)}; a new export would replace the folder: move these "
            "elsewhere, or give another --out"
        )


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of all files of an export that are there."""
    written = [name for name in (*FILES, *OPTIONAL_FILES) if (folder / name).is_file()]
    sums = [f"{sha256(folder / name)}  {name}" for name in written]
    (folder / SUMS).write_text("\n".join(sums) + "\n", encoding="utf-8")


def _sums(file: Path) -> dict[str, str]:
    """SHA-256 by name, as `write_sums` wrote them."""
    lines = (line.partition("  ") for line in file.read_text(encoding="utf-8").splitlines())
    return {name: digest for digest, _, name in lines}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
