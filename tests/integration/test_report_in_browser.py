"""The report in a real browser, opened from disk: every view, by mouse and by keyboard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from headscribe.report.page import write_page
from tests.integration.browser import Reader, chromium
from tests.unit.report.synthetic import make_run
from tests.unit.report.synthetic_fit import make_fit

VIEWS = ("0/heads", "0/head/1.2", "0/patterns", "0/pattern/previous_token", "0/about")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_page([make_run(folder / "survey"), make_fit(folder / "fit")], folder / "report.html")
    return folder / "report.html"


@pytest.fixture
def reader(browser: Any, report: Path) -> Iterator[Reader]:
    found = Reader(browser)
    found.open(report)
    yield found
    found.close()
    assert found.wrong == []
    assert [one for one in found.requests if not one.startswith(("file:", "data:", "blob:"))] == []


def test_every_view_opens(reader: Reader):
    for view in VIEWS:
        reader.go(view)
        assert "cannot be drawn" not in reader.page.inner_text("main")
        assert reader.heading()


def test_from_the_grid_to_a_head_to_its_text_by_mouse(reader: Reader):
    page = reader.page
    page.hover("[data-head='0.0']")
    assert "previous_token" in page.inner_text(".card")
    page.click("[data-head='0.0']")
    reader.ready()
    assert reader.heading().startswith("L0H0")
    page.hover(".units .unit >> nth=5")
    assert page.inner_text(".readout").startswith("to reads")
    page.click(".turn")
    assert page.inner_text(".readout").startswith("to is read by")


def test_from_the_grid_to_a_head_to_its_text_by_keyboard(reader: Reader):
    page = reader.page
    page.focus("[data-head='0.0']")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft", "End", "Home", "ArrowDown"):
        page.keyboard.press(key)
    assert page.evaluate("document.activeElement.dataset.head") == "1.0"
    assert "L1H0" in page.inner_text(".card")
    page.keyboard.press("Enter")
    reader.ready()
    assert reader.heading().startswith("L1H0")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('unit')"):
            break
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".readout").startswith("it reads")


def test_the_search_box_takes_heads_and_patterns(reader: Reader):
    page = reader.page
    for wanted, heading in (("2.1", "L2H1"), ("L1H3", "L1H3"), ("prev", "previous_token")):
        page.fill("input[type=search]", wanted)
        page.keyboard.press("Enter")
        reader.ready()
        assert reader.heading().startswith(heading)
