"""A headless Chromium that opens pages from files, and what it asked for and complained of."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
_QUIET = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)

needs_browser = pytest.mark.skipif(
    CHROMIUM is None or DRIVER is None,
    reason="chromium and chromedriver are not installed: `make browser` (Debian, Ubuntu)",
)


@contextmanager
def browser(*, width: int = 1280, height: int = 900, dark: bool = False) -> Iterator[webdriver.Chrome]:
    """A window of that many pixels, which keeps what pages log and request."""
    options = Options()
    options.binary_location = CHROMIUM or ""
    for argument in (*_QUIET, f"--window-size={width},{height}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        media(driver, dark=dark)
        yield driver
    finally:
        driver.quit()


def media(driver: webdriver.Chrome, *, dark: bool = False, printed: bool = False) -> None:
    """Show the page as in dark colours, or on paper."""
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"media": "print" if printed else "", "features": [scheme]}
    )


def open_file(driver: webdriver.Chrome, file: Path) -> None:
    driver.get(file.as_uri())


def complaints(driver: webdriver.Chrome) -> list[Any]:
    """What was logged in the console since the last call."""
    return list(driver.get_log("browser"))


def requests(driver: webdriver.Chrome) -> list[str]:
    """Addresses that the page has asked for, but for `data:`."""
    events = (json.loads(entry["message"])["message"] for entry in driver.get_log("performance"))
    sent = [event for event in events if event["method"] == "Network.requestWillBeSent"]
    urls = [event["params"]["request"]["url"] for event in sent]
    return [url for url in urls if not url.startswith("data:")]
