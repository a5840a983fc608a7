"""What a formula says in plain words, where it is all that there is to say of a head.

Where a short formula of infinite weights accounts for a head's unseen rows, nothing says more of
the head: a name that the head has elsewhere (`the previous token`, for one that reads all tokens
before) is then a part of it.
"""

from dataclasses import dataclass
from itertools import chain, groupby

import numpy as np
from jaxtyping import Float

from headscribe.core.arrays import Attention
from headscribe.core.visibility import Visibility
from headscribe.fitting.formula import Formula, Term
from headscribe.patterns.relational import shared_evaluator
from headscribe.relations import parse
from headscribe.relations.saying import in_words, readers
from headscribe.relations.syntax import canonical
from headscribe.text.passages import Passage

ACCOUNTS = 0.98
"""IoU on unseen texts from which a formula accounts for a head."""

MOST = 2
"""Terms of such a formula, beside those that say what the head rests on."""

EVENLY = "every token, evenly"

_RESTING = ("key.is_bos", "key.is_eos", "key.is_special")
_OPENING = ("query.is_bos", "query.is_special")


@dataclass(frozen=True)
class Headline:
    """A formula in words.

    Attributes:
        keys: relations in the order in which they count: a row goes evenly to the keys of the first
            that relate to any, and evenly to all keys where none does.
    """

    keys: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, formula: Formula, iou: float) -> "Headline | None":
        """What a formula says; None where it is too long, or not all that there is to say.

        Args:
            iou: its mean on unseen texts.
        """
        if iou < ACCOUNTS or not all(term.whole for term in formula.terms):
            return None
        told = [term for term in formula.terms if not _of_the_opening(term)]
        if sum(term.relation not in _RESTING for term in told) > MOST:
            return None
        told.sort(key=lambda term: (-term.weight, term.relation in _RESTING))
        levels = groupby(told, key=lambda term: term.weight)
        return cls(tuple(tuple(term.relation for term in level) for _, level in levels))

    @property
    def of_positions(self) -> bool:
        """Whether it asks for no word: places and special tokens alone."""
        every = chain.from_iterable(self.keys)
        return all(one in _RESTING or parse(one).of_positions for one in every)

    def __str__(self) -> str:
        said = [", as well as ".join(dict.fromkeys(map(in_words, level))) for level in self.keys]
        return ", else ".join(said) or EVENLY

    def attention(self, passage: Passage, visibility: Visibility) -> Attention:
        """The rows that the words mean, `(T, T)`; of the opening token's own they say nothing."""
        left = visibility.dense(len(passage)).astype(np.float64)
        evaluator = shared_evaluator(passage, visibility)
        found = np.zeros_like(left)
        for level in (*self.keys, ()):
            cells = np.any([evaluator.dense(parse(one)) != 0 for one in level], axis=0) * left
            cells = cells if level else left
            found += cells
            left = left * (cells.sum(1, keepdims=True) == 0)
        rows: Float[np.ndarray, "T T"] = found / found.sum(1, keepdims=True)
        return rows


def over(words: str, iou: float, sentence: str) -> str:
    """The sentence of a head that says this first."""
    return f"It reads {words}; its formula says no more (IoU {iou:.2f} on unseen texts). {sentence}"


def _of_the_opening(term: Term) -> bool:
    """Whether a term says what special tokens read, which no headline says."""
    return any(canonical(reader) in _OPENING for reader in readers(term.relation))
