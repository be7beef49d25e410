"""No block of README, CONTRIBUTING and docs/ is left out by mistake: it is run, or says why not."""

from __future__ import annotations

from pathlib import Path

import pytest
from page_blocks import PageError, blocks_of, pages, parse

PAGE = Path("docs/page.md")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_block_has_a_language_and_every_comment_is_understood(page: Path) -> None:
    assert all(block.page == page for block in blocks_of(page))


def test_blocks_are_found_with_their_lines_marks_and_commands() -> None:
    text = (
        '# A\n\n<!-- doc: exit=1 "small=c -> e" -->\n```sh\na b \\\n  c\n# only told\nd\n```\n'
        "\n- x\n\n  ```yaml\n  a: 1\n  ```\n"
    )
    shell, yaml = parse(text, PAGE)
    assert (shell.place, shell.marks) == ("docs/page.md:4", {"exit": "1", "small": "c -> e"})
    assert shell.smaller == [("c", "e")]
    assert shell.commands == ["a b    c", "d"]
    assert (yaml.line, yaml.text, yaml.marks) == (13, "a: 1\n", {})


def test_indented_text_of_a_list_is_no_block() -> None:
    assert parse("- a\n\n    more of it\n\n    and more\n", PAGE) == []


def test_of_a_console_the_lines_after_the_prompt_are_commands() -> None:
    (block,) = parse("```console\n$ head -1 a\nx\n$ tail a\n```\n", PAGE)
    assert block.commands == ["head -1 a", "tail a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```\na\n```\n", "language ''; must be one of sh, console"),
        ("```bash\na\n```\n", "language 'bash'; must be one of sh, console"),
        ("```text\ntune-search a.yaml\n```\n", "begins with a command, but is not run"),
        ("```console\nonly output\n```\n", "without a line that begins with"),
        ("a\n\n    tune-search a.yaml\n", "page.md:3: an indented block"),
        ("a\n\n    log: [mlflow]\n", "page.md:3: an indented block"),
        ("- a\n\n    tune-search a.yaml\n", "page.md:3: an indented block"),
        ("<!-- doc: nedds=gpu -->\n```sh\na\n```\n", "page.md:1: unknown nedds; known: "),
        ("<!-- doc: needs=luck -->\n```sh\na\n```\n", "needs=luck; must be one of cluster"),
        ('<!-- doc: "small=50 -> 5" -->\n```sh\na 60\n```\n', "small=50: there is no such text"),
        ("<!-- doc: exit=1 -->\n\n```sh\na\n```\n", "no block in the line below"),
        ("<!-- doc: needs=gpu -->\n```text\na\n```\n", "is not run, so the comment says nothing"),
    ],
)
def test_what_would_not_be_run_is_refused_with_its_line(text: str, message: str) -> None:
    with pytest.raises(PageError, match=message):
        parse(text, PAGE)
