"""Texts to fit to and others to test on: no document in both, every text by a name of its own."""

from types import SimpleNamespace

import pytest

import headscribe as hs
from headscribe.api.subject import Subject
from headscribe.core.errors import UsageError
from headscribe.core.progress import silent
from headscribe.discovery.material import dealt
from headscribe.discovery.reserve import further_texts
from headscribe.text.corpora import Corpus, Text
from headscribe.text.splits import bucket_of, split_of

FIRST = [Text(f"t{i}", f"story {i // 3}", f"It was day {i}.") for i in range(60)]
SECOND = [
    Text("a", "story 2", "A part of the third story."),  # which is fitted to
    Text("b", "other", FIRST[7].text),
    Text("t5", "t5", "An id that stands in both."),
    Text("c", "other", "One more."),
]


@pytest.fixture(scope="module")
def model():
    return hs.load("bundled:stories")


def subject(model, **changes):
    asked = {"annotator": "plain", "limit": None, "max_tokens": 8, "column": None, "seed": 0}
    request = SimpleNamespace(**asked | {"test": None, "look_ahead": None} | changes)
    return Subject.of(request, None, model, Corpus("first", tuple(FIRST)), silent)


def test_texts_to_test_on_are_of_documents_that_nothing_was_fitted_to(model):
    found = subject(model, test=Corpus("second", tuple(SECOND)))
    assert [one.text for one in found.to_test] == [SECOND[2].text, SECOND[3].text]
    assert [one.text_id for one in found.to_test] == ["t5#2", "c"]
    assert "left out of the texts to test on: 2 texts" in found.notes[-1]
    items = list(found.items())
    read = [passage for passage, _, _ in items]
    assert [one.text_id for one in read[-2:]] == ["t5#2", "c"]
    assert [attention.shape for _, attention, _ in items] == [(36, len(p), len(p)) for p in read]
    assert found.fingerprints["test"][1] == len(SECOND)
    splits = dealt(read, 0, found.testing)
    by_hash = [split_of(bucket_of(text.group, 0)) for text in FIRST]
    assert splits[-2:] == ("test", "test")
    assert list(splits[:-2]) == ["select" if one == "test" else one for one in by_hash]
    with pytest.raises(UsageError, match="got none in 2 texts"):
        subject(model, test=Corpus("second", tuple(SECOND[:2])))


def test_without_them_a_quarter_is_tested_on_as_before(model):
    found = subject(model)
    assert (found.to_test, found.testing, found.unseen) == ((), frozenset(), None)
    assert "test" not in found.fingerprints | found.facts
    read = [passage for passage, _, _ in found.items()]
    by_hash = tuple(split_of(bucket_of(text.group, 0)) for text in FIRST)
    assert dealt(read, 0, found.testing) == by_hash


def test_further_texts_are_of_no_tested_document():
    whole = Corpus("first", tuple(FIRST))
    plain = further_texts(whole, 6, 100, 0)
    apart = further_texts(whole, 6, 100, 0, ["story 9"])
    by_hash = {text: split_of(bucket_of(text.group, 0)) for text in FIRST[6:]}
    assert list(plain) == [text for text, split in by_hash.items() if split == "select"]
    assert list(apart) == [
        text for text, split in by_hash.items() if split != "fit" and text.group != "story 9"
    ]
