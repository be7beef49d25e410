"""Checkpoints are there whole or not at all, and what is damaged is found."""

import contextlib
import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trainables.checkpoint import (
    DamagedCheckpointError,
    _content_sum,
    checkpoint_folder,
    library_versions,
    list_checkpoints,
    newest_checkpoint,
    read_checkpoint,
    remove_old_checkpoints,
    sha256,
    write_checkpoint,
)

FILES = ("model.safetensors", "state.pt", "manifest.json")


def write(folder, number, info=None):
    weights = {"w": torch.full((3, 2), float(number)), "n": torch.tensor(number)}
    state = {"optimizer": {"m": torch.arange(4.0), "name": "x"}, "counters": {"num_steps": number}}
    return write_checkpoint(
        folder, number, weights=weights, state=state, info=info or {"history": [0.1, 1e-300]}
    )


def flip(file: Path) -> None:
    """One bit, in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def forge(folder: Path, **changes) -> None:
    """Make the manifest agree with the files that are there, and with `changes`."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name: {"sha256": sha256(folder / name)} for name in FILES[:2]}
    manifest |= changes
    manifest["sha256"] = _content_sum(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


class Malicious:
    """Creates a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


def test_what_is_written_is_read(tmp_path):
    folder = write(tmp_path, 3, {"history": [{"miou": 0.1 + 0.2, "loss": float("nan")}], "none": None})
    assert folder == tmp_path / "checkpoint_000003"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    checkpoint = read_checkpoint(tmp_path, 3)
    assert checkpoint.virtual_epoch == 3
    assert checkpoint.info["history"][0]["miou"] == 0.1 + 0.2
    assert checkpoint.info["history"][0]["loss"] != checkpoint.info["history"][0]["loss"]
    assert checkpoint.weights()["w"].tolist() == [[3.0, 3.0]] * 3
    assert checkpoint.weights()["n"].dtype == torch.int64
    assert checkpoint.state()["optimizer"]["m"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert checkpoint.state()["counters"] == {"num_steps": 3}


def test_the_manifest_names_the_versions(tmp_path):
    manifest = json.loads((write(tmp_path, 1) / "manifest.json").read_text())
    assert manifest["versions"] == library_versions()
    assert manifest["versions"]["torch"] == torch.__version__
    assert set(manifest["files"]) == set(FILES[:2])


def test_keys_that_are_numbers_do_not_make_a_checkpoint_look_damaged(tmp_path):
    write(tmp_path, 1, {"mask_values": {2: 1, 10: 0, 255: 3}, "pair": (1, 2)})
    assert read_checkpoint(tmp_path, 1).info == {"mask_values": {"2": 1, "10": 0, "255": 3}, "pair": [1, 2]}


def test_weights_in_any_memory_layout_and_shared_ones_are_written(tmp_path):
    kernel = torch.rand(4, 3, 2, 2).to(memory_format=torch.channels_last)
    shared = torch.rand(3, 5)
    weights = {"kernel": kernel, "a": shared, "b": shared, "turned": shared.T}
    write_checkpoint(tmp_path, 1, weights=weights, state={}, info={})
    found = read_checkpoint(tmp_path, 1).weights()
    assert all(torch.equal(found[name], weights[name]) for name in weights)


def test_only_folders_with_a_number_are_checkpoints(tmp_path):
    for name in ("checkpoint_", "checkpoint_best", ".checkpoint_000009.partial", "checkpoint_1.bak", "x"):
        (tmp_path / name).mkdir()
    write(tmp_path, 12)
    write(tmp_path, 2)
    assert list_checkpoints(tmp_path) == [2, 12]
    assert newest_checkpoint(tmp_path).virtual_epoch == 12


def test_no_folder_and_no_checkpoint_give_none(tmp_path):
    assert newest_checkpoint(tmp_path) is None
    assert newest_checkpoint(tmp_path / "nowhere") is None


def test_writing_again_replaces(tmp_path):
    write(tmp_path, 1, {"time": 1})
    write(tmp_path, 1, {"time": 2})
    assert read_checkpoint(tmp_path, 1).info == {"time": 2}


KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from trainables.checkpoint import list_checkpoints, newest_checkpoint, write_checkpoint

folder = Path(sys.argv[1])

def write(number):
    write_checkpoint(folder, number, weights={"w": torch.ones(3)}, state={"s": torch.ones(2)}, info={})

def killed_at(point):
    # The process is gone at the point-th thing it does to a file of the trial; whether it got that far.
    child = os.fork()
    if not child:
        left = [point]
        def count(event, arguments):
            on_files = event in ("open", "os.mkdir", "os.rename", "os.rmdir", "os.remove", "shutil.rmtree")
            if on_files and ".checkpoint" in str(arguments[0]) + str(arguments[-1]):
                left[0] -= 1
                if not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(count)
        write(2)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL

write(1)
point = 1
while killed_at(point):
    assert list_checkpoints(folder) == [1], (point, list_checkpoints(folder))
    assert newest_checkpoint(folder).virtual_epoch == 1
    point += 1
assert newest_checkpoint(folder).virtual_epoch == 2
assert not list(folder.glob(".*")), list(folder.iterdir())
print(point - 1)
"""


def test_a_kill_between_any_two_files_leaves_no_visible_checkpoint(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 8


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped", "deleted"])
def test_a_damaged_file_is_found_and_the_checkpoint_before_is_used(tmp_path, caplog, name, damage):
    write(tmp_path, 1)
    file = write(tmp_path, 2) / name
    if damage == "deleted":
        file.unlink()
    elif damage == "flipped":
        flip(file)
    else:
        os.truncate(file, 0 if damage == "emptied" else file.stat().st_size - 1)
    with pytest.raises(DamagedCheckpointError, match="checkpoint_000002"):
        read_checkpoint(tmp_path, 2)
    with caplog.at_level(logging.WARNING):
        assert newest_checkpoint(tmp_path).virtual_epoch == 1
    assert "damaged checkpoint passed over" in caplog.text
    assert "checkpoint_000002" in caplog.text


def test_a_changed_digit_in_the_manifests_history_is_found(tmp_path):
    file = write(tmp_path, 1, {"history": [0.8125]}) / "manifest.json"
    text = file.read_text()
    assert text.count("0.8125") == 1
    file.write_text(text.replace("0.8125", "0.9125"))
    with pytest.raises(DamagedCheckpointError, match=r"manifest\.json: SHA-256 is"):
        read_checkpoint(tmp_path, 1)


@pytest.mark.parametrize("content", ["[]", "3", "null", '"x"', "{}", '{"sha256": 1}', '{"files": null}'])
def test_a_manifest_that_is_something_else_is_damaged(tmp_path, content):
    (write(tmp_path, 1) / "manifest.json").write_text(content)
    with pytest.raises(DamagedCheckpointError):
        read_checkpoint(tmp_path, 1)


def test_a_manifest_that_names_no_files_proves_nothing(tmp_path):
    folder = write(tmp_path, 1)
    forge(folder, files={})
    with pytest.raises(DamagedCheckpointError, match=r"model\.safetensors"):
        read_checkpoint(tmp_path, 1)


def test_a_checkpoint_under_another_number_is_damaged(tmp_path):
    write(tmp_path, 1).rename(checkpoint_folder(tmp_path, 5))
    with pytest.raises(DamagedCheckpointError, match="holds virtual epoch 1"):
        read_checkpoint(tmp_path, 5)


def test_several_damaged_ones_are_passed_over(tmp_path, caplog):
    for number in (1, 2, 3, 4):
        write(tmp_path, number)
    flip(tmp_path / "checkpoint_000004" / "state.pt")
    (tmp_path / "checkpoint_000003" / "manifest.json").unlink()
    assert newest_checkpoint(tmp_path).virtual_epoch == 2
    assert len(caplog.records) == 2
    for number in (1, 2):
        flip(tmp_path / f"checkpoint_00000{number}" / "model.safetensors")
    assert newest_checkpoint(tmp_path) is None


def test_another_format_is_no_damage_but_an_error_with_the_way_out(tmp_path):
    write(tmp_path, 1)
    forge(write(tmp_path, 2), version=2)
    with pytest.raises(ValueError, match=r"has version 2 .* reads version 1; go on with the version"):
        newest_checkpoint(tmp_path)


def test_a_malicious_state_is_found_by_its_hash(tmp_path):
    write(tmp_path, 1)
    folder, victim = write(tmp_path, 2), tmp_path / "executed"
    (folder / "state.pt").write_bytes(pickle.dumps(Malicious(victim)))
    assert newest_checkpoint(tmp_path).virtual_epoch == 1
    with pytest.raises(DamagedCheckpointError, match=r"state\.pt: SHA-256"):
        read_checkpoint(tmp_path, 2)
    assert not victim.exists()


@pytest.mark.parametrize("container", ["pickle", "torch"])
def test_a_malicious_state_with_a_forged_manifest_is_not_executed(tmp_path, container):
    folder, victim = write(tmp_path, 1), tmp_path / "executed"
    if container == "torch":
        torch.save({"optimizer": Malicious(victim)}, folder / "state.pt")
    else:
        (folder / "state.pt").write_bytes(pickle.dumps(Malicious(victim), protocol=2))
    forge(folder)
    checkpoint = read_checkpoint(tmp_path, 1)
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.state()
    assert not victim.exists()
    with contextlib.suppress(RuntimeError):
        torch.load(folder / "state.pt", weights_only=False)
    assert victim.exists()  # so it does execute where it is let


@pytest.mark.parametrize(
    ("keep", "best", "kept"),
    [
        (1, 2, [2, 6]),
        (2, 2, [2, 6]),
        (3, 2, [2, 5, 6]),
        (3, 6, [4, 5, 6]),
        (1, 6, [5, 6]),
        (9, 1, [1, 2, 3, 4, 5, 6]),
    ],
)
def test_best_and_newest_are_kept(tmp_path, keep, best, kept):
    for number in range(1, 7):
        write(tmp_path, number)
    remove_old_checkpoints(tmp_path, newest=6, best=best, keep=keep)
    assert list_checkpoints(tmp_path) == kept


def test_damaged_ones_with_higher_numbers_do_not_push_out_the_one_just_written(tmp_path):
    for number in (1, 2, 3, 4):
        write(tmp_path, number)
    for number in (3, 4):
        flip(checkpoint_folder(tmp_path, number) / "state.pt")
    assert newest_checkpoint(tmp_path).virtual_epoch == 2
    write(tmp_path, 3)
    remove_old_checkpoints(tmp_path, newest=3, best=1, keep=2)
    assert list_checkpoints(tmp_path) == [1, 3]
    assert newest_checkpoint(tmp_path).virtual_epoch == 3


def test_rests_of_an_interrupted_writing_are_removed(tmp_path):
    (tmp_path / ".checkpoint_000009.partial").mkdir()
    (tmp_path / ".checkpoint_000009.partial" / "state.pt").touch()
    write(tmp_path, 1)
    remove_old_checkpoints(tmp_path, newest=1, best=1, keep=2)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_000001"]
