"""Text files of people: marks, encodings, ends of lines, and characters that are not seen."""

from __future__ import annotations

import pytest

from trainables.text_file import decoded, plain_form, read_json, read_text, stripped_lines, visible


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_text_is_the_same_whatever_program_wrote_it(encoding, end):
    assert decoded(f"a ü{end}b{end}".encode(encoding)) == "a ü\nb\n"


def test_bytes_that_are_no_text_are_named_by_line(tmp_path):
    file = tmp_path / "names.txt"
    file.write_bytes(b"a\r\nb\r\nK\xfche\r\n")
    with pytest.raises(
        ValueError, match=r"names\.txt:3: not UTF-8 text \(byte 0xfc\); save the file as UTF-8"
    ):
        read_text(file)
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(ValueError, match=r"contents that were not fetched; run: git lfs pull"):
        read_text(file)
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(file) == {"a": 1}


def test_blanks_and_marks_around_a_line_do_not_count():
    text = "\ufeffroad \n\n\xa0car\u200b\t\n \ufeff\nmy sky\n"
    assert stripped_lines(text) == [(1, "road"), (3, "car"), (5, "my sky")]


def test_what_is_not_seen_is_shown_and_what_looks_alike_has_one_form():
    assert visible("a\ufeffb\xa0c\u200b") == "a\\ufeffb\\xa0c\\u200b"
    assert visible("k\udcf6ln") == "k\\xf6ln"
    assert visible("größe") == visible("größe", forms=True) == "größe"
    assert visible("gro\u0308ße", forms=True) == "gro\\u0308ße"
    assert plain_form("A/Gro\u0308ße\u200b\xa01 ") == plain_form("a/größe 1") == "a/grösse 1"
