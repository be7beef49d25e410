"""Paths to classes and functions: what is imported and called, and what is wrong with its arguments."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from trainables.imported import argument_problems, bind, call, check_path, import_path


def problems(path: str, passed: tuple[str, ...] = (), **arguments: Any) -> dict[str | None, str]:
    return dict(argument_problems(path, arguments, passed))


def test_a_class_is_made_and_a_function_is_bound_to_its_arguments() -> None:
    net = bind("own_parts:Net", {"in_channels": 1, "num_classes": 3})
    assert net.head.out_channels == 3
    assert bind("own_parts:halving", {"factor": 0.25})(5, 10) == 0.5
    assert call("own_parts:make_net", {"num_classes": 5}).head.out_channels == 5


def test_nested_names_are_found() -> None:
    assert import_path("own_parts:Net.forward").__name__ == "forward"


@pytest.mark.parametrize("path", ["a b:C", "a:", ":C", "a:b:c", "a:C()", "a/b:C", "a:C.", "a..b:C"])
def test_what_cannot_be_a_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"must be package\.module:Name"):
        check_path(path)


def test_the_name_of_a_file_is_refused_with_that_of_its_module() -> None:
    with pytest.raises(ValueError, match=r"must be package\.module:Name; write my\.nets:Net$"):
        check_path("./my/nets.py:Net")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("own_part:Net", "there is no module 'own_part' in the current folder"),
        ("own_parts.nets:Net", "there is no module 'own_parts.nets'"),
        ("own_parts:Nett", "the module own_parts has no 'Nett'; did you mean 'Net'?"),
        ("own_parts:Net.forwards", "own_parts:Net has no 'forwards'; did you mean 'forward'?"),
        ("own_parts:NOT_CALLABLE", "own_parts:NOT_CALLABLE is an int; must be a class or a function"),
    ],
)
def test_a_path_that_leads_nowhere_is_named_with_what_is_near(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        import_path(path)


def test_a_module_that_raises_when_it_is_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raises_at_import.py").write_text("1 / 0\n")
    (tmp_path / "starts_ray.py").write_text(
        "def init(): raise AssertionError('Perhaps you called ray.init twice by accident?')\ninit()\n"
    )
    (tmp_path / "needs_another.py").write_text("import nowhere_to_be_found\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="raises_at_import cannot be imported: ZeroDivisionError: division"):
        import_path("raises_at_import:Net")
    with pytest.raises(ValueError, match="needs_another cannot be imported: ModuleNotFoundError: No module"):
        import_path("needs_another:Net")
    with pytest.raises(ValueError, match="this program starts Ray itself: leave"):
        import_path("starts_ray:Net")
    assert "raises_at_import" not in sys.modules


def test_arguments_that_are_not_taken_and_missing_ones_are_named() -> None:
    found = problems("own_parts:Net", in_chanels=1)
    assert found["in_chanels"].startswith(
        "own_parts:Net has no argument 'in_chanels'; did you mean 'in_channels'? known: in_channels, num_cl"
    )
    assert found[None] == "own_parts:Net needs in_channels, num_classes too; write them beside name"
    assert not problems("own_parts:Net", in_channels=1, num_classes=2)


def test_what_the_trainer_passes_is_no_argument() -> None:
    both = ("outputs", "targets")
    assert not problems("own_parts:mean_of_images", both)
    assert problems("own_parts:ignoring", both) == {
        None: "own_parts:ignoring needs ignore_index too; write them beside name"
    }
    taken = problems("own_parts:mean_of_images", both, logits=1)
    assert taken == {"logits": "own_parts:mean_of_images has no argument 'logits'; known: factor"}
    assert problems("own_parts:without_places", both) == {
        None: "own_parts:without_places is called with outputs, targets, and takes 0 of these"
    }


def test_a_callable_that_takes_any_keyword_takes_any_argument() -> None:
    assert not problems("own_parts:make_net", num_classes=3, anything=1)


def test_what_a_constructor_raises_is_told_with_its_arguments() -> None:
    with pytest.raises(ValueError, match=r"own_parts:Raises\(\) raised RuntimeError: no weights on this"):
        bind("own_parts:Raises", {})
    with pytest.raises(ValueError, match=r"own_parts:Net\(in_channels=1, num_classes=-2\) raised"):
        call("own_parts:Net", {"in_channels": 1, "num_classes": -2})
