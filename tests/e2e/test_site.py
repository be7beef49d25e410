"""The documentation as a site: built without a warning, without other hosts, and searched from a folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from browser import browser, needs_browser, open_file, requests
from rooms import ROOT
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from documentation.pages import gather

pytest.importorskip("zensical", reason="zensical is not installed: `make docs`")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site of the pages as they are, as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copy(ROOT / "zensical.toml", folder)
    gather(ROOT, folder / "build" / "pages")
    built = build(folder)
    assert built.returncode == 0, built.stdout
    return folder / "site"


def build(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    return subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def test_every_page_is_built_and_its_first_is_the_readme(site: Path) -> None:
    assert "Where to go next" in (site / "index.html").read_text()
    assert {file.stem for file in (ROOT / "docs").glob("*.md")} == {f.stem for f in site.glob("docs/*.html")}


def test_a_broken_link_ends_the_build(tmp_path: Path) -> None:
    shutil.copy(ROOT / "zensical.toml", tmp_path)
    gather(ROOT, tmp_path / "build" / "pages")
    page = tmp_path / "build" / "pages" / "docs" / "gpu.md"
    page.write_text(page.read_text() + "\n[nowhere](start.md#nowhere)\n")
    built = build(tmp_path)
    assert built.returncode != 0
    assert "anchor does not exist" in built.stdout


@needs_browser
@pytest.mark.parametrize("width", [400, 1280])
def test_pages_ask_no_other_host_and_fit_into_the_window(site: Path, width: int) -> None:
    with browser(width=width) as window:
        for page in ("index.html", "docs/keys.html", "docs/benchmarks.html"):
            open_file(window, site / page)
            assert window.execute_script("return document.documentElement.scrollWidth") <= width
        assert [url for url in requests(window) if not url.startswith("file:")] == []


@needs_browser
def test_the_site_is_searched_from_a_folder(site: Path) -> None:
    with browser() as window:
        open_file(window, site / "docs" / "start.html")
        window.find_element(By.TAG_NAME, "body").send_keys(Keys.CONTROL, "k")
        window.switch_to.active_element.send_keys("oversample")
        WebDriverWait(window, 30).until(
            lambda window: "trial.augment.oversample" in window.find_element(By.TAG_NAME, "body").text
        )
