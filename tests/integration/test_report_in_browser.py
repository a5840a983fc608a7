"""The report in a real browser, opened from disk: every view, by mouse and by keyboard."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headscribe.core.heads import HeadId
from headscribe.report.notebook import frame
from headscribe.report.page import write_page
from headscribe.report.reading import baselines, findings
from headscribe.results.queries import scores, top
from headscribe.results.run import Run
from tests.integration.browser import Reader, chromium
from tests.unit.report.synthetic import HOSTILE, PATTERNS, make_run
from tests.unit.report.synthetic_fit import make_fit
from tests.unit.report.synthetic_more import (
    make_discovery,
    make_effects,
    make_hints,
    make_probes,
    make_replacement,
)

VIEWS = (
    "0/heads", "0/head/0.0", "0/patterns", "0/pattern/previous_token", "0/discovery",
    "0/discovery/0.0", "0/replacement", "0/effects", "0/head/2.1", "0/hints", "0/compare",
    "0/about",
)  # fmt: skip
CLIPPED = """() => [...document.querySelectorAll('.scroll')]
    .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.ariaLabel)"""
"""What does not fit its place on the page, and would have to be scrolled to be seen."""

LONG = {
    "previous_punctuation_else_first": "lexical", "repetition_without_self": "lexical",
    "to_head:nmod:poss": "syntactic", "key.word == query.head and query.dep": "custom",
    "previous_token": "positional", "first_token": "sink",
}  # fmt: skip
EVIL = (
    '<script>window.hit=1</script>"><img src=x onerror="window.hit=1">\u202eright\u202c\x1b[31m'
    "\x00</script><svg onload=window.hit=1>'onmouseover='window.hit=1' javascript:window.hit=1"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("runs")
    return [
        make_run(folder / "survey"), make_fit(folder / "fit"), make_discovery(folder / "discover"),
        make_replacement(folder / "replace"), make_hints(folder / "hints"),
        make_effects(folder / "effects"), make_probes(folder / "probe"),
        make_run(folder / "other", name="another", seed=1),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def report(runs: list[Run], tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("report") / "report.html"
    write_page(runs, target)
    return target


def closed(reader: Reader) -> None:
    """Close a page in which nothing may have gone wrong, and which asked for nothing."""
    reader.close()
    assert reader.wrong == []
    assert [one for one in reader.requests if not one.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture
def reader(browser: Any, report: Path) -> Iterator[Reader]:
    found = Reader(browser)
    found.open(report)
    yield found
    closed(found)


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (390, "dark")])
def test_every_view_opens_and_is_accessible(browser: Any, report: Path, width: int, scheme: str):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    reader = Reader(browser, width, scheme)
    reader.open(report)
    for view in VIEWS:
        reader.go(view)
        page = reader.page
        page.wait_for_function(
            "!document.querySelector('.examples') || document.querySelector('.units')"
        )
        assert "cannot be drawn" not in page.inner_text("main")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, view
        assert width < 1280 or page.evaluate(CLIPPED) == [], view
        found = axe.run(page).response["violations"]
        serious = [
            (one["id"], node["target"], node["failureSummary"])
            for one in found
            if one["impact"] in ("serious", "critical")
            for node in one["nodes"]
        ]
        assert serious == [], view
    closed(reader)


def test_long_names_are_whole_and_nothing_is_clipped(browser: Any, tmp_path: Path):
    made = make_run(tmp_path / "survey", layers=12, heads=12, patterns=LONG)
    write_page([made, make_fit(tmp_path / "fit", layers=12, heads=12)], tmp_path / "report.html")
    reader = Reader(browser)
    reader.open(tmp_path / "report.html")
    page = reader.page
    for name in ("repetition without self", "to head:nmod:poss"):
        drawn = page.evaluate(
            "[...document.querySelectorAll('.cell-name')].map((one) =>"
            " [...one.children].map((line) => line.textContent).join(' '))"
        )
        assert name in [one.replace(": ", ":") for one in drawn]
    outside = """() => [...document.querySelectorAll('.cell')].filter((cell) => {
        const text = cell.querySelector('text')?.getBBox();
        const box = cell.querySelector('rect').getBBox();
        return text && (text.x < box.x - 1 || text.x + text.width > box.x + box.width + 1);
    }).map((cell) => cell.textContent)"""
    assert page.evaluate(outside) == []
    for view in ("0/heads", "0/head/3.4", "0/patterns", "0/pattern/repetition_without_self"):
        reader.go(view)
        page.wait_for_timeout(300)
        assert page.evaluate(CLIPPED) == [], view
    names = page.evaluate("[...document.querySelectorAll('.row-name')].map((n) => n.getBBox().x)")
    assert all(x >= 0 for x in names)
    closed(reader)


def test_what_heads_write_and_whom_they_read(reader: Reader):
    def rows(title: str) -> list[list[str]]:
        drawn = reader.page.locator("table", has=reader.page.locator("caption", has_text=title))
        lines = drawn.locator("tbody tr").all()
        cells = [line.locator("td, th").all_inner_texts() for line in lines]
        return [[one.replace("\xa0", " ").strip() for one in line] for line in cells]

    reader.go("0/effects")
    assert "Of 12 heads 1 copies. 2 of 12 heads answer a probe." in reader.page.inner_text("main")
    copies, suppresses = rows("Heads with a name")
    assert copies[:3] == ["2.1", "copies", "+0.50 −0.50 to 0.60"]
    assert suppresses[:3] == ["2.2", "suppresses", "−0.40 −0.50 to 0.60"]
    (lost,) = rows("Heads that matter")
    assert lost[:3] == ["2.1", "+0.200 0.100–0.300", "repeated +0.350"]
    (fed,) = rows("Pairs of heads")
    assert fed[:5] == ["2.1", "0.1", "the previous token", "key", "60 %"]
    assert fed[5].startswith("−25.0 points")
    induction, copying = sorted(rows("Heads that answer"), reverse=True)
    assert induction[:4] == ["2.1", "induction", "88 %", "25 %"]
    assert copying[:4] == ["1.0", "copying", "+0.88", "+0.25"]
    reader.page.get_by_role("link", name="2.1", exact=True).first.click()
    reader.ready()
    assert reader.heading().startswith("L2H1")
    (word,) = rows("Tokens it promotes and demotes")
    assert word == ["a word", "40", "the previous token cat", "dog"]
    assert len(rows("Whether it matters")) == 2
    assert [line[2] for line in rows("From whom it reads")] == ["query", "key"]
    assert [line[0] for line in rows("Probes it answers")] == ["induction"]


def test_a_survey_or_hints_alone_show_no_empty_views(browser: Any, tmp_path: Path):
    write_page([make_hints(tmp_path / "hints")], tmp_path / "report.html")
    reader = Reader(browser)
    reader.open(tmp_path / "report.html")
    entries = reader.page.inner_text("nav[aria-label=Views]").split("\n")
    assert [one for one in entries if one] == ["Hints", "About"]
    assert "How answers change" in reader.page.inner_text("main")
    closed(reader)


def test_refused_rankings_are_no_order_of_heads(browser: Any, tmp_path: Path):
    write_page([make_hints(tmp_path / "hints", ranked=False)], tmp_path / "report.html")
    reader = Reader(browser)
    reader.open(tmp_path / "report.html")
    words = reader.page.inner_text("main")
    assert "strongest" not in words
    assert "More where" not in words
    assert "heads are not ranked" in words
    table = "table:has(caption:has-text('not ranked'))"
    listed = reader.page.locator(f"{table} tbody th").all_inner_texts()
    assert listed == sorted(listed)
    closed(reader)


def test_without_intervals_nothing_is_explained(browser: Any, tmp_path: Path):
    made = make_run(tmp_path / "survey")
    rows = made.table("scores").to_pylist()
    for row in rows:
        row.update(gain_low=None, gain_high=None)
    pq.write_table(pa.Table.from_pylist(rows, made.table("scores").schema), made.path_of("scores"))
    write_page([made], tmp_path / "report.html")
    assert findings(scores(made), baselines(made)) == {}
    reader = Reader(browser)
    reader.open(tmp_path / "report.html")
    assert reader.page.inner_text(".headline strong") == "0 of 12 heads"
    closed(reader)


def test_the_words_are_one_key_away(reader: Reader):
    page = reader.page
    for word in ("JSD", "IoU", "Gain", "View", "Split", "Profile"):
        assert not page.is_visible(f"dialog dt:text-is('{word}')")
    page.keyboard.press("?")
    for word in ("JSD", "IoU", "Gain", "View", "Split", "Profile"):
        assert page.is_visible(f"dialog dt:text-is('{word}')")
    page.keyboard.press("Escape")
    assert not page.is_visible("dialog dt:text-is('JSD')")
    page.fill("input[type=search]", "")
    page.type("input[type=search]", "?")
    assert not page.is_visible("dialog dt:text-is('JSD')")


def test_a_head_is_called_unexplained_only_by_what_was_scored(reader: Reader, runs: list[Run]):
    found = findings(scores(runs[0]), baselines(runs[0]))
    gains = {
        f"{row['layer']}.{row['head']}": row["gain_raw_iou_low"]
        for row in runs[1].table("formulas").to_pylist()
    }
    without = [head for head in gains if HeadId.parse(head) not in found]
    assert any(gains[head] > 0 for head in without)
    count = len(set(PATTERNS) - baselines(runs[0]))
    for head in without:
        reader.go(f"0/head/{head}")
        said = reader.page.inner_text(".headline")
        assert f"None of the {count} patterns scored here" in said
        assert ("its formula is" in said) == (gains[head] > 0)
        assert "unexplained" not in said


def test_a_replacement_says_what_its_run_says_and_shows_both_orders(browser: Any, tmp_path: Path):
    made = make_replacement(tmp_path / "replace")
    curve = made.manifest["replacement"]["curve"]
    profile = next(point for point in curve if point["program"] == "profile")
    curve.append(profile | {"order": "own_best_first", "increase": 0.123})
    made.manifest["findings"] = {"lines": ["NOTE: <b>not its world</b>", "Untouched 5.0."]}
    write_page([made], tmp_path / "report.html")
    reader = Reader(browser)
    reader.open(tmp_path / "report.html")
    assert reader.page.inner_text(".headline") == "NOTE: <b>not its world</b>"
    words = reader.page.inner_text("main")
    assert "Untouched 5.0." in words
    assert "each head’s profile, own order" in words
    closed(reader)


def test_models_of_other_shapes_have_no_heads_in_common(browser: Any, tmp_path: Path):
    made = [
        make_run(tmp_path / "a"), make_fit(tmp_path / "a-fit"),
        make_run(tmp_path / "b", name="wider", heads=5),
        make_fit(tmp_path / "b-fit", name="wider", heads=5),
    ]  # fmt: skip
    write_page(made, tmp_path / "report.html")
    reader = Reader(browser)
    reader.open(tmp_path / "report.html", "0/compare")
    reader.page.wait_for_selector("text=Pattern by pattern")
    words = reader.page.inner_text("main")
    assert "no head of one is the counterpart" in words
    assert "of the same heads" not in words
    closed(reader)


def test_without_a_grid_it_opens_on_what_there_is(browser: Any, tmp_path: Path):
    for made, heading in ((make_replacement, "Proof by replacement"), (make_hints, "Hints")):
        write_page([made(tmp_path / made.__name__)], tmp_path / "report.html")
        reader = Reader(browser)
        reader.open(tmp_path / "report.html")
        assert heading in reader.heading()
        closed(reader)


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
    page.wait_for_selector(".unit")
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.classList.contains('unit')"):
            break
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".readout").startswith("it reads")


def test_what_is_explained_is_what_python_finds(reader: Reader, runs: list[Run]):
    found = findings(scores(runs[0]), baselines(runs[0]))
    page = reader.page
    assert page.inner_text(".headline strong") == f"{len(found)} of 12 heads"
    filled = page.evaluate(
        "[...document.querySelectorAll('.cell')].filter((c) => c.querySelector('.filled'))"
        ".map((c) => c.getAttribute('aria-label'))"
    )
    assert len(filled) == len(found)
    for head, line in found.items():
        assert any(said.startswith(f"{head.prose}: {line.pattern}, gain +") for said in filled)
    reader.go("0/pattern/previous_token")
    best = top(runs[0], "previous_token", k=8)
    starred = page.inner_text("table:has(caption:has-text('Heads closest')) tbody tr >> nth=0")
    assert starred.split()[:3] == ["★", best[0].head, f"{best[0].score:.3f}"]


def test_the_shades_of_a_text_are_its_attention(reader: Reader, runs: list[Run]):
    from headscribe.results.examples import read_examples

    real = next(iter(read_examples(runs[0]).values())).heads["1.2"].matrix()
    reader.go("0/head/1.2")
    page = reader.page
    page.wait_for_selector(".unit")
    page.select_option(".controls select >> nth=1", "pattern:previous_token")
    page.click("text=tokens")
    page.hover(".units .unit >> nth=6")
    said = page.inner_text(".readout").split("·")[0].removeprefix("go reads ")
    key = int(real[6].argmax())
    word, sign, share = said.split(",")[0].removesuffix("\u00a0%").rsplit(" ", 2)
    assert sign == "≈"
    assert "63 shades" in page.inner_text(".examples")
    assert word == page.inner_text(f".units .unit >> nth={key} >> .word")
    assert int(share) == pytest.approx(100 * real[6, key], abs=2)


def test_the_search_box_takes_heads_and_patterns(reader: Reader):
    page = reader.page
    for wanted, heading in (("2.1", "L2H1"), ("L1H3", "L1H3"), ("prev", "previous_token")):
        page.fill("input[type=search]", wanted)
        page.keyboard.press("Enter")
        reader.ready()
        assert reader.heading().startswith(heading)
    page.fill("input[type=search]", "9.9")
    page.wait_for_selector("text=No such head: 3 layers of 4 heads")


def listed(page: Any, wanted: str) -> list[str]:
    """What the search box offers."""
    page.fill("input[type=search]", wanted)
    page.wait_for_timeout(400)
    return [one.replace("\n", " ") for one in page.locator("[role=option]").all_inner_texts()]


def test_a_search_for_what_heads_do_finds_heads(reader: Reader, runs: list[Run]):
    page = reader.page
    sure = [one for one in scores(runs[0]) if one.pattern == "induction" and one.worth > 0]
    best = max(sure, key=lambda one: one.worth)
    found = listed(page, "induction")
    assert found[0].startswith("induction")
    assert found[1].startswith(f"{best.head_id.prose} induction, gain +")
    assert sum(one.startswith("L") for one in found) == min(6, len({one.head for one in sure}))
    assert listed(page, "next_punct") == [
        "next_punctuation was not scored: needs later keys, which a causal model hides"
    ]
    assert "none of this name" in listed(page, "nonsense")[0]
    assert all("formula" in one for one in listed(page, "lower") if one.startswith("L"))
    assert any(one.startswith("L") for one in listed(page, "lower"))


def test_the_theme_is_the_systems_until_the_reader_chooses(reader: Reader):
    def ground() -> str:
        return str(reader.page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light = ground()
    reader.page.click(".theme")
    reader.ready()
    assert ground() != light
    reader.page.click(".theme")
    reader.ready()
    assert ground() == light


def test_figures_and_tables_are_saved(reader: Reader):
    page = reader.page
    with page.expect_download() as svg:
        page.click("text=SVG >> nth=0")
    drawn = ElementTree.fromstring(Path(svg.value.path()).read_text(encoding="utf-8"))
    words = " ".join(drawn.itertext())
    for said in ("bundled:stories", "sample stories", "split all", "0.1.0", "seed 0"):
        assert said in words
    with page.expect_download() as png:
        page.click("text=PNG >> nth=0")
    assert Path(png.value.path()).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    with page.expect_download() as table:
        page.click("text=CSV >> nth=0")
    assert table.value.suggested_filename == "all-heads-clearest-finding-first.csv"
    rows = list(csv.reader(io.StringIO(Path(table.value.path()).read_text(encoding="utf-8-sig"))))
    assert rows[0][:2] == ["Head", "Explained by"]
    assert len(rows) == 1 + 12 + 2


def test_a_hostile_run_injects_nothing(browser: Any, tmp_path: Path):
    names = {name: "lexical" for name in HOSTILE if name.isprintable() and name.strip()}
    names |= {"=1+1": "custom", "@sum": "lexical", EVIL: "lexical", "previous_token": "positional"}
    evil_words = [word for word in EVIL.split(" ") if word]
    made = [
        make_run(
            tmp_path / "survey", patterns=names, texts={EVIL: [*HOSTILE, *evil_words]},
            notes=[EVIL], skipped={EVIL: EVIL},
        ),
        make_fit(tmp_path / "fit", relations=(EVIL, "distance == -1")),
        make_discovery(tmp_path / "discover", EVIL),
        make_replacement(tmp_path / "replace", EVIL),
        make_hints(tmp_path / "hints", EVIL),
        make_run(tmp_path / "other", name=EVIL, patterns=names),
    ]  # fmt: skip
    target = tmp_path / "report.html"
    write_page(made, target)
    reader = Reader(browser)
    reader.open(target)
    page = reader.page
    shown = ""
    for view in (
        *VIEWS,
        "1/heads",
        "1/compare",
        "0/head/%3Cimg%20src=x%3E",
        "0/pattern/%00%3Cb%3E",
    ):
        reader.go(view)
        page.wait_for_timeout(60)
        shown += page.inner_text("main")
        foreign = (
            "img, iframe, object, embed, b, i:not([class]), [onerror], [onload], [onmouseover]"
        )
        assert page.evaluate(f"document.querySelectorAll(`{foreign}`).length") == 0, view
        assert page.evaluate("document.querySelectorAll('script').length") == 2
        assert page.evaluate("'hit' in window") is False
    assert "<script>window.hit=1</script>" in shown
    assert r"\u202eright\u202c\x1b[31m\x00" in shown
    assert not any(character in shown for character in "\u202e\x1b\x00")
    reader.go("0/patterns")
    with page.expect_download() as table:
        page.click("text=CSV >> nth=0")
    rows = list(csv.reader(io.StringIO(Path(table.value.path()).read_text(encoding="utf-8-sig"))))
    cells = {cell for row in rows for cell in row}
    assert {"'=1+1", "'@sum"} <= cells
    assert not any(cell[:1] in ("=", "@", "+") for cell in cells)
    closed(reader)


def test_a_notebook_shows_the_whole_report(browser: Any, runs: list[Run], tmp_path: Path):
    host = tmp_path / "notebook.html"
    host.write_text(f"<!doctype html><title>n</title>{frame(runs[:2])}", encoding="utf-8")
    reader = Reader(browser)
    reader.page.goto(f"file://{host}")
    inside = reader.page.frame_locator("iframe")
    inside.locator("[data-head='0.0']").click()
    inside.locator("h1:has-text('L0H0')").wait_for()
    inside.locator(".unit").first.wait_for()
    inside.locator("a:has-text('Patterns')").click()
    inside.locator("h1:has-text('Patterns')").wait_for()
    assert reader.page.url == f"file://{host}"
    closed(reader)


def test_an_unfinished_run_says_what_is_missing(browser: Any, tmp_path: Path):
    made = make_run(tmp_path / "half")
    made.manifest |= {"complete": False, "tables": ["scores"]}
    target = tmp_path / "report.html"
    write_page([made], target)
    reader = Reader(browser)
    reader.open(target)
    for view in ("0/heads", "0/about", "0/head/0.0"):
        reader.go(view)
        said = reader.page.inner_text(".warning")
        assert "Parts of these runs are missing" in said
        assert "half: unfinished. Go on with it: the same command with --resume." in said
    assert "No example text" in reader.page.inner_text("main")
    reader.go("0/about")
    assert "unfinished" in reader.page.inner_text("main")
    assert "expected the table examples" in reader.page.inner_text(".missing")
    closed(reader)
