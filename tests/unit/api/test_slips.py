"""What a cell of a notebook shows reads well, results and slips alike."""

import pytest

import headscribe as hs
from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.heads import Estimate, HeadFormula
from headscribe.patterns.registry import registry
from headscribe.results.queries import Score

SCORE = {
    "pattern": "induction", "metric": "jsd", "view": "raw", "split": "all", "head": "3.3",
    "score": 0.2344, "low": 0.2, "high": 0.25, "coverage": 0.256, "texts": 12, "baseline": "self",
    "gain": 0.5, "gain_low": 0.4, "gain_high": 0.6,
}  # fmt: skip


def test_a_score() -> None:
    assert repr([Score(**SCORE)]) == (
        "[<3.3 induction: jsd 0.234 (0.200 to 0.250), gain +0.500 (+0.400 to +0.600) over self; "
        "26% of the rows>]"
    )
    bare = dict.fromkeys(("low", "high", "baseline", "gain", "gain_low", "gain_high"))
    assert repr(Score(**SCORE | bare)) == "<3.3 induction: jsd 0.234; 26% of the rows>"


def test_a_corpus_is_not_its_texts() -> None:
    assert repr(hs.corpus(["one text"] * 2 + ["another"])) == (
        "<Corpus strings: 3 texts of 2 groups>"
    )


def test_a_pattern_says_its_sentence() -> None:
    assert repr(registry().get("induction")).startswith("<pattern induction: ")

    @hs.pattern
    def mine(passage):
        """Every token attends to itself."""

    assert repr(mine) == "<pattern mine: Every token attends to itself.>"


def test_a_formula_of_a_head() -> None:
    scores = {
        (what, "raw", "iou"): Estimate(mean, mean - 0.1, mean + 0.1)
        for what, mean in (("formula", 0.9), ("profile", 0.5), ("gain", 0.4))
    }
    one = HeadFormula(HeadId(1, 2), Formula("L1H2", (Term("distance == -1", 2.0),)), scores)
    assert repr(one) == str(one)
    assert "distance == -1" in repr(one)
    assert len(repr(one).splitlines()) == 2


def test_a_slip_in_an_argument_names_the_function_and_what_was_meant() -> None:
    with pytest.raises(TypeError, match=r"survey\(\) .*'limits'; did you mean `limit`\?"):
        hs.survey("bundled:stories", ["one"], limits=3)
    with pytest.raises(TypeError, match=r"fit\(\) .*'foo'$"):
        hs.fit("bundled:stories", ["one"], foo=3)


def test_what_is_no_pattern_is_said_in_one_line() -> None:
    with pytest.raises(hs.UsageError, match="a head's formula, got int"):
        hs.predict(3, "The cat sat.")
    with pytest.raises(hs.UsageError, match="pattern int: expected a function, got <class 'int'>"):
        hs.pattern(int)
    for package in ("spacy", "numpy"):
        with pytest.raises(hs.UsageError, match=f"`{package}` is no annotator or folder of a"):
            hs.survey("bundled:stories", ["The cat sat."], annotator=package)


def test_a_text_in_place_of_a_path_says_where_texts_go() -> None:
    with pytest.raises(hs.UsageError, match="no such file; texts themselves go in a list"):
        hs.corpus("The cat sat.")
    with pytest.raises(hs.UsageError, match=r"no such file$"):
        hs.corpus("gone.txt")
