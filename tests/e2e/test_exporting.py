"""Export and retraining on a finished search: files that open without the program, and the same trainer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from forged import Malicious, forge

import search
from search.config.stages import load_config
from search.errors import SearchError
from search.run.outcome.summary import Summary
from trainables.checkpoints.checkpoint import read_checkpoint, write_checkpoint
from trainables.fence import newest_job


def change_weights(run: Path, finished_run: Summary) -> None:
    """Make the best checkpoint another one, whose sums are right."""
    best = finished_run.best
    assert best is not None
    trial = run / "trials" / f"{best.trial:04d}"
    checkpoint = read_checkpoint(trial, best.virtual_epoch)
    others = {name: tensor * 0 for name, tensor in checkpoint.weights().items()}
    contents = {"weights": others, "state": checkpoint.state(), "info": checkpoint.info}
    write_checkpoint(trial, best.virtual_epoch, **contents, job=newest_job(trial))


def test_the_export_is_the_best_trial_and_evaluates_to_its_value(run: Path, finished_run: Summary) -> None:
    exported = search.export(run)
    assert finished_run.best is not None
    assert exported.trial == finished_run.best.trial
    assert exported.value == finished_run.best.value
    assert sorted(path.name for path in exported.folder.iterdir()) == [
        "README.md",
        "SHA256SUMS",
        "config.yaml",
        "data.fingerprint",
        "metrics.json",
        "model.safetensors",
    ]
    report = json.loads((exported.folder / "metrics.json").read_text())
    assert report["objective"] == {
        "metric": "accuracy",
        "mode": "max",
        "window": finished_run.best.window,
        "value": finished_run.best.value,
    }
    assert report["virtual_epoch"] == finished_run.best.virtual_epoch
    assert report["versions"]["torch"] == torch.__version__


def test_the_sums_are_those_of_the_files(run: Path) -> None:
    assert_whole(search.export(run).folder)


def test_the_weights_load_in_plain_pytorch(run: Path, finished_run: Summary) -> None:
    exported = search.export(run)
    assert finished_run.best is not None
    hidden = finished_run.best.params["model.hidden"]
    code = f"""
import torch
from safetensors.torch import load_file
model = torch.nn.Sequential(
    torch.nn.Linear(64, {hidden}), torch.nn.BatchNorm1d({hidden}), torch.nn.ReLU(), torch.nn.Dropout(0.1),
    torch.nn.Linear({hidden}, 10))
model.load_state_dict(load_file({str(exported.folder / "model.safetensors")!r}))
print(sum(p.numel() for p in model.parameters()))
"""
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=run)
    assert int(printed) == 64 * hidden + hidden + 2 * hidden + hidden * 10 + 10


def test_the_exported_configuration_is_one_that_a_search_reads(run: Path) -> None:
    config = load_config(search.export(run).folder / "config.yaml").first
    assert config.space.names == ()
    assert config.budget.max_virtual_epochs == 9
    assert config.virtual_epoch.count == 5


def test_another_trial_can_be_exported_elsewhere(run: Path, tmp_path: Path) -> None:
    exported = search.export(run, trial=0, out=tmp_path / "elsewhere")
    assert exported.trial == 0
    assert exported.folder == tmp_path / "elsewhere"
    with pytest.raises(SearchError, match=r"there is no trial 99; .* has trials 0 to 8"):
        search.export(run, trial=99)


def test_weights_that_do_not_give_the_recorded_value_are_refused(run: Path, finished_run: Summary) -> None:
    change_weights(run, finished_run)
    with pytest.raises(SearchError, match="was recorded; nothing was exported"):
        search.export(run)
    assert not (run / "export").exists()
    assert not list(run.glob(".export*"))


def test_a_damaged_best_checkpoint_is_named(run: Path, finished_run: Summary) -> None:
    assert finished_run.best is not None
    weights = run / finished_run.best.checkpoint / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(SearchError, match=r"model\.safetensors: SHA-256"):
        search.export(run)


def test_a_hostile_state_behind_a_forged_manifest_is_refused(run: Path, finished_run: Summary) -> None:
    assert finished_run.best is not None
    checkpoint, victim = run / finished_run.best.checkpoint, run / "executed"
    torch.save({"trainer": Malicious(victim)}, checkpoint / "state.pt")
    forge(checkpoint)
    with pytest.raises(
        SearchError, match=r"cannot be exported: .*state\.pt: cannot be read \(UnpicklingError"
    ):
        search.export(run)
    assert not victim.exists()
    assert not list(run.glob("*export*"))


def assert_whole(folder: Path) -> None:
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(": OK") == 5


KILLED = """
import os, signal, sys
from pathlib import Path
import tiny_tasks
from search.exports.export import export
from search.exports.files import FILES, SUMS
from trainables.checkpoints.checkpoint import sha256

