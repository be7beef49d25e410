"""`make gpu-wheels`: gathers what a bare machine with torch and Python 3.12 lacks, in batches to carry there.

    python -m benchmarks.gpu.wheels                  into build/gpu-wheels/1, 2, …, each at most 56 MiB
    python -m benchmarks.gpu.wheels --have numpy --have scipy    without what is there already

There, `python3 -m benchmarks.gpu.bare` joins, verifies and installs them, and makes the checks. Torch and
what CUDA it brings are never among them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import ROOT

WHEELS = ROOT / "build" / "gpu-wheels"
LIST = "wheels.json"
"""In every batch: the files of all of them, their sums and parts."""
_MEBIBYTE = 2**20
_BATCH, _PART = 56 * _MEBIBYTE, 40 * _MEBIBYTE
_GLIBC = ("2_34", "2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")
_PLATFORMS = [f"manylinux_{version}_x86_64" for version in _GLIBC] + ["manylinux2014_x86_64", "linux_x86_64"]
_THERE = re.compile(r"torch|torchvision|triton|nvidia[-_].*|cuda[-_].*", re.IGNORECASE)
"""Packages that come with the machine's torch."""


@dataclass(frozen=True)
class Part:
    """One file to carry: a wheel, or half of one."""

    file: str
    size: int


def main(arguments: Sequence[str] | None = None) -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--have", action="append", default=[], metavar="PACKAGE", help="it is there already")
    made.add_argument("--python", default="3.12", help="of the other machine (default 3.12)")
    made.add_argument("--out", type=Path, default=WHEELS, help=f"default {WHEELS.relative_to(ROOT)}")
    asked = made.parse_args(arguments)
    shutil.rmtree(asked.out, ignore_errors=True)
    download = asked.out / "download"
    gather(download, requirements(ROOT / "pyproject.toml"), asked.python)
    have = {_plain(name) for name in asked.have}
    wheels = [w for w in sorted(download.glob("*.whl")) if _plain(package_of(w)) not in have]
    check(wheels)
    batches = pack(wheels, asked.out)
    shutil.rmtree(download)
    for number, batch in enumerate(batches, start=1):
        size = sum(part.size for part in batch) / _MEBIBYTE
        names = ", ".join(part.file for part in batch)
        print(f"{asked.out / str(number)}  {size:5.1f} MiB  {names}")
    return 0


def requirements(pyproject: Path) -> list[str]:
    """What the program and the transformer need, but torch."""
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *project["optional-dependencies"]["transformers"]]
    return [line for line in asked if not _THERE.fullmatch(re.split(r"[\s\[<>=!~;]", line, maxsplit=1)[0])]


def gather(folder: Path, asked: Iterable[str], python: str) -> None:
    """Download the wheels of these and of all that they need, for another Python than this one."""
    folder.mkdir(parents=True)
    version = python.replace(".", "")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--only-binary=:all:", "--dest", str(folder), "-c", str(ROOT / "constraints.txt")]
    command += ["--implementation", "cp", "--python-version", python]
    for abi in (f"cp{version}", "abi3", "none"):
        command += ["--abi", abi]
    for platform in _PLATFORMS:
        command += ["--platform", platform]
    subprocess.run([*command, *asked], check=True)


def check(wheels: Sequence[Path]) -> None:
    """Raise ValueError where one is damaged, or is what the machine has already."""
    for wheel in wheels:
        if _THERE.fullmatch(package_of(wheel)):
            raise ValueError(f"{wheel.name} was gathered; torch and its CUDA must stay the machine's own")
        with zipfile.ZipFile(wheel) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            raise ValueError(f"{wheel.name} is damaged at {damaged}; run it again")


def pack(wheels: Sequence[Path], out: Path, *, batch: int = _BATCH, part: int = _PART) -> list[list[Part]]:
    """Copy wheels, larger ones in halves, into numbered folders of at most `batch` bytes each.

    Raises:
        ValueError: half of a wheel is larger than that.
    """
    parts, listed = [], {}
    for wheel in wheels:
        content = wheel.read_bytes()
        cut = (len(content) + 1) // 2 if len(content) > part else len(content)
        pieces = [content[:cut], content[cut:]] if cut < len(content) else [content]
        names = [f"{wheel.name}.{n}" for n in (1, 2)] if len(pieces) == 2 else [wheel.name]
        listed[wheel.name] = {"sha256": hashlib.sha256(content).hexdigest(), "parts": names}
        parts += [(name, piece) for name, piece in zip(names, pieces, strict=True)]
    batches: list[list[Part]] = []
    for name, piece in sorted(parts, key=lambda one: (-len(one[1]), one[0])):
        if len(piece) > batch:
            raise ValueError(f"{name} has {len(piece):,} bytes; a batch has room for {batch:,}")
        # The first with room: large ones come first.
        number = next(
            (n for n, files in enumerate(batches) if sum(f.size for f in files) + len(piece) <= batch), None
        )
        if number is None:
            number = len(batches)
            batches.append([])
            (out / str(number + 1)).mkdir(parents=True)
        batches[number].append(Part(name, len(piece)))
        (out / str(number + 1) / name).write_bytes(piece)
    for number in range(len(batches)):
        (out / str(number + 1) / LIST).write_text(json.dumps(listed, indent=1), encoding="utf-8")
    return batches


def package_of(wheel: Path) -> str:
    """`ray` of `ray-2.60.0-cp312-….whl`."""
    return wheel.name.partition("-")[0]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
