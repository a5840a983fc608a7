"""One hook for built-in and foreign patterns; files; the generated page."""

from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from headscribe.core import extensions
from headscribe.core.errors import RunError, UsageError
from headscribe.core.visibility import CAUSAL, FULL
from headscribe.patterns.contract import Pattern
from headscribe.patterns.documentation import patterns_page
from headscribe.patterns.files import load_patterns, read_relations
from headscribe.patterns.registry import default_patterns, pattern, registry
from headscribe.patterns.relational import relation_pattern
from tests.passages import random_passage

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _fresh_registry():
    """Let no test see what another has registered."""
    registry.cache_clear()
    yield
    registry.cache_clear()


def _one(name="mine"):
    return relation_pattern(name, "Here.", "distance == 0", "test", "custom", "custom")


def test_the_classic_names():
    names = [one.name for one in registry().select(["classic"])]
    expected = (
        "next_token previous_token same_token punctuation previous_punctuation repetition "
        "part_of_speech dependency"
    )
    assert names == expected.split()


def test_the_default_set_holds_classics_honest_variants_and_baselines():
    names = {one.name for one in default_patterns()}
    assert {"next_token", "next_token_only", "to_head", "uniform", "next"} <= names
    assert "offset:1" not in names


def test_select_by_set_and_name_keeps_order_and_drops_doubles():
    chosen = registry().select(["self", "baseline", "self", "to_head"])
    assert [one.name for one in chosen][:2] == ["self", "uniform"]
    assert [one.name for one in chosen].count("self") == 1
    assert chosen[-1].name == "to_head"
    assert len(registry().select(["all"])) == len(registry())


def test_an_unknown_name_suggests():
    with pytest.raises(UsageError, match="`nxt_token` is no pattern; did you mean `next_token`"):
        registry().get("nxt_token")


def test_a_duplicate_is_refused():
    with pytest.raises(UsageError, match="a pattern `next_token` exists already"):
        registry().register(_one("next_token"))


@pytest.mark.parametrize("name", ["all", "default", "classic", "syntactic"])
def test_names_of_sets_are_reserved(name):
    with pytest.raises(UsageError, match="names a set of patterns"):
        registry().register(_one(name))


def test_the_decorator_takes_name_docstring_and_relation():
    @pattern(source="Clark et al. 2019")
    def determiner_of():
        """A noun attends to
        its determiners.
        """
        return 'key.head == query.word and key.dep == "det"'

    assert registry().get("determiner_of") is determiner_of
    assert determiner_of.sentence == "A noun attends to its determiners."
    assert determiner_of.needs == {"head", "dep"}


def test_the_decorator_refuses_what_it_cannot_use():
    with pytest.raises(UsageError, match="expected a docstring"):

        @pattern(source="x")
        def silent():
            return "distance == 0"

    with pytest.raises(UsageError, match="got int"):

        @pattern(source="x")
        def number():
            """Somewhere."""
            return 3


def test_a_cell_of_a_notebook_runs_again():
    def cell(relation):
        @pattern
        def mine():
            """Here, for now."""
            return relation

        return mine

    first = cell("distance == 0")
    assert registry().get("mine") is first
    second = cell("distance == -1")
    assert registry().get("mine") is second
    assert str(second.relation) == "distance == -1"
    assert registry().names.count("mine") == 1
    with pytest.raises(UsageError, match="column"):
        cell("distance ==")
    assert registry().get("mine") is second

    with pytest.raises(UsageError, match="a pattern `next_token` exists already"):

        @pattern
        def next_token():
            """Not the catalogue's."""
            return "distance == 1"


def test_a_function_of_the_passage_is_a_pattern():
    @pattern
    def same_length(passage):
        """Every token attends to tokens as long as itself."""
        length = np.diff(passage.spans, axis=1)
        return length == length.T

    @pattern(needs=["upos"], looks_ahead=False, source="here")
    def nouns(passage):
        """Every token attends to nouns."""
        tags = [None if word < 0 else passage.words.upos[word] for word in passage.word]
        return [[float(tag == "NOUN") for tag in tags]] * len(passage)

    assert isinstance(same_length, Pattern)
    assert registry().get("same_length") is same_length
    assert (same_length.needs, same_length.looks_ahead) == (frozenset(), True)
    assert (nouns.needs, nouns.looks_ahead, nouns.source) == ({"upos"}, True, "here")
    passage = random_passage(1, 8)
    length = np.diff(passage.spans, axis=1)
    wanted = np.tril(length == length.T).astype(float)
    wanted /= np.maximum(wanted.sum(axis=1, keepdims=True), 1)
    np.testing.assert_allclose(same_length.predict(passage, CAUSAL).to_dense(), wanted, atol=1e-6)
    covered = nouns.predict(passage, FULL).covered
    assert covered.all() == ("NOUN" in passage.words.upos)


