"""The page: whole, safe, accessible, and made from what a run has."""

import io
import subprocess
import sys
import unicodedata
from html.parser import HTMLParser

import matplotlib.image
import numpy as np
import pytest

from headscribe.core.errors import UsageError
from headscribe.report.markup import Html, tag, text
from headscribe.report.matrices import _png
from headscribe.report.page import SECTIONS, page, write_page
from headscribe.results.run import Run
from tests.unit.report.synthetic import HOSTILE, make_run

VOID = {"meta", "img", "source", "br", "link"}


class Reader(HTMLParser):
    """Collects elements and text; fails on badly nested markup."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


@pytest.fixture(scope="module")
def plain(run: Run) -> Reader:
    return Reader(page([run]))


def test_everything_has_its_place(plain: Reader):
    words = " ".join(plain.words)
    for _, title, _ in SECTIONS:
        assert title in words
    for fact in (
        "bundled:stories", "3 layers", "sample stories", "300 texts", "bundled:en", "0.1.0",
        "Seed", "split all", "previous_token", "needs later keys", "2 texts",
    ):  # fmt: skip
        assert fact in words
    assert "Not available" not in words


def test_it_is_accessible(plain: Reader):
    ids = [attributes["id"] for _, attributes in plain.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(image["alt"] for image in plain.named("img"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in plain.named("svg"))
    assert len(plain.named("caption")) == len(plain.named("table")) > 3
    assert all(cell.get("scope") for cell in plain.named("th"))
    links = [link["href"] for link in plain.named("a")]
    assert all(link[0] == "#" and link[1:] in ids for link in links)
    headings = [name for name, _ in plain.elements if name in ("h1", "h2", "h3")]
    assert headings == ["h1", "h2", *["h3"] * len(SECTIONS)]
    assert plain.named("html")[0]["lang"] == "en"


def test_it_stands_alone_in_both_themes(plain: Reader):
    assert plain.named("script") == []
    for name, attributes in plain.elements:
        for key in ("src", "href", "srcset"):
            address = attributes.get(key)
            assert address is None or address.startswith(("data:image/", "#")), (name, address)
    assert len(plain.named("picture")) == len(plain.named("source")) == 4
    assert plain.named("source")[0]["media"] == "(prefers-color-scheme: dark)"


def test_a_hostile_run_injects_nothing(tmp_path, run: Run):
    names = {name: "lexical" for name in HOSTILE if name.isprintable() and name.strip()}
    made = make_run(
        tmp_path / "hostile",
        texts={"<script>id</script>\x1b": HOSTILE},
        name='"><img src=x onerror=alert(1)>\u202e',
        patterns=names,
        skipped={"<b>": '<i onclick="x">\x07'},
        notes=["</style><script>1</script>"],
    )
    content = page([made])
    reader = Reader(content)
    assert reader.named("script") == reader.named("b") == []
    assert len(reader.named("i")) == len(Reader(page([run])).named("i"))
    assert not any(key.startswith("on") for _, known in reader.elements for key in known)
    assert all(image["src"].startswith("data:") for image in reader.named("img"))
    bad = {c for c in content if unicodedata.category(c)[0] == "C"} - {"\n"}
    assert bad == set()
    assert "<script>alert(1)</script>" in " ".join(reader.words)


def test_two_runs_fit_one_small_file(run: Run, tmp_path):
    target = tmp_path / "page.html"
    write_page([run, run], target)
    assert target.stat().st_size < 5e6
    reader = Reader(target.read_text(encoding="utf-8"))
    assert len(reader.named("article")) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_what_is_missing_or_damaged_is_said_in_its_place(tmp_path):
    made = make_run(tmp_path / "broken")
    made.manifest["complete"] = False
    made.manifest["tables"].remove("gate")
    (made.folder / "layers.parquet").write_bytes(b"no table")
    words = " ".join(Reader(page([made])).words)
    assert words.count("Not available") == 2
    assert "unfinished" in words
    assert "damaged" in words
    assert "★" in words


def test_a_survey_without_texts_findings_or_gates(tmp_path):
    made = make_run(tmp_path / "bare", patterns={"uniform": "sink"}, skipped={}, failures={})
    words = " ".join(Reader(page([made])).words)
    assert "0 of 12 heads" in words
    assert "No example text" in words
    assert "every pattern was scored" in words


def test_wrong_runs_are_refused(tmp_path, run: Run):
    with pytest.raises(UsageError, match="at least one run"):
        write_page([], tmp_path / "page.html")
    other = Run.create(tmp_path / "fit", "fit", {})
    with pytest.raises(UsageError, match="expected surveys"):
        write_page([run, other], tmp_path / "page.html")


def test_text_is_escaped_wherever_it_enters():
    assert text('<a b="c">\x00') == r"&lt;a b=&quot;c&quot;&gt;\x00"
    assert tag("p", "<", Html("<b>"), title='"', hidden=True, id=None) == (
        '<p title="&quot;" hidden>&lt;<b></p>'
    )


def test_pngs_hold_the_palette_colours():
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (64, 3)).astype(np.uint8)
    index = rng.integers(0, 64, (5, 9)).astype(np.uint8)
    read = matplotlib.image.imread(io.BytesIO(_png(index, palette)), format="png")
    assert (np.rint(read[..., :3] * 255).astype(np.uint8) == palette[index]).all()


def test_a_report_needs_no_model_library():
    code = (
        "import sys, headscribe.report.page, headscribe.report.terminal; "
        "print([m for m in ('torch', 'transformers', 'spacy', 'matplotlib') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
