"""The harness of `make gpu`: every check becomes a line, whatever happens in it."""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import odd_checks
import pytest
import torch
from rich.console import Console

from benchmarks.gpu import bare, wheels
from benchmarks.gpu.check import Check, Context, Figure, Line, Status, make
from benchmarks.gpu.checks import CHECKS, chosen
from benchmarks.gpu.report import show, write
from benchmarks.gpu.run import main
from benchmarks.gpu.runner import make_all
from trainables.checkpoints.checkpoint import sha256

CPU = Context(torch.device("cpu"))
FACTS = {
    "device": "NVIDIA H100 80GB HBM3",
    "driver": "580.65.06",
    "versions": {"torch": "2.11.0", "ray": "2.60.0"},
    "revision": "0123456789abcdef",
    "changed": True,
}


class Here:
    """A process that is this one; `clock` is moved on by what a check is said to take."""

    def __init__(self, made: list[Here], clock: list[float], seconds: float = 1.0) -> None:
        self.checks: list[str] = []
        self.limits: list[float] = []
        self.is_open = True
        self._clock, self._seconds = clock, seconds
        made.append(self)

    def make(self, check: Check, seconds: float) -> Line:
        assert self.is_open
        self.checks.append(check.name)
        self.limits.append(seconds)
        self._clock[0] += self._seconds
        return make(check, CPU, lambda: self._clock[0])

    def close(self) -> None:
        self.is_open = False


def made_here(
    checks: list[Check], *, seconds: float = 1000.0, on_gpu: bool = False, each: float = 1.0
) -> tuple[list[Line], list[Here]]:
    processes: list[Here] = []
    clock = [0.0]
    lines = make_all(
        checks,
        lambda: Here(processes, clock, each),
        seconds=seconds,
        on_gpu=on_gpu,
        clock=lambda: clock[0],
    )
    return list(lines), processes


def odd(*names: str) -> list[Check]:
    known = {check.run.__name__: check for check in odd_checks.CHECKS[:-1]}
    return [known[name] for name in names]


def test_a_failed_check_does_not_end_the_run_and_a_skipped_one_has_its_reason() -> None:
    lines, _ = made_here(odd("passes", "too_much", "no_number", "raises", "is_skipped", "passes"))
    assert [line.status for line in lines] == ["passed", "failed", "failed", "failed", "skipped", "passed"]
    assert (lines[0].figure, lines[0].limit) == ("0.5 of it", "<= 1")
    assert (lines[1].figure, lines[1].limit) == ("2 of it", "<= 1")
    assert lines[2].value is None
    assert lines[3].note == "RuntimeError: CUDA error: device-side assert triggered"
    assert lines[4].note == "there is no such program here"


def test_after_a_failed_check_the_next_has_a_new_process_and_no_process_is_left() -> None:
    _, processes = made_here(odd("passes", "raises", "passes", "passes"))
    assert [process.checks for process in processes] == [["passes", "raises"], ["passes", "passes"]]
    assert not any(process.is_open for process in processes)


def test_a_check_that_may_spoil_its_process_has_one_of_its_own() -> None:
    alone = [replace(check, fresh=True) for check in odd("passes")]
    _, processes = made_here([*odd("passes"), *alone, *odd("passes")])
    assert [process.checks for process in processes] == [["passes"]] * 3


def test_without_a_gpu_what_needs_one_is_skipped_with_the_reason_and_starts_nothing() -> None:
    lines, processes = made_here([odd_checks.CHECKS[-1]])
    assert [(line.status, line.note) for line in lines] == [("skipped", "there is no GPU here")]
    assert not processes
    lines, _ = made_here([odd_checks.CHECKS[-1]], on_gpu=True)
    assert lines[0].note == "there is no GPU here"  # this process has none


def test_what_the_time_does_not_suffice_for_is_skipped_with_the_reason() -> None:
    lines, (process,) = made_here(odd("passes", "passes", "passes"), seconds=50.0, each=30.0)
    assert [line.status for line in lines] == ["passed", "passed", "skipped"]
    assert lines[2].note == "the 50 s for all checks are over"
    assert process.limits == [40.0, 20.0]


def test_the_json_holds_the_facts_and_every_line(tmp_path: Path) -> None:
    lines, _ = made_here(odd("passes", "no_number", "is_skipped"))
    write(tmp_path / "results" / "run.json", FACTS, lines)
    content = json.loads((tmp_path / "results" / "run.json").read_text())
    assert {name: content[name] for name in FACTS} == FACTS
    assert content["counts"] == {"passed": 1, "failed": 1, "skipped": 1}
    first, second, third = content["checks"]
    assert (first["check"], first["status"], first["value"]) == ("passes", "passed", 0.5)
    assert (second["status"], second["value"]) == ("failed", None)
    assert third["note"] == "there is no such program here"