def test_a_function_that_breaks_names_itself_and_the_text():
    @pattern
    def broken(passage):
        """Somewhere."""
        return passage.nothing

    said = "text .*: pattern broken fails: AttributeError: 'Passage' object has no attribute"
    with pytest.raises(UsageError, match=said) as caught:
        broken.predict(random_passage(1, 8), FULL)
    assert isinstance(caught.value.__cause__, AttributeError)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[1.0]], r"text 0: pattern odd expected shape \(\d+, \d+\), got \(1, 1\)"),
        ("word", "expected a table of numbers"),
        ([[1], [2, 3]], "expected a table of numbers"),
        (None, "expected shape"),
        (-np.ones(2 * [len(random_passage(1, 8))]), "at least 0, got -1 for query 0, key 0"),
        (np.full(2 * [len(random_passage(1, 8))], np.nan), "at least 0, got nan"),
    ],
)
def test_what_a_function_returns_is_judged(given, message):
    @pattern
    def odd(passage):
        """Somewhere."""
        return given

    with pytest.raises(UsageError, match=message):
        odd.predict(random_passage(1, 8), FULL)


def test_a_function_of_more_is_refused():
    with pytest.raises(UsageError, match="got the parameters a, b"):

        @pattern
        def two(a, b):
            """Somewhere."""

    with pytest.raises(UsageError, match="expected @pattern or @pattern"):
        pattern("Clark et al.")


def test_a_file_of_relations(tmp_path):
    path = tmp_path / "mine.relations"
    path.write_text(
        "# The patterns of our paper.\n\n"
        "# A noun attends to\n# its determiners.\n"
        'determiner_of: key.head == query.word\n    and key.dep == "det"\n'
        "there:1: distance == 1\n",
        encoding="utf-8",
    )
    one, two = load_patterns(path)
    assert one.sentence == "A noun attends to its determiners."
    assert str(one.relation) == 'key.head == query.word and key.dep == "det"'
    assert two.name == "there:1"
    assert registry().get("determiner_of") is one
    with pytest.raises(UsageError, match="exists already"):
        load_patterns(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found none"),
        ("# only a comment\n", "found none"),
        ("a: distance == 0\nnonsense\n", "line 2: expected `name: relation`"),
        ("a: distance == 0\n\n  b: distance == 1\n", "line 3: expected `name: relation`"),
        ("a: query.hed == 0\n", "line 1: pattern a: column 7"),
        ("a: distance == 0\na: distance == 1\n", "line 2: `a` stands in the file twice"),
        ("a b: distance == 0\n", "line 1: expected a pattern name"),
    ],
)
def test_a_malformed_line_is_named(text, message):
    with pytest.raises(UsageError, match=message):
        read_relations(text, "file")


def test_a_missing_and_a_binary_file(tmp_path):
    with pytest.raises(UsageError, match="expected a file of patterns"):
        load_patterns(tmp_path / "none")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="expected UTF-8"):
        load_patterns(tmp_path / "binary")


def test_python_needs_trust(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "from headscribe.patterns.registry import pattern\n"
        "@pattern(source='here')\n"
        "def mine():\n"
        "    'Somewhere.'\n"
        "    return 'distance == 0'\n"
    )
    with pytest.raises(UsageError, match="--trust"):
        load_patterns(path)
    assert "mine" not in registry()
    assert [one.name for one in load_patterns(path, trust=True)] == ["mine"]
    assert [one.name for one in load_patterns(path, trust=True)] == ["mine"]  # read again
    path.write_text("1 / None\n")
    with pytest.raises(RunError, match="TypeError"):
        load_patterns(path, trust=True)
    path.write_text("x = 1\n")
    with pytest.raises(UsageError, match="registers no pattern"):
        load_patterns(path, trust=True)


def _install(monkeypatch, value):
    found = {"headscribe.patterns": [EntryPoint("x", value, "headscribe.patterns")]}
    monkeypatch.setattr(extensions, "entry_points", lambda group: found.get(group, []))
    monkeypatch.setattr(extensions, "_loaded", extensions._loaded.__wrapped__)


def test_entry_points_use_the_same_hook(monkeypatch):
    _install(monkeypatch, "tests.unit.patterns.plugin:register")
    assert "foreign" in registry()


@pytest.mark.parametrize(
    ("value", "message"),
    [("no.such.module:x", "cannot be loaded"), ("tests.unit.patterns.plugin:twice", "exists")],
)
def test_a_broken_package_is_named(monkeypatch, value, message):
    _install(monkeypatch, value)
    with pytest.raises(RunError, match=message):
        registry()


def test_the_reference_page_is_current():
    path = ROOT / "docs" / "reference" / "patterns.md"
    assert path.read_text(encoding="utf-8") == patterns_page()
