"""The files of an export, their checksums, and what a folder may hold that an export replaces."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from search.errors import RefusedError
from search.graphs.write import FILES as GRAPHS
from search.predicting.exported import CONFIG, INFERENCE, METRICS, PREPROCESSING, WEIGHTS
from trainables.checkpoints.checkpoint import sha256
from trainables.predicting.ensemble import ENSEMBLE, MEMBERS

CARD = "README.md"
SUMS = "SHA256SUMS"
FILES = (WEIGHTS, CONFIG, METRICS, CARD)
"""Files of every export, besides their checksums."""
PREPARED = "prepared.safetensors"
"""Arrays that the task prepared for the run; not in every export."""
DATA = "data.fingerprint"
"""What the data were made of, see `trainables.data.fingerprint`; not in every export."""
SOUP = "soup.json"
"""Which trials' weights were averaged, see `search.ensembles.soup`; not in every export."""
OPTIONAL_FILES = (PREPARED, PREPROCESSING, DATA, INFERENCE, SOUP, *GRAPHS)
OF_AN_ENSEMBLE = (ENSEMBLE, METRICS, CARD)
"""Files of every ensemble, whose members have those of an export each."""
_OF_A_MEMBER = re.compile(rf"{MEMBERS}/[0-9]+/({'|'.join(map(re.escape, (*FILES, *OPTIONAL_FILES, SUMS)))})")
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
    names = list(_names_below(out, written)) if written else [path.name for path in there]
    foreign = [name for name in names if name not in (*written, SUMS) and not _is_of_the_system(name)]
    edited = [name for name in names if name in written and sha256(out / name) != written[name]]
    if foreign or edited:
        found = [f"{_listed(foreign)}, which no export wrote"] if foreign else []
        found += [f"{_listed(edited)}, edited since"] if edited else []
        raise RefusedError(
            f"{out} holds {', and '.join(found)}; a new export would replace the folder: move these "
            "elsewhere, or give another --out"
        )


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS of all files of an export that are there, also of those of an ensemble's members."""
    written = [name for name in (*FILES, ENSEMBLE, *OPTIONAL_FILES) if (folder / name).is_file()]
    below = sorted(path.relative_to(folder).as_posix() for path in folder.glob(f"{MEMBERS}/*/*"))
    written += filter(_OF_A_MEMBER.fullmatch, below)
    sums = [f"{sha256(folder / name)}  {name}" for name in written]
    (folder / SUMS).write_text("\n".join(sums) + "\n", encoding="utf-8")


def names_listed(sums: Collection[str]) -> list[str]:
    """The files of an export that must be there: those of every one, and others that its sums name."""
    if ENSEMBLE in sums:
        return [*OF_AN_ENSEMBLE, *filter(_OF_A_MEMBER.fullmatch, sums)]
    return [*FILES, *(name for name in OPTIONAL_FILES if name in sums)]


def _names_below(folder: Path, written: Collection[str], above: str = "") -> Iterator[str]:
    """Names of what is in a folder, and in those folders of it that hold something which was written."""
    for path in sorted(folder.iterdir()):
        name = f"{above}{path.name}"
        if path.is_dir() and any(each.startswith(f"{name}/") for each in written):
            yield from _names_below(path, written, f"{name}/")
        else:
            yield name


def _is_of_the_system(name: str) -> bool:
    return name.rpartition("/")[2] in _OF_THE_SYSTEM


def _sums(file: Path) -> dict[str, str]:
    """SHA-256 by name, as `write_sums` wrote them."""
    lines = (line.partition("  ") for line in file.read_text(encoding="utf-8").splitlines())
    return {name: digest for digest, _, name in lines}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
