"""The page in a real browser: charts are drawn, nothing is asked of a network, nothing is complained of."""

from pathlib import Path

import pytest

from tests.runtime.browser import Browser, browsing, needs_chromium
from tests.runtime.report.logs import written_run
from tierwise.runtime.figures import Run
from tierwise.runtime.output import make_report
from tierwise.runtime.report.making import make_page
from tierwise.runtime.report.palette import DARK, LIGHT

pytestmark = [needs_chromium, pytest.mark.timeout(300)]

MARKS = "return document.querySelectorAll(`#${arguments[0]}-chart svg ${arguments[1]}`).length"
CUT_OFF = """
return [...document.querySelectorAll(".chart")].flatMap((place) => {
  const whole = place.getBoundingClientRect();
  const isCut = (box) => box.right > whole.right + 1 || box.top < whole.top - 1;
  const texts = [...place.querySelectorAll("svg text")];
  return texts.filter((one) => isCut(one.getBoundingClientRect())).map((one) => one.textContent);
});
"""
"""Texts of charts that begin or end where nobody sees them."""


@pytest.fixture(scope="module")
def browser():
    with browsing() as one:
        yield one


def kept(run: Run, directory: Path) -> Path:
    made = make_page(run, make_report(run))
    assert made.page is not None, made.remark
    path = directory / "report.html"
    path.write_bytes(made.page)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    """Return the page of 12 devices in two groups, with 4 rounds and 2 abandoned ones each."""
    return kept(written_run(rounds=4, abandoned=2), tmp_path_factory.mktemp("small"))


def rgb(value: str) -> str:
    return "rgb({}, {}, {})".format(*(int(value[at : at + 2], 16) for at in (1, 3, 5)))


@pytest.mark.parametrize("width", [1100, 390], ids=["desktop", "phone"])
@pytest.mark.parametrize(("look", "palette"), [("light", LIGHT), ("dark", DARK)])
def test_charts_are_drawn_and_nothing_is_asked_or_complained_of(
    browser: Browser, small: Path, look: str, palette: dict[str, str], width: int
) -> None:
    browser.requests()
    browser.open(small, look=look, width=width)
    assert browser.complaints() == []
    assert browser.requests() == [small.as_uri()]
    assert browser.ask(MARKS, "fleet", ".mark-symbol.role-mark path") == 11
    assert browser.ask(MARKS, "rounds", ".mark-rect.role-mark path") == 2 * (4 + 2 + 1)
    assert browser.ask(MARKS, "rounds", ".mark-text.role-mark text") == 2 * 2, "abandoned rounds are crossed out"
    assert browser.ask(MARKS, "metric", ".mark-line.role-mark path") == 2
    assert browser.colour("body", "backgroundColor") == rgb(palette["paper"])
    assert browser.colour("#metric-chart .mark-line.role-mark path", "stroke") == rgb(palette["mark-0"])
    assert browser.colour("#metric-chart .role-axis-label text", "fill") == rgb(palette["ink"])
    assert browser.ask("return document.documentElement.scrollWidth <= innerWidth"), "the page does not scroll sideways"
    assert browser.ask(CUT_OFF) == []


@pytest.mark.parametrize("width", [480, 390])
def test_a_legend_of_two_rows_is_not_cut_off(browser: Browser, tmp_path: Path, width: int) -> None:
    path = kept(written_run(devices=17, groups=5), tmp_path)
    browser.open(path, width=width)
    assert browser.ask(CUT_OFF) == []


def test_a_chart_has_its_text_for_who_does_not_see_it(browser: Browser, small: Path) -> None:
    browser.open(small)
    tree = browser.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    images = [node for node in tree if node.get("role", {}).get("value") in ("img", "image")]
    assert len(images) == 3
    for node in images:
        assert node["name"]["value"]
        assert node["description"]["value"]
    tables = [node for node in tree if node.get("role", {}).get("value") == "table"]
    assert all(node["name"]["value"] for node in tables)


def test_what_points_at_a_device_reads_its_name(browser: Browser, small: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.wait import WebDriverWait

    browser.open(small)
    symbol = browser.driver.find_element(By.CSS_SELECTOR, "#fleet-chart .mark-symbol.role-mark path")
    ActionChains(browser.driver).scroll_to_element(symbol).move_to_element(symbol).perform()
    shown = "const tip = document.querySelector('.vg-tooltip.visible'); return tip ? tip.innerText : ''"
    text = WebDriverWait(browser.driver, 20).until(lambda driver: driver.execute_script(shown))
    assert "d00010" in text, "those in no group are drawn first"
    assert "11 GFLOP/s" in text


def test_on_paper_it_is_light_and_unfolded(browser: Browser, small: Path) -> None:
    browser.open(small, look="dark")
    browser.emulate("dark", media="print")
    assert browser.colour("body", "backgroundColor") == rgb(LIGHT["paper"])
    assert browser.colour("#metric-chart .mark-line.role-mark path", "stroke") == rgb(LIGHT["mark-0"])
    browser.emulate("dark")
    browser.ask(
        "window.opened = null; addEventListener('beforeprint', () => {"
        "  window.opened = document.querySelectorAll('details:not([open])').length })"
    )
    assert browser.pdf().startswith(b"%PDF")
    assert browser.ask("return window.opened") == 0
    assert browser.ask("return document.querySelectorAll('details[open]').length") == 0, "and folded again"


@pytest.mark.slow
def test_ten_thousand_devices_and_a_thousand_rounds_stay_usable(browser: Browser, tmp_path: Path) -> None:
    path = kept(written_run(devices=10_000, groups=3, rounds=1_000, abandoned=100), tmp_path)
    assert path.stat().st_size < 3e6
    browser.open(path)
    assert browser.complaints() == []
    assert 1_000 < browser.ask(MARKS, "fleet", ".mark-symbol.role-mark path") <= 1_501
    assert 1_000 < browser.ask(MARKS, "rounds", ".mark-rect.role-mark path") <= 1_600
    assert browser.ask(MARKS, "rounds", ".mark-text.role-mark text") == 3 * 10
    notes = browser.ask("return [...document.querySelectorAll('figure .note')].map(one => one.textContent)")
    assert len(notes) == 3, "each chart says what it leaves out or joins"
