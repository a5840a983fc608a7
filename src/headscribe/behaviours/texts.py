"""What behaviours ask of a text before any attention is seen: its rows, and which keys relate."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from headscribe.behaviours.catalogue import Behaviour
from headscribe.behaviours.offsets import classes_of, nearest, place_classes
from headscribe.core.arrays import TokenFlags
from headscribe.core.visibility import Visibility
from headscribe.relations.language import Evaluator, Relation
from headscribe.scoring.predictions import sinks_of
from headscribe.text.passages import Passage


@dataclass(frozen=True)
class Rows:
    """The rows of a text that are read, those of its content, and the keys that they see.

    Attributes:
        sinks: keys without content, `(T,)`.
        queries: the rows, `(R,)`; `bounds`: the first and the last key that each sees, `(R, 2)`.
        place: the place class of every visible content key, -1 for others, `(R, T)`.
        seen: visible content keys of each row by place class, `(R, C)`.
        even: what even rows would give to each of `places.PLACES`, summed over the rows, `(P,)`.
    """

    sinks: TokenFlags
    queries: Int[np.ndarray, " R"]
    bounds: Int[np.ndarray, "R 2"]
    place: Integer[np.ndarray, "R T"]
    seen: Integer[np.ndarray, "R C"]
    even: Float[np.ndarray, " P"]

    @classmethod
    def of(cls, passage: Passage, visibility: Visibility) -> "Rows":
        """The rows of a text; none where it has fewer than two tokens of content."""
        return _rows(sinks_of(passage, visibility).tobytes(), visibility)


@lru_cache(32)  # texts of a batch are about equally long
def _rows(flags: bytes, visibility: Visibility) -> Rows:
    sinks = np.frombuffer(flags, bool)
    length, content, classes = len(sinks), ~sinks, classes_of(visibility)
    queries = np.flatnonzero(content)
    if len(queries) < 2:
        queries = queries[:0]
    place = place_classes(queries, content)
    place[~visibility.dense(length)[queries]] = -1
    row, key = np.nonzero(place >= 0)
    seen = np.bincount(row * classes + place[row, key], minlength=len(queries) * classes)
    bounds = np.stack([visibility.first(length), visibility.last(length)], axis=1)[queries]
    return Rows(
        sinks, queries, bounds, place.astype(np.int8),
        seen.reshape(len(queries), classes).astype(np.uint16),
        _evenly(queries, sinks, place, visibility),
    )  # fmt: skip


def _evenly(
    queries: Int[np.ndarray, " R"],
    sinks: TokenFlags,
    place: Integer[np.ndarray, "R T"],
    visibility: Visibility,
) -> Float[np.ndarray, " P"]:
    """What rows that are even over all visible keys give to each place; 0 to evenness itself."""
    visible = visibility.dense(len(sinks))[queries]
    offset = np.arange(len(sinks)) - queries[:, None]
    opening = sinks & (np.arange(len(sinks)) == 0)
    places = (
        (offset == -1) & ~sinks, (offset == 1) & ~sinks, offset == 0, opening, sinks & ~opening,
        sinks,
        np.isin(place, nearest(visibility)), False,
    )  # fmt: skip
    share = visible / visible.sum(1, keepdims=True)
    return np.array([(share * there).sum() for there in places])


class Asked:
    """Behaviours, apart in what they ask of pairs and which rows they speak of.

    Many ask the same of pairs and differ in the rows: "nouns read determiners", "verbs read
    determiners". What is asked of pairs is evaluated and read by row once; behaviours add up rows.
    """

    def __init__(self, behaviours: Sequence[Behaviour]) -> None:
        """Take them apart; `pair` and `test` number the parts of each, test 0 admits all rows."""
        self.behaviours = tuple(behaviours)
        parted = [behaviour.relation.parted for behaviour in behaviours]
        self.pairs = list(dict.fromkeys(pairs for pairs, _ in parted))
        self.tests = list(dict.fromkeys(test for _, test in parted if test is not None))
        pair = {relation: i for i, relation in enumerate(self.pairs)}
        test: dict[Relation | None, int] = {relation: i for i, relation in enumerate(self.tests, 1)}
        self.pair = np.array([pair[relation] for relation, _ in parted], np.int64)
        self.test = np.array([test.get(relation, 0) for _, relation in parted], np.int64)


@dataclass(frozen=True)
class Related:
    """Which keys of which rows of a text are related, by pair relation.

    Attributes:
        tests: rows that meet each test, the first one of all, `(K, R)`.
        start: where each relation's rows begin in `row`, `(P + 1,)`.
        row: rows with at least one related key, by relation, `(m,)`.
        entry: where each row's keys begin in `key`, `(m + 1,)`.
        key: the related keys, `(e,)`.
    """

    tests: Bool[np.ndarray, "K R"]
    start: Int[np.ndarray, " P"]
    row: Int[np.ndarray, " m"]
    entry: Int[np.ndarray, " entries"]
    key: Int[np.ndarray, " e"]

    @classmethod
    def of(cls, passage: Passage, visibility: Visibility, rows: Rows, asked: Asked) -> "Related":
        """All related pairs of content tokens."""
        evaluator = Evaluator(passage, visibility)
        start, row, key = cells_of(evaluator, rows, asked.pairs)
        tests = np.ones((len(asked.tests) + 1, len(rows.queries)), bool)
        for number, test in enumerate(asked.tests, 1):
            tests[number] = evaluator.rows(test)[rows.queries]
        # Runs of one row within one relation.
        pair = np.repeat(np.arange(len(start) - 1), np.diff(start))
        first = np.flatnonzero((np.diff(row, prepend=-1) != 0) | (np.diff(pair, prepend=-1) != 0))
        begins = np.searchsorted(first, start)
        return cls(tests, begins, row[first], np.append(first, len(key)), key)

    def by_place(self, rows: Rows) -> "Kept":
        """The same with keys counted by their place classes, small enough to be kept."""
        classes = rows.seen.shape[1]
        number = np.repeat(np.arange(len(self.row)), np.diff(self.entry))
        cell = number * classes + rows.place[self.row[number], self.key]
        cells, count = np.unique(cell, return_counts=True)
        entry = np.searchsorted(cells, np.arange(len(self.row) + 1) * classes)
        return Kept(
            np.packbits(self.tests, axis=1), self.start.astype(np.int32),
            self.row.astype(np.uint16 if len(rows.queries) < 1 << 16 else np.uint32),
            entry.astype(np.int32), (cells % classes).astype(np.uint8),
            count.astype(np.uint16 if len(rows.sinks) < 1 << 16 else np.uint32),
        )  # fmt: skip


@dataclass(frozen=True)
class Kept:
    """What is kept of which keys are related: as `Related`, the keys counted by place class."""

    bits: Integer[np.ndarray, "K _"]
    start: Integer[np.ndarray, " P"]
    row: Integer[np.ndarray, " m"]
    entry: Integer[np.ndarray, " entries"]
    place: Integer[np.ndarray, " e"]
    count: Integer[np.ndarray, " e"]

    def tests(self, rows: int) -> Bool[np.ndarray, "K R"]:
        """Rows that meet each test."""
        return np.unpackbits(self.bits, 1, rows).view(bool)


def cells_of(
    evaluator: Evaluator, rows: Rows, relations: Sequence[Relation]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
    """Where the related cells of each relation begin; their rows and keys, content alone."""
    content = ~rows.sinks
    row_of = np.full(len(content), -1)
    row_of[rows.queries] = np.arange(len(rows.queries))
    cellses = [evaluator.cells(relation) for relation in relations]
    query = np.concatenate([np.zeros(0, np.int64), *(cells.query for cells in cellses)])
    key = np.concatenate([np.zeros(0, np.int64), *(cells.key for cells in cellses)])
    good = (row_of[query] >= 0) & content[key]
    ends = np.cumsum([0, *map(len, cellses)])
    start = np.concatenate([[0], np.cumsum(good)])[ends]
    return start, row_of[query[good]], key[good]
