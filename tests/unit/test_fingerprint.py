"""Fingerprints of data: what they hold, how many files are looked at and read, and how two are compared."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainables.data import fingerprint
from trainables.data.difference import difference
from trainables.data.fingerprint import LOST, Fingerprint, Stamp, of_contents, of_files

NAMES = ["a.png", "b.png", "c d.png", "ä\n\t0.png", os.fsdecode(b"\xff.png")]


def filled(root: Path, names: list[str] | None = None, content: bytes = b"12345678") -> list[Path]:
    files = [root / name for name in names or [f"{number:03d}.png" for number in range(40)]]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        os.utime(file, ns=(0, 10**18 + number))
    return files


def lines(before: Fingerprint, now: Fingerprint, **options: Any) -> list[str]:
    return difference(before, now, **options).lines()


def test_any_name_is_written_and_read(tmp_path: Path) -> None:
    found = of_files({"training images": filled(tmp_path, NAMES)}, tmp_path) | of_contents(
        "classes", {"a": "1"}
    )
    again = Fingerprint.from_bytes(found.to_bytes())
    assert again.things == found.things
    assert set(again.things["training images"]) == set(NAMES)
    assert found.as_dict() == {"training images": 5, "classes": 1, "sha256": again.sha256}


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\x1f\x8b broken", of_contents("a", {"b": "c"}).to_bytes()[:-9]]
)
def test_what_is_no_fingerprint_is_an_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"cannot be read|has version"):
        Fingerprint.from_bytes(content)


def test_names_are_those_below_the_root(tmp_path: Path) -> None:
    first = of_files({"images": filled(tmp_path / "a")}, tmp_path / "a")
    second = of_files({"images": filled(tmp_path / "b")}, tmp_path / "b")
    assert first.sha256 == second.sha256


@pytest.mark.parametrize("limits", [(10, 10**9), (10**9, 80)])
def test_of_many_or_large_files_some_are_read_and_each_is_looked_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int]
) -> None:
    monkeypatch.setattr(fingerprint, "MAX_READ_FILES", limits[0])
    monkeypatch.setattr(fingerprint, "MAX_READ_BYTES", limits[1])
    files, calls, stat = filled(tmp_path), list[str](), os.stat
    monkeypatch.setattr(os, "stat", lambda path, **options: calls.append(path) or stat(path, **options))
    found = of_files({"images": files}, tmp_path).things["images"]
    assert len(calls) == len(files)
    assert sum(bool(stamp.contents) for stamp in found.values()) == 10
    # The same ones when others are added, but for those that take their places.
    more = of_files({"images": [*files, *filled(tmp_path, ["new.png"])]}, tmp_path).things["images"]
    assert sum(bool(more[name].contents) == bool(found[name].contents) for name in found) >= len(files) - 1


def test_small_data_are_read_whole(tmp_path: Path) -> None:
    assert all(stamp.contents for stamp in of_files({"images": filled(tmp_path)}).things["images"].values())


def stamps(time: int = 1, contents: str = "", names: str = "abcd", **others: Stamp) -> Fingerprint:
    return Fingerprint({"images": {f"x/{name}": Stamp(5, time, contents) for name in names} | others})


def test_added_removed_and_changed_things_are_named() -> None:
    kept = {f"x/{name}": Stamp(5, 1) for name in "cde"}
    now = Fingerprint({"images": {"x/b": Stamp(6, 1), **kept}})
    (line,) = lines(stamps(), now)
    assert line == "images: 1 added (x/e), 1 removed (x/a), 1 changed (x/b: 5 bytes before, 6 now)"


def test_a_file_written_anew_that_was_not_read_is_a_change() -> None:
    now = Fingerprint({"images": stamps().things["images"] | {"x/a": Stamp(5, 2)}})
    assert lines(stamps(), now) == ["images: 1 changed (x/a)"]


def test_a_folder_written_anew_of_which_some_was_read_and_is_equal_is_touched_and_no_change() -> None:
    read = {"x/r": Stamp(5, 1, "same")}
    before, now = stamps(1, **read), stamps(2, **{"x/r": Stamp(5, 2, "same")})
    found = difference(before, now)
    assert not found
    assert found.lines() == []
    assert found.touched.startswith("4 files of the data were written anew, of the same size; 1 others")
    # Without one that was read, or with one that is another now, nothing is taken to be equal.
    assert difference(stamps(1), stamps(2))
    assert difference(before, stamps(2, **{"x/r": Stamp(5, 2, "other")}))
    # Where a file of before is left in the folder, some were edited.
    left = {"x/k": Stamp(5, 1)}
    assert difference(stamps(1, **read, **left), stamps(2, **{"x/r": Stamp(5, 2, "same")}, **left))


def test_equal_contents_are_no_change_whenever_they_were_written() -> None:
    found = difference(stamps(1, "same"), stamps(2, "same"))
    assert not found
    assert found.touched == ""


def test_what_goes_from_one_part_to_another_is_moved() -> None:
    before = Fingerprint(
        {"training images": {"a": Stamp(1), "b": Stamp(1)}, "validation images": {"c": Stamp(1)}}
    )
    now = Fingerprint(
        {"training images": {"b": Stamp(1)}, "validation images": {"a": Stamp(1), "c": Stamp(1)}}
    )
    assert lines(before, now) == ["training images: 1 moved to the validation images (a), 2 before and 1 now"]


def test_a_file_that_was_lost_is_left_to_the_samples() -> None:
    lost = Fingerprint({"images": {"x/a.*": Stamp(LOST), "x/b.png": Stamp(LOST)}})
    whole = Fingerprint({"images": {"x/a.png": Stamp(5, 1), "x/b.png": Stamp(5, 1)}})
    assert lines(whole, lost) == lines(lost, whole) == []


def test_arrays_are_compared_by_shape_type_and_values() -> None:
    base = np.arange(6, dtype=np.float32)
    others = [base.reshape(2, 3), base.astype(np.float64), base + 1, base[:5], np.array(1.0)]
    for other in others:
        assert difference(of_contents("arrays", {"x": base}), of_contents("arrays", {"x": other}))
    assert not difference(of_contents("arrays", {"x": base}), of_contents("arrays", {"x": base.copy()}))


def test_things_of_a_kind_may_come_and_go() -> None:
    assert lines(stamps(), stamps(names="abe"), ignoring=["images"]) == []
