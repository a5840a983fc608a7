"""The one table of token attributes: what each is, what it needs, whether it looks ahead."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float, Int, Shaped

from headscribe.core.arrays import TokenFlags
from headscribe.core.errors import UsageError
from headscribe.relations.characters import (
    TokenNumbers,
    TokenTexts,
    clauses,
    is_punctuation,
    line_breaks,
    numeral,
    openings,
    runs,
    texts,
    word_starts,
)
from headscribe.relations.syntax import Kind
from headscribe.text.passages import Passage

Values: TypeAlias = TokenNumbers | TokenFlags | TokenTexts

PHRASE_RELATIONS = frozenset(
    {"det", "amod", "nummod", "compound", "flat", "fixed", "case", "nmod:poss", "goeswith"}
)


@dataclass(frozen=True)
class Attribute:
    """A token attribute.

    Attributes:
        kind: condition, number or text. Missing numbers and texts make every comparison false;
            conditions are false where they do not apply.
        later: why its value for a token may depend on later tokens; None where it does not.
    """

    sentence: str
    kind: Kind
    read: Callable[[Passage], Values]
    needs: frozenset[str] = frozenset()
    later: str | None = None

    @property
    def looks_ahead(self) -> bool:
        """Whether its value for a token may depend on later tokens."""
        return self.later is not None


def _by_word(passage: Passage, values: Sequence[str | None]) -> TokenTexts:
    return [None if word < 0 else values[word] for word in passage.word.tolist()]


def _numbers_by_word(
    passage: Passage, values: Sequence[float] | Shaped[np.ndarray, " W"]
) -> TokenNumbers:
    numbers = np.append(np.asarray(values, np.float64), np.nan)
    picked: TokenNumbers = numbers[passage.word]
    return picked


def _field(passage: Passage, name: str) -> tuple[str, ...]:
    return tuple(_known(passage, name))


def _indices(passage: Passage, name: str) -> Int[np.ndarray, " W"]:
    return np.asarray(_known(passage, name), np.int64)


def _known(passage: Passage, name: str) -> Any:  # noqa: ANN401 - strings or integers
    column = getattr(passage.words, name)
    if column is None:
        has = ", ".join(sorted(passage.words.provides)) or "nothing"
        raise UsageError(
            f"text {passage.text_id}: expected words annotated with {name}, the annotation gives "
            f"{has}; choose an annotator that gives it"
        )
    return column


def _flags(passage: Passage, test: Callable[[str], bool]) -> TokenFlags:
    return np.array([text is not None and test(text) for text in texts(passage)], bool)


def _word_field(name: str) -> Callable[[Passage], TokenTexts]:
    return lambda passage: _by_word(passage, [one or None for one in _field(passage, name)])


def _feature(passage: Passage, name: str) -> TokenTexts:
    values: list[str | None] = []
    for features in _field(passage, "morph"):
        pairs = dict(pair.split("=", 1) for pair in features.split("|") if "=" in pair)
        values.append(pairs.get(name))
    return _by_word(passage, values)


def _lengths(passage: Passage) -> TokenNumbers:
    return _numbers_by_word(passage, [float(len(form)) for form in passage.words.form])


def _words(passage: Passage) -> TokenNumbers:
    return np.where(passage.word < 0, np.nan, passage.word.astype(np.float64))


def _or_missing(index: Int[np.ndarray, " W"]) -> Float[np.ndarray, " W"]:
    return np.where(index < 0, np.nan, index.astype(np.float64))


def _grandparents(passage: Passage) -> TokenNumbers:
    heads = _indices(passage, "head")
    return _numbers_by_word(passage, _or_missing(np.append(heads, -1)[heads]))


def _depths(passage: Passage) -> TokenNumbers:
    """Steps to the root; missing where the heads run in a circle."""
    heads = _indices(passage, "head")
    at, depth = heads.copy(), np.zeros(len(heads))
    for _ in range(len(heads)):
        climbing = at >= 0
        if not climbing.any():
            break
        depth[climbing] += 1
        at[climbing] = heads[at[climbing]]
    depth[at >= 0] = np.nan
    return _numbers_by_word(passage, depth)


def _child_counts(passage: Passage) -> TokenNumbers:
    heads = _indices(passage, "head")
    counts = np.bincount(heads[heads >= 0], minlength=len(heads)).astype(np.float64)
    return _numbers_by_word(passage, counts)


def _phrases(passage: Passage) -> TokenNumbers:
    """Climb from each word as long as it depends on its head within a phrase."""
    heads, labels = _indices(passage, "head"), _field(passage, "dep")
    inside = np.array([label in PHRASE_RELATIONS for label in labels], bool) & (heads >= 0)
    at = np.arange(len(heads))
    for _ in range(len(heads)):
        climbing = inside[at]
        if not climbing.any():
            break
        at = np.where(climbing, heads[at], at)
    return _numbers_by_word(passage, _or_missing(np.where(inside[at], -1, at)))


def _base_labels(passage: Passage) -> TokenTexts:
    labels = [label.split(":", 1)[0] or None for label in _field(passage, "dep")]
    return _by_word(passage, labels)


def _lowered(values: TokenTexts) -> TokenTexts:
    return [None if value is None else value.lower() for value in values]


def _content(passage: Passage) -> TokenNumbers:
    """1 for every token that is not special."""
    return 1.0 - passage.is_special


def _from_end(passage: Passage) -> TokenNumbers:
    content = _content(passage)
    return np.where(content > 0, np.cumsum(content[::-1])[::-1] - 1, np.nan)


def _occurrences(passage: Passage) -> TokenNumbers:
    _, kind, count = np.unique(passage.ids, return_inverse=True, return_counts=True)
    times: TokenNumbers = count[kind].astype(np.float64)
    return times


def _earlier(passage: Passage) -> TokenNumbers:
    seen: dict[int, int] = {}
    found = np.zeros(len(passage))
    for index, token in enumerate(passage.ids.tolist()):
        found[index] = seen.get(token, 0)
        seen[token] = seen.get(token, 0) + 1
    return found


def _ranks(passage: Passage) -> TokenNumbers:
    values = np.array([numeral(text) for text in texts(passage)])
    rank = np.full(len(values), np.nan)
    order = np.argsort(values, kind="stable")[: int(np.isfinite(values).sum())]
    rank[order] = np.arange(len(order))
    return rank


_PARSE = "an annotator reads the whole sentence before it says anything about a word"
_WHOLE_WORD = "the word's later subwords are not there yet"
_WHOLE_TEXT = "it is known at the end of the text"


def _annotated(
    sentence: str, kind: Kind, read: Callable[[Passage], Values], *needs: str
) -> Attribute:
    return Attribute(sentence, kind, read, frozenset(needs), _PARSE)


def attribute(name: str) -> Attribute:
    """An attribute of tokens, or of their whole text: `text_length`, `text.<name>`.

    Raises:
        KeyError: there is no such attribute of tokens.
    """
    if name == TEXT_LENGTH:
        return Attribute(
            "tokens of the text, special ones aside",
            "number",
            lambda passage: np.full(len(passage), _content(passage).sum()),
            later=_WHOLE_TEXT,
        )
    if not name.startswith(OF_TEXT):
        return ATTRIBUTES[name]
    own = name.removeprefix(OF_TEXT)
    return Attribute(
        "what is known of the whole text",
        "text",
        lambda passage: [passage.about.get(own)] * len(passage),
        frozenset({name}),
        later="it may be known of the whole text alone",
    )


TEXT_LENGTH = "text_length"
"""The number of a text's tokens, which stands alone in a relation as `distance` does."""

