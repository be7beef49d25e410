from __future__ import annotations

import io
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from broken_folder import (
    DAMAGE,
    NUM_TRAIN,
    NUM_VALID,
    broken_folder,
    folder_config,
    intact_folder,
    mask_of,
    messages,
    named,
    save_mask,
)
from patience import PATIENCE
from PIL import Image
from programs import wait_for_line
from tiny_tasks import DigitsTask, search_config

import search
from search.cli.main import main
from search.commands.check_data import DataCheck, Progress
from search.errors import SearchError
from search.screen.progress_bar import ProgressBar
from search.screen.texts.data import data_check_text, data_progress_text
from trainables.data.threads import in_threads
from trainables.images.loading import load_images
from trainables.images.options import MaskFolderOptions
from trainables.inspect.inspection import Contents, Inspection, SampleName
from trainables.options import TrialOptions


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return intact_folder(tmp_path / "streets")


def check(root: Path, **data: object) -> DataCheck:
    return search.check_data(folder_config(root, **data))


# What is found in a folder of images and masks


def test_nothing_is_wrong_with_a_folder_without_damage(root: Path) -> None:
    found = check(root)
    assert found.findings == []
    assert {part: summary.samples for part, summary in found.parts.items()} == {
        "train": NUM_TRAIN,
        "valid": NUM_VALID,
    }
    assert data_check_text(found).endswith("no problems found")


@pytest.mark.parametrize(
    ("spoil", "kind", "files"), DAMAGE, ids=[spoil.__name__.strip("_") for spoil, _, _ in DAMAGE]
)
def test_each_kind_of_damage_is_found_with_its_files_and_nothing_else(
    root: Path, spoil: Callable[[Path], None], kind: str, files: set[str]
) -> None:
    spoil(root)
    found = check(root)
    assert named(found, kind) == files
    assert {finding.kind.name for finding in found.findings} == {kind}


def test_all_damage_is_reported_in_text_and_json_and_the_exit_code_is_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = broken_folder(tmp_path / "streets")
    monkeypatch.setenv("COLUMNS", "100")
    (tmp_path / "config.json").write_text(json.dumps(folder_config(root)))
    with pytest.raises(SystemExit) as left:
        main(["check", str(tmp_path / "config.json"), "--data", "--json", str(tmp_path / "found.json")])
    assert left.value.code == 1
    told = capsys.readouterr().out
    assert max(map(len, told.splitlines())) <= 100
    written = json.loads((tmp_path / "found.json").read_text())
    for _, kind, files in DAMAGE:
        of_kind = {f["file"].removeprefix(f"{root}/") for f in written["findings"] if f["kind"] == kind}
        assert files <= of_kind
        (row,) = [line for line in told.splitlines() if line.startswith(f"{kind}  ")]
        assert row.split("  ")[0] == kind
        assert sorted(of_kind)[0] in told
    assert (written["errors"], written["warnings"]) == (17, 5)
    assert " ".join(told.split()).endswith(
        f"17 errors, 5 warnings; {tmp_path / 'found.json'} lists every file"
    )
    assert "and 2 more" in told  # of the five images without a mask
    assert [row["name"] for row in written["classes"]] == ["road", "car", "sky", "ignored"]
    assert written["parts"]["valid"]["sizes"] == {"min": [32, 24], "median": [32, 24], "max": [32, 24]}


