"""Checkpoints that somebody has made up: files that run code, and a manifest whose sums vouch for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainables.checkpoints.checkpoint import _content_sum, sha256


def forge(folder: Path, **changes: Any) -> None:
    """Make the manifest agree with the files that are there, and with `changes`."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {
        name: {"sha256": sha256(folder / name)} for name in ("model.safetensors", "state.pt")
    }
    manifest |= changes
    manifest["sha256"] = _content_sum(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)
