"""The index of shards: where samples are, what may not be in a shard, and what changed since it was made."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from properties import for_all
from shard_data import index_of, number_of, numbered_shards, tar_of

from trainables.shards import ShardReader, index_shards
from trainables.shards.index import contents_of

# What is in a shard


KEYS = st.lists(st.text("abé-_ ", min_size=1, max_size=150), unique=True, min_size=1, max_size=6)


@for_all(
    examples=20,
    many=300,
    keys=KEYS,
    sizes=st.lists(st.integers(0, 1500), min_size=2, max_size=2),
    format=st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_every_tar_of_pythons_own_is_read_as_python_reads_it(keys, sizes, format):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.tar"
        with tarfile.open(file, "w", format=format) as archive:
            for key in keys:
                for extension, size in zip(("jpg", "mask.png"), sizes, strict=True):
                    info = tarfile.TarInfo(f"{key}.{extension}")
                    info.size = size
                    try:
                        archive.addfile(info, io.BytesIO(bytes(range(256)) * 6))
                    except ValueError:  # The name is too long for the format.
                        return
        with tarfile.open(file) as archive:
            expected = {info.name: archive.extractfile(info).read() for info in archive}
        reader = ShardReader(index_shards([file])[0])
        samples = [reader.read(number) for number in range(len(reader.index))]
    assert [sample.key for sample in samples] == keys
    assert {
        f"{sample.key}.{name}": data for sample in samples for name, data in sample.members.items()
    } == expected


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
        ([(link("1.jpg", tarfile.SYMTYPE), b"")], r"'1\.jpg' is not a regular file \(a link"),
        ([(link("1.jpg", tarfile.LNKTYPE), b"")], "is not a regular file"),
        ([(link("1.jpg", tarfile.FIFOTYPE), b"")], "is not a regular file"),
        ([("\x1b[2J.jpg", b""), ("\x1b[2J.jpg", b"")], r"'\\x1b\[2J\.jpg' twice"),
        ([("1.jpg", b""), ("2.jpg", b""), ("1.png", b"")], "members of sample 1 are not adjacent"),
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
    "headers", [{"size": "-5000"}, {"GNU.sparse.map": "0,3", "GNU.sparse.size": "3"}, {"path": "x" * 2**21}]
)
def test_extended_headers_that_no_shard_may_have_are_refused(tmp_path, headers):
    info = tarfile.TarInfo("1.jpg")
    info.pax_headers = headers
    file = tar_of(tmp_path / "a.tar", [(info, b"abc")], format=tarfile.PAX_FORMAT)
    with pytest.raises(ValueError, match=r"^\S+a\.tar: "):
        index_shards([file])


def test_what_is_no_tar_file_is_refused(tmp_path):
    (tmp_path / "z.tar").write_bytes(gzip.compress(b"x" * 2000))
    (tmp_path / "text.tar").write_text("hello " * 500)
    (tmp_path / "short.tar").write_text("hello")
    (tmp_path / "lfs.tar").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    for name, message in (
        ("z.tar", "is compressed, .*; unpack it with gunzip, or use webdataset"),
        ("text.tar", "is not a tar file, or is damaged"),
        ("lfs.tar", "holds the place of contents that were not fetched; run: git lfs pull"),
        ("short.tar", "ends at byte 5 without the mark of its end; no sample is whole"),
        ("none.tar", r"cannot be read \(No such file"),
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


OLD_INDEX = json.dumps({"version": 2, "keys": ["00000"], "bytes": 0, "damage": "", "counts": [1]}).encode()
"""Versions 1 and 2 were JSON."""


def index_file(content) -> bytes:
    file = io.BytesIO()
    np.savez(file, **content)
    return file.getvalue()


def test_an_index_is_written_once_and_used_where_it_fits(tmp_path, caplog):
    (file,) = numbered_shards(tmp_path, [5])
    idx = file.with_name(file.name + ".idx")
    whole, content = idx.read_bytes(), dict(np.load(idx))
    assert len(content["keys"]) == 5
    before = idx.stat().st_mtime_ns
    contents_of(file)
    assert idx.stat().st_mtime_ns == before
    other_headers = content["members"].copy()
    other_headers["header"] = 0
    for spoiled in (
        b"",
        b"[]",
        b"PK",
        whole[:-100],
        whole.replace(b"00003", b"00009"),
        index_file({**content, "members": content["members"][1:]}),
        index_file({**content, "counts": np.full(4, 2)}),
        index_file({**content, "members": other_headers}),
        index_file({**content, "bytes": 512}),
        index_file({**content, "version": 99}),
        OLD_INDEX,
    ):
        idx.write_bytes(spoiled)
        assert len(contents_of(file).keys) == 5
        assert idx.read_bytes() == whole
    assert all("it is rebuilt" in record.getMessage() for record in caplog.records)


def test_an_index_of_a_folder_that_cannot_be_written_is_kept_in_the_cache(tmp_path, monkeypatch):
    (file,) = numbered_shards(tmp_path / "data", [5])
    file.with_name(file.name + ".idx").unlink()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # A folder of that name stands for one that cannot be written: these tests may run as root.
    file.with_name(file.name + ".idx").mkdir()
    assert len(contents_of(file).keys) == 5
    (kept,) = (tmp_path / "cache" / "tune-search" / "shards").iterdir()
    before = kept.stat().st_mtime_ns
    assert len(contents_of(file).keys) == 5
    assert kept.stat().st_mtime_ns == before


def test_a_shard_that_changed_since_it_was_indexed_is_an_error_that_names_it(tmp_path):
    (file,) = numbered_shards(tmp_path, [5])
    reader = ShardReader(index_of(tmp_path))
    reader.read(4)
    data = file.read_bytes()
    file.write_bytes(data[:5000])
    with pytest.raises(ValueError, match=rf"{file}: ends before sample 00004"):
        reader.read(4)
    file.write_bytes(data.replace(b"00004.npy", b"00005.npy"))
    with pytest.raises(ValueError, match=r"has changed .* \(sample 00004\); remove its \.idx and resume"):
        reader.read(4)
    file.write_bytes(b"\0" * len(data))
    with pytest.raises(ValueError, match=rf"{file}: has changed since its index was made"):
        reader.read(4)
    file.unlink()
    with pytest.raises(ValueError, match=rf"{file}: cannot be read \(No such file"):
        reader.read(4)


def test_an_index_with_any_byte_changed_is_used_where_it_is_right_and_else_made_anew(tmp_path):
    (file,) = numbered_shards(tmp_path, [3])
    idx = file.with_name(file.name + ".idx")
    whole, keys = idx.read_bytes(), list(contents_of(file).keys)
    for at in range(len(whole)):
        idx.write_bytes(whole[:at] + bytes([whole[at] ^ 0x11]) + whole[at + 1 :])
        assert list(contents_of(file).keys) == keys
