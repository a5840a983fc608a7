"""Patterns that are one relation."""

import re
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Literal

import numpy as np
from jaxtyping import Int

from headscribe.core.errors import UsageError
from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.patterns.contract import Family
from headscribe.relations import Cells, Evaluator, Relation, parse
from headscribe.text.passages import Passage

Group = Literal["classic", "honest", "baseline", "catalogue", "custom"]
"""The role of a pattern in a survey: the slides' definition, the same without fall-backs, what
every claim is compared with, the rest of the catalogue, or a user's own."""

Lift = Literal["all", "first", "last"]
"""The subwords of a related key word that get the attention: all of them, or one."""

_SHORT, _KEPT = 64, 2048
"""Predictions of patterns that read positions alone are kept up to these sizes: under 100 MB."""

_alike: dict[tuple[str, Visibility, bytes], Rows] = {}

_NAME = re.compile(r"[A-Za-z0-9_:-]{1,80}")


@dataclass(frozen=True)
class RelationPattern:
    """A pattern that is one relation; fulfils `contract.Pattern`.

    A condition predicts uniform attention over the related visible keys, a number attention in
    proportion to its value. Rows without a related visible key stay uncovered. Relations speak of
    tokens, and a token has the annotation of the word that it overlaps most: a relation between
    words therefore holds between all their subwords, and `lift` says which of the key word's
    subwords are meant.

    Attributes:
        relation: the definition.
        group: its role in a survey.
        lift: which subwords of a related key word are meant.
    """

    name: str
    sentence: str
    source: str
    family: Family
    relation: Relation
    group: Group = "custom"
    mirror: str | None = None
    lift: Lift = "all"

    def __post_init__(self) -> None:
        check_name(self.name)

    @property
    def needs(self) -> frozenset[str]:
        """The word fields that it reads."""
        return self.relation.needs

    @property
    def looks_ahead(self) -> bool:
        """Row `i` may depend on tokens after `i` in a causal model."""
        return self.relation.looks_ahead

    @property
    def needs_later_keys(self) -> bool:
        """Its fall-backs aside it points only at keys after the query."""
        return self.relation.needs_later_keys

    def __repr__(self) -> str:
        return f"<pattern {self.name}: {self.sentence}>"

    def predict(self, passage: Passage, visibility: Visibility) -> Rows:
        """Predict the attention of every row.

        Raises:
            UsageError: the passage lacks a word field of `needs`, or a value is negative.
        """
        if len(passage) > _SHORT or self.lift != "all" or not self.relation.of_positions:
            return self._predicted(passage, visibility)
        # Texts of one length are alike to it.
        key = self.relation.source, visibility, passage.is_special.tobytes()
        known = _alike.get(key)
        if known is None:
            if len(_alike) >= _KEPT:
                _alike.clear()
            known = _alike[key] = self._predicted(passage, visibility)
        return known

    def _predicted(self, passage: Passage, visibility: Visibility) -> Rows:
        cells = shared_evaluator(passage, visibility).cells(self.relation)
        if self.lift != "all":
            cells = _one_subword(cells, passage, self.lift)
        if self.relation.is_boolean:
            return _uniform(cells, len(passage))
        if len(cells) and cells.value.min() < 0:
            worst = int(cells.value.argmin())
            raise UsageError(
                f"text {passage.text_id}, row {cells.query[worst]}: pattern {self.name} expected "
                f"values of at least 0, got {cells.value[worst]:g} for key {cells.key[worst]}; "
                "a number predicts attention in proportion to itself"
            )
        return _proportional(cells, len(passage))


def relation_pattern(
    name: str,
    sentence: str,
    relation: str,
    source: str,
    family: Family,
    group: Group = "catalogue",
    mirror: str | None = None,
) -> RelationPattern:
    """Return the pattern of a relation given as text.

    Raises:
        UsageError: the relation is malformed; says in which pattern.
    """
    try:
        parsed = parse(relation)
    except UsageError as error:
        raise UsageError(f"pattern {name}: {error}") from None
    return RelationPattern(name, sentence, source, family, parsed, group, mirror)


def own_pattern(relation: str) -> RelationPattern:
    """The pattern of a relation that a user wrote, named by what it says.

    >>> own_pattern("distance == -1").name
    'own:distance_1-31d296'

    Raises:
        UsageError: the relation is malformed; says where.
    """
    source = parse(relation).source
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in source).split()
    digest = blake2b(source.encode("utf-8", "surrogatepass"), digest_size=3).hexdigest()
    name = f"own:{'_'.join(words)[:48]}-{digest}"
    return relation_pattern(
        name, "A relation given by the user.", relation, "the user", "custom", "custom"
    )


def check_name(name: str) -> None:
    """Refuse names that are not 1 to 80 letters, digits, `_`, `-`, `:`."""
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"expected a pattern name of 1 to 80 letters, digits, `_`, `-` and `:`, got {name!r}"
        )


def _one_subword(cells: Cells, passage: Passage, lift: Lift) -> Cells:
    """Keep one token of each row's key words; keys that belong to no word stay."""
    word: Int[np.ndarray, " n"] = passage.word[cells.key]
    own = np.where(word < 0, len(passage.words) + cells.key, word)
    order = np.lexsort((cells.key if lift == "first" else -cells.key, own, cells.query))
    query, group = cells.query[order], own[order]
    new = np.ones(len(order), bool)
    new[1:] = (query[1:] != query[:-1]) | (group[1:] != group[:-1])
    keep = np.sort(order[new])
    return Cells(cells.query[keep], cells.key[keep], cells.value[keep])


def _uniform(cells: Cells, length: int) -> Rows:
    """Spread each row evenly over its cells, which are sorted."""
    count = np.bincount(cells.query, minlength=length)
    pointer = np.zeros(length + 1, np.int64)
    np.cumsum(count, out=pointer[1:])
    share = (1 / np.maximum(count, 1)).astype(np.float32)
    return Rows(pointer, cells.key, share[cells.query])


def _proportional(cells: Cells, length: int) -> Rows:
    """Normalise each row of cells, which are sorted; scaled first, so that no sum overflows."""
    top = np.zeros(length)
    np.maximum.at(top, cells.query, cells.value)
    scaled = cells.value / top[cells.query]
    total = np.bincount(cells.query, scaled, minlength=length)
    weight = (scaled / total[cells.query]).astype(np.float32)
    query, key = cells.query, cells.key
    if not weight.all():
        some = weight > 0
        query, key, weight = query[some], key[some], weight[some]
    pointer = np.zeros(length + 1, np.int64)
    np.cumsum(np.bincount(query, minlength=length), out=pointer[1:])
    return Rows(pointer, key, weight)


class _Latest:
    """The evaluators of the passage asked about last.

    A survey asks many patterns about one passage before the next, often in full and in windowed
    layers by turns: they share columns and sub-expressions.
    """

    def __init__(self) -> None:
        self._held: tuple[Callable[[], Passage | None], dict[Visibility, Evaluator]] | None = None

    def __call__(self, passage: Passage, visibility: Visibility) -> Evaluator:
        held = self._held
        if held is None or held[0]() is not passage:
            held = (weakref.ref(passage), {})
            self._held = held
        made = held[1].get(visibility)
        if made is None:
            made = held[1].setdefault(visibility, Evaluator(passage, visibility))
        return made


shared_evaluator = _Latest()
"""The evaluator of a passage, shared by all that ask about it in a row."""
