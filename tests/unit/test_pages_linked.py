"""Links between the pages lead to files and headings that are there; each page is in the navigation."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from rooms import ROOT

from documentation.keys import PAGE, anchor, page
from documentation.pages import gather, links, pages
from search.config.schema import Sections

NAVIGATION = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]


def anchors(file: Path) -> set[str]:
    """Anchors of the headings of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```$", "", file.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    return {anchor(re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading)) for heading in headings}


def leaves(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    inner = node.values() if isinstance(node, dict) else node
    return [leaf for each in inner for leaf in leaves(each)]


@pytest.mark.parametrize("source", pages(), ids=lambda source: str(source.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(source: Path) -> None:
    for target in links(source.read_text(encoding="utf-8")):
        path, _, heading = target.partition("#")
        file = (source.parent / path).resolve() if path else source
        assert file.is_file(), f"{target}: there is no such file"
        assert not heading or heading in anchors(file), f"{target}: there is no such heading"


def test_each_page_is_in_the_navigation_once() -> None:
    assert sorted(leaves(NAVIGATION)) == sorted(file.relative_to(ROOT).as_posix() for file in pages())


def test_the_pages_are_gathered_with_what_they_link_to(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.md").write_text("[b](../b.py) [c](c.md#d) [x](https://x.y) `[no](no.md)`\n")
    (tmp_path / "README.md").write_text("![picture](docs/p.png)\n")
    for name in ("b.py", "docs/p.png", "docs/left.png"):
        (tmp_path / name).write_text("")
    gathered = gather(tmp_path, tmp_path / "out")
    assert {str(file) for file in gathered} == {"README.md", "docs/a.md", "b.py", "docs/p.png"}
    assert (tmp_path / "out" / "docs" / "p.png").is_file()


def test_the_page_of_all_keys_is_that_of_this_version() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python -m documentation.keys"


def test_no_key_is_without_a_meaning() -> None:
    tables, bare, titles = 0, [], []
    for line in page().splitlines():
        if line.startswith("#"):
            titles = [line.lstrip("# ")]
        elif line.startswith("| key |"):
            tables += 1
        elif line.endswith("|  |"):
            bare.append(f"{titles[0]}: {line}")
    assert tables > 50
    assert bare == [], "give the field a docstring where it is declared"


def test_the_page_of_all_keys_has_type_default_domain_and_meaning() -> None:
    text = page()
    assert all(f"| `{name}` |" in text or f"| **`{name}`** |" in text for name in Sections.model_fields)
    assert "| `depth` | integer, 0 to 8 | integers | `2` | Number of halvings. |" in text
    assert (
        "| `lr` | number, above 0 | numbers | `0.001` | Peak learning rate; `lr_schedule` scales it. |"
        in text
    )
    assert "| **`metric`** | text |  | A name that the task's metrics return. |" in text
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    assert len({anchor(heading) for heading in headings}) == len(headings)
