"""Relations in plain words."""

import pytest

from headscribe.core.visibility import FULL
from headscribe.fitting.pool import rare_relations, relation_pool
from headscribe.relations import parse
from headscribe.relations.saying import in_words, readers

WORDS = {
    "distance == 0": "itself",
    "distance == -1": "the previous token",
    "distance == 3": "the token 3 after it",
    "key.word - query.word == -2": "the token 2 before it",
    "distance <= 0": "itself and tokens before it",
    "abs(distance) > 2": "tokens at least 3 away",
    "abs(distance) <= 1": "itself and the tokens beside it",
    "key.is_bos": "the opening token",
    "key.index == 3": "the token at position 3",
    "key.from_end == 0": "the last token",
    "key.from_end == 1": "the last token but one",
    "key.lower == query.lower and distance < 0": "the same token, before it",
    "key.prev.id == query.id": "what follows the same token",
    "key.next.id == query.id and not key.is_special": "what precedes the same token",
    "key.id == query.prev.id": "the same token as the one before it",
    "key.id != query.id": "other tokens",
    "key.length > query.length": "longer words",
    "number(key.text) == number(query.text) + 1": "the numeral 1 greater than it",
    "number(key.text) >= 5": "numerals whose value is at least 5",
    "key.index == query.opening": "the bracket that opened it",
    "first(key.id == query.id)": "the first copy of the same token",
    'key.lower == "a" and query.lower == "c"': "“a”, where it is “c”",
    'key.lower in {"d", "e"} and query.lower in {"a", "b"}': "“d” and “e”, where it is “a” or “b”",
    'query.lower == "," and not key.is_special': "every token, where it is “,”",
    'distance <= 0 and key.text == "("': "“(”, up to it",
    'key.prev.lower == ","': "what follows “,”",
    'key.lower == "a" or distance == 1': "“a”, or the next token",
    "key.index + query.index == text_length": (
        "tokens whose position plus its own position is the length of the text"
    ),
    "nearest(key.is_punct)": "the nearest of these: punctuation",
    "-2 <= distance < 0": "the 2 tokens before it",
    'key.word == query.head and query.upos == "DET"': (
        "its syntactic head, where its part of speech is DET"
    ),
    "1 / (1 + abs(distance)) > 0.5": "tokens with `1 / (1 + abs(distance)) > 0.5`",
}


@pytest.mark.parametrize(("relation", "words"), WORDS.items())
def test_words(relation: str, words: str) -> None:
    assert in_words(relation) == words


SAME = ("key.word - query.word", " and not key.is_special", " and not query.is_special")
"""What words do not tell: words from tokens, and that special tokens are left out."""


def test_relations_of_the_pool_that_say_the_same_are_the_same() -> None:
    fields = frozenset({"head", "dep", "upos", "morph", "lemma", "sentence"})
    said: dict[str, str] = {}
    for source in {*relation_pool(fields, FULL), *rare_relations(fields, FULL)}:
        relation = parse(source)
        if relation.is_boolean:
            for one, other in zip(SAME, ("distance", "", ""), strict=True):
                source = source.replace(one, other)
            source = source.replace("key.id == query.id", "key.lower == query.lower")
            words = in_words(source)
            assert words.strip(), source
            assert said.setdefault(words, source) == source
    assert len(said) > 600


def test_conditions_of_the_query_alone() -> None:
    assert len(readers("key.is_bos and query.is_special")) == 1
    assert readers("key.id == query.id") == ()
