"""How people write that a value is missing, and the line that reads it as such."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable

from trainables.tables.options import MISSING

_SPELLINGS = {
    *("?", "??", "???", "-", "--", "---", "\u2013", "\u2014", "\u2212", ".", "..", "...", "*", "_", "#", "/"),
    *(
        "na",
        "n.a",
        "n/a",
        "n.a.",
        "<na>",
        "nan",
        "nil",
        "null",
        "(null)",
        "\\n",
        "none",
        "missing",
        "unknown",
    ),
    *("unk", "undefined", "not available", "not applicable", "not known", "no data", "nodata", "no value"),
    *(
        "blank",
        "(blank)",
        "empty",
        "(empty)",
        "#n/a",
        "#value!",
        "#div/0!",
        "#ref!",
        "#name?",
        "#num!",
        "#null!",
    ),
    *map(str.lower, MISSING),
}


def spells_missing(text: str) -> bool:
    """Whether a text usually stands for a missing value."""
    return text.lower() in _SPELLINGS


def missing_line(texts: Iterable[str], known: Collection[str]) -> str:
    """The option that takes these texts for missing, besides those that are known."""
    always = {"", *MISSING} if MISSING[0] in known else {""}
    return option_line("missing", {*known, *texts} - always)


def option_line(name: str, values: Collection[str]) -> str:
    """An option of the data with a list of texts, as it is written in a configuration."""
    return f"data.{name}: {json.dumps(sorted(values), ensure_ascii=False)}"
