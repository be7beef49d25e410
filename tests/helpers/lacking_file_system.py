"""A folder whose file system lacks something: calls of the C library are answered there as it would."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int inside(const char *path) {
    const char *folder = getenv("LACKING_FOLDER");
    return folder && strstr(path, folder) == path;
}
static int open_inside(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return inside(path);
}
int flock(int fd, int operation) {
    static int (*real)(int, int);
    if (!real) real = dlsym(RTLD_NEXT, "flock");
    const char *answer = getenv("LACKING_FLOCK");
    if (!answer || !open_inside(fd)) return real(fd, operation);
    errno = atoi(answer);
    return errno ? -1 : 0;
}
int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    const char *answer = getenv("LACKING_FSYNC");
    struct stat status;
    if (!answer || !open_inside(fd) || fstat(fd, &status) || !S_ISDIR(status.st_mode)) return real(fd);
    errno = atoi(answer);
    return -1;
}
int rename(const char *before, const char *after) {
    static int (*real)(const char *, const char *);
    if (!real) real = dlsym(RTLD_NEXT, "rename");
    const char *answer = getenv("LACKING_RENAME");
    struct stat status;
    if (!answer || !inside(after) || stat(before, &status) || !S_ISDIR(status.st_mode))
        return real(before, after);
    errno = atoi(answer);
    return -1;
}
"""


def lacking(build: Path, folder: Path, **answers: int) -> dict[str, str]:
    """The environment of a process for which `folder` is on such a file system; skips without a compiler.

    Args:
        build: a folder for what is compiled.
        folder: where the calls are answered otherwise.
        answers: errno of `flock`, and of `fsync` and `rename` of folders; `flock=0` says yes to everybody, as
            where a lock ends at the machine.
    """
    if not shutil.which("gcc"):
        pytest.skip("the calls of the C library are replaced by a library that gcc compiles")
    build.mkdir(exist_ok=True)
    source, library = build / "lacking.c", build / "lacking.so"
    source.write_text(_SHIM, encoding="utf-8")
    command = ["gcc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        pytest.skip(f"gcc does not compile here, as without libc6-dev: {done.stderr.strip()}")
    said = {f"LACKING_{call.upper()}": str(errno) for call, errno in answers.items()}
    return {**os.environ, **said, "LACKING_FOLDER": str(folder), "LD_PRELOAD": str(library)}


def on_machine(boot: str, command: Sequence[str], *, silence: float | None = None) -> list[str]:
    """A command `python -c program …` as on another machine, whose kernel has this id.

    Args:
        boot: the id.
        command: as on this machine.
        silence: seconds after which it takes an owner on another machine for dead (default: as they are).
    """
    python, option, program, *rest = command
    assert option == "-c"
    begin = (
        f"from search.run.disk import owner; owner._boot = lambda: {boot!r}; owner.HEARTBEAT_SECONDS = 0.2"
    )
    if silence is not None:
        begin += f"; owner.SILENCE_SECONDS = {silence}"
    return [python, option, f"{begin}\n{program}", *rest]
