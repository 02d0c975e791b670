"""The report in a real browser: it opens from a file, filters, fits a phone, and says nothing in the console."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sftjobs.report.build import build
from tests.support.attempt_data import cluster_attempts
from tests.support.report_data import RUN, finished_run
from tests.support.report_unusual import unusual_run

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
if CHROMIUM is None or DRIVER is None:
    # CI must look at the page: a tier that silently does not run is a hole in the net.
    assert "CI" not in os.environ, "CI needs chromium and chromedriver (Debian: chromium chromium-driver)"
    pytest.skip("no chromium with chromedriver on this machine", allow_module_level=True)
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.remote.webdriver import WebDriver  # noqa: E402
from selenium.webdriver.support.ui import Select  # noqa: E402

EVIL = "<script>document.title='broken'</script><img src=x onerror=\"document.title='broken'\">"
HEADLINE = "The tuned model is better"
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebDriver]:
    folder: Path = tmp_path_factory.mktemp("browser")
    report = folder / "report.html"
    report.write_bytes(build(RUN, finished_run(1_200, text=EVIL, folder=folder), cluster_attempts()).html)
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    try:
        browser.get(report.as_uri())
        yield browser
    finally:
        browser.quit()


def _fits(browser: WebDriver, width: int) -> bool:
    """Whether the page as it stands needs no scrolling sideways."""
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    needed = browser.execute_script("return document.documentElement.scrollWidth")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    return bool(needed <= width)


@pytest.fixture
def page(browser: WebDriver) -> WebDriver:
    """The page as it is after opening it."""
    browser.refresh()
    return browser


def _shown(page: WebDriver) -> int:
    return len([row for row in page.find_elements(By.CSS_SELECTOR, "#cases tbody tr") if row.is_displayed()])


def _matching(page: WebDriver) -> int:
    return int(page.find_element(By.ID, "matching").text.replace(",", ""))


def _bad_cases(page: WebDriver) -> int:
    return len(page.find_elements(By.CSS_SELECTOR, "#cases tbody tr"))


def test_the_page_opens_with_the_verdict_and_a_silent_console(page: WebDriver) -> None:
    assert page.find_element(By.TAG_NAME, "h1").text == HEADLINE
    assert page.title == f"intent-v3: {HEADLINE}"  # what the examples hold did not run
    assert page.get_log("browser") == []  # type: ignore[no-untyped-call]


def test_search_by_keyboard_and_filters(page: WebDriver) -> None:
    total = _bad_cases(page)
    assert _matching(page) == total > 100
    assert _shown(page) == 100
    page.find_element(By.TAG_NAME, "body").send_keys("/")
    search = page.switch_to.active_element
    assert search.get_attribute("name") == "text"
    search.send_keys("case 17")
    assert 0 < _matching(page) < total
    assert _shown(page) == min(100, _matching(page))
    search.send_keys(Keys.CONTROL, "a")
    search.send_keys(Keys.DELETE)
    assert _matching(page) == total
    right = Select(page.find_element(By.NAME, "base"))
    right.select_by_value("right")
    of_right = _matching(page)
    right.select_by_value("wrong")
    assert _matching(page) == total - of_right
    right.select_by_value("")


def test_more_are_shown_on_request(page: WebDriver) -> None:
    button = page.find_element(By.ID, "more")
    page.execute_script("arguments[0].click()", button)
    assert _shown(page) == min(200, _bad_cases(page))


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_the_page_fits_the_width(page: WebDriver, width: int) -> None:
    assert _fits(page, width)


def test_training_examples_open_by_keyboard_and_are_not_searched(page: WebDriver) -> None:
    near = page.find_element(By.CSS_SELECTOR, "details.near")
    shown = near.find_element(By.TAG_NAME, "p")
    assert not shown.is_displayed()
    near.find_element(By.TAG_NAME, "summary").send_keys(Keys.ENTER)
    assert shown.is_displayed()
    assert "again" in shown.text  # every training example has this word, and no bad case
    page.find_element(By.NAME, "text").send_keys("again")
    assert _matching(page) == 0


def test_filters_of_failure_and_contradiction(page: WebDriver) -> None:
    total = _bad_cases(page)
    for name, value in (("parse", "no_label"), ("near", "contradicts")):
        select = Select(page.find_element(By.NAME, name))
        select.select_by_value(value)
        assert 0 < _matching(page) < total, name
        assert _matching(page) == len(page.find_elements(By.CSS_SELECTOR, f'#cases tr[data-{name}="{value}"]'))
        select.select_by_value("")
        assert _matching(page) == total


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("which", ["many_labels", "chinese", "one_model", "failed", "numbers"])
def test_unusual_runs_fit_and_are_silent(browser: WebDriver, tmp_path: Path, which: str, width: int) -> None:
    opened = browser.current_url
    page = tmp_path / f"{which}.html"
    page.write_bytes(unusual_run(which, tmp_path).html)
    browser.get(page.as_uri())
    try:
        browser.execute_script("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert _fits(browser, width)
        assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]
    finally:
        browser.get(opened)


def test_dark_and_light_have_readable_contrast(page: WebDriver) -> None:
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        ink, paper = page.execute_script(
            "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        )
        assert _contrast(ink, paper) > 7


def _contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2.2 between two `rgb(r, g, b)` colours."""
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    parts = [int(part) / 255 for part in color.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_the_data_card_opens_and_fits_a_phone(page: WebDriver) -> None:
    metrics = {"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    names = ("near_duplicates", "boundary", "overlaps", "noise", "conflicts")
    for name in names:
        page.execute_script("arguments[0].open = true", page.find_element(By.ID, name))
        assert page.find_element(By.ID, name).size["height"] > 80, name
    assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    why = page.find_element(By.CSS_SELECTOR, ".funnel td.why")
    assert page.execute_script("return arguments[0].getBoundingClientRect().right", why) <= 360
    marked = page.find_element(By.CSS_SELECTOR, "#near_duplicates ins")
    background = page.execute_script("return getComputedStyle(arguments[0]).backgroundColor", marked)
    assert background not in ("rgba(0, 0, 0, 0)", "transparent")
    page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
