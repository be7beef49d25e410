"""The code blocks of README, CONTRIBUTING and docs/, and how the comments above them have them tested.

A block is a fence with a language. What its language says happens to it, in the order of the page, in a
folder for that page (page_folders.py):

    sh        each line is run; one of `tune-search` alone in this process without Ray, all else by bash
    console   the lines after `$ ` are run; what is printed is for the reader
    yaml      loaded as a configuration; what a part of one lacks is put beside it
    python    executed; the blocks of a page share their names, and `search` is imported
    text, diff, json, toml    nothing: outputs, layouts, differences

A comment in the line above says otherwise; readers of the page do not see it:

    <!-- doc: needs=cluster -->             not run, because of what it needs: a word of NEEDS
    <!-- doc: exit=1 -->                    the last command ends with that code
    <!-- doc: "small=50 -> 6; 81 -> 4" -->  these texts are replaced in commands that would take minutes
    <!-- doc: file=my_project/lanes.py -->  written to that file first; a configuration is loaded from there
    <!-- doc: compile -->                   of Python: only compiled, as it is a part of a program
    <!-- doc: "beside=task: gan" -->        of YAML: what stands beside this part in its file
    <!-- doc: each-line -->                 of YAML: each line is an example by itself
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from rooms import ROOT

RUN = ("sh", "console", "yaml", "python")
SHOWN = ("text", "diff", "json", "toml")
NEEDS = {
    "cluster": "a Ray cluster",
    "docker": "a daemon that can pull",
    "gpu": "a GPU",
    "installation": "a shell in a copy of the repository, whose .venv it makes or changes",
    "jq": "jq, which a machine may not have",
    "kubernetes": "a Kubernetes cluster",
    "minutes": "many minutes",
    "server": "a program that goes on until it is ended",
    "slurm": "SLURM",
    "torchvision": "a package that is not installed for the tests",
}
KEYS = {"needs", "exit", "small", "file", "compile", "beside", "each-line"}
COMMAND = re.compile(r"(\$ )?(tune-search|make|python3?|pip|ray|docker|kubectl|tensorboard|sbatch)\b")

_FENCE = re.compile(r"^( *)(```+)(.*)$")
_MARK = re.compile(r"^ *<!-- doc: (.*) -->$")


class PageError(Exception):
    """A block, or the comment above it, that cannot be understood: PAGE:LINE and why."""


@dataclass(frozen=True)
class Block:
    page: Path
    """Relative to the repository."""
    line: int
    language: str
    text: str
    marks: dict[str, str]

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def smaller(self) -> list[tuple[str, str]]:
        """Texts of the commands, and what stands in the place of each when they are run."""
        pairs = filter(None, self.marks.get("small", "").split(";"))
        parts = [pair.partition("->") for pair in pairs]
        return [(shown.strip(), run.strip()) for shown, _, run in parts]

    @property
    def commands(self) -> list[str]:
        """The lines of a shell that it holds, those that go on with a backslash as one."""
        lines = self.text.replace("\\\n", " ").splitlines()
        if self.language == "console":
            return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def pages() -> list[Path]:
    """The pages whose blocks are tested, relative to the repository."""
    return [
        Path("README.md"),
        Path("CONTRIBUTING.md"),
        *sorted(p.relative_to(ROOT) for p in ROOT.glob("docs/*.md")),
    ]


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page, in order.

    Raises:
        PageError: a block without a language, or one that is indented; a comment that is not understood.
    """
    return parse((ROOT / page).read_text(encoding="utf-8"), page)


def parse(text: str, page: Path) -> list[Block]:
    lines, found, number = text.splitlines(), [], 0
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        if fence is None:
            _refuse_indented(lines, number, page)
            _refuse_stray(lines, number, page)
            number += 1
            continue
        indent, ticks, language = len(fence[1]), fence[2], fence[3].strip()
        end = next(n for n in range(number + 1, len(lines)) if lines[n].strip() == ticks)
        inner = [line[indent:] for line in lines[number + 1 : end]]
        marks = _marks(lines[number - 1] if number else "", f"{page}:{number}")
        block = Block(page, number + 1, language, "\n".join(inner) + "\n", marks)
        _check(block)
        found.append(block)
        number = end + 1
    return found


def _marks(above: str, place: str) -> dict[str, str]:
    mark = _MARK.match(above)
    words = shlex.split(mark[1]) if mark else []
    marks = {key: value for key, _, value in (word.partition("=") for word in words)}
    if unknown := sorted(set(marks) - KEYS):
        raise PageError(f"{place}: unknown {', '.join(unknown)}; known: {', '.join(sorted(KEYS))}")
    if (need := marks.get("needs")) is not None and need not in NEEDS:
        raise PageError(f"{place}: needs={need}; must be one of {', '.join(NEEDS)}")
    return marks


def _check(block: Block) -> None:
    if block.language not in (*RUN, *SHOWN):
        known = ", ".join((*RUN, *SHOWN))
        raise PageError(f"{block.place}: language {block.language!r}; must be one of {known}")
    if block.language in SHOWN and block.marks:
        raise PageError(f"{block.place}: a block of {block.language} is not run, so the comment says nothing")
    if block.language in SHOWN and COMMAND.match(block.text):
        raise PageError(f"{block.place}: begins with a command, but is not run: call it sh or console")
    if unused := [shown for shown, _ in block.smaller if shown not in block.text]:
        raise PageError(f"{block.place}: small={unused[0]}: there is no such text in the block")
    if block.language == "console" and not block.commands:
        raise PageError(f"{block.place}: a console without a line that begins with `$ `")


def _refuse_indented(lines: list[str], number: int, page: Path) -> None:
    """Four spaces make a block that nobody runs; in a list they are its text, unless it is a command."""
    line, above = lines[number], lines[number - 1] if number else ""
    before = next(filter(str.strip, reversed(lines[:number])), "")
    in_list = re.match(r" |[-*+] |\d+\. ", before) and not COMMAND.match(line.strip())
    if not above.strip() and re.match(r" {4}\S", line) and not in_list:
        raise PageError(f"{page}:{number + 1}: an indented block; write a fence with a language")


def _refuse_stray(lines: list[str], number: int, page: Path) -> None:
    below = lines[number + 1] if number + 1 < len(lines) else ""
    if _MARK.match(lines[number]) and not _FENCE.match(below):
        raise PageError(f"{page}:{number + 1}: there is no block in the line below this comment")


if __name__ == "__main__":
    for page in pages():
        for block in blocks_of(page):
            told = " ".join(f"{key}={value}" if value else key for key, value in block.marks.items())
            print(f"{block.place:45} {block.language:8} {told}")
