"""A relation on a text, without a model: the words are the tokens."""

import numpy as np

from headscribe.api.choice import own_pattern
from headscribe.core.arrays import Attention
from headscribe.core.errors import UsageError
from headscribe.core.visibility import CAUSAL, FULL
from headscribe.patterns.contract import Pattern
from headscribe.patterns.registry import registry
from headscribe.text.alignment import align
from headscribe.text.annotators import annotator, default_for
from headscribe.text.corpora import from_strings
from headscribe.text.passages import Encoding, Passage


def words_passage(text: str, annotator_name: str | None = None, *, frame: bool = True) -> Passage:
    """A text whose tokens are its words, between `[CLS]` and `[SEP]` if `frame` is set.

    Raises:
        UsageError: the text has no word, or no such annotator.
    """
    corpus = from_strings([text])
    chosen = annotator(annotator_name, corpus) if annotator_name else default_for(corpus)
    words = next(iter(chosen.annotate(corpus.texts)))
    if not len(words):
        raise UsageError(f"expected a text with at least one word, got {text!r}")
    forms = [form.lower() for form in words.form]
    vocabulary = {form: 2 + i for i, form in enumerate(sorted(set(forms)))}
    ids = [vocabulary[form] for form in forms]
    tokens, spans, special = list(words.form), words.spans.tolist(), [False] * len(words)
    if frame:
        tokens = ["[CLS]", *tokens, "[SEP]"]
        ids, spans = [0, *ids, 1], [[0, 0], *spans, [0, 0]]
        special = [True, *special, True]
    encoding = Encoding(
        tuple(tokens), np.array(ids), np.array(spans, np.int64), np.array(special, bool)
    )
    return align(corpus.texts[0], encoding, words)


def pattern_of(expression: str) -> Pattern:
    """The catalogue's pattern of a name, or the pattern of a relation.

    Raises:
        UsageError: it is neither.
    """
    return registry().get(expression) if expression in registry() else own_pattern(expression)


def predicted(
    expression: str, text: str, annotator_name: str | None = None, *, causal: bool = False
) -> tuple[list[str], Attention]:
    """What a relation or a pattern predicts on a text: its tokens, and the matrix.

    Raises:
        UsageError: a malformed relation, or one that needs tags that the annotator does not give.
    """
    pattern = pattern_of(expression)
    passage = words_passage(text, annotator_name, frame=not causal)
    missing = sorted(pattern.needs - passage.words.provides)
    if missing:
        raise UsageError(
            f"{expression} needs {', '.join(missing)} of every word, which the annotator does not "
            "give; --annotator bundled:en does"
        )
    rows = pattern.predict(passage, CAUSAL if causal else FULL)
    return list(passage.tokens), rows.to_dense()
