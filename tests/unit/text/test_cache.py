"""Annotations are kept, shared, and computed again when their file is damaged."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.core.errors import UsageError
from headscribe.text.annotation import annotated
from headscribe.text.annotators import Gold, Plain
from headscribe.text.cache import AnnotationCache, cache_folder
from headscribe.text.corpora import Corpus, Text, from_strings
from headscribe.text.passages import WORD_FIELDS, Words


@dataclass
class Counting:
    """Plain words with tags, which counts the texts that it is asked for."""

    name: str = "counting"
    fingerprint: str = "counting-1"
    provides: frozenset[str] = frozenset({"upos"})
    cacheable: bool = True
    asked: list[str] = field(default_factory=list)

    def annotate(self, texts: Sequence[Text]) -> Iterator[Words]:
        for text, words in zip(texts, Plain().annotate(texts), strict=True):
            self.asked.append(text.id)
            yield Words(words.form, words.spans, upos=("X",) * len(words))


def same(a: Words, b: Words) -> bool:
    columns = ("form", "spans", *WORD_FIELDS)
    pairs = [(getattr(a, name), getattr(b, name)) for name in columns]
    return all(
        x is y or (type(x) is type(y) and np.array_equal(np.array(x), np.array(y)))
        for x, y in pairs
    )


def files(cache: AnnotationCache) -> list[Path]:
    return sorted(path for path in cache.folder.rglob("*") if path.is_file())


CORPUS = from_strings([f"text number {i}" for i in range(70)])


def test_texts_come_in_order_and_are_annotated_once(tmp_path):
    cache, counting, seen = AnnotationCache(tmp_path), Counting(), []
    first = list(annotated(CORPUS, counting, lambda *done: seen.append(done), cache))
    assert [text.id for text, _ in first] == [text.id for text in CORPUS]
    assert seen == [(i + 1, 70) for i in range(70)]
    assert len(counting.asked) == len(files(cache)) == 70
    again = list(annotated(CORPUS, counting, cache=cache))
    assert len(counting.asked) == 70
    assert all(same(a, b) for (_, a), (_, b) in zip(first, again, strict=True))
    renamed = Corpus("c", tuple(Text(f"{i}", "g", text.text) for i, text in enumerate(CORPUS)))
    assert len(list(annotated(renamed, counting, cache=cache))) == 70
    assert len(counting.asked) == 70


def test_another_annotator_has_its_own_entries(tmp_path):
    cache, other = AnnotationCache(tmp_path), Counting(fingerprint="counting-2")
    for counting in (Counting(), other):
        list(annotated(CORPUS, counting, cache=cache))
    assert len(other.asked) == 70
    assert len(files(cache)) == 140


@pytest.mark.parametrize("damage", ["cut", "altered", "empty", "folder"])
def test_damaged_entries_are_computed_again(tmp_path, damage):
    cache, counting = AnnotationCache(tmp_path), Counting()
    corpus = CORPUS.limit(1)
    ((_, words),) = annotated(corpus, counting, cache=cache)
    (path,) = files(cache)
    content = path.read_bytes()
    if damage == "folder":
        path.unlink()
        path.mkdir()
        with pytest.warns(RuntimeWarning, match="annotations are not cached"):
            ((_, again),) = annotated(corpus, counting, cache=cache)
        assert not files(cache)
    else:
        changed = content.replace(b'"X"', b'"Y"', 1)
        path.write_bytes({"cut": content[:-3], "altered": changed, "empty": b""}[damage])
        ((_, again),) = annotated(corpus, counting, cache=cache)
        assert path.read_bytes() == content
    assert same(words, again)
    assert len(counting.asked) == 2


def test_a_cache_that_cannot_be_written_warns_once(tmp_path):
    (tmp_path / "file").write_text("in the way")
    cache = AnnotationCache(tmp_path / "file")
    with pytest.warns(RuntimeWarning, match="HEADSCRIBE_CACHE names another") as caught:
        assert len(list(annotated(CORPUS, Counting(), cache=cache))) == 70
    assert len(caught) == 1


def test_gold_and_plain_words_are_not_cached(tmp_path):
    cache = AnnotationCache(tmp_path / "none")
    list(annotated(CORPUS, Plain(), cache=cache))
    words = Words(("a",), np.array([[0, 1]]))
    gold = Corpus("c", (Text("1", "1", "a", words),))
    ((_, found),) = annotated(gold, Gold.of(gold), cache=cache)
    assert same(found, words)
    assert not cache.folder.exists()


def test_words_that_lack_a_promised_field_are_refused(tmp_path):
    counting = Counting(provides=frozenset({"upos", "dep"}))
    with pytest.raises(UsageError, match="text text:1: expected dep from the annotator counting"):
        next(annotated(CORPUS, counting, cache=AnnotationCache(tmp_path)))
    assert not files(AnnotationCache(tmp_path))


def test_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADSCRIBE_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    assert AnnotationCache().folder == tmp_path / "annotations"
    monkeypatch.delenv("HEADSCRIBE_CACHE")
    assert cache_folder().name == "headscribe"


COLUMN = st.lists(st.text(max_size=4), min_size=3, max_size=3).map(tuple)
NUMBERS = st.lists(st.integers(-1, 2), min_size=3, max_size=3).map(lambda n: np.array(n, np.int64))


@settings(max_examples=30, deadline=None)
@given(data=st.data(), text=st.text(max_size=5))
def test_all_words_come_back_as_they_were(data, text, tmp_path_factory):
    names = data.draw(st.sets(st.sampled_from(WORD_FIELDS)))
    columns = {
        name: data.draw(NUMBERS if name in ("head", "sentence") else COLUMN) for name in names
    }
    words = Words(data.draw(COLUMN), np.array([[0, 1], [1, 1], [0, 0]]), **columns)
    cache = AnnotationCache(tmp_path_factory.mktemp("cache"))
    assert cache.get(text, "f") is None
    cache.put(text, "f", words)
    found = cache.get(text, "f")
    assert found is not None
    assert same(found, words)
