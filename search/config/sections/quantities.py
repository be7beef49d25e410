"""Durations, sizes and large numbers as a configuration has them: 1h30m, 500MB, 20ms, 5M."""

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
_SUFFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_WITH_SUFFIX = re.compile(rf"{_NUMBER}([kMGT]?)")
_LARGEST = 1e18
_FRACTIONS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_LATENCY = re.compile(rf"{_NUMBER}(us|ms|s)")
_LONGEST_LATENCY = 3600.0


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


def parse_number(text: Any) -> float | None:
    """A number as it is, or written with a suffix: `500k`, `5M`, `2.5G`, `1T`; None stays None.

    Raises:
        ValueError: anything else, or a number that is not above 0.
    """
    if text is None:
        return None
    found = _WITH_SUFFIX.fullmatch(text.replace(" ", "")) if isinstance(text, str) else None
    is_number = isinstance(text, int | float) and not isinstance(text, bool)
    number = float(found[1]) * _SUFFIXES[found[2]] if found else float(text) if is_number else 0.0
    if not 0 < number <= _LARGEST:
        raise ValueError("must be a number above 0, such as 5000000, 500k, 5M, 2.5G or 1T")
    return number


def parse_latency(text: Any) -> float | None:
    """Seconds of `20ms`, `1.5s` or `800us`; None stays None.

    Raises:
        ValueError: anything else.
    """
    if text is None:
        return None
    found = _LATENCY.fullmatch(text.replace(" ", "")) if isinstance(text, str) else None
    seconds = float(found[1]) * _FRACTIONS[found[2]] if found else 0.0
    if not 0 < seconds <= _LONGEST_LATENCY:
        raise ValueError("must be a time with its unit, such as 20ms, 1.5s or 800us, at most 3600s")
    return seconds
