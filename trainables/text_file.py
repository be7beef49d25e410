"""Text files that people hand over: lists, names of classes, JSON, YAML. All are read in the same way."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

INVISIBLE = "\ufeff\u200b\u200c\u200d\u200e\u200f\u2060\u00ad"
"""Marks, joiners and hyphens that take no room; an editor or a copied web page leaves them behind."""
_EDGES = INVISIBLE + "".join(chr(code) for code in range(0x3001) if chr(code).isspace())

_MARKS = (
    (b"\xff\xfe\0\0", "utf-32"),
    (b"\0\0\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"),
    (b"\xfe\xff", "utf-16"),
)
_POINTERS = {
    b"version https://git-lfs": "git lfs pull",
    b"/annex/objects/": "git annex get",
    b"../.git/annex/objects/": "git annex get",
}


class TextError(ValueError):
    """Text that cannot be read; `line` is where."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def encoding_of(begin: bytes) -> str:
    """The encoding of a text with these first bytes: by its mark, or by the zeros of UTF-16 without one."""
    for mark, encoding in _MARKS:
        if begin.startswith(mark):
            return encoding
    if len(begin) < 2 or bool(begin[0]) == bool(begin[1]):
        return "utf-8-sig"
    return "utf-16-le" if begin[0] else "utf-16-be"


def not_fetched(begin: bytes) -> str:
    """What is wrong with a file whose contents Git LFS or git-annex has not fetched; else empty."""
    for mark, command in _POINTERS.items():
        if begin.startswith(mark):
            return f"holds the place of contents that were not fetched; run: {command}"
    return ""


def decoded(data: bytes) -> str:
    """The text without a byte order mark, its lines ending in a line feed, whatever program wrote it.

    Raises:
        TextError: it is not text.
    """
    if problem := not_fetched(data):
        raise TextError(1, problem)
    encoding = encoding_of(data[:4])
    try:
        return _with_line_feeds(data.decode(encoding))
    except UnicodeDecodeError as error:
        line = _with_line_feeds(data[: error.start].decode(encoding, "replace")).count("\n") + 1
        name = "UTF-8" if encoding == "utf-8-sig" else encoding.upper()
        byte = f"0x{data[error.start]:02x}"
        raise TextError(line, f"not {name} text (byte {byte}); save the file as UTF-8") from None


def read_text(file: Path) -> str:
    """A whole text file.

    Raises:
        ValueError: naming the file and the line that is not text.
    """
    try:
        return decoded(file.read_bytes())
    except TextError as error:
        raise ValueError(f"{file}:{error.line}: {error}") from None


def stripped_lines(text: str) -> list[tuple[int, str]]:
    """Number and text of each line that is not empty, without blanks and invisible characters around it."""
    lines = enumerate((line.strip(_EDGES) for line in text.split("\n")), 1)
    return [(number, line) for number, line in lines if line]


def read_json(file: Path) -> Any:
    """The value of a JSON file.

    Raises:
        ValueError: naming the file, if it is not text or not JSON.
    """
    text = read_text(file)
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: is not valid JSON ({error})") from error


def visible(text: str, *, forms: bool = False) -> str:
    """The text with escapes such as \\ufeff for what is not seen, and \\xf6 for bytes that are no text.

    Args:
        forms: also for accents that are characters of their own, where a composed letter looks the same.
    """
    forms = forms and not unicodedata.is_normalized("NFC", text)
    if text.isprintable() and not forms:
        return text
    return "".join(
        _escape(sign) if not sign.isprintable() or (forms and unicodedata.combining(sign)) else sign
        for sign in text
    )


def _escape(sign: str) -> str:
    if "\udc80" <= sign <= "\udcff":  # a byte of a file's name that Python could not decode
        return f"\\x{ord(sign) - 0xDC00:02x}"
    return sign.encode("unicode_escape").decode()


def plain_form(name: str) -> str:
    """What names have in common that look alike: letters composed, no case, only usual blanks."""
    if name.isascii() and name.isprintable() and " " not in name:
        return name.lower()
    composed = unicodedata.normalize("NFC", "".join(sign for sign in name if sign not in INVISIBLE))
    return "/".join(" ".join(part.split()) for part in composed.casefold().split("/"))


def _with_line_feeds(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
