"""The options of sbatch that a person gives: what they say about the job, and which of them cannot be."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from search.errors import ConfigError, Problem
from search.text import duration, shown

_OPTION = "--slurm"
_REFUSED = {
    ("-a", "--array"): "a search is one job: its trials run side by side by themselves; leave it out",
    ("", "--wrap"): "the script is that of the search; leave it out",
    (
        "",
        "--signal",
    ): "the search is asked to end by one of its own; --wind-down says how long before the limit",
    ("", "--requeue"): "that is so by itself; leave it out",
    ("", "--no-requeue"): "give --no-requeue to submit itself, not within --slurm",
    ("-o", "--output"): "it is in the run's folder, where the next start appends to it; leave it out",
    ("-e", "--error"): "it is in the run's folder, where the next start appends to it; leave it out",
    ("", "--open-mode"): "the output of each start is appended; leave it out",
    ("-W", "--wait"): "submit returns at once; `tail -F` of the output shows the search",
    ("-D", "--chdir"): "the search runs in the folder where submit does; change into another one before",
}
"""By short and long name, why submit takes no such option."""
_EXAMPLE = '-t 4:00:00, as in --slurm "-p gpu --gres=gpu:4 -t 4:00:00"'
_FORMS = "minutes, minutes:seconds, hours:minutes:seconds, days-hours or days-hours:minutes:seconds"
_NONE = ("unlimited", "infinite")


@dataclass(frozen=True)
class SlurmOptions:
    """What `--slurm` holds."""

    words: tuple[str, ...] = ()
    """As a shell splits them."""

    @classmethod
    def parse(cls, text: str) -> SlurmOptions:
        """The options in one text.

        Raises:
            ConfigError: it is no list of options, or has one that a search cannot have.
        """
        try:
            words = tuple(shlex.split(text))
        except ValueError as error:
            raise _refusal(f"received {shown(text)}: {error}; quote as in a shell") from None
        if words and not words[0].startswith("-"):
            raise _refusal(f"received {shown(text)}; must be options of sbatch, such as {_EXAMPLE}")
        if ":" in words:
            raise _refusal(
                "`:` begins another part of a heterogeneous job, and a search is one job; leave it out"
            )
        if control := next((word for word in words if not word.isprintable()), None):
            raise _refusal(f"received {shown(control)}, with a sign that no line of a script can have")
        options = cls(words)
        for (short, long), reason in _REFUSED.items():
            if options.has(short, long):
                raise _refusal(f"{long}: {reason}")
        return options

    def has(self, short: str, long: str) -> bool:
        """Whether an option is there, in any of its spellings; a value may look like a short one."""
        return any(self._is(word, short, long) for word in self.words)

    def value(self, short: str, long: str) -> str | None:
        """The last value of an option, in any of its spellings."""
        found = None
        for word, after in zip(self.words, (*self.words[1:], ""), strict=False):
            if word in (short, long):
                found = after
            elif word.startswith(f"{long}="):
                found = word.removeprefix(f"{long}=")
            elif short and word.startswith(short) and not word.startswith("--"):
                found = word.removeprefix(short)
        return found

    @staticmethod
    def _is(word: str, short: str, long: str) -> bool:
        if word == long or word.startswith(f"{long}="):
            return True
        return bool(short) and word.startswith(short) and not word.startswith("--")

    def limit_seconds(self) -> float | None:
        """The time limit; None where it is unlimited.

        Raises:
            ConfigError: there is none, or it is in no form that SLURM reads.
        """
        text = self.value("-t", "--time")
        if text is None:
            raise _refusal(
                "has no time limit (-t), and the search is to end before it and to be requeued; "
                f"add one, such as {_EXAMPLE}, or give --no-requeue"
            )
        if text.lower() in _NONE:
            return None
        seconds = _seconds(text)
        if not seconds:
            raise _refusal(f"-t: received {shown(text)}; must be {_FORMS}, such as 4:00:00")
        return seconds

    def require_longer_than(self, seconds: float) -> None:
        """Raise ConfigError unless there is a time limit which is longer than winding down may take."""
        limit = self.limit_seconds()
        if limit is not None and limit <= 2 * seconds:
            raise _refusal(
                f"-t {self.value('-t', '--time')} is {duration(limit)}, and the search is asked to end "
                f"{duration(seconds)} before; the limit must be more than twice as long: "
                "give a longer one, or a shorter --wind-down"
            )

    def lines(self) -> list[str]:
        """As sbatch reads them in a script: one with its value in each line."""
        found: list[list[str]] = []
        for word in self.words:
            if word.startswith("-") or not found:
                found.append([])
            found[-1].append(quoted(word))
        return [f"#SBATCH {' '.join(words)}" for words in found]


def quoted(word: str) -> str:
    """The word as sbatch reads it behind #SBATCH, which knows a shell's quotes, and `#` as a comment."""
    if re.fullmatch(r"[\w.,:=/@%+*\[\]&|!^-]+", word):
        return word
    escaped = re.sub(r'(["\\])', r"\\\1", word)
    return f'"{escaped}"'


def _seconds(text: str) -> float | None:
    """Seconds of a time as SLURM writes it; None for anything else."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?", text)
    if found is None:
        return None
    days, *rest = found.groups()
    numbers = [int(number) for number in rest if number is not None]
    # One or two numbers alone are minutes and seconds, behind days they begin with hours.
    units = (3600, 60, 1) if days is not None or len(numbers) == 3 else (60, 1)
    return int(days or 0) * 86_400 + sum(n * unit for n, unit in zip(numbers, units, strict=False))


def _refusal(message: str) -> ConfigError:
    return ConfigError([Problem(_OPTION, "", message)])
