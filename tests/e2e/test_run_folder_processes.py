from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.errors import SearchError
from search.run.disk.folder import RunFolder

_OWNER = """
import signal, sys
from pathlib import Path
from search.run.disk.folder import RunFolder
with RunFolder(Path(sys.argv[1])).owned():
    print("owned", flush=True)
    signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "results" / "seg")
    folder.create()
    return folder


@pytest.fixture
def owner(folder: RunFolder) -> Iterator[subprocess.Popen[str]]:
    """Another process that owns the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", _OWNER, str(folder.path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "owned\n"
    yield process
    process.kill()
    process.wait(10)


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_can_write_is_refused_with_the_way_out(folder: RunFolder, mode: int) -> None:
    folder.journal.touch()
    folder.config.touch()
    folder.path.chmod(mode)
    for use in (folder.create, folder.require):
        with pytest.raises(SearchError, match=rf"has mode {mode:o}: .*; `chmod go-w {folder.path}`"):
            use()
    subprocess.run(["chmod", "go-w", str(folder.path)], check=True)
    folder.create()
    folder.require()


_AS_NOBODY = """
import os, sys
from pathlib import Path
from search.errors import SearchError
from search.run.disk.folder import RunFolder
os.setuid(65534)
for name in ("of_root", "of_nobody"):
    try:
        RunFolder(Path(sys.argv[1]) / name).create()
        print(name, "taken")
    except SearchError as error:
        print(name, error)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_the_folder_of_another_user_is_refused_but_not_to_root() -> None:
    # Not below tmp_path, which nobody else can enter.
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        for name in ("of_root", "of_nobody"):
            RunFolder(Path(parent) / name).create()
        os.chown(Path(parent) / "of_nobody", 65534, -1)
        RunFolder(Path(parent) / "of_nobody").create()
        printed = subprocess.check_output([sys.executable, "-c", _AS_NOBODY, parent], text=True)
    of_root, of_nobody = printed.splitlines()
    assert "belongs to user 0 and you are user 65534" in of_root
    assert of_nobody == "of_nobody taken"


_READ_ONLY = """
import os, sys
from pathlib import Path
from search.errors import SearchError
from search.run.disk.folder import RunFolder
folder = RunFolder(Path(sys.argv[1]))
os.setuid(65534)
print(folder.owner())
for use in (folder.create, folder.owned().__enter__):
    try:
        use()
        print("taken")
    except SearchError as error:
        print(error)
"""


@pytest.mark.skipif(
    os.getuid() != 0, reason="root can write everywhere, and only root can become another user"
)
def test_a_folder_that_can_only_be_read_says_so() -> None:
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)
        folder = Path(parent) / "run"
        RunFolder(folder).create()
        os.chown(folder, 65534, -1)
        folder.chmod(0o500)
        printed = subprocess.check_output([sys.executable, "-c", _READ_ONLY, str(folder)], text=True)
    owner, created, owned = printed.splitlines()
    assert owner == "None"
    assert created == f"cannot write to {folder}: Permission denied; choose another with --results"
    assert owned == f"cannot write to {folder}: Permission denied"
