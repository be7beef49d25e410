"""The report of a run in a real browser: opened from a file, by mouse and keyboard, small, dark, on paper."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import browser, complaints, media, needs_browser, open_file, requests
from patience import PATIENCE
from reported_functions import small_run
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

pytestmark = needs_browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("results")).folder / "report.html"


@pytest.fixture(scope="module")
def driver(page: Path) -> Iterator[webdriver.Chrome]:
    with browser() as driver:
        yield driver


@pytest.fixture
def opened(driver: webdriver.Chrome, page: Path) -> webdriver.Chrome:
    media(driver)
    open_file(driver, page)
    return driver


def text(driver: webdriver.Chrome, name: str) -> str:
    return driver.find_element(By.ID, name).text


def wait(driver: webdriver.Chrome, name: str, *words: str) -> None:
    """Until the element with this id says all of these."""
    waiting = WebDriverWait(driver, PATIENCE, 0.05)
    waiting.until(lambda _: all(word in text(driver, name) for word in words), f"{name}: {words}")


def test_it_opens_from_a_file_without_a_complaint_or_a_request(opened: webdriver.Chrome, page: Path) -> None:
    assert complaints(opened) == []
    assert set(requests(opened)) == {page.as_uri()}
    assert opened.title.startswith("fit: ")
    assert "<script>document.title='taken'</script>" in opened.find_element(By.ID, "trials").text
    for chart in ("curves", "parallel", "slices", "timeline"):
        assert painted(opened, chart), chart
    assert len(opened.find_elements(By.CSS_SELECTOR, "#importance tr")) == 4


def painted(driver: webdriver.Chrome, chart: str) -> bool:
    """Whether anything but one colour is drawn."""
    script = """
        const canvas = document.querySelector(`#${arguments[0]} canvas`);
        const seen = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        const colours = new Set(new Uint32Array(seen.buffer));
        return colours.size > 3;
    """
    return bool(driver.execute_script(script, chart))


def test_dragging_along_an_axis_keeps_the_trials_that_pass_there(opened: webdriver.Chrome) -> None:
    canvas = opened.find_element(By.CSS_SELECTOR, "#parallel canvas")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    left, top = 52 - canvas.size["width"] / 2, -canvas.size["height"] / 2
    # The upper half of the first axis: learning rates above the geometric middle.
    drag = ActionChains(opened).move_to_element_with_offset(canvas, round(left), round(top) + 46)
    drag.click_and_hold().move_by_offset(0, 127).release().perform()
    wait(opened, "trials-told", " of 30 trials")
    kept = int(text(opened, "trials-told").split()[0])
    rates = [row.text.split()[-1] for row in opened.find_elements(By.CSS_SELECTOR, "#trials tbody tr")]
    assert 0 < kept < 30
    assert len(rates) == kept
    assert "lr " in text(opened, "chips")
    opened.find_element(By.CSS_SELECTOR, "#chips button").click()
    wait(opened, "trials-told", "30 trials")


def test_a_click_on_a_row_selects_the_trial_and_escape_lets_it_go(
    opened: webdriver.Chrome,
) -> None:
    row = opened.find_elements(By.CSS_SELECTOR, "#trials tbody tr")[3]
    number = row.get_attribute("data-trial")
    row.click()
    wait(opened, "detail", f"trial {number}\n", "lr ")
    (selected,) = opened.find_elements(By.CSS_SELECTOR, '#trials tr[aria-selected="true"]')
    assert selected.get_attribute("data-trial") == number
    opened.find_element(By.TAG_NAME, "body").send_keys(Keys.ESCAPE)
    WebDriverWait(opened, PATIENCE, 0.05).until(
        lambda driver: not driver.find_elements(By.CSS_SELECTOR, '#trials tr[aria-selected="true"]')
    )


def test_a_click_on_a_curve_selects_its_trial(opened: webdriver.Chrome) -> None:
    canvas = opened.find_element(By.CSS_SELECTOR, "#curves canvas")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    # The end of the best trial, at the last virtual epoch and the least loss.
    right, bottom = canvas.size["width"] / 2 - 14, canvas.size["height"] / 2 - 40
    ActionChains(opened).move_to_element_with_offset(canvas, round(right), round(bottom)).click().perform()
    wait(opened, "detail", "trial ", "completed")
    (selected,) = opened.find_elements(By.CSS_SELECTOR, '#trials tr[aria-selected="true"]')
    number = selected.get_attribute("data-trial")
    assert text(opened, "detail").startswith(f"trial {number}\n")
    assert "completed" in selected.text


def test_arrow_keys_go_from_the_best_trial_to_the_next(opened: webdriver.Chrome) -> None:
    rows = opened.find_elements(By.CSS_SELECTOR, "#trials tbody tr")
    best, second = (row.get_attribute("data-trial") for row in rows[:2])
    canvas = opened.find_element(By.CSS_SELECTOR, "#parallel canvas")
    canvas.send_keys(Keys.ARROW_RIGHT)
    wait(opened, "detail", f"trial {best}\n")
    canvas.send_keys(Keys.ARROW_RIGHT)
    wait(opened, "detail", f"trial {second}\n")
    (selected,) = opened.find_elements(By.CSS_SELECTOR, '#trials tr[aria-selected="true"]')
    assert selected.get_attribute("data-trial") == second


def test_limits_can_be_given_as_numbers(opened: webdriver.Chrome) -> None:
    opened.find_element(By.TAG_NAME, "summary").click()
    opened.find_element(By.CSS_SELECTOR, 'input[aria-label="least lr"]').send_keys("0.1", Keys.TAB)
    wait(opened, "trials-told", " of 30 trials")
    header = [cell.text.split()[0] for cell in opened.find_elements(By.CSS_SELECTOR, "#trials th")]
    cells = [
        row.find_elements(By.TAG_NAME, "td")[header.index("lr")].text
        for row in opened.find_elements(By.CSS_SELECTOR, "#trials tbody tr")
    ]
    assert cells
    assert all(float(cell) >= 0.1 for cell in cells)


def test_trials_can_be_compared_at_each_depth(opened: webdriver.Chrome) -> None:
    options = [each.text for each in opened.find_elements(By.CSS_SELECTOR, "#depth option")]
    assert options == [
        "by rank (28 trials)",
        "after virtual epoch 1 (28 trials)",
        *(option for option in options[2:] if option.startswith("after virtual epoch ")),
    ]
    opened.find_elements(By.CSS_SELECTOR, "#depth option")[-1].click()
    wait(opened, "importance-told", "Nothing to tell")
    assert complaints(opened) == []


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_window(page: Path, width: int) -> None:
    with browser(width=width) as driver:
        open_file(driver, page)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width


def test_it_is_dark_where_one_asks_for_that_and_never_on_paper(driver: webdriver.Chrome, page: Path) -> None:
    paper = "return getComputedStyle(document.body).backgroundColor"
    media(driver, dark=True)
    open_file(driver, page)
    assert driver.execute_script(paper) == "rgb(20, 23, 27)"
    media(driver, dark=True, printed=True)
    assert driver.execute_script(paper) == "rgb(255, 255, 255)"
    assert not driver.find_element(By.CSS_SELECTOR, ".controls").is_displayed()
    media(driver)
    assert len(driver.print_page()) > 50_000
