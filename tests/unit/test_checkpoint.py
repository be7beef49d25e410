"""Checkpoints are there whole or not at all, and what is damaged is found."""

import contextlib
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from forged import Malicious, forge

from trainables.checkpoints.checkpoint import (
    DamagedCheckpointError,
    checkpoint_bytes,
    checkpoint_folder,
    library_versions,
    list_checkpoints,
    load_newest,
    read_checkpoint,
    remove_beyond,
    remove_checkpoints,
    remove_old_checkpoints,
    set_aside,
    write_checkpoint,
)

FILES = ("model.safetensors", "state.pt", "manifest.json")


def write(folder, number, info=None):
    weights = {"w": torch.full((3, 2), float(number)), "n": torch.tensor(number)}
    state = {"optimizer": {"m": torch.arange(4.0), "name": "x"}, "counters": {"num_steps": number}}
    return write_checkpoint(
        folder, number, weights=weights, state=state, info=info or {"history": [0.1, 1e-300]}
    )


def newest(folder: Path) -> int | None:
    """The virtual epoch whose checkpoint is loaded."""
    loaded, _ = load_newest(folder)
    return None if loaded is None else loaded.virtual_epoch


def flip(file: Path) -> None:
    """One bit, in the middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


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
    others = ("checkpoint_", "checkpoint_best", "checkpoint_1.bak", "checkpoint_7", "checkpoint_00000²", "x")
    for name in (*others, ".checkpoint_000009.partial"):
        (tmp_path / name).mkdir()
    write(tmp_path, 12)
    write(tmp_path, 2)
    assert list_checkpoints(tmp_path) == [2, 12]
    assert newest(tmp_path) == 12


def test_no_folder_and_no_checkpoint_give_none(tmp_path):
    assert load_newest(tmp_path) == (None, [])
    assert load_newest(tmp_path / "nowhere") == (None, [])


def test_the_newest_is_loaded_as_it_was_written(tmp_path):
    write(tmp_path, 1)
    write(tmp_path, 2, {"history": [0.5, 0.25]})
    loaded, notes = load_newest(tmp_path)
    assert loaded.weights["w"].tolist() == [[2.0, 2.0]] * 3
    assert loaded.state["optimizer"]["m"].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert loaded.info == {"history": [0.5, 0.25]}
    assert (loaded.virtual_epoch, notes) == (2, [])


def test_writing_again_replaces(tmp_path):
    write(tmp_path, 1, {"time": 1})
    write(tmp_path, 1, {"time": 2})
    assert read_checkpoint(tmp_path, 1).info == {"time": 2}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["truncated", "emptied", "flipped", "deleted"])
def test_a_damaged_file_is_found_and_the_checkpoint_before_is_used(tmp_path, name, damage):
    write(tmp_path, 1)
    file = write(tmp_path, 2) / name
    if damage == "deleted":
        file.unlink()
    elif damage == "flipped":
        flip(file)
    else:
        os.truncate(file, 0 if damage == "emptied" else file.stat().st_size - 1)
    with pytest.raises(DamagedCheckpointError, match=f"checkpoint_000002: {name}: ") as found:
        read_checkpoint(tmp_path, 2)
    loaded, notes = load_newest(tmp_path)
    assert loaded.virtual_epoch == 1
    reason = found.value.reason
    assert notes == [f"checkpoint_000002 is damaged ({reason}) and was set aside; the one before is used"]
    assert list_checkpoints(tmp_path) == [1]
    assert (tmp_path / "damaged_000002" / "reason.txt").read_text() == f"{reason}\n"


def test_a_changed_digit_in_the_manifests_history_is_found(tmp_path):
    file = write(tmp_path, 1, {"history": [0.8125]}) / "manifest.json"
    text = file.read_text()
    assert text.count("0.8125") == 1
    file.write_text(text.replace("0.8125", "0.9125"))
    with pytest.raises(DamagedCheckpointError, match=r"manifest\.json: SHA-256 is"):
        read_checkpoint(tmp_path, 1)


@pytest.mark.parametrize(
    "content",
    ["[]", "3", "null", '"x"', "{}", '{"sha256": 1}', '{"files": null}', "[" * 100_000],
    ids=lambda content: content[:20],
)
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


def test_several_damaged_ones_are_set_aside_each_with_a_line(tmp_path):
    for number in (1, 2, 3, 4):
        write(tmp_path, number)
    flip(tmp_path / "checkpoint_000004" / "state.pt")
    (tmp_path / "checkpoint_000003" / "manifest.json").unlink()
    loaded, notes = load_newest(tmp_path)
    assert loaded.virtual_epoch == 2
    assert notes[0].startswith("checkpoint_000004 is damaged (state.pt: SHA-256 is ")
    assert notes[0].endswith(" and was set aside")
    assert notes[1] == (
        "checkpoint_000003 is damaged (manifest.json: No such file or directory) and was set aside; "
        "the one before is used"
    )
    assert load_newest(tmp_path)[1] == []
    for number in (1, 2):
        flip(tmp_path / f"checkpoint_00000{number}" / "model.safetensors")
    loaded, notes = load_newest(tmp_path)
    assert loaded is None
    assert notes[1].endswith("and was set aside; the trial begins again")
    assert list_checkpoints(tmp_path) == []


def test_one_set_aside_keeps_its_content_and_leaves_the_others_of_its_name(tmp_path):
    for turn, expected in enumerate(("damaged_000003", "damaged_000003_2", "damaged_000003_3")):
        weights = (write(tmp_path, 3, {"turn": turn}) / "model.safetensors").read_bytes()
        folder = set_aside(tmp_path, 3, f"reason {turn}")
        assert folder == tmp_path / expected
        assert (folder / "model.safetensors").read_bytes() == weights
    reasons = [(path / "reason.txt").read_text() for path in sorted(tmp_path.iterdir())]
    assert reasons == ["reason 0\n", "reason 1\n", "reason 2\n"]


def test_setting_aside_what_has_vanished_is_no_error(tmp_path):
    set_aside(tmp_path, 3, "gone")
    assert list(tmp_path.iterdir()) == []


def test_another_format_is_no_damage_but_an_error_with_the_way_out(tmp_path):
    write(tmp_path, 1)
    folder = write(tmp_path, 2)
    forge(folder, version=2, files=None)
    with pytest.raises(ValueError, match=r"has version 2 .* reads version 1; use the version"):
        load_newest(tmp_path)
    assert list_checkpoints(tmp_path) == [1, 2]


def test_a_malicious_state_is_found_by_its_hash(tmp_path):
    write(tmp_path, 1)
    folder, victim = write(tmp_path, 2), tmp_path / "executed"
    (folder / "state.pt").write_bytes(pickle.dumps(Malicious(victim)))
    with pytest.raises(DamagedCheckpointError, match=r"state\.pt: SHA-256"):
        read_checkpoint(tmp_path, 2)
    assert newest(tmp_path) == 1
    assert not victim.exists()


@pytest.mark.parametrize("container", ["pickle", "torch"])
def test_a_malicious_state_with_a_forged_manifest_is_not_executed(tmp_path, container):
    folder, victim = write(tmp_path, 1), tmp_path / "executed"
    if container == "torch":
        torch.save({"optimizer": Malicious(victim)}, folder / "state.pt")
    else:
        (folder / "state.pt").write_bytes(pickle.dumps(Malicious(victim), protocol=2))
    forge(folder)
    with pytest.raises(DamagedCheckpointError, match=r"state\.pt: cannot be read \(UnpicklingError\)"):
        read_checkpoint(tmp_path, 1).state()
    assert not victim.exists()
    with contextlib.suppress(RuntimeError):
        torch.load(folder / "state.pt", weights_only=False)
    assert victim.exists()  # so it does execute where it is let
    assert load_newest(tmp_path)[1] == [
        "checkpoint_000001 is damaged (state.pt: cannot be read (UnpicklingError)) and was set aside; "
        "the trial begins again"
    ]


@pytest.mark.parametrize(
    "content", [b"", b"garbage", b"\xff" * 8 + b"{}", (900).to_bytes(8, "little") + b"{}"], ids=repr
)
@pytest.mark.parametrize("name", FILES[:2])
def test_what_a_forged_manifest_vouches_for_and_cannot_be_read_is_set_aside(tmp_path, name, content):
    write(tmp_path, 1)
    folder = write(tmp_path, 2)
    (folder / name).write_bytes(content)
    forge(folder)
    read_checkpoint(tmp_path, 2)
    loaded, (note,) = load_newest(tmp_path)
    assert loaded.virtual_epoch == 1
    assert f"({name}: cannot be read (" in note


def test_a_state_that_is_no_mapping_is_damaged(tmp_path):
    folder = write(tmp_path, 1)
    torch.save([1, 2], folder / "state.pt")
    forge(folder)
    with pytest.raises(DamagedCheckpointError, match=r"state\.pt holds a list, not a dict"):
        read_checkpoint(tmp_path, 1).state()


def test_information_that_is_no_mapping_is_damaged(tmp_path):
    forge(write(tmp_path, 1), info=[1])
    with pytest.raises(DamagedCheckpointError, match="info is a list"):
        read_checkpoint(tmp_path, 1)


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
    assert newest(tmp_path) == 2
    write(tmp_path, 3)
    remove_old_checkpoints(tmp_path, newest=3, best=1, keep=2)
    assert list_checkpoints(tmp_path) == [1, 3]
    assert newest(tmp_path) == 3


def test_what_is_newer_is_kept_while_a_job_runs_and_removed_when_one_begins(tmp_path):
    for number in (1, 2, 3, 5, 6):
        write(tmp_path, number)
    remove_old_checkpoints(tmp_path, newest=3, best=1, keep=2)
    assert list_checkpoints(tmp_path) == [1, 3, 5, 6]
    remove_beyond(tmp_path, 3)
    assert list_checkpoints(tmp_path) == [1, 3]


def test_rests_of_an_interrupted_writing_are_removed_when_a_job_begins(tmp_path):
    (tmp_path / ".checkpoint_000009.partial").mkdir()
    (tmp_path / ".checkpoint_000009.partial" / "state.pt").touch()
    (tmp_path / ".checkpoint_000003.removed.partial").mkdir()
    write(tmp_path, 1)
    (tmp_path / ".checkpoint_000002.1-4.partial").mkdir()
    remove_beyond(tmp_path, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_000001"]


def test_what_a_newer_job_is_writing_is_left_to_it(tmp_path):
    for job in ("1-4", "2-1", "1-12"):
        (tmp_path / f".checkpoint_000002.{job}.partial").mkdir()
    remove_beyond(tmp_path, 1, (1, 4))
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".checkpoint_000002.1-12.partial", ".checkpoint_000002.2-1.partial"]


def test_all_checkpoints_of_a_trial_are_removed_and_nothing_else(tmp_path):
    for number in (1, 2, 3):
        write(tmp_path, number)
    set_aside(tmp_path, 2, "damaged")
    (tmp_path / ".checkpoint_000004.partial").mkdir()
    (tmp_path / ".checkpoint_000004.partial" / "state.pt").write_bytes(b"x" * 1000)
    size = checkpoint_bytes(tmp_path)
    (tmp_path / "trial.yaml").write_text("trial: 7\n")
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "trial.yaml"]
    assert size == sum(path.stat().st_size for path in files) > 3000
    assert remove_checkpoints(tmp_path) == size
    assert [path.name for path in tmp_path.iterdir()] == ["trial.yaml"]
    assert remove_checkpoints(tmp_path) == checkpoint_bytes(tmp_path / "nowhere") == 0