OF_TEXT = "text."
"""What the names of attributes of whole texts begin with."""

ATTRIBUTES: dict[str, Attribute] = {
    "index": Attribute(
        "position of the token, from 0", "number", lambda p: np.arange(len(p), dtype=np.float64)
    ),
    "from_end": Attribute(
        "tokens after it, special ones aside: 0 is the last token; missing for special tokens",
        "number",
        _from_end,
        later=_WHOLE_TEXT,
    ),
    "id": Attribute("vocabulary id", "number", lambda p: p.ids.astype(np.float64)),
    "earlier": Attribute("tokens before it with its vocabulary id", "number", _earlier),
    "occurrences": Attribute(
        "tokens of the text with its vocabulary id, itself included",
        "number",
        _occurrences,
        later=_WHOLE_TEXT,
    ),
    "rank": Attribute(
        "of a numeral: how many numerals of the text are less, or equal and before it",
        "number",
        _ranks,
        later=_WHOLE_TEXT,
    ),
    "text": Attribute(
        "characters of the token, as the text has them, without blanks around; blanks alone stay",
        "text",
        texts,
    ),
    "lower": Attribute("`text` in lower case", "text", lambda p: _lowered(texts(p))),
    "is_special": Attribute(
        "a token that the tokenizer added", "boolean", lambda p: p.is_special.astype(bool)
    ),
    "is_bos": Attribute("the special token that opens the sequence", "boolean", lambda p: p.is_bos),
    "is_eos": Attribute("any other special token", "boolean", lambda p: p.is_eos),
    "is_punct": Attribute(
        "every character is punctuation (Unicode category P); never a special token",
        "boolean",
        lambda p: _flags(p, is_punctuation),
    ),
    "is_upper": Attribute(
        "the token begins with a capital letter",
        "boolean",
        lambda p: _flags(p, lambda text: text[0].isupper()),
    ),
    "is_digit": Attribute(
        "every character is a digit", "boolean", lambda p: _flags(p, str.isdecimal)
    ),
    "is_line_break": Attribute("the token's characters hold a line break", "boolean", line_breaks),
    "is_word_start": Attribute(
        "the token begins a run of letters and digits, or of one sign", "boolean", word_starts
    ),
    "run": Attribute(
        "number of word starts before the token, its own aside; missing for special tokens",
        "number",
        runs,
    ),
    "word": Attribute(
        "index of the annotated word that the token overlaps most; missing for special tokens",
        "number",
        _words,
        later="where a word ends may depend on what follows it (3.14, doesn't)",
    ),
    "clause": Attribute(
        "number of clause breaks (, ; : . ! ? … — –) before the token", "number", clauses
    ),
    "opening": Attribute(
        "for a closing bracket or quote the index of the token that opened it", "number", openings
    ),
    "length": Attribute(
        "characters of the word",
        "number",
        _lengths,
        later=_WHOLE_WORD,
    ),
    "suffix": Attribute(
        "last three characters of the word (all of a shorter one), in lower case",
        "text",
        lambda p: _by_word(p, [form[-3:].lower() or None for form in p.words.form]),
        later=_WHOLE_WORD,
    ),
    "lemma": _annotated("dictionary form of the word", "text", _word_field("lemma"), "lemma"),
    "upos": _annotated("universal part of speech", "text", _word_field("upos"), "upos"),
    "xpos": _annotated("treebank's own part of speech", "text", _word_field("xpos"), "xpos"),
    "morph": _annotated("morphological features", "text", _word_field("morph"), "morph"),
    "number": _annotated(
        "grammatical number, `Sing` or `Plur`", "text", lambda p: _feature(p, "Number"), "morph"
    ),
    "dep": _annotated("dependency relation to the head", "text", _word_field("dep"), "dep"),
    "base_dep": _annotated("`dep` without its subtype", "text", _base_labels, "dep"),
    "head": _annotated(
        "index of the word's syntactic head (compare with `word`); missing for a root",
        "number",
        lambda p: _numbers_by_word(p, _or_missing(_indices(p, "head"))),
        "head",
    ),
    "grandparent": _annotated("index of the head's head", "number", _grandparents, "head"),
    "depth": _annotated("steps from the word to its root", "number", _depths, "head"),
    "children": _annotated("number of syntactic children", "number", _child_counts, "head"),
    "phrase": _annotated(
        "index of the word that heads the phrase (determiners, adjectives, compounds, "
        "possessives and case markers belong to their noun's)",
        "number",
        _phrases,
        "head",
        "dep",
    ),
    "entity": _annotated("entity type", "text", _word_field("entity"), "entity"),
    "sentence": _annotated(
        "index of the sentence",
        "number",
        lambda p: _numbers_by_word(p, _indices(p, "sentence")),
        "sentence",
    ),
}
"""Every attribute by name."""
