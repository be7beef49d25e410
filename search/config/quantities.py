"""Durations and sizes as a configuration has them: 1h30m, 500MB."""

from __future__ import annotations

import re
from typing import Any

_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile("".join(rf"(?:{_NUMBER}{unit})?" for unit in "dhms"))
_SECONDS = (86_400, 3_600, 60, 1)
_MAX_SECONDS = 10_000 * 86_400
_UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "kiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(rf"{_NUMBER}({'|'.join(_UNITS)})")
_MAX_BYTES = 10**15


def parse_duration(text: Any) -> float | None:
    """Seconds of `45s`, `30m`, `1h30m` or `2d`; None stays None.

    Raises:
        ValueError: anything else.
    """
    if text is None:
        return None
    found = _DURATION.fullmatch(text.replace(" ", "")) if isinstance(text, str) else None
    parts = found.groups() if found else ()
    seconds = sum(float(part) * unit for part, unit in zip(parts, _SECONDS, strict=False) if part)
    if not 0 < seconds <= _MAX_SECONDS:
        units = "must be a duration with units, such as 45s, 30m, 1h30m or 2d"
        raise ValueError(f"{units}, at most 10000d, or null for no limit")
    return seconds


def parse_size(text: Any) -> float | None:
    """Bytes of `500MB`, `2GB` or `1.5GiB`; None stays None.

    Raises:
        ValueError: anything else.
    """
    if text is None:
        return None
    found = _SIZE.fullmatch(text.replace(" ", "")) if isinstance(text, str) else None
    size = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 1 <= size <= _MAX_BYTES:
        raise ValueError("must be a size with its unit, such as 500MB, 2GB or 1.5GiB, or null for no limit")
    return size
