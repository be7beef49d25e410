"""What a module of the user's does to its process when it is imported goes no further, or is said."""

from __future__ import annotations

import ast
import os
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from search.config.tasks import load_task
from search.errors import ConfigError
from trainables.process.imports import Bounded, ExitOnImportError, import_own
from trainables.process.process_state import ProcessState, clean_process

TASK = "from trainables.task import Task\nclass MyTask(Task):\n    pass\n"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current folder; modules and the process are as before afterwards."""
    known, before = set(sys.modules), ProcessState()
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - known:
        # Not libraries: one with C code does not bear a second import.
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    before.restore()
    clean_process()


def write(folder: Path, name: str, text: str = "") -> str:
    (folder / f"{name}.py").write_text(text)
    return name


def test_arguments_of_the_program_are_not_the_modules(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["tune-search", "check", "own.yaml"])
    parse = "p = argparse.ArgumentParser()\np.add_argument('--epochs', type=int, default=10)\n"
    name = write(folder, "parsing", f"import argparse\n{parse}args = p.parse_args()\n")
    assert import_own(name, [str(folder)]).args.epochs == 10
    assert sys.argv == ["tune-search", "check", "own.yaml"]


def test_a_module_that_begins_a_search_when_it_is_imported_is_refused(folder: Path) -> None:
    config = {
        "name": "x",
        "task": "beginning:MyTask",
        "objective": {"metric": "m", "mode": "max"},
        "trial": {},
        "virtual_epoch": {"steps": 1},
        "budget": {"trials": 1, "max_virtual_epochs": 1},
    }
    text = f"import search\nsearch.search({config})\n"
    write(folder, "beginning", TASK + text)
    with pytest.raises(ConfigError, match=r"it begins a search.*put that under .*beginning\.py:5"):
        load_task("beginning:MyTask")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("sys.exit('this needs a GPU')", "(exiting.py:2, in <module>): this needs a GPU"),
        ("sys.exit(0)", "(exiting.py:2, in <module>); put what a script does"),
        (
            "from argparse import *; p = ArgumentParser(); p.add_argument('--x', required=True); "
            "p.parse_args()",
            "(exiting.py:2, in <module>): exiting: error: the following arguments are required: --x",
        ),
    ],
    ids=["text", "number", "argparse"],
)
def test_a_module_that_ends_the_program_is_named_with_its_line(folder: Path, code: str, said: str) -> None:
    name = write(folder, "exiting", f"import sys\n{code}\n")
    with pytest.raises(ExitOnImportError) as caught:
        import_own(name, [str(folder)])
    assert said in str(caught.value)
    assert '`if __name__ == "__main__":`' in str(caught.value)


def test_what_it_changes_of_the_process_is_undone_and_said(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (folder / "elsewhere").mkdir()
    lines = (
        "import os, signal, sys, warnings, torch",
        "os.chdir('elsewhere')",
        "os.environ['CUDA_VISIBLE_DEVICES'] = '0'",
        "torch.set_default_dtype(torch.float64)",
        "torch.set_grad_enabled(False)",
        "warnings.filterwarnings('error')",
        "signal.signal(signal.SIGINT, signal.SIG_IGN)",
        "sys.stdout = None",
        "os.umask(0)",
    )
    handler, filters, stream, umask = (
        signal.getsignal(signal.SIGINT),
        list(warnings.filters),
        sys.stdout,
        None,
    )
    umask = os.umask(0o022)
    import_own(write(folder, "dirty", "\n".join(lines)), [str(folder)])
    assert os.umask(umask) == 0o022
    assert Path.cwd() == folder
    assert torch.get_default_dtype() is torch.float32
    assert torch.is_grad_enabled()
    assert (signal.getsignal(signal.SIGINT), list(warnings.filters)) == (handler, filters)
    assert sys.stdout is stream
    assert "CUDA_VISIBLE_DEVICES" not in os.environ
    for said in ("current folder", "CUDA_VISIBLE_DEVICES", "default dtype", "mode of gradients"):
        assert f"{said}" in caplog.text
    assert "the module dirty" in caplog.text


def test_megabytes_that_it_prints_are_cut(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import_own(write(folder, "loud", "for n in range(50_000): print('y' * 99)"), [str(folder)])
    printed = capsys.readouterr().out
    assert len(printed) < 20_000
    assert "(the module loud has printed more than 10,000 characters; the rest is left out)" in printed


def test_each_trial_may_print_as_much(capsys: pytest.CaptureFixture[str]) -> None:
    stream = Bounded(sys.stdout, 5, "trial 1")
    print("123456789", file=stream)
    stream.renew("trial 2")
    print("abc", file=stream)
    assert capsys.readouterr().out.split("\n") == [
        "12345",
        "(trial 1 has printed more than 5 characters; the rest is left out)",
        "abc",
        "",
    ]


LIBRARIES = ("ray", "optuna", "torch", "numpy", "yaml", "click", "tensorboard", "random", "types", "logging")


def test_files_named_like_libraries_lie_there_in_peace(folder: Path) -> None:
    for name in LIBRARIES:
        write(folder, name, "raise SystemExit('imported')")
    write(folder, "tasks", f"import random, logging, torch, numpy\n{TASK}")
    assert load_task("tasks:MyTask").__name__ == "MyTask"
    assert load_task("regression").__name__ == "RegressionTask"


def test_folders_named_like_this_program_lie_there_in_peace(folder: Path) -> None:
    for name in ("search", "trainables", "data"):
        (folder / name).mkdir()
        write(folder / name, "__init__")
    write(folder, "tasks", f"import data\n{TASK}")
    assert load_task("tasks:MyTask").__name__ == "MyTask"
    assert Path(sys.modules["data"].__file__ or "").parent == folder / "data"


@pytest.mark.parametrize("line", ["import filelock", "from filelock import Timeout"])
def test_an_import_that_may_mean_the_users_file_or_an_installed_package_is_refused(
    folder: Path, line: str
) -> None:
    import filelock

    write(folder, "filelock")
    write(folder, "tasks", f"{line}\n{TASK}")
    with pytest.raises(ConfigError) as caught:
        load_task("tasks:MyTask", "own.yaml:2")
    assert str(caught.value) == (
        "own.yaml:2: task: tasks.py:1: imports filelock, which is both your filelock.py and "
        f"{filelock.__file__}; rename yours"
    )


def test_a_module_of_ones_own_is_looked_into_once_and_again_when_it_has_changed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    parse = ast.parse

    def counted(text: bytes, *args: Any, **options: Any) -> ast.AST:
        read.append(text)
        return parse(text, *args, **options)

    monkeypatch.setattr(ast, "parse", counted)
    file = folder / f"{write(folder, 'tasks', TASK)}.py"
    load_task("tasks:MyTask", "own.yaml:2")
    assert read.count(file.read_bytes()) == 1
    load_task("tasks:MyTask", "own.yaml:2")
    assert read.count(file.read_bytes()) == 1
    file.write_text(f"import json\n{TASK}")
    load_task("tasks:MyTask", "own.yaml:2")
    assert read.count(file.read_bytes()) == 1


def test_an_import_that_fails_for_a_file_named_like_a_library_names_both(folder: Path) -> None:
    write(folder, "random", "mine = 1")
    write(folder, "tasks", f"from random import mine\n{TASK}")
    with pytest.raises(
        ConfigError, match=r"tasks.py:1: imports random, which is both your random.py and .*rename"
    ):
        load_task("tasks:MyTask")


def test_a_task_in_a_module_named_like_a_library_is_refused(folder: Path) -> None:
    write(folder, "filelock", TASK)
    with pytest.raises(ConfigError, match=r"is both your filelock\.py and|the module filelock has no"):
        load_task("filelock:MyTask")


def test_a_module_beside_the_task_s_in_its_package_is_named(folder: Path) -> None:
    (folder / "pack").mkdir()
    write(folder / "pack", "helping")
    write(folder / "pack", "tasks", f"import helping\n{TASK}")
    with pytest.raises(ConfigError, match=r"it imports helping, which lies beside it in pack \(tasks"):
        load_task("pack.tasks:MyTask")


def test_a_low_limit_of_recursion_is_the_modules_own(folder: Path) -> None:
    before = sys.getrecursionlimit()
    import_own(write(folder, "shallow", "import sys\nsys.setrecursionlimit(200)\n"), [str(folder)])
    assert sys.getrecursionlimit() == before


def test_the_line_of_an_exception_is_named(folder: Path) -> None:
    write(folder, "tasks", "import os\nraise ValueError('x' * 5000)\n")
    with pytest.raises(ConfigError) as caught:
        load_task("tasks:MyTask")
    assert "(tasks.py:2, in <module>)" in str(caught.value)
    assert len(str(caught.value)) < 700
