"""The options of sbatch that a person gives: what they say about the job, and which of them cannot be."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from search.errors import ConfigError, Problem
from search.slurm.sbatch import LONG_NAMES, Given, read_options
from search.text import duration, shown

_OPTION = "--slurm"
_OUTPUT = "submit says where it is, and the next start appends to it; leave it out"
_REFUSED = {
    ("-a", "--array"): "a search is one job: its trials run side by side by themselves; leave it out",
    ("", "--wrap"): "the script is that of the search; leave it out",
    (
        "",
        "--signal",
    ): "the search is asked to end by one of its own; --wind-down says how long before the limit",
    ("", "--requeue"): "that is so by itself; leave it out",
    ("", "--no-requeue"): "give --no-requeue to submit itself, not within --slurm",
    ("-o", "--output"): _OUTPUT,
    ("-e", "--error"): _OUTPUT,
    ("", "--open-mode"): "the output of each start is appended; leave it out",
    ("-W", "--wait"): "submit returns at once; `tail -F` of the output shows the search",
    ("-D", "--chdir"): "the search runs in the folder where submit does; change into another one before",
    ("", "--time-min"): "the job could get a limit shorter than winding down takes; give -t alone",
    ("", "--test-only"): "nothing would be submitted; give --print to submit to see the script",
    ("-M", "--clusters"): "another cluster's job is not found again by its id; submit on a login node of it",
    ("", "--batch"): "the first node of the job runs the search; --constraint says what all of them have",
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
        if ":" in words:
            raise _refusal(
                "`:` begins another part of a heterogeneous job, and a search is one job; leave it out"
            )
        if control := next((word for word in words if not word.isprintable()), None):
            raise _refusal(f"received {shown(control)}, with a sign that no line of a script can have")
        options = cls(words)
        for given in options.given():
            if not given.name:
                raise _refusal(
                    f"received {shown(given.words[0])} in {shown(text)}; must be options of sbatch, "
                    f"such as {_EXAMPLE}"
                )
            for (short, long), reason in _REFUSED.items():
                if given.name == short or _may_be(given.name, long):
                    raise _refusal(f"{long}: {reason}")
        return options

    def given(self) -> list[Given]:
        """The options one by one, as sbatch understands them."""
        return read_options(self.words)

    def value(self, short: str, long: str) -> str | None:
        """The last value of an option, in any of its spellings."""
        values = [given.value or "" for given in self.given() if given.name in (short, long)]
        return values[-1] if values else None

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

    def require_longer_than(self, seconds: float, *, requeue: bool = True) -> None:
        """Raise ConfigError unless the time limit is longer than winding down may take.

        Args:
            seconds: before the limit at which the search is asked to end.
            requeue: the job starts again until the search is complete, for which there has to be a limit, and
                one that leaves more time for trials than for winding down.
        """
        if not requeue and self.value("-t", "--time") is None:
            return
        limit = self.limit_seconds()
        rule = "more than twice as long" if requeue else "longer"
        if limit is not None and limit <= (2 if requeue else 1) * seconds:
            raise _refusal(
                f"-t {self.value('-t', '--time')} is {duration(limit)}, and the search is asked to end "
                f"{duration(seconds)} before; the limit must be {rule}: "
                "give a longer one, or a shorter --wind-down"
            )

    def lines(self) -> list[str]:
        """As sbatch reads them in a script: one with its value in each line."""
        return [f"#SBATCH {' '.join(map(quoted, words))}" for words in self._by_line()]

    def _by_line(self) -> Iterator[Sequence[str]]:
        """Words that belong together; of bundled options, those of the whole bundle."""
        last: Sequence[str] = ()
        for given in self.given():
            if given.words is not last:
                yield given.words
            last = given.words


def _may_be(name: str, refused: str) -> bool:
    """Whether sbatch takes the long name for that one: it knows each by a beginning that is no other's."""
    return name == refused or (len(name) > 2 and refused.startswith(name) and name not in LONG_NAMES)


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
