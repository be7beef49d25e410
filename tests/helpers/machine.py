"""Machines as people have them: a small /dev/shm, folders that cannot be written, a user without a home."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from patience import PATIENCE
from programs import PROGRAM, ROOT

STRANGER = 54321
"""A user id without an entry in /etc/passwd."""


def mounted(mounts: str, command: Sequence[str], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command after these `mount` commands, in its own mount namespace; skips where not allowed."""
    if not shutil.which("unshare") or os.getuid() != 0:
        pytest.skip("mounting needs root and unshare")
    probe = subprocess.run(["unshare", "-m", "true"], capture_output=True)
    if probe.returncode != 0:
        pytest.skip("a mount namespace is not allowed here")
    script = f'mount --make-rprivate / && {mounts} && exec "$@"'
    return finished(["unshare", "-m", "bash", "-c", script, "_", *command], **options)


def finished(
    command: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, shell: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run to the end; `shell` is what a shell does before, such as a limit or a redirection."""
    if shell:
        command = ["bash", "-c", f'{shell} "$@"', "_", *command]
    return subprocess.run(
        command,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
        timeout=PATIENCE,
    )


def as_stranger(*unset: str) -> list[str]:
    """The beginning of a command that runs as a user whom nobody knows, who may read everything."""
    if not shutil.which("setpriv") or os.getuid() != 0:
        pytest.skip("another user needs root and setpriv")
    names = [word for name in (*unset, "USER", "LOGNAME") for word in ("-u", name)]
    reads = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    user = ["--reuid", str(STRANGER), "--regid", str(STRANGER), "--clear-groups"]
    return ["setpriv", *user, *reads, "env", *names]


def search_of(config: Path, *args: str) -> list[str]:
    return [*PROGRAM, str(config), *args]


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]