run, expected = Path(sys.argv[1]), Path(sys.argv[2])
export(run, out=expected)  # what is imported on the way is imported here, once

def is_whole(folder):
    sums = (folder / SUMS).read_text()
    return all(f"{sha256(folder / name)}  {name}" in sums for name in FILES)

def killed_at(point):
    # The process is gone at the point-th change to a file or folder of the export; whether it was.
    child = os.fork()
    if not child:
        left = [point]
        def count(event, arguments):
            written = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
            if written or event in ("os.mkdir", "os.rename", "os.rmdir", "os.remove"):
                if "export" in str(arguments[0]):
                    left[0] -= 1
                    if not left[0]:
                        os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(count)
        export(run)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

for export_before in (False, True):
    point = 1
    while killed_at(point):
        if (run / "export").exists():
            assert is_whole(run / "export"), point
        elif export_before:
            assert is_whole(run / ".export.old"), point
        point += 1
    assert [path.name for path in run.glob("*export*")] == ["export"], list(run.glob("*export*"))
    print(point - 1)
"""


def test_a_kill_at_any_point_leaves_no_export_or_a_whole_one_and_again_gives_the_same(
    run: Path, tmp_path: Path
) -> None:
    expected = tmp_path / "expected"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(run), str(expected)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert all(int(line) >= 8 for line in done.stdout.split())
    assert_whole(run / "export")
    for name in ("model.safetensors", "config.yaml"):
        assert (run / "export" / name).read_bytes() == (expected / name).read_bytes()


def test_an_export_that_was_about_to_be_replaced_is_put_back(run: Path, finished_run: Summary) -> None:
    before = search.export(run).folder
    (before / "mine.txt").write_text("kept")
    before.rename(run / ".export.old")
    change_weights(run, finished_run)
    with pytest.raises(SearchError, match="was recorded; nothing was exported"):
        search.export(run)
    assert_whole(run / "export")
    assert (run / "export" / "mine.txt").exists()
    assert [path.name for path in run.glob("*export*")] == ["export"]


def test_a_folder_that_is_no_export_is_not_replaced(run: Path, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    search.export(run, out=tmp_path / "models")
    search.export(run, out=tmp_path / "models")
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "file").write_text("x")
    for name in ("thesis", "file"):
        with pytest.raises(SearchError, match=f"{name} exists and is not an export: it has no SHA256SUMS"):
            search.export(run, out=tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


def test_a_folder_that_is_no_export_is_named(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"no model\.safetensors; `tune-search export RUN` writes one"):
        search.retrain(tmp_path)
    with pytest.raises(SearchError, match="is not the folder of a search"):
        search.export(tmp_path)


def recorded_elsewhere(run: Path, finished_run: Summary, factor: float, **arithmetic: str) -> None:
    """Let the best checkpoint have been measured in another arithmetic, with `factor` times its value."""
    best = finished_run.best
    assert best is not None
    folder = run / best.checkpoint
    info = json.loads((folder / "manifest.json").read_text())["info"]
    info["history"][-1][info["metric"]] *= factor
    forge(folder, info={**info, **arithmetic})


def test_what_was_measured_on_a_gpu_in_bf16_may_differ_by_its_rounding(
    run: Path, finished_run: Summary
) -> None:
    recorded_elsewhere(run, finished_run, 1.02, device="cuda", precision="bf16")
    assert search.export(run).trial == finished_run.best.trial  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("factor", "arithmetic", "how"),
    [
        (1.02, {}, "was recorded; nothing"),
        (1.05, {"device": "cuda", "precision": "bf16"}, "on cuda in bf16, evaluated here on cpu in fp32"),
    ],
)
def test_more_than_that_is_refused_with_both_arithmetics(
    run: Path, finished_run: Summary, factor: float, arithmetic: dict[str, str], how: str
) -> None:
    recorded_elsewhere(run, finished_run, factor, **arithmetic)
    with pytest.raises(SearchError, match=how):
        search.export(run)


def test_what_was_trained_in_fp16_is_exported_without_a_gpu(run: Path, finished_run: Summary) -> None:
    assert finished_run.best is not None
    folder = run / finished_run.best.checkpoint
    info = json.loads((folder / "manifest.json").read_text())["info"]
    info["options"]["precision"] = "fp16"
    forge(folder, info={**info, "device": "cuda", "precision": "fp16"})
    assert search.export(run).value == pytest.approx(finished_run.best.value)


def test_an_export_leaves_no_file_of_a_persons_behind(run: Path) -> None:
    out = search.export(run).folder
    search.export(run)  # over an untouched export
    (out / "notes.txt").write_text("mine")
    with (out / "README.md").open("a") as file:
        file.write("and what I think of it\n")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(
        SearchError, match=r"holds notes.txt, which no export wrote, and README.md, edited since"
    ):
        search.export(run)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert search.export(run, out=run / "other").folder == run / "other"
