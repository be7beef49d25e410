"""A configuration as text: the lines, their reasons as comments, and the head for editors."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from search.commands.init.line import Line
from search.config.yaml import write_text

_WIDTH = 100
_COMMENT_AT = 44


def flow(value: Any) -> str:
    """A value on one line."""
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    text = write_text({"key": value}).removeprefix("key:").strip()
    in_flow = isinstance(value, str) and text[0] not in "'\"" and set(text) & set(",[]{}")
    return write_text({"key": [value]}).split("[", 1)[1].rsplit("]", 1)[0].strip() if in_flow else text


def written(head: Sequence[str], lines: Sequence[Line]) -> str:
    """The file."""
    out = [f"# {line}".rstrip() for line in head]
    for line in lines:
        indent = "  " * line.depth
        text = indent + line.text
        beside = f"{text:<{_COMMENT_AT}}  # {line.why}"
        if not line.why:
            out.append(text)
        elif len(beside) <= _WIDTH:
            out.append(beside)
        else:
            marks = f"{indent}# "
            out += textwrap.wrap(line.why, _WIDTH, initial_indent=marks, subsequent_indent=marks,
                                 break_long_words=False)  # fmt: skip
            out.append(text)
    return "\n".join(out) + "\n"
