"""What data of a folder were recognized as, and the remedies that errors of the data print."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from search.config.yaml import parse_yaml
from search.errors import ConfigError, SearchError

DataKind = Literal["masks", "classes", "table"]

_REMEDY = re.compile(r"data\.(\w+): (\{.*?\}|\[\[.*?\]\]|\[.*?\]|\"[^\"]*\"|\w+)")
_MASK_SUFFIX = re.compile(r"as mask_suffix: (\"[^\"]+\") \(")


class UnrecognizedError(SearchError):
    """Nothing that the program reads, or something that is not whole."""


@dataclass(frozen=True)
class Recognized:
    """The `data:` of a configuration."""

    kind: DataKind
    task: str
    data: Mapping[str, Any]
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Why a key has its value, for a comment."""

    def changed(self, changes: Mapping[str, Any], reason: str) -> Recognized:
        """With other options of the data, and the same reason for each of them."""
        reasons = {**self.reasons, **dict.fromkeys(changes, reason)}
        return Recognized(self.kind, self.task, {**self.data, **changes}, reasons)


def remedy(message: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The first option that an error of the data says to set, unless it is set already."""
    found = _REMEDY.search(message)
    name, text = (found[1], found[2]) if found else ("", "")
    if found is None and (suffix := _MASK_SUFFIX.search(message)):
        name, text = "mask_suffix", suffix[1]
    if not name or name in known:
        return {}
    try:
        return {name: parse_yaml(text).tree}
    except ConfigError:
        return {}
