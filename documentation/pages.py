"""`make docs`: gathers the pages, and the files that they link to, for zensical.

The folder has the layout of the repository, so a link that is right on GitHub is right on the site too.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GATHERED = ROOT / "build" / "pages"
"""`docs_dir` of zensical.toml."""

_LINK = re.compile(r"\]\(<?([^)<>\s]+)>?(?:\s+\"[^\"]*\")?\)")
_CODE = re.compile(r"^ *(```+)[^\n]*\n.*?^ *\1 *$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_OUTSIDE = ("http://", "https://", "mailto:")


def pages(root: Path = ROOT) -> list[Path]:
    """All pages for people: those of the project, of docs/, and the notes beside the benchmarks."""
    return sorted([*root.glob("*.md"), *(root / "docs").glob("*.md"), *(root / "benchmarks").rglob("*.md")])


def links(page: str) -> Iterator[str]:
    """The targets of the links and pictures of a page that lead to files or headings, as they are written."""
    for target in _LINK.findall(_CODE.sub("", page)):
        if not target.startswith(_OUTSIDE):
            yield target


def gather(root: Path = ROOT, out: Path = GATHERED) -> list[Path]:
    """Copy the pages, what they link to, and style and scripts; returns the copies, relative to `out`."""
    shutil.rmtree(out, ignore_errors=True)
    files = {*pages(root), *(root / "documentation").glob("*.[cj]s*")}
    for page in pages(root):
        for target in links(page.read_text(encoding="utf-8")):
            file = (page.parent / target.partition("#")[0]).resolve()
            if file.is_file() and file.is_relative_to(root):
                files.add(file)
    copies = sorted(file.relative_to(root) for file in files)
    for copy in copies:
        (out / copy).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / copy, out / copy)
    return copies


if __name__ == "__main__":
    print(f"{len(gather())} files gathered below {GATHERED.relative_to(ROOT)}")
