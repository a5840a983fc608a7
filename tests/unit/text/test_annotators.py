"""Plain and gold words, and the choice of an annotator."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.core.errors import UsageError
from headscribe.text.annotators import Gold, Plain, annotator, default_for
from headscribe.text.corpora import Corpus, Text, from_strings
from headscribe.text.passages import Words


def forms(text: str) -> list[str]:
    (words,) = Plain().annotate([Text("t", "t", text)])
    return list(words.form)


FAMILY = "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
RED_HEART = "\N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16}"
THUMB = "\N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}"
FLAGS = "\U0001f1eb\U0001f1f7", "\U0001f1e9\U0001f1ea"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \t\n", []),
        ("The cat, it sat.", ["The", "cat", ",", "it", "sat", "."]),
        ("doesn't 'tis dogs' l’eau", ["doesn't", "'", "tis", "dogs", "'", "l’eau"]),
        ("3.14 10,000. 2nd", ["3.14", "10,000", ".", "2nd"]),
        ("well... what?! a--b", ["well", "...", "what", "?", "!", "a", "--", "b"]),
        ("flip-flop (x)", ["flip", "-", "flop", "(", "x", ")"]),
        ("snake_case", ["snake_case"]),
        ("cafe\N{COMBINING ACUTE ACCENT}s", ["cafe\N{COMBINING ACUTE ACCENT}s"]),
        ("हिन्दी है", ["हिन्दी", "है"]),
        (f"{FAMILY}{THUMB}{RED_HEART}a", [FAMILY, THUMB, RED_HEART, "a"]),
        ("".join(FLAGS), list(FLAGS)),
        ("a\N{ZERO WIDTH SPACE}b", ["a", "b"]),
        ("a  b\u00a0c", ["a", "b", "c"]),
        ("日本語 です", ["日本語", "です"]),
    ],
)
def test_plain_words(text, expected):
    assert forms(text) == expected


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=40))
def test_plain_words_hold_every_sign_once(text):
    (words,) = Plain().annotate([Text("t", "t", text)])
    covered = np.zeros(len(text), int)
    for form, (start, end) in zip(words.form, words.spans, strict=True):
        assert form == text[start:end] != ""
        assert not form[0].isspace()
        covered[start:end] += 1
    blank = [c.isspace() or c in "\u200b\u2060\ufeff" for c in text]
    assert all(
        count == 1 or (space and count == 0) for count, space in zip(covered, blank, strict=True)
    )
    assert words.provides == Plain().provides == frozenset()


def gold_text(id: str, **columns: tuple[str, ...]) -> Text:
    return Text(id, id, "a", Words(("a",), np.array([[0, 1]]), **columns))


def test_gold_words_are_handed_on():
    text = gold_text("1", upos=("X",))
    corpus = Corpus("c", (text,))
    gold = default_for(corpus)
    assert gold == Gold.of(corpus) == annotator("conllu", corpus)
    assert gold.provides == {"upos"}
    (words,) = gold.annotate(corpus.texts)
    assert words.upos == ("X",)
    assert not gold.cacheable


def test_gold_provides_what_all_texts_have():
    corpus = Corpus("c", (gold_text("1", upos=("X",), xpos=("Y",)), gold_text("2", upos=("X",))))
    words = list(Gold.of(corpus).annotate(corpus.texts))
    assert [w.provides for w in words] == [{"upos"}, {"upos"}]
    with pytest.raises(UsageError, match="text 1: expected gold dep, head, lemma"):
        next(annotator("conllu").annotate(corpus.texts))


def test_gold_needs_gold():
    corpus = from_strings(["one"])
    with pytest.raises(UsageError, match="text text:1: expected gold words"):
        annotator("conllu", corpus)
    with pytest.raises(UsageError, match="text text:1: expected gold words"):
        next(Gold().annotate(corpus.texts))


def test_names():
    assert annotator("plain") == Plain()
    with pytest.raises(UsageError, match="did you mean `plain`"):
        annotator("plane")
    with pytest.raises(UsageError, match="did you mean `bundled:en`"):
        annotator("bundled:de")


def test_the_layer_imports_nothing_heavy():
    program = (
        "import sys; import headscribe.text.cache, headscribe.text.alignment, "
        "headscribe.text.splits, headscribe.text.annotators.spacy; "
        "print({'torch', 'transformers', 'spacy', 'pyarrow', 'datasets'} & sys.modules.keys())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "set()"