def test_warnings_alone_leave_the_exit_code_0_and_json_needs_data(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_mask(root, "train/masks/003", np.full((24, 32), 255, np.uint8))
    config = tmp_path / "config.json"
    config.write_text(json.dumps(folder_config(root)))
    with pytest.raises(SystemExit) as left:
        main(["check", str(config), "--data"])
    assert left.value.code == 0
    assert "1 warning" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        main(["check", str(config), "--json", "found.json"])
    assert left.value.code == 2
    assert "--json needs --data" in capsys.readouterr().err


def test_a_wrong_label_is_reported_with_its_pixels_and_the_classes(root: Path) -> None:
    labels = mask_of(root, "train/masks/006")
    labels[0, :20], labels[1, :3] = 37, 41
    save_mask(root, "train/masks/006", labels)
    save_mask(
        root, "train/masks/007", np.where(mask_of(root, "train/masks/007") == 2, 999, 0).astype(np.uint16)
    )
    sky = int((mask_of(root, "train/masks/007") > 0).sum())
    assert messages(check(root)) == [
        "holds label 37 in 20 pixels, 41 in 3; classes are 0 to 2, ignored is 255",
        f"holds label 999 in {sky} pixels; labels must be whole numbers from 0 to 255",
    ]


def test_masks_that_are_all_binary_are_one_error_that_suggests_mask_values(root: Path) -> None:
    (root / "classes.txt").unlink()
    for file in root.glob("*/masks/*.png"):
        Image.fromarray(np.where(np.asarray(Image.open(file)) == 1, 255, 0).astype(np.uint8)).save(file)
    for ignore_index in (255, 254):
        found = check(root, ignore_index=ignore_index)
        (error,) = found.errors
        assert error.kind.name == "masks of 0 and 255"
        assert "data.mask_values: {255: 1}" in error.kind.remedy
        assert error.message.startswith(f"{NUM_TRAIN + NUM_VALID} masks hold 0 and 255")
    found = check(root, mask_values={"255": 1}, ignore_index=254)
    assert found.findings == []
    assert [row.name for row in found.classes] == ["0", "1"]


def test_a_label_that_alone_decides_the_number_of_classes_is_a_warning(root: Path) -> None:
    (root / "classes.txt").unlink()
    labels = mask_of(root, "train/masks/006")
    labels[0, :7] = 200
    save_mask(root, "train/masks/006", labels)
    found = check(root)
    assert named(found, "label above a gap") == {"train/masks/006.png"}
    assert "label 200 in 7 pixels, while no mask holds 3" in messages(found)
    assert "label out of range" in {finding.kind.name for finding in check(root, num_classes=3).errors}


def test_images_that_are_all_of_another_mode_are_one_warning(root: Path) -> None:
    for file in root.glob("*/images/*.png"):
        Image.open(file).convert("L").save(file)
    (finding,) = check(root).findings
    assert finding.message == f"all {NUM_TRAIN + NUM_VALID} images are L, read as RGB"
    assert check(root, channels=1).findings == []


def test_statistics_and_class_frequencies_are_those_that_training_would_use(root: Path) -> None:
    Image.open(root / "train/images/002.png").resize((64, 48)).save(root / "train/images/002.png")
    Image.open(root / "train/masks/002.png").resize((64, 48), 0).save(root / "train/masks/002.png")
    found = check(root)
    arrays = load_images(MaskFolderOptions(source="folder", root=str(root)))
    train = found.parts["train"]
    np.testing.assert_allclose(train.mean, arrays["mean"], rtol=1e-6)
    np.testing.assert_allclose(train.std, arrays["std"], rtol=1e-6)
    assert train.sizes == {"min": (32, 24), "median": (32, 24), "max": (64, 48)}
    counts = [row.counts["train"] for row in found.classes if row.name != "ignored"]
    np.testing.assert_array_equal(counts, arrays["class_counts"])
    assert found.classes[-1].counts["train"] == 32 * (NUM_TRAIN - 1) + 2 * 64  # the last row of each mask
    masks = [mask_of(root, f"val/masks/{number:03}") for number in range(NUM_VALID)]
    assert found.classes[1].counts["valid"] == sum(int((mask == 1).sum()) for mask in masks)
    assert found.classes[1].samples["valid"] == sum(bool((mask == 1).any()) for mask in masks)


def test_a_folder_of_no_layout_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (finding,) = check(tmp_path).errors
    assert finding.kind.name == "folder"
    assert "holds pictures; expected" in finding.message
    (finding,) = check(tmp_path / "nowhere").errors
    assert "must be a folder" in finding.message


def test_a_name_with_control_characters_cannot_move_the_cursor(root: Path) -> None:
    (root / "train/images/\x1b[2J.png").write_bytes(b"")
    text = data_check_text(check(root))
    assert all(line.isprintable() for line in text.splitlines())
    assert r"train/images/\x1b[2J.png" in text


def test_the_most_and_the_least_frequent_of_many_classes_are_shown(root: Path) -> None:
    (root / "classes.txt").write_text("\n".join(f"kind {number}" for number in range(100)))
    rows = [line for line in data_check_text(check(root), width=100).splitlines() if line.startswith("kind ")]
    assert len(rows) == 39  # and the ignored pixels
    assert {"kind 0", "kind 1", "kind 2"} <= {" ".join(row.split()[:2]) for row in rows}


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_terminal(tmp_path: Path, width: int) -> None:
    text = data_check_text(check(broken_folder(tmp_path / "streets")), width=width)
    assert max(map(len, text.splitlines())) <= width


# Reading in threads


@pytest.mark.parametrize("num_threads", [1, 3])
def test_results_come_in_order_and_an_exception_in_its_turn(num_threads: int) -> None:
    def square(number: int) -> int:
        if number == 60:
            raise ValueError("sixty")
        return number**2

    results = in_threads(square, 100, num_threads)
    assert [next(results) for _ in range(60)] == [number**2 for number in range(60)]
    with pytest.raises(ValueError, match="sixty"):
        next(results)


def test_threads_are_only_a_few_numbers_ahead_and_end_when_the_loop_is_left() -> None:
    begun: list[int] = []
    results = in_threads(lambda number: begun.append(number), 10_000, 2)
    for _ in range(20):
        next(results)
    before = threading.active_count()
    results.close()  # type: ignore[attr-defined]
    assert len(begun) <= 20 + 2 * 4
    deadline = time.monotonic() + 10
    while threading.active_count() > before - 2:
        assert time.monotonic() < deadline


def test_ctrl_c_ends_the_reading_at_once_also_in_the_middle_of_samples(
    program: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(search_config(task="endless_tasks:EndlessTask")))
    process = program("check", str(tmp_path / "config.json"), "--data")
    wait_for_line(process, "has begun")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "interrupted" in rest  # threads that are still reading may print after it
    assert time.monotonic() - began < 10.0  # 10 ms on an idle machine


def test_ctrl_c_ends_the_wait_of_the_main_thread(
    program: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(search_config(task="endless_tasks:InterruptedTask")))
    process = program("check", str(tmp_path / "config.json"), "--data")
    rest, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "interrupted" in rest  # threads that are still reading may print after it


def test_in_a_pipe_a_line_comes_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now, out = [100.0], io.StringIO()
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with ProgressBar(out, "finding the samples") as bar:
        for number in range(1, 31):
            now[0] += 1.0
            read = Progress(number, 60, number * 2**20, 60 * 2**20, number // 10, seconds=number)
            bar.report(data_progress_text(read), read.fraction, 1.0)
    begun, first, second, third = out.getvalue().splitlines()
    assert begun == "finding the samples"
    assert first == "10 of 60 samples, 10.5 MB of 62.9 MB, about 50 s left, 1 problem"
    assert second.startswith("20 of 60 samples, ")
    assert third.endswith(", 3 problems")


def test_a_task_may_define_its_own_inspection() -> None:
    """The least that an inspection needs."""

    class Two(Inspection):
        samples = [SampleName("train", "a.wav"), SampleName("valid", "b.wav")]  # noqa: RUF012

        def look(self, number: int) -> Contents:
            return Contents(digests=[b"same"], labels={number: 1})

    class TwoTask(DigitsTask):
        @classmethod
        def inspect(cls, options: TrialOptions) -> Inspection:
            return Two()

    globals()["TwoTask"] = TwoTask
    found = search.check_data(search_config(task="test_data_check:TwoTask"))
    assert named(found, "data leakage") == {"b.wav"}
    rows: list[Mapping[str, int]] = [row.counts for row in found.classes]
    assert rows == [{"train": 1, "valid": 0}, {"train": 0, "valid": 1}]
    assert named(found, "class without samples") == {"class 0", "class 1"}


def test_the_documentation_shows_the_output_for_the_broken_folder(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/data_check.md").read_text()
    text = data_check_text(check(broken_folder(tmp_path / "streets")), width=96)
    lines = text[text.index("\nerrors ") + 1 :].splitlines()
    shown = "\n".join(line.rstrip() for line in lines)
    assert shown in page


def test_training_images_of_several_sizes_need_a_crop(root: Path) -> None:
    for part in ("images", "masks"):
        file = root / "train" / part / "005.png"
        with Image.open(file) as image:
            image.crop((0, 0, 8, 8)).save(file)
    (found,) = check(root).findings
    assert found.kind.name == "several sizes"
    assert found.message.startswith("training images have 2 sizes, from 8x8 to ")
    settings = folder_config(root)
    with pytest.raises(SearchError, match=r"have 2 sizes, .* one batch needs one size: set augment\.crop"):
        search.check(settings)
    settings["trial"].setdefault("augment", {})["crop"] = 8
    assert search.check_data(settings).findings == []
