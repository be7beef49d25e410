"""How values, numbers, sizes, durations, paths and near misses are written in messages."""

from __future__ import annotations

import difflib
import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from search.errors import KeyPath
from trainables.storage.address import without_password
from trainables.text_file import visible

MAX_SHOWN = 60


def dotted(path: KeyPath) -> str:
    """`("trial", "optimizer", 0)` as `trial.optimizer.0`."""
    return ".".join(str(part) for part in path)


def value_at(tree: Any, path: KeyPath, default: Any = None) -> Any:
    """The value at this path in nested mappings and lists, or `default`."""
    for part in path:
        if isinstance(tree, list):
            known = isinstance(part, int) and 0 <= part < len(tree)
        else:
            known = isinstance(tree, dict) and part in tree
        if not known:
            return default
        tree = tree[part]
    return tree


def put_at(tree: dict[str, Any], path: KeyPath, value: Any) -> None:
    """Put a value at this path in nested mappings, which are made where they are missing."""
    *parents, last = path
    for key in parents:
        tree = tree.setdefault(str(key), {})
    tree[str(last)] = value


def compact(value: Any) -> str:
    """JSON on one line without spaces, the label of a list in a choice."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, default=str)


def shown(value: Any) -> str:
    """The value as YAML has it, on one line and not too long: 1e-05, null, 'text', [1, 2], {a: 1}.

    An address is shown without user and password.
    """
    return cut(without_password(_shown(value)))  # before it is cut, which may take the @ away


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_shown(item) for item in value) + "]"
    return repr(value)


def shown_apart(one: Any, other: Any) -> tuple[str, str]:
    """Two values that differ, as `shown`, each from a place where one sees that they do."""
    texts = printable(_shown(one)), printable(_shown(other))
    same = next((at for at, (a, b) in enumerate(zip(*texts, strict=False)) if a != b), min(map(len, texts)))
    begin = same - MAX_SHOWN // 3
    if same < MAX_SHOWN - 10 or max(map(len, texts)) <= MAX_SHOWN:
        return cut(texts[0]), cut(texts[1])
    return cut(f"...{texts[0][begin:]}"), cut(f"...{texts[1][begin:]}")


def printable(text: str) -> str:
    """The text on one line, with escapes for what cannot be seen."""
    return visible(text)


def cut(text: str, width: int = MAX_SHOWN) -> str:
    """The text on one line, printable and not too long: for names that messages show without quotes."""
    text = printable(text)
    return text if len(text) <= width else text[: width - 3] + "..."


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word most like this one, whatever the case; None where none is similar."""
    by_lower = {str(name).lower(): str(name) for name in known}
    close = difflib.get_close_matches(str(word).lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[close[0]] if close else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """The way out of an unknown word: `did you mean 'width'?`, or all that is known."""
    names = list(dict.fromkeys(str(name) for name in known))
    close = nearest(word, names)
    if close is not None:
        return f"did you mean {close!r}?"
    return f"known: {', '.join(names)}" if names else "no key is known here"


def one_line(text: str) -> str:
    """The text without line breaks and control characters."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def value_text(value: Any) -> str:
    """A hyperparameter's value: floats with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def number_text(value: float | None) -> str:
    """A metric with four digits; empty for None."""
    return "" if value is None else f"{value:.4g}"


def counted(number: int, noun: str) -> str:
    """`1 trial`, `2,000 trials`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size_text(num_bytes: float) -> str:
    """`1.4 GB`."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "bytes" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def duration(seconds: float) -> str:
    """`45 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def ago(seconds: float) -> str:
    """`12 s ago`, `5 min ago`, `3 h ago`, `4 days ago`: one unit, rounded down."""
    whole = max(0, int(seconds))
    if whole >= 2 * 86400:
        return f"{whole // 86400} days ago"
    for size, unit in ((3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} ago"
    return f"{whole} s ago"


def short_path(path: Path) -> str:
    """The path relative to the current folder where it is below it; never what looks like an option."""
    try:
        relative = str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
    return f"./{relative}" if relative.startswith("-") else relative


def command(*arguments: str | Path) -> str:
    """`tune-search …` as a shell takes it: with quotes where they are needed; paths are shortened."""
    return program("tune-search", *arguments)


def program(*arguments: str | Path) -> str:
    """A command of any program as a shell takes it, as `command`."""
    return shlex.join(short_path(each) if isinstance(each, Path) else each for each in arguments)
