"""Hostile and broken data: files, loaders, worker processes and configurations."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jpeg_folder import cut_short, folder_trial, jpeg_folder
from PIL import Image
from recorder import Recorder, optuna_study
from small_trials import assert_identical, digits_plan, everything, run, segmentation_plan
from tiny_tasks import search_config

import search
from search.cli.main import main
from search.commands import check as _check  # noqa: F401  # so that its import is not part of any time limit below
from search.errors import SearchError
from search.run.events import EventKind
from search.run.search import search as run_search
from trainables.checkpoints.checkpoint import list_checkpoints
from trainables.process.failure import TrialError
from trainables.session import TrialPlan, TrialSession
from trainables.workers.trainable import TrialTrainable

# A file of a folder of images and masks


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return jpeg_folder(tmp_path / "data")


def folder_plan(folder: Path, root: Path, **data: Any) -> TrialPlan:
    """Three virtual epochs of one epoch each."""
    return segmentation_plan(folder, options=folder_trial(root, **data), count=4, num_virtual_epochs=3)


BREAKS: list[tuple[Callable[[Path], None], str]] = [
    (Path.unlink, "there is no such file"),
    (cut_short, r"cannot be decoded, it may be cut short \(image file is truncated"),
]


def folder_config(root: Path, **data: Any) -> dict[str, Any]:
    return search_config(
        task="segmentation",
        objective={"metric": "miou", "mode": "max"},
        trial=folder_trial(root, **data),
        budget={"trials": 1, "max_virtual_epochs": 1},
    )


@pytest.mark.parametrize("max_memory", [0, 2**20], ids=["disk", "memory"])
def test_a_broken_file_is_named_by_check_or_skipped_with_a_line(
    root: Path, max_memory: int, capsys: pytest.CaptureFixture[str]
) -> None:
    cut_short(root / "train/images/5.jpg")
    Image.fromarray(np.full((16, 16), 37, np.uint8)).save(root / "val/masks/1.png")
    with pytest.raises(SearchError, match="2 of 12 samples are wrong") as caught:
        search.check(folder_config(root, num_classes=2, max_memory=max_memory))
    assert "train/images/5.jpg: cannot be decoded" in str(caught.value)
    assert "val/masks/1.png: holds label 37 in 256 pixels; classes are 0 to 1" in str(caught.value)
    assert capsys.readouterr().err == ""
    search.check(folder_config(root, num_classes=2, max_memory=max_memory, bad_samples="skip"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("2 of 12 samples are skipped: ")


@pytest.mark.parametrize(("spoil", "reason"), BREAKS)
def test_a_file_that_breaks_in_training_fails_the_trial_with_a_line_that_names_it(
    tmp_path: Path, root: Path, spoil: Callable[[Path], None], reason: str
) -> None:
    trainable = TrialTrainable({"plan": folder_plan(tmp_path / "trial", root).as_dict()})
    trainable.train()
    spoil(root / "train/images/5.jpg")
    with pytest.raises(
        TrialError, match=rf"^error of the system: SampleError: \S*/train/images/5\.jpg: {reason}"
    ):
        trainable.train()
    trainable.stop()


@pytest.mark.parametrize(("spoil", "reason"), BREAKS)
def test_a_file_that_breaks_in_training_may_be_skipped_and_a_restart_is_exact(
    tmp_path: Path, root: Path, spoil: Callable[[Path], None], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    other = shutil.copytree(root, tmp_path / "other")
    intact = everything(run(folder_plan(tmp_path / "intact", root)))

    whole = TrialSession(folder_plan(tmp_path / "whole", root, bad_samples="skip"), None)
    whole.next_report()
    spoil(root / "train/images/5.jpg")
    spoil(root / "val/masks/1.png")
    while not whole.finished:
        assert "diverged" not in whole.next_report()
    whole.close()
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == [
        f"{root}/{file}" for file in ("train/images/5.jpg", "val/masks/1.png")
    ]

    killed = TrialSession(folder_plan(tmp_path / "killed", other, bad_samples="skip"), None)
    killed.next_report()
    spoil(other / "train/images/5.jpg")
    spoil(other / "val/masks/1.png")
    resumed = run(folder_plan(tmp_path / "killed", other, bad_samples="skip"))
    assert_identical(everything(resumed), everything(whole))
    assert resumed.history[0]["valid_loss"] == intact["history"][0]["valid_loss"]
    assert resumed.history[1]["train_loss"] != intact["history"][1]["train_loss"]


def test_more_files_that_break_in_training_than_may_be_skipped_fail_the_trial(
    tmp_path: Path, root: Path
) -> None:
    session = TrialSession(folder_plan(tmp_path / "trial", root, bad_samples="skip", max_skipped=2), None)
    for number in range(3):
        (root / f"train/images/{number}.jpg").unlink()
    with pytest.raises(ValueError, match=r"\.jpg: there is no such file; 3 samples are wrong and data\.max_"):
        session.next_report()


def test_a_trial_of_which_whole_batches_are_skipped_goes_on(tmp_path: Path, root: Path) -> None:
    for number in range(6):
        (root / f"train/masks/{number}.png").write_bytes(b"")
    session = run(folder_plan(tmp_path / "trial", root, bad_samples="skip"))
    assert [record["step"] for record in session.history] == [4, 8, 12]
    assert all(np.isfinite(record["valid_loss"]) for record in session.history)


# A loader


def loader_trial(folder: Path, unit: str = "steps", **data: str) -> TrialPlan:
    """Three virtual epochs of five steps, or of one epoch."""
    return digits_plan(
        folder,
        task="faulty_tasks:LoaderTask",
        options={"data": data, "batch_size": 16},
        unit=unit,
        count=5 if unit == "steps" else 1,
        num_virtual_epochs=3,
    )


@pytest.mark.parametrize(
    ("training", "epochs"),
    [("unsized", [1, 3, 4]), ("overstated", [1, 3, 4]), ("short", [5, 10, 15])],
)
def test_a_loader_without_a_length_or_shorter_than_a_batch_gives_every_step(
    tmp_path: Path, training: str, epochs: list[int]
) -> None:
    history = run(loader_trial(tmp_path, training=training)).history
    assert [record["step"] for record in history] == [5, 10, 15]
    # The end of a loader without a length shows when the next batch is taken.
    assert [record["epoch"] for record in history] == epochs


def test_a_virtual_epoch_of_one_epoch_over_a_loader_shorter_than_a_batch_is_one_step(tmp_path: Path) -> None:
    history = run(loader_trial(tmp_path, unit="epochs", training="short")).history
    assert [record["step"] for record in history] == [1, 2, 3]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            {"training": "short, drop_last"},
            "DataLoader over TensorDataset of 40 samples gave no batch; drop_",
        ),
        ({"training": "short arrays"}, r"batch_size is 16 but the training data has only 3"),
        ({"training": "empty arrays"}, r"the training data \(ArraySource\) is empty"),
        ({"training": "empty"}, "DataLoader over TensorDataset of 0 samples gave no batch"),
        ({"training": "empty, unsized"}, "DataLoader over Stream gave no batch; it must give at least one"),
        (
            {"training": "one-shot"},
            "DataLoader over OneShot gave no batch in epoch 2, after 3 batches before",
        ),
        ({"training": "generator"}, r"train_data\(\) is a generator; it must be a BatchSource"),
        ({"validation": "empty"}, r"the validation data \(DatasetSource\) is empty"),
        ({"validation": "generator"}, r"valid_data\(\) is a generator; it must be a BatchSource"),
    ],
    ids=str,
)
def test_data_that_cannot_fill_a_virtual_epoch_is_an_error_that_names_it(
    tmp_path: Path, data: dict[str, str], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        TrialSession(loader_trial(tmp_path, **data), None).next_report()
    assert list_checkpoints(tmp_path) == []


@pytest.mark.parametrize("training", ["unsized", "overstated", "one-shot"])
def test_a_virtual_epoch_of_epochs_over_a_loader_of_unknown_length_is_refused(
    tmp_path: Path, training: str
) -> None:
    with pytest.raises(ValueError, match="length"):
        TrialSession(loader_trial(tmp_path, unit="epochs", training=training), None)


# A process that loads data


@pytest.mark.usefixtures("ray_session")
def test_a_data_loading_worker_that_is_killed_is_named_and_the_trial_is_as_if_it_had_lived(
    tmp_path: Path,
) -> None:
    """Two trials of the same values; the worker of one of them is killed in its second virtual epoch."""
    config = search_config(
        task="faulty_tasks:DyingWorkerTask",
        trial={
            "data": {"folder": str(tmp_path)},
            "model": {"label": {"choice": [0, 1]}},
            "optimizer": {"name": "adamw", "lr": 0.01},
            "batch_size": 4,
        },
        sampler={"name": "grid", "seed": 0},
        budget={"trials": 2, "max_virtual_epochs": 3},
        scheduler={"name": "none"},
        max_failures=1,
    )
    recorder = Recorder()
    summary = run_search(config, results=tmp_path / "results", reporter=recorder)
    assert (tmp_path / "died").exists()
    assert summary.counts == {"completed": 2}
    (retried,) = [event for event in recorder.events if event.kind is EventKind.RETRIED]
    assert retried.text.startswith("RuntimeError: DataLoader worker (pid")
    assert [failure.cause for failure in retried.record.failures] == [retried.text]
    trace = Path(summary.folder) / "trials" / f"{retried.record.number:04d}" / "error.txt"
    assert trace.read_text().count("DataLoader worker (pid") >= 1
    one, other = (trial.intermediate_values for trial in optuna_study(summary.folder).trials)
    assert sorted(one) == [1, 2, 3]
    assert one == other
    wait_until(lambda: not any(Path("/proc", pid).exists() for pid in readers(tmp_path)))


def readers(folder: Path) -> list[str]:
    """The processes that read samples."""
    found = [file.name.removeprefix("reader-") for file in folder.glob("reader-*")]
    assert len(found) >= 3
    return found


def wait_until(condition: Callable[[], bool], limit: float = 60.0) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# A configuration

COMPLETE = """
name: seg
task: segmentation
objective: {{metric: miou, mode: max}}
trial: {{{}}}
virtual_epoch: {{steps: 20}}
budget: {{trials: 4, max_virtual_epochs: 9}}
"""


def in_trial(text: str) -> str:
    """A configuration that is right but for this in its `trial:`."""
    return COMPLETE.format(text)


def in_batch_size(text: str) -> str:
    return in_trial(f"batch_size: {text}")


HOSTILE: dict[str, str | bytes] = {
    "object": "trial: !!python/object/apply:os.system ['touch executed']",
    "object of a class": "trial: !!python/object/new:subprocess.Popen [[touch, executed]]",
    "task that is no class": "task: os:system",
    "task with a call": "task: \"os:system('touch executed')\"",
    "unknown handle": "a: !e!x 1",
    "long tag": "a: !" + "x" * 250_000 + " 1",
    "long handle": "!" * 250_000,
    "long tags": ("!" + "x" * 998 + " 1\n") * 250,
    "tag that moves the cursor": "a: !%1b[2J 1",
    "escapes in a tag": "a: !" + "%41" * 80_000 + " 1",
    "aliases": "a: &a 1\nb: [" + "*a, " * 60_000 + "]",
    "aliases of aliases": "a0: &a0 [x]\n"
    + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)),
    "aliases of a long text": "a: &a " + "x" * 200_000 + "\nb: [" + "*a, " * 9000 + "]",
    "alias that turns the line": "a: *\u202ex",
    "long alias": "a: *" + "x" * 250_000,
    "lists in lists": "a: " + "[" * 250_000,
    "mappings in mappings": "a: " + "{a: " * 60_000,
    "lists in blocks": "- " * 125_000,
    "keys in keys": "? " * 125_000,
    "deep blocks": "".join(" " * depth + "a:\n" for depth in range(600)),
    "long number": in_batch_size("9" * 250_000),
    "long number as a bound": in_batch_size("{randint: [1, " + "9" * 4000 + "]}"),
    "long hexadecimal number": in_batch_size("0x" + "f" * 4000),
    "long hexadecimal number as a bound": in_batch_size("{randint: [1, 0x" + "f" * 4000 + "]}"),
    "number beyond floats": in_batch_size("{loguniform: [1, " + "9" * 400 + "]}"),
    "twice": in_batch_size("8, batch_size: 16"),
    "twice and often": "a: 1\n" * 4000,
    "nul": "name: a\nx: \0\n",
    "nul escaped": 'name: "a\\0b"',
    "mark in the middle": "name: a\n\ufeffb: 2\n",
    "utf-16": "name: a\n".encode("utf-16"),
    "no text": b"\x80\x81" * 1000,
    "huge": b"x" * 2**24,
    "comment": "#" * 260_000,
    "lines": "\n" * 260_000,
    "folded text": "a: >\n" + "  x\n" * 60_000,
    "long key": in_trial("x" * 900 + ": 1"),
    "key that moves the cursor": in_trial('"\\e[2Jx": 1'),
    "half a character": in_trial('model: {label: "\\ud800"}').replace(
        "segmentation", "tiny_tasks:DigitsTask"
    ),
    "no character": 'name: a\nx: "\\U00110000"',
    "no character at all": 'x: "\\UFFFFFFFF"',
    "variable with a long name": "name: ${env:" + "A" * 200_000 + "}",
    "variable that moves the cursor": 'name: "${env:\\e[2J}"',
    "documents": "---\n" * 60_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_configuration_is_refused_at_once_in_short_lines_and_nothing_is_executed(
    text: str | bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hostile.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    began = time.process_time()
    with pytest.raises(SystemExit) as left:
        main(["check", "hostile.yaml"])
    assert time.process_time() - began < 10.0  # 0.2 s on an idle machine
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert told.startswith("hostile.yaml")
    assert all(line.isprintable() and len(line) < 400 for line in told.splitlines())
    assert [file.name for file in tmp_path.iterdir()] == ["hostile.yaml"]


def test_a_byte_order_mark_at_the_start_is_no_fault(tmp_path: Path) -> None:
    file = tmp_path / "marked.yaml"
    file.write_text("\ufeff" + in_batch_size("8"), encoding="utf-8")
    from search.config.stages import load_config

    assert load_config(file).name == "seg"
