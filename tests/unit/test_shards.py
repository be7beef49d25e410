"""Shards: what names them, what is in them, where each sample is, and what may not be in them."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import tarfile
import tempfile
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image
from properties import for_all
from shard_data import index_of, npy, number_of, numbered_shards, png, tar_of

from trainables.shards import Sample, ShardDataset, ShardReader, ShardWriter, find_shards, index_shards
from trainables.shards.__main__ import main
from trainables.shards.index import offsets_of
from trainables.shards.paths import expand_braces
from trainables.shards.tar import groups

# What names shards


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a-{008..010}.tar", ["a-008.tar", "a-009.tar", "a-010.tar"]),
        ("a-{8..10}.tar", ["a-8.tar", "a-9.tar", "a-10.tar"]),
        ("{x,y}-{0..1}.tar", ["x-0.tar", "x-1.tar", "y-0.tar", "y-1.tar"]),
        ("plain.tar", ["plain.tar"]),
    ],
)
def test_braces_expand_to_ranges_and_lists(pattern, names):
    assert expand_braces(pattern) == names


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("a-{3..1}.tar", r"runs backwards; write \{1\.\.3\}"),
        ("a-{0..9999999}.tar", "more than 1000000 shards"),
        ("a-{0..999}{0..999}{0..9}.tar", "more than 1000000 shards"),
        ("missing-{0..1}.tar", r"missing-0\.tar: there is no such file"),
        ("missing-*.tar", "no file has such a name"),
        ("empty", r"has no file that ends in \.tar"),
    ],
)
def test_a_pattern_that_names_nothing_is_an_error(tmp_path, pattern, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        find_shards(pattern, tmp_path)


def test_folders_globs_and_files_are_sorted_and_named_once(tmp_path):
    files = numbered_shards(tmp_path, [1] * 11)
    assert find_shards(".", tmp_path) == files
    assert find_shards(["train-0?-*.tar", "train-{00..10}-000000.tar"], tmp_path) == files
    assert [file.name for file in find_shards("train-*0-*.tar", tmp_path)] == [
        "train-00-000000.tar",
        "train-10-000000.tar",
    ]


# What is in a shard


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


KEYS = st.lists(st.text("abé-_ ", min_size=1, max_size=150), unique=True, max_size=6)


@for_all(
    examples=20,
    many=300,
    keys=KEYS,
    sizes=st.lists(st.integers(0, 1500), min_size=2, max_size=2),
    format=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_every_tar_of_pythons_own_is_read_as_python_reads_it(keys, sizes, format):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as archive:
        for key in keys:
            for extension, size in zip(("jpg", "mask.png"), sizes, strict=True):
                info = tarfile.TarInfo(f"{key}.{extension}")
                info.size = size
                try:
                    archive.addfile(info, io.BytesIO(bytes(range(256)) * 6))
                except ValueError:  # The name is too long for the format.
                    return
    data = file.getvalue()
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        expected = {info.name: archive.extractfile(info).read() for info in archive}
    found = {
        member.name: data[member.data : member.data + member.size]
        for group in groups(lambda at, size: data[at : at + size], "x.tar")
        for member in group.members.values()
    }
    assert found == expected


def test_folders_and_hidden_files_in_a_shard_belong_to_no_sample(tmp_path):
    folder = tarfile.TarInfo("./data")
    folder.type = tarfile.DIRTYPE
    file = tar_of(
        tmp_path / "a.tar",
        [
            (folder, b""),
            ("./data/1.jpg", b"x"),
            ("./data/._1.jpg", b"?"),
            ("./data/1.JSON", b"[1]"),
            ("README", b""),
        ],
    )
    index, _ = index_shards([file])
    sample = ShardReader(index).read(0)
    assert (len(index), sample.key, sorted(sample.members)) == (1, "data/1", ["jpg", "json"])
    assert sample.json("json") == [1]


def sample_of(**members):
    return Sample("a.tar", "1", members)


@pytest.mark.parametrize(
    ("extension", "content", "read", "message"),
    [
        ("npy", npy(np.array([{}], object)), "array", r"^a\.tar: 1\.npy: is no array .*Python objects"),
        ("npy", npy(np.zeros(3))[:-1], "array", "needs 24 bytes and there are 23"),
        ("npy", npy(np.zeros(3)).replace(b"(3,)", b"(9,)"), "array", "needs 72 bytes"),
        ("npy", b"\x93NUMPY\x09\x00" + b" " * 90, "array", "is no array"),
        ("npy", b"", "array", "is no array"),
        ("pkl", pickle.dumps(1), "bytes", r"\.pkl is a pickle or may be one"),
        ("pth", b"", "bytes", r"\.pth is a pickle"),
        ("pyd", b"", "text", r"\.pyd is a pickle"),
        ("cls", b"cat", "integer", r"^a\.tar: 1\.cls: holds 'cat'; it must be a whole number"),
        ("cls", b"9" * 5000, "integer", "it must be a whole number"),
        ("txt", b"\xff", "text", "is no UTF-8"),
        ("json", b"[" * 10**5, "json", r"^a\.tar: 1\.json: is no JSON"),
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


# Hostile and truncated shards


def link(name, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def corrupted(file: Path, at: int) -> Path:
    data = bytearray(file.read_bytes())
    data[at] ^= 1
    file.write_bytes(data)
    return file


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([(link("1.jpg", tarfile.SYMTYPE), b"")], r"1\.jpg is a link; a shard may hold regular files only"),
        ([(link("1.jpg", tarfile.LNKTYPE), b"")], "is a link"),
        ([(link("1.jpg", tarfile.FIFOTYPE), b"")], "is no regular file"),
        ([(link("1.jpg", tarfile.CHRTYPE), b"")], "is no regular file"),
        ([("/etc/1.jpg", b"x")], r"/etc/1\.jpg leads out of the archive"),
        ([("a/../../1.jpg", b"x")], "leads out of the archive"),
        ([("\x1b[2J.jpg", b""), ("\x1b[2J.jpg", b"")], r"'\\x1b\[2J\.jpg' twice"),
        ([("1.jpg", b""), ("2.jpg", b""), ("1.png", b"")], "members of sample 1 do not stand together"),
        ([("README", b"x")], "there is no sample"),
        ([], "there is no sample"),
    ],
)
def test_what_a_shard_may_not_hold_is_refused_by_name(tmp_path, members, message):
    file = tar_of(tmp_path / "a.tar", members)
    with pytest.raises(ValueError, match=message) as caught:
        index_shards([file])
    assert str(caught.value).startswith(f"{file}: ")
    assert list(tmp_path.iterdir()) == [file] or "no sample" in message


@pytest.mark.parametrize(
    "headers", [{"size": "-1"}, {"GNU.sparse.major": "1"}, {"path": "../x.jpg"}, {"path": "x" * 2**21}]
)
def test_extended_headers_do_no_harm(tmp_path, headers):
    info = tarfile.TarInfo("1.jpg")
    info.pax_headers = headers
    file = tar_of(tmp_path / "a.tar", [(info, b"abc")], format=tarfile.PAX_FORMAT)
    with pytest.raises(ValueError, match=r"^\S+a\.tar: "):
        index_shards([file])


def test_what_is_no_tar_file_is_refused(tmp_path):
    (tmp_path / "z.tar").write_bytes(gzip.compress(b"x" * 2000))
    (tmp_path / "text.tar").write_text("hello " * 500)
    os.mkfifo(tmp_path / "pipe.tar")
    for name, message in (
        ("z.tar", "is compressed"),
        ("text.tar", "has no header of a tar member at byte 0"),
        ("pipe.tar", "is no regular file"),
        ("none.tar", "there is no such file"),
    ):
        with pytest.raises(ValueError, match=rf"{name}: {message}"):
            index_shards([tmp_path / name])
    file = corrupted(numbered_shards(tmp_path, [2])[0], 1024 + 5)
    file.with_name(file.name + ".idx").unlink()
    with pytest.raises(ValueError, match="has no header of a tar member at byte 1024"):
        index_shards([file])


@for_all(examples=15, many=150, cut=st.integers(0, 6 * 2048))
def test_a_truncated_shard_names_its_last_whole_sample_or_gives_what_is_whole(cut):
    with tempfile.TemporaryDirectory() as folder:
        (file,) = numbered_shards(Path(folder), [6])
        file.with_name(file.name + ".idx").unlink()
        file.write_bytes(file.read_bytes()[:cut])
        # A sample is known to be whole where the header of the next one is.
        num_whole = max(0, cut - 512) // 2048
        last = f"the last whole sample is {num_whole - 1:05d}, number {num_whole}"
        with pytest.raises(ValueError, match="copy it again, or set bad_samples: skip") as caught:
            index_shards([file])
        assert str(caught.value).startswith(f"{file}: ends ")
        assert (last if num_whole else "no sample is whole") in str(caught.value)
        if num_whole:
            index, damaged = index_shards([file], skip_damaged=True)
            read = ShardReader(index).read
            assert [number_of(read(number)) for number in range(len(index))] == list(range(num_whole))
            assert list(damaged) == [str(file)]


# The index


def test_an_index_is_written_once_and_used_where_it_fits(tmp_path, caplog):
    (file,) = numbered_shards(tmp_path, [5])
    idx = file.with_name(file.name + ".idx")
    content = json.loads(idx.read_text())
    assert content["samples"] == 5
    before = idx.stat().st_mtime_ns
    offsets_of(file)
    assert idx.stat().st_mtime_ns == before
    for spoiled in (
        b"",
        b"[]",
        b"{",
        json.dumps({**content, "starts": [0]}).encode(),
        json.dumps({**content, "starts": content["starts"][::-1]}).encode(),
        json.dumps({**content, "sizes": [10**9] * 5}).encode(),
        json.dumps({**content, "starts": [10**30] * 5}).encode(),
        json.dumps({**content, "headers": "0"}).encode(),
        json.dumps({**content, "version": 99}).encode(),
    ):
        idx.write_bytes(spoiled)
        assert len(offsets_of(file).starts) == 5
        assert json.loads(idx.read_text()) == content
    assert all("it is made anew" in record.getMessage() for record in caplog.records)


def test_an_index_of_a_folder_that_cannot_be_written_is_kept_in_the_cache(tmp_path, monkeypatch):
    (file,) = numbered_shards(tmp_path / "data", [5])
    file.with_name(file.name + ".idx").unlink()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # A folder of that name stands for one that cannot be written: these tests may run as root.
    file.with_name(file.name + ".idx").mkdir()
    assert len(offsets_of(file).starts) == 5
    (kept,) = (tmp_path / "cache" / "tune-search" / "shards").iterdir()
    before = kept.stat().st_mtime_ns
    assert len(offsets_of(file).starts) == 5
    assert kept.stat().st_mtime_ns == before


def test_a_shard_that_changed_since_it_was_indexed_is_an_error_that_names_it(tmp_path):
    (file,) = numbered_shards(tmp_path, [5])
    reader = ShardReader(index_of(tmp_path))
    reader.read(4)
    data = file.read_bytes()
    file.write_bytes(data[:5000])
    with pytest.raises(ValueError, match=rf"{file}: ends before sample 4"):
        reader.read(4)
    file.write_bytes(b"\0" * len(data))
    with pytest.raises(ValueError, match=rf"{file}: has changed since its index was made"):
        reader.read(4)
    file.unlink()
    with pytest.raises(ValueError, match=rf"{file}: there is no such file any more"):
        pickle.loads(pickle.dumps(reader)).read(4)


def test_more_shards_than_are_kept_open_are_read_by_threads(tmp_path, monkeypatch):
    monkeypatch.setattr("trainables.shards.source.MAX_OPEN", 2)
    numbered_shards(tmp_path, [1] * 6)
    reader, found = ShardReader(index_of(tmp_path)), []

    def read() -> None:
        found.extend(number_of(reader.read(number % 6)) == number % 6 for number in range(60))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 240


# Shards that can only be read forward


def test_compressed_shards_and_pipes_are_read_from_front_to_back(tmp_path):
    files = numbered_shards(tmp_path, [3, 4])
    packed = tmp_path / "z.tar.gz"
    packed.write_bytes(gzip.compress(files[0].read_bytes()))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(files[1].read_bytes(),))
    writer.start()
    assert sorted(ShardDataset([packed, pipe], number_of)) == list(range(7))
    writer.join()
    packed.write_bytes(packed.read_bytes()[:-300])
    with pytest.raises(ValueError, match=r"z\.tar\.gz: ends too early .*copy it again"):
        list(ShardDataset([packed], number_of))


def test_shards_read_forward_come_in_another_order_in_each_epoch(tmp_path):
    dataset = ShardDataset(numbered_shards(tmp_path, [1] * 6), number_of)
    orders = []
    for number in range(3):
        dataset.set_epoch(number)
        orders.append(tuple(dataset))
    assert len(set(orders)) == 3
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(6))}


# Writing


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
        pytest.raises(FileExistsError, match=r"shard-000000\.tar is there already"),
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
    assert main(["write", *folders]) == 1
    assert "has no 0.png for 0.png, nor for 4 more; --mask-suffix" in capsys.readouterr().err
    assert main(["write", *folders, "--mask-suffix", "_m", "--per-shard", "2"]) == 0
    assert main(["index", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "5 samples in 3 shards"
    sample = ShardReader(index_of(tmp_path / "out")).read(4)
    assert sample.bytes("mask.png") == (tmp_path / "masks/4_m.png").read_bytes()
    file = tmp_path / "out/train-000001.tar"
    file.write_bytes(file.read_bytes()[:1500])
    assert main(["index", str(tmp_path / "out")]) == 1
    assert "train-000001.tar: " in capsys.readouterr().err
