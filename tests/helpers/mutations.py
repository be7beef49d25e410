"""Mutations of configurations, as trees and as text, for tests over generated input."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from search.errors import KeyPath
from search.text import value_at

WORDS = [
    "", " ", "0", "-1", "1e-4", "null", "true", "nan", "adamw", "digits", "30m", "a/b", "../..", "/etc", "~",
    "a\0b", "a\nb", "\x1b[31m", "\ud800", "\u2028", "漢字", "🙂", "x" * 300, "x" * 5000, "${env:CANARY}",
    "${env:UNSET}", "${env:}", "${env:${env:CANARY}}", "a.b", ".", "=", "os:system", "search.cli.main:main",
    "tiny_tasks:FailingTask", "tiny_tasks:nothing", "no_module:X", "sgd", "muon", "lbfgs", "<<", "choice",
]  # fmt: skip


NUMBERS = [
    0, 1, -1, 2, 7, 16, 10**6, 2**31, 2**53 + 1, 2**63, 2**64, 10**299, 10**400, True,
    0.0, -0.0, 0.5, 1.5, 1e-320, 5e-324, 1e308, -1e308, math.inf, -math.inf, math.nan,
]  # fmt: skip


UTF8 = st.characters(codec="utf-8")


KEYS = st.one_of(
    st.sampled_from(
        [*WORDS, "name", "steps", "samples", "epochs", "lr", "widht", "uniform", "trial", "axis"]
    ),
    st.text(max_size=5),
)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.sampled_from(WORDS), st.sampled_from(NUMBERS), st.integers(), st.floats(),
    st.text(max_size=5),
)  # fmt: skip


RANGES = st.lists(st.one_of(st.sampled_from(NUMBERS), st.floats(-10, 10), st.integers(-9, 9)), max_size=3)


VALUES = st.recursive(
    SCALARS,
    lambda inside: st.one_of(
        st.lists(inside, max_size=3),
        st.dictionaries(KEYS, inside, max_size=3),
        st.builds(lambda options: {"choice": options}, st.lists(inside, max_size=3)),
        st.builds(
            lambda kind, arguments: {kind: sorted(arguments, key=repr)},
            st.sampled_from(["uniform", "loguniform", "quniform", "randint", "lograndint", "unifrom"]),
            RANGES,
        ),
    ),
    max_leaves=5,
)


# Mutations of a tree


@dataclass(frozen=True)
class Edit:
    """One change of a tree; `place` and `other` choose nodes, whatever their number."""

    kind: str
    place: int
    other: int
    key: str
    value: Any

    def apply(self, tree: dict[str, Any]) -> None:
        paths = list(_paths(tree))
        if not paths:
            return
        *above, last = paths[self.place % len(paths)]
        node = value_at(tree, tuple(above))
        if self.kind == "delete":
            del node[last]
        elif self.kind == "replace":
            node[last] = copy.deepcopy(self.value)
        elif self.kind == "wrap":
            node[last] = {self.key: node[last]}
        elif self.kind == "choose":
            node[last] = {"choice": [node[last], copy.deepcopy(self.value)]}
        elif self.kind == "swap":
            *others, end = paths[self.other % len(paths)]
            another = value_at(tree, tuple(others))
            node[last], another[end] = copy.deepcopy(another[end]), copy.deepcopy(node[last])
        elif isinstance(node, dict):
            node[self.key] = node.pop(last) if self.kind == "rename" else copy.deepcopy(node[last])
        else:
            node.insert(last, copy.deepcopy(node[last]))


def _paths(node: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    for key, item in node.items() if isinstance(node, dict) else enumerate(node):
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from _paths(item, (*path, key))


EDITS = st.lists(
    st.builds(
        Edit,
        kind=st.sampled_from(
            ["delete", "replace", "replace", "wrap", "choose", "swap", "rename", "duplicate"]
        ),
        place=st.integers(0, 999),
        other=st.integers(0, 999),
        key=KEYS,
        value=VALUES,
    ),
    min_size=1,
    max_size=3,
)


# Mutations of the text

SNIPPETS = [
    "\t", "\0", "\r", "\n", "\n ", "\x85", "\u2028", "\ufeff", "'", '"', "{", "}", "[", "]", ":", ": ", ",",
    "- ", "? ", "&a ", "*a", "!!x ", "!<", "%YAML 1.1\n", "%YAML 1.3\n", "%TAG ! x\n", "---\n", "...\n", "|",
    "|9\n", ">-\n", "<<: ", "\\", '"\\ud800"', '"\\U00110000"', "#", "@", "`", "0x" + "f" * 400, "9" * 5000,
    ".nan", "-.inf", "1e999", "-1", "0", "null", "{choice: [1, 2]}", "{uniform: [0, 1]}", "漢字",
    "${env:CANARY}",
]  # fmt: skip


CUTS = st.lists(
    st.tuples(
        st.integers(0, 2000),
        st.integers(0, 6),
        st.one_of(
            st.sampled_from(SNIPPETS).map(str.encode),
            st.text(UTF8, max_size=4).map(str.encode),
            st.binary(max_size=3),
        ),
    ),
    min_size=1,
    max_size=3,
)


def cut(text: str, cuts: Sequence[tuple[int, int, bytes]], keep: int) -> bytes:
    """The text with some bytes replaced by others, and without its end where `keep` is inside of it."""
    data = text.encode()
    for place, size, new in cuts:
        place %= len(data) + 1
        data = data[:place] + new + data[place + size :]
    return data[:keep]
