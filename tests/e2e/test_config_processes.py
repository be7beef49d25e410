"""The configuration as a whole: defaults, every mistake at once with its line, the user's own task."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TASK = """
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator

from trainables.base_options import Options
from trainables.options import TrialOptions
from trainables.task import Task


class Unet(Options):
    name: Literal["unet"] = "unet"
    width: PositiveInt = 16


class Fcn(Options):
    kind: Literal["fcn"] = "fcn"
    depth: int = 1


class Deep(Options):
    kind: Literal["deep"]
    atrous: list[PositiveInt] = [6]


class MyOptions(TrialOptions):
    model: Unet = Unet()
    head: Annotated[Fcn | Deep, Field(discriminator="kind")] = Fcn()
    plain: Fcn | Deep | None = None
    size: int | list[int] | Literal["auto"] = "auto"
    tag: str = ""

    @field_validator("tag")
    @classmethod
    def _good(cls, tag: str) -> str:
        if tag.startswith("bad"):
            raise ValueError("a tag must be good")
        return tag


class MyTask(Task):
    Options = MyOptions


class NoTask:
    pass
"""


@pytest.fixture(autouse=True)
def _task_in_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    Path("my_task.py").write_text(TASK)
    yield
    for name in ("my_task", "broken_task"):
        sys.modules.pop(name, None)


def test_importing_the_configuration_imports_nothing_heavy():
    code = "import sys, search.config; print([m for m in ('torch', 'ray', 'optuna') if m in sys.modules])"
    root = Path(__file__).resolve().parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
