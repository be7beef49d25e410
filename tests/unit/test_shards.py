"""Shards: what names them, what a sample is read as, and how they are written."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from PIL import Image
from shard_data import index_of, npy, number_of, numbered_shards, png

from trainables.shards import Sample, ShardReader, ShardWriter, find_shards
from trainables.shards.__main__ import main

# What names shards


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a-{008..010}.tar", ["a-008.tar", "a-009.tar", "a-010.tar"]),
        ("a-{8..10}.tar", ["a-8.tar", "a-9.tar", "a-10.tar"]),
        ("{x,y}-{0..1}.tar", ["x-0.tar", "x-1.tar", "y-0.tar", "y-1.tar"]),
        ("a-{0..4..2}.tar", ["a-0.tar", "a-2.tar", "a-4.tar"]),
        ("plain.tar", ["plain.tar"]),
    ],
)
def test_braces_expand_to_ranges_and_lists(tmp_path, pattern, names):
    for name in names:
        (tmp_path / name).touch()
    assert [file.name for file in find_shards(pattern, tmp_path)] == names


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a-{0..99999}.tar", r"a-0\.tar: no such file"),
        ("a-{0..9.tar", "Unbalanced braces"),
        ("missing-{0..1}.tar", r"missing-0\.tar: no such file"),
        ("missing-*.tar", r"missing-\*\.tar: no such file"),
        ("empty", r"has no file that ends in \.tar"),
    ],
)
def test_a_pattern_that_names_nothing_is_an_error(tmp_path, pattern, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        find_shards(pattern, tmp_path)


def test_the_brackets_of_a_root_are_no_pattern(tmp_path):
    root = tmp_path / "data [1]"
    root.mkdir()
    (root / "train-0.tar").touch()
    assert find_shards("train-*.tar", root) == [root / "train-0.tar"]


def test_folders_globs_and_files_are_sorted_and_named_once(tmp_path):
    files = numbered_shards(tmp_path, [1] * 11)
    assert find_shards(".", tmp_path) == files
    assert find_shards(["train-0?-*.tar", "train-{00..10}-000000.tar"], tmp_path) == files
    assert [file.name for file in find_shards("train-*0-*.tar", tmp_path)] == [
        "train-00-000000.tar",
        "train-10-000000.tar",
    ]


# What a sample is read as


def sample_of(**members):
    return Sample("a.tar", "1", members)


@pytest.mark.parametrize(
    ("extension", "content", "read", "message"),
    [
        ("npy", npy(np.array([{}], object)), "array", r"^a\.tar: 1\.npy: is no array .*Object arrays"),
        ("npy", npy(np.zeros(3))[:-1], "array", "is no array"),
        ("npy", npy(np.zeros(3)).replace(b"(3,)", b"(9,)"), "array", "is no array"),
        ("npy", b"\x93NUMPY\x09\x00" + b" " * 90, "array", "is no array"),
        ("npy", b"", "array", "is no array"),
        ("pkl", pickle.dumps(1), "bytes", r"\.pkl is a pickle or may be one"),
        ("pth", b"", "bytes", r"\.pth is a pickle"),
        ("pyd", b"", "text", r"\.pyd is a pickle"),
        ("cls", b"cat", "integer", r"^a\.tar: 1\.cls: is no whole number .*cat"),
        ("cls", b"9" * 5000, "integer", "is no whole number"),
        ("txt", b"\xff", "text", "cannot be read .not UTF-8 text"),
        ("json", b"[1", "json", r"^a\.tar: 1\.json: is no JSON"),
    ],
)
def test_contents_that_are_not_what_they_are_read_as_are_refused_by_name(extension, content, read, message):
    with pytest.raises(ValueError, match=message):
        getattr(sample_of(**{extension: content}), read)(extension)


def test_arrays_of_every_layout_are_read_and_a_missing_member_is_told():
    for array in (
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.zeros((0, 3)),
    ):
        read = sample_of(npy=npy(array)).array("npy")
        assert read.dtype == array.dtype
        assert np.array_equal(read, array)
    assert sample_of(jpeg=b"x").bytes(["jpg", "jpeg"]) == b"x"
    with pytest.raises(ValueError, match=r"a\.tar: sample 1 has jpg and lacks mask\.png or png"):
        sample_of(jpg=b"").bytes(["mask.png", "png"])


# Writing


def test_what_was_written_is_read_and_the_bytes_are_always_the_same(tmp_path):
    for folder in ("a", "b"):
        numbered_shards(tmp_path / folder, [3, 2])
    for name in ("train-00-000000.tar", "train-01-000000.tar", "train-01-000000.tar.idx"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    reader = ShardReader(index_of(tmp_path / "a"))
    samples = [reader.read(number) for number in range(5)]
    assert [number_of(sample) for sample in samples] == list(range(5))
    assert [sample.integer("cls") for sample in samples] == [0, 1, 2, 0, 1]
    assert samples[3].key == "00003"


def test_a_writer_that_fails_leaves_no_shard_and_refuses_what_could_not_be_read(tmp_path):
    def stopped() -> None:
        with ShardWriter(tmp_path) as writer:
            writer.write("1", {"txt": b"x"})
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        stopped()
    assert list(tmp_path.iterdir()) == []
    with ShardWriter(tmp_path) as writer:
        writer.write("1", {"txt": b"x"})
        for key, extension in (("1", "txt"), ("a.b", "txt"), ("2", "TXT"), ("2", "pkl")):
            with pytest.raises(ValueError, match=r"written twice|has no dot|is a pickle"):
                writer.write(key, {extension: b""})
    with (
        pytest.raises(FileExistsError, match=r"shard-000000\.tar already exists"),
        ShardWriter(tmp_path) as writer,
    ):
        writer.write("1", {"txt": b"x"})


def test_the_command_writes_pairs_and_indexes_them(tmp_path, capsys):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for number in range(5):
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(tmp_path / f"images/{number}.png")
        (tmp_path / f"masks/{number}_m.png").write_bytes(png(np.full((4, 4), number, np.uint8)))
    folders = [str(tmp_path / name) for name in ("images", "masks", "out")]
    (tmp_path / "images/._0.png").write_bytes(b"x")
    assert main(["write", *folders[:2], str(tmp_path / "found")]) == 0
    assert main(["write", *folders, "--mask-suffix", "_x"]) == 1
    assert "has no 0_x.png for 0.png, nor for 4 more; --mask-suffix" in capsys.readouterr().err
    assert main(["write", *folders, "--mask-suffix", "_m", "--per-shard", "2"]) == 0
    assert main(["index", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "5 samples in 3 shards"
    sample = ShardReader(index_of(tmp_path / "out")).read(4)
    assert sample.bytes("mask.png") == (tmp_path / "masks/4_m.png").read_bytes()
    file = tmp_path / "out/train-000001.tar"
    file.write_bytes(file.read_bytes()[:1500])
    assert main(["index", str(tmp_path / "out")]) == 1
    assert "train-000001.tar: " in capsys.readouterr().err
