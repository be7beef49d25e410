"""Options of sbatch, read as it does: abbreviated names, bundled letters, values that look like options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

_LETTERS = frozenset("HIQVhkOsuv")
"""Short options without a value: one word may hold several."""
_FLAGS = frozenset(
    [
        "contiguous",
        "exclusive",
        "get-user-env",
        "help",
        "hold",
        "ignore-pbs",
        "immediate",
        "nice",
        "no-kill",
        "no-requeue",
        "overcommit",
        "oversubscribe",
        "parsable",
        "propagate",
        "quiet",
        "reboot",
        "requeue",
        "share",
        "spread-job",
        "stepmgr",
        "test-only",
        "usage",
        "use-min-nodes",
        "verbose",
        "version",
        "wait",
    ]
)
"""Long ones that have none, or only behind `=`."""
_VALUED = frozenset(
    [
        "account",
        "acctg-freq",
        "array",
        "batch",
        "bb",
        "bbf",
        "begin",
        "chdir",
        "cluster-constraint",
        "clusters",
        "comment",
        "constraint",
        "container",
        "container-id",
        "core-spec",
        "cores-per-socket",
        "cpu-freq",
        "cpus-per-gpu",
        "cpus-per-task",
        "deadline",
        "delay-boot",
        "dependency",
        "distribution",
        "error",
        "exclude",
        "export",
        "export-file",
        "extra",
        "extra-node-info",
        "gid",
        "gpu-bind",
        "gpu-freq",
        "gpus",
        "gpus-per-node",
        "gpus-per-socket",
        "gpus-per-task",
        "gres",
        "gres-flags",
        "hint",
        "input",
        "job-name",
        "kill-on-invalid-dep",
        "licenses",
        "mail-type",
        "mail-user",
        "mcs-label",
        "mem",
        "mem-bind",
        "mem-per-cpu",
        "mem-per-gpu",
        "mincpus",
        "network",
        "nodefile",
        "nodelist",
        "nodes",
        "ntasks",
        "ntasks-per-core",
        "ntasks-per-gpu",
        "ntasks-per-node",
        "ntasks-per-socket",
        "open-mode",
        "output",
        "partition",
        "power",
        "prefer",
        "priority",
        "profile",
        "qos",
        "reservation",
        "resv-ports",
        "signal",
        "sockets-per-node",
        "switches",
        "thread-spec",
        "threads-per-core",
        "time",
        "time-min",
        "tmp",
        "tres-bind",
        "tres-per-task",
        "uid",
        "wait-all-nodes",
        "wckey",
        "wrap",
    ]
)
LONG_NAMES = frozenset(f"--{name}" for name in _FLAGS | _VALUED)
"""Of SLURM 22.05, and some of later ones."""


class Given(NamedTuple):
    """One option."""

    name: str
    """-t or --time, as it was written; empty for a word that is no option."""
    value: str | None
    words: Sequence[str]
    """It with its value; of bundled options, the same for each of them."""


def read_options(words: Sequence[str]) -> list[Given]:
    """The options in these words, in order."""
    found: list[Given] = []
    rest = list(words)
    while rest:
        word = rest[0]
        taken = list(rest[: 1 + _needs_next(word, rest[1:2])])
        found += _long(taken) if word.startswith("--") else _short(taken)
        rest = rest[len(taken) :]
    return found


def _needs_next(word: str, after: Sequence[str]) -> bool:
    """Whether the value is the word after this one."""
    if not after or word in ("-", "--") or not word.startswith("-"):
        return False
    if not word.startswith("--"):
        return word[1:].lstrip("".join(_LETTERS)) == word[-1:]
    name, equals, _ = word[2:].partition("=")
    if equals:
        return False
    meant = _meant(name)
    # What a later SLURM may know besides.
    return meant in _VALUED or (meant not in _FLAGS and not after[0].startswith("-"))


def _meant(name: str) -> str:
    """The name that an abbreviation stands for."""
    if name in _FLAGS | _VALUED:
        return name
    possible = [known for known in _FLAGS | _VALUED if known.startswith(name)]
    return possible[0] if len(possible) == 1 else name


def _long(words: Sequence[str]) -> Iterator[Given]:
    name, equals, value = words[0].partition("=")
    if name == "--":
        yield Given("", None, words)
    elif equals:
        yield Given(name, value, words)
    else:
        yield Given(name, words[1] if len(words) > 1 else None, words)


def _short(words: Sequence[str]) -> Iterator[Given]:
    word = words[0]
    if not word.startswith("-") or word == "-":
        yield Given("", None, words)
        return
    for at, letter in enumerate(word[1:], 1):
        if letter not in _LETTERS:
            yield Given(f"-{letter}", word[at + 1 :] or (words[1] if len(words) > 1 else None), words)
            return
        yield Given(f"-{letter}", None, words)
