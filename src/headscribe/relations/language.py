"""A parsed relation: what is known of it, and its evaluation."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Shaped

from headscribe.core.arrays import TokenFlags
from headscribe.core.visibility import Visibility
from headscribe.relations import analysis
from headscribe.relations.cells import Cells
from headscribe.relations.conditions import conditions_of
from headscribe.relations.evaluation import Evaluation
from headscribe.relations.parsing import parse_expression
from headscribe.relations.syntax import Logic, Node, canonical, kind_of
from headscribe.text.passages import Passage


@dataclass(frozen=True)
class Relation:
    """A condition or a number for each pair of a query and a key; made by `parse`.

    Attributes:
        expression: the checked expression. Two relations are equal where they print alike.
    """

    expression: Node

    @cached_property
    def source(self) -> str:
        """The relation in its canonical print; `parse` gives the same relation back."""
        return canonical(self.expression)

    @cached_property
    def is_boolean(self) -> bool:
        """A condition, not a number."""
        return kind_of(self.expression) == "boolean"

    @cached_property
    def needs(self) -> frozenset[str]:
        """The word fields (`text.passages.WORD_FIELDS`) that it reads."""
        return analysis.needs_of(self.expression)

    @cached_property
    def of_positions(self) -> bool:
        """It reads nothing but where tokens are and which of them are special."""
        return analysis.of_positions(self.expression)

    @cached_property
    def atoms(self) -> int:
        """Number of comparisons, memberships and bare conditions; at least 1."""
        return analysis.atoms_of(self.expression)

    @cached_property
    def looks_ahead(self) -> bool:
        """In a causal model row `i` may depend on tokens after `i`."""
        return analysis.looks_ahead(self.expression)

    @cached_property
    def needs_later_keys(self) -> bool:
        """It relates, its fall-backs aside, only to keys after the query."""
        return analysis.only_later(self.expression)

    @cached_property
    def parted(self) -> "tuple[Relation, Relation | None]":
        """What it asks of pairs, and of the query alone: where both hold, it holds.

        >>> [str(part) for part in parse('query.upos == "DET" and distance == 1').parted]
        ['distance == 1', 'query.upos == "DET"']
        """
        every = conditions_of(self.expression)
        pairs = tuple(one for one in every.all if one not in every.query)
        if not isinstance(self.expression, Logic) or not every.query or not pairs:
            return self, None
        return Relation(_all(pairs)), Relation(_all(every.query))

    def cells(self, passage: Passage, visibility: Visibility) -> Cells:
        """Return the visible pairs where it is true, or neither 0 nor missing.

        Raises:
            UsageError: the passage lacks a word field of `needs`.
        """
        return Evaluator(passage, visibility).cells(self)

    def dense(self, passage: Passage, visibility: Visibility) -> Shaped[np.ndarray, "T T"]:
        """Return it as a matrix `[query, key]`, bool or float32; 0 where hidden or missing.

        Raises:
            UsageError: the passage lacks a word field of `needs`.
        """
        return Evaluator(passage, visibility).dense(self)

    def __str__(self) -> str:
        return self.source


def _all(conditions: tuple[Node, ...]) -> Node:
    return conditions[0] if len(conditions) == 1 else Logic("and", conditions)


@lru_cache(maxsize=1 << 14)  # pools of candidates are the same for every fit
def parse(source: str) -> Relation:
    """Read a relation such as `key.word == query.head and query.dep == "det"`.

    Raises:
        UsageError: it is none; the message gives the column (from 1), the reason and, for an
            unknown name, what may have been meant.
    """
    return Relation(parse_expression(source))


class Evaluator:
    """Evaluates many relations on one passage, sharing what they have in common.

    Args:
        visibility: the keys that the layer's mask admits; all else is as if it were not there.
    """

    def __init__(self, passage: Passage, visibility: Visibility) -> None:
        self._evaluation = Evaluation(passage, visibility)
        self._length = len(passage)

    def cells(self, relation: Relation) -> Cells:
        """Return what `Relation.cells` does; read-only, since sub-results are shared."""
        return self._evaluation.cells(relation.expression)

    def rows(self, condition: Relation) -> TokenFlags:
        """Return the queries that meet a condition on the query alone, see `Relation.parted`."""
        return self._evaluation.met((condition.expression,))

    def dense(self, relation: Relation) -> Shaped[np.ndarray, "T T"]:
        """Return what `Relation.dense` does; working memory beyond the matrix is bounded."""
        dtype = np.bool_ if relation.is_boolean else np.float32
        matrix: Shaped[np.ndarray, "T T"] = np.zeros((self._length, self._length), dtype)
        for cells in self._evaluation.chunks(relation.expression):
            matrix[cells.query, cells.key] = cells.value
        return matrix