def test_the_table_names_every_check_with_figure_limit_and_note(tmp_path: Path) -> None:
    lines, _ = made_here(odd("passes", "raises", "is_skipped"))
    with (tmp_path / "table").open("w") as file:
        show(Console(file=file, width=160), FACTS, lines)
    text = (tmp_path / "table").read_text()
    assert "H100 80GB HBM3, driver 580.65.06, torch 2.11.0, ray 2.60.0" in text
    assert "revision 012345678 with changes" in text
    for part in ("passes", "0.5 of it", "<= 1", "device-side assert", "1 passed, 1 failed, 1 skipped"):
        assert part in text


def test_a_figure_has_passed_within_its_bounds_only() -> None:
    assert Figure(1.0, "", limit=1.0).passed
    assert Figure(1.0, "").bounds == "reported"
    assert not Figure(0.4, "", least=0.5, limit=1.0).passed
    assert not Figure(float("nan"), "").passed
    assert Figure(0.7, "", least=0.5, limit=1.0).bounds == ">= 0.5, <= 1"


def test_names_are_unique_and_only_takes_them_part_by_part(capsys: pytest.CaptureFixture[str]) -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    assert [c.name for c in chosen(["scalers", "repeat/unet/fp32"])] == ["scalers/gan", "repeat/unet/fp32"]
    assert not {"gradients"} & {c.name.partition("/")[0] for c in chosen(["repeat"])}
    assert main(["--only", "repeat/un"]) == 2
    assert "--only repeat/un: no check has that name" in capsys.readouterr().err
    assert main(["--list", "--only", "share"]) == 0
    listed = capsys.readouterr().out
    assert "share/four" in listed
    assert "(needs a GPU)" in listed


def wheel(folder: Path, name: str, size: int) -> Path:
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/data", hashlib.sha256(name.encode()).digest() * (size // 32))
    return path


def test_halves_joined_are_the_wheel_bit_for_bit_and_batches_are_small(tmp_path: Path) -> None:
    whole = [wheel(tmp_path, name, size) for name, size in (("ray", 7000), ("numpy", 3000), ("rich", 900))]
    batches = wheels.pack(whole, tmp_path / "out", batch=5000, part=4000)
    assert all(sum(part.size for part in batch) <= 5000 for batch in batches)
    parts = [part.file for batch in batches for part in batch]
    assert sorted(parts) == sorted([f"{whole[0].name}.1", f"{whole[0].name}.2", whole[1].name, whole[2].name])
    joined = bare.join(tmp_path / "out", bare.read_list(tmp_path / "out"), tmp_path / "joined")
    assert {path.name: sha256(path) for path in joined} == {path.name: sha256(path) for path in whole}
    wheels.check(joined)


def test_a_half_that_is_missing_damaged_or_of_another_time_is_named(tmp_path: Path) -> None:
    whole = [wheel(tmp_path, "ray", 7000), wheel(tmp_path, "rich", 900)]
    out = tmp_path / "out"
    wheels.pack(whole, out, batch=5000, part=4000)
    listed = bare.read_list(out)
    (half,) = out.glob(f"*/{whole[0].name}.2")
    content = half.read_bytes()
    half.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(SystemExit, match=r"ray-1\.0.* has SHA-256 .* it must be .* carry it again"):
        bare.join(out, listed, tmp_path / "joined")
    half.unlink()
    with pytest.raises(SystemExit, match=r"whl\.2 is in no batch of .*: not all batches"):
        bare.join(out, listed, tmp_path / "joined")
    (out / "2" / wheels.LIST).write_text("{}")
    with pytest.raises(SystemExit, match="gathered at different times"):
        bare.read_list(out)
    with pytest.raises(SystemExit, match="no batch"):
        bare.read_list(tmp_path / "elsewhere")


def test_torch_is_neither_asked_for_nor_carried(tmp_path: Path) -> None:
    asked = wheels.requirements(Path(wheels.ROOT) / "pyproject.toml")
    names = {line.partition(">")[0].partition("[")[0] for line in asked}
    assert {"ray", "optuna", "safetensors", "transformers"} <= names
    assert "torch" not in names
    assert "ray[tune]>=2.58,<2.62" in asked
    for name in ("torch", "nvidia_cudnn_cu13", "triton"):
        with pytest.raises(ValueError, match="must stay the machine's own"):
            wheels.check([wheel(tmp_path, name, 64)])


def test_a_wheel_too_large_for_any_batch_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has .* bytes; a batch has room for 1,000"):
        wheels.pack([wheel(tmp_path, "ray", 9000)], tmp_path / "out", batch=1000, part=500)


def test_a_status_is_written_as_its_word() -> None:
    assert str(Status.PASSED) == "passed"
