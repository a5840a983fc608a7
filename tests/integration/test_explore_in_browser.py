"""The explorer in a real browser: every action by mouse and by keyboard, both themes, a phone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import headscribe as hs
from headscribe.behaviours.card import UNNAMED, Card, Figure
from headscribe.behaviours.tables import run_tables
from headscribe.core.heads import HeadId
from headscribe.explore.server import Served
from headscribe.results.run import Run
from tests.integration.browser import Page, chromium
from tests.unit.report.synthetic_fit import make_fit

TEXT = "The cat sat on the mat because it was tired."
VIEWS = (
    "view=heads", "view=words&at=8&to=2", "view=head&head=1.2",
    "view=relation&relation=key.is_punct", "view=relation&relation=key.nothing",
    "view=change&off=1.2&put=0.0",
    "view=compare&other=The+dog+sat+on+the+mat+because+it+was+tired.",
)  # fmt: skip
BEHIND = ("distance == -1", "key.is_bos", "key.id == query.id", "distance < -3")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def model() -> Any:
    return hs.load("bundled:stories")


@pytest.fixture(scope="module")
def served(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("runs")
    facts = {"name": model.name, "fingerprint": model.fingerprint, "layers": 6, "heads": 6}
    fit = make_fit(folder / "fit", layers=6, heads=6, relations=BEHIND, model=facts)
    runs = [answered(folder / "explain", facts).folder, fit.folder]
    with hs.explore(model, runs) as found:
        yield found


def answered(folder: Path, facts: dict[str, Any]) -> Run:
    """A run in which head 1.2 reads the previous token, and no other head has a name."""
    half = {"share": 0.9, "expected": 0.1, "excess": 0.8, "low": 0.7, "high": 0.9}
    figure = Figure(
        "the word before", "On a word", "the word before", "distance == -1", "position", 90, 0.9,
        **half, hit=0.9, confirmed=half, sinks_here=0.2, part=0.7, listed=True,
    )  # fmt: skip
    named = "the word before", "It reads the word before.", "position"
    cards = [
        Card(
            HeadId(layer, head),
            *(named if (layer, head) == (1, 2) else (UNNAMED, "Nothing was found.", "")),
            0.2, (("sinks", 0.2), ("previous token", 0.1), ("elsewhere", 0.7)),
            (figure,) if (layer, head) == (1, 2) else (), 0.01,
        )
        for layer in range(6)
        for head in range(6)
    ]  # fmt: skip
    run = Run.create(folder, "explain", {}, model=facts, corpus={"name": "stories", "texts": 30})
    for name, table in run_tables(cards).items():
        run.write_table(name, table)
    run.finish(named=1, summary="1 of 36 heads has a name.")
    return run


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Page]:
    found = Page(browser, served.address)
    found.visit(served.address)
    yield found
    found.closed()


@pytest.mark.parametrize("width, scheme, step", [(1280, "light", 1), (390, "dark", 2)])
def test_views_are_accessible_and_fit(
    browser: Any, served: Served, width: int, scheme: str, step: int
):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    reader = Page(browser, served.address, width, scheme)
    for view in VIEWS[::step]:
        reader.visit(f"{served.address}#{view}")
        assert reader.page.evaluate("document.documentElement.scrollWidth") <= width, view
        serious = [
            (one["id"], node["target"], node["failureSummary"])
            for one in axe.run(reader.page).response["violations"]
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]
        assert serious == [], view
    reader.closed()


def test_a_text_is_typed_and_its_heads_are_seen(page: Page):
    assert page.page.inner_text("h1") == "What the heads of bundled:stories do on your text"
    assert page.said().startswith("36 heads read 12 tokens")
    assert page.page.get_attribute(".cell[data-head='1.2']", "aria-label").startswith(
        "L1H2: the word"
    )
    page.page.click("text=what it does on this text")
    assert "on the previous token" in page.page.get_attribute(
        ".cell[data-head='1.2']", "aria-label"
    )
    page.page.fill("#text", "Once upon a time")
    page.page.wait_for_selector("text=36 heads read 5 tokens")
    assert "text=Once+upon+a+time" in page.page.url
    assert page.page.evaluate("document.activeElement.id") == "text"
    page.page.reload()
    page.settled()
    assert page.page.input_value("#text") == "Once upon a time"
    page.page.focus(".cell[data-head='0.0']")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.page.keyboard.press(key)
    assert page.page.inner_text(".card h2") == "L1H2"
    page.page.keyboard.press("Enter")
    page.settled()
    assert page.page.inner_text(".body h2") == "L1H2 on this text"
    assert page.page.evaluate("document.activeElement.textContent") == "L1H2 on this text"


def test_heads_look_from_word_to_word(page: Page, model: Any):
    page.page.click("nav >> text=Words")
    page.settled()
    page.page.click("[aria-label='The word'] [data-unit='8']")
    page.settled()
    page.page.click("[aria-label='To which word'] [data-unit='2']")
    page.settled()
    best = max(((layer, head) for layer in range(6) for head in range(6)),
               key=lambda one: hs.attend(model, TEXT, one, rows=[8])[0, 2])  # fmt: skip
    share = hs.attend(model, TEXT, best, rows=[8])[0, 2]
    found = page.said("Heads that look so")
    assert found.startswith(f"L{best[0]}H{best[1]} looks most from “it” to “cat”: ")
    assert int(found.split()[-6]) == round(100 * float(share))
    assert page.page.text_content(".spoken[role=status]") == found
    page.page.focus("[aria-label='The word'] [data-unit='8']")
    page.page.keyboard.press("ArrowLeft")
    page.page.keyboard.press("Enter")
    page.settled()
    assert "from “because” to “cat”" in page.said("Heads that look so")
    assert page.page.evaluate("document.activeElement.dataset.unit") == "7"
    page.page.click("[aria-label='To which word'] [data-unit='6']")
    page.settled()
    row = page.page.inner_text("tr:has(th:has-text('1.2'))")
    assert "the word before" in row
    assert "90\xa0%" in row
    other = page.page.inner_text("tr:has(th:has-text('1.3'))")
    assert other.endswith("no name yet\tprevious token\t10\xa0%")
    page.page.go_back()
    page.settled()
    assert "to “cat”" in page.said("Heads that look so")


def test_a_head_is_opened_and_its_formula_edited(page: Page, model: Any):
    page.page.click("nav >> text=One head")
    page.settled()
    page.page.focus(".body select")
    page.page.select_option(".body select", "1.2")
    page.settled()
    assert "It reads the word before." in page.page.inner_text(".answered")
    assert page.page.locator(".panel").count() == 3
    assert page.page.evaluate("document.activeElement.value") == "1.2"
    assert "the previous token" in page.page.inner_text(
        "[aria-label='What it follows on this text']"
    )
    fitted = page.page.inner_text(".readout >> text=IoU")
    page.page.fill(".body textarea", "+8.0  distance == -1")
    page.page.wait_for_selector(".readout strong:has-text('IoU 0.9')")
    assert "IoU 0.9" not in fitted
    page.page.focus(".body textarea")
    page.page.keyboard.press("Control+End")
    page.page.keyboard.type(" and key.nothing")
    page.page.wait_for_selector("textarea[aria-invalid]")
    assert "nothing" in page.page.inner_text("p.problem")
    page.page.click("text=Back to the fitted formula")
    page.page.wait_for_selector("textarea[aria-invalid]", state="detached")
    page.settled()
    assert page.page.inner_text(".readout >> text=IoU") == fitted
    page.page.click("a:has-text('the previous token')")
    page.settled()
    assert page.page.input_value(".body input[type=text]") == "distance == -1"


def test_a_relation_is_written_and_its_heads_are_found(page: Page):
    page.page.click("nav >> text=Relation")
    page.settled()
    assert page.said("What the relation says").startswith(
        "L1H2 follows it most on this text: 99\xa0%"
    )
    box = page.page.locator(".body input[type=text]")
    box.fill("distance == ")
    page.page.wait_for_selector("input[aria-invalid]")
    assert page.page.inner_text("p.problem")
    box.press("End")
    page.page.keyboard.type("-2")
    page.page.wait_for_selector("input[aria-invalid]", state="detached")
    page.settled()
    assert "L1H2" not in page.said("What the relation says")
    page.page.focus("button.chip:has-text('key.is_punct')")
    page.page.keyboard.press("Enter")
    page.settled()
    assert box.input_value() == "key.is_punct"
    page.page.click("text=Measure it on the run’s example texts")
    page.page.wait_for_selector(".answers[aria-label='On the texts of the run'] .headline")
    assert "of the run:" in page.said("On the texts of the run") or "no token" in page.said(
        "On the texts of the run"
    )


def test_heads_are_switched_off_and_formulas_put_in(page: Page):
    page.page.click("nav >> text=Change")
    page.settled()
    assert page.said().startswith("Untouched, the likeliest is “The”")
    page.page.select_option("label:has-text('Switch off') >> nth=0 >> select", "1.2")
    page.settled()
    assert "of the probability moved to other tokens" in page.said()
    page.page.focus("label:has-text('Put in the formula of') select")
    page.page.select_option("label:has-text('Put in the formula of') select", "0.1")
    page.settled()
    assert (
        page.page.inner_text(".body .chips")
        .replace("\n", "")
        .startswith("L1H2 off ×L0H1 by its formula")
    )
    page.page.focus("text=Let it go on with the text")
    page.page.keyboard.press("Enter")
    page.page.wait_for_selector("h3:has-text('Changed')")
    assert (
        page.page.locator(".body blockquote").count() + page.page.locator(".answers .note").count()
        == 2
    )
    page.page.click("[aria-label='Restore L0H1']")
    page.settled()
    page.page.click("text=Restore all")
    page.settled()
    assert page.said().startswith("Untouched")


def test_two_texts_are_compared(page: Page):
    page.page.click("nav >> text=Compare")
    page.settled()
    page.page.fill(".body textarea", TEXT.replace("cat", "dog"))
    page.page.wait_for_selector(".body svg.grid")
    assert "of its attention moved" in page.said()
    page.page.focus(".cell[data-head='0.0']")
    page.page.keyboard.press("Enter")
    page.settled()
    assert page.page.inner_text(".body h2") == "L0H0 on this text"


def test_every_state_has_an_address_and_is_saved_as_a_file(
    browser: Any, page: Page, served: Served, tmp_path: Path
):
    for view in VIEWS[:3]:
        page.visit(f"{served.address}#{view}")
    with page.page.expect_download() as waiting:
        page.page.click("text=Save")
    waiting.value.save_as(tmp_path / "saved.html")
    saved = Page(browser, None)
    saved.visit(f"file://{tmp_path / 'saved.html'}")
    assert saved.page.inner_text(".body h2") == "L1H2 on this text"
    assert saved.page.locator(".panel").count() == 3
    saved.page.click("nav >> text=Words")
    saved.settled()
    assert "holds what was looked at" in saved.page.inner_text(".problem")
    saved.page.click("nav >> text=Heads")
    saved.settled()
    assert saved.said().startswith("36 heads read 12 tokens")
    saved.closed()


def test_hostile_text_stays_text_and_pages_do_not_disturb_each_other(
    browser: Any, page: Page, served: Served
):
    other = Page(browser, served.address)
    other.visit(served.address)
    evil = (
        "<img src=x onerror=window.hit=1> \u202eright\u202c </script><svg onload=window.hit=1> cat"
    )
    other.page.fill("#text", evil)
    page.page.fill("#text", "A dog ran.")
    page.page.wait_for_selector("text=36 heads read 5 tokens")
    for view in ("Words", "One head", "Relation", "Change", "Compare"):
        other.page.click(f"nav >> text={view}")
        other.settled()
    assert other.page.input_value("#text") == evil
    assert other.page.evaluate("window.hit") is None
    assert page.said().startswith("36 heads read 5 tokens")
    page.page.fill("#text", " ")
    page.page.wait_for_selector(".problem >> text=expected a text with at least one word")
    other.closed()


def test_recorded_attention_says_what_it_can(browser: Any, model: Any, tmp_path: Path):
    hs.record(model, [TEXT, "A dog ran."], tmp_path / "recorded")
    with hs.explore(tmp_path / "recorded") as served:
        page = Page(browser, served.address)
        page.visit(served.address)
        assert "only the texts that were recorded" in page.page.inner_text("main > .note")
        assert page.said().startswith("36 heads read 12 tokens")
        page.page.select_option("main > .controls select", index=1)
        page.page.wait_for_selector("text=36 heads read 5 tokens")
        page.page.click("nav >> text=Change")
        page.settled()
        assert "cannot be changed" in page.page.inner_text(".body .note")
        page.closed()
