"""What a configuration's texts may not hold: secrets, and `${env:NAME}` outside of data paths."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

from search.errors import KeyPath, Problem
from search.text import cut
from trainables.options import REFERENCE

_SECRET = re.compile(
    r"(.*_)?(password|passwd|passphrase|secret|credentials?|api_?key|access_?key|private_?key|secret_?key)"
    r"|((auth|access|api|hf|bearer|refresh|session)_?)?token",
    re.IGNORECASE,
)


def check_texts(tree: Any) -> Iterator[Problem]:
    """Everything that is wrong with the texts of a configuration, without stages.

    A run's files keep all that its configuration holds, so a secret must not be in it at all.
    """
    for path, text in _texts(tree, ()):
        if any(_SECRET.fullmatch(str(key).replace("-", "_")) for key in path):
            yield Problem.of(
                path,
                "is a secret by its name, and a run's files keep what stands here; remove it, and let the task "  # noqa: E501
                "read it from the environment (os.environ)",
            )
        for name in REFERENCE.findall(text):
            if path[:2] != ("trial", "data"):
                message = f"${{env:{cut(name)}}} stands for a part of a path, and only texts under trial.data are paths"  # noqa: E501
                yield Problem.of(path, f"{message}; write the value, or give it with --set")
            elif name not in os.environ:
                message = f"the environment variable {cut(name) or '(empty name)'} is not set"
                yield Problem.of(path, f"{message}; export it, or write the path")


def _texts(tree: Any, path: KeyPath) -> Iterator[tuple[KeyPath, str]]:
    if isinstance(tree, str):
        yield path, tree
    elif isinstance(tree, dict | list):
        for key, item in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _texts(item, (*path, key))
