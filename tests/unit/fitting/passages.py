"""Made-up passages with parses, and attention drawn around formulas."""

import numpy as np

from headscribe.core.visibility import Visibility
from headscribe.fitting.formula import Formula
from headscribe.relations import Evaluator
from headscribe.text.passages import Encoding, Passage, Ragged, Words

VOCABULARY = (
    *("the", "a", "cat", "dog", "saw", "ran", "and", "of", "old", "red", ",", ".", "fish", "bird"),
    *("green", "with", "to"),
)
DEPS = ("det", "nsubj", "obj", "case", "amod", "punct", "conj")


def passage(seed: int, length: int | None = None) -> Passage:
    """Random words in a row with a random tree, `[CLS]` before and `[SEP]` behind."""
    rng = np.random.default_rng(seed)
    count = length or int(rng.integers(6, 14))
    words = [VOCABULARY[i] for i in rng.integers(0, len(VOCABULARY), count)]
    text = " ".join(words)
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    spans = np.stack([ends - [len(word) for word in words], ends], axis=1)
    head = np.array([-1] + [int(rng.integers(0, i)) for i in range(1, count)])
    dep = ("root", *(DEPS[i] for i in rng.integers(0, len(DEPS), count - 1)))
    encoding = Encoding(
        ("[CLS]", *words, "[SEP]"),
        np.array([100, *(VOCABULARY.index(word) for word in words), 101]),
        np.concatenate([[[0, 0]], spans, [[0, 0]]]),
        np.array([True] + [False] * count + [True]),
    )
    of = Ragged.from_lists([[], *([i] for i in range(count)), []])
    return Passage(
        str(seed), str(seed), text, encoding, Words(tuple(words), spans, dep=dep, head=head), of
    )


def drawn(
    formula: Formula, one: Passage, visibility: Visibility, rng: np.random.Generator, mass: float
) -> np.ndarray:
    """Attention whose rows are Dirichlet with the formula as mean; more `mass`, less noise."""
    mean = formula.attention(Evaluator(one, visibility), len(one), visibility)
    matrix = np.zeros_like(mean)
    for i, row in enumerate(mean):
        seen = row > 0
        gamma = rng.gamma(np.maximum(mass * row[seen], 1e-6)) + 1e-12
        matrix[i, seen] = gamma / gamma.sum()
    return matrix
