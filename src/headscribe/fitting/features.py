"""From passages to the sparse features of sampled rows.

The admissible cells of the sampled rows are laid end to end, text by text, row by row, key by key;
a relation is a sparse column over them. Nothing dense is ever kept but the attention itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from headscribe.core.arrays import HeadsAttention
from headscribe.core.errors import RunError, UsageError
from headscribe.core.visibility import Visibility
from headscribe.patterns.contract import Pattern
from headscribe.relations import ATTRIBUTES, Evaluator, parse
from headscribe.scoring.predictions import sinks_of
from headscribe.scoring.profile import CLOSING, ORDINARY, token_kinds
from headscribe.text.passages import Passage

Columns = list[tuple[Int[np.ndarray, " _"], Float[np.ndarray, " _"]]]
"""Sparse columns of one text: cells and values of each."""


@dataclass(frozen=True)
class Sparse:
    """Sparse columns over cells: column `k` holds entries `ptr[k]:ptr[k + 1]`, cells ascending."""

    ptr: Int[np.ndarray, " _"]
    cell: Int[np.ndarray, " nnz"]
    value: Float[np.ndarray, " nnz"]

    def column(self, k: int, cells: int) -> Float[np.ndarray, " N"]:
        """One column in full, float32."""
        full = np.zeros(cells, np.float32)
        span = slice(self.ptr[k], self.ptr[k + 1])
        full[self.cell[span]] = self.value[span]
        return full

    def only(self, keep: Bool[np.ndarray, " N"], place: Int[np.ndarray, " N"]) -> "Sparse":
        """Keep the marked cells, which move to `place`."""
        entry = keep[self.cell]
        kept = np.concatenate([[0], np.cumsum(entry)])
        return Sparse(kept[self.ptr], place[self.cell[entry]].astype(np.int32), self.value[entry])

    @classmethod
    def stacked(cls, parts: Sequence["Columns"], offset: Int[np.ndarray, " P"]) -> "Sparse":
        """Put the columns of several texts, whose cells begin at `offset`, one below the other."""
        columns, values, ptr = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)], [0]
        for k in range(len(parts[0])):
            columns += [part[k][0] + offset[i] for i, part in enumerate(parts)]
            values += [part[k][1] for part in parts]
            ptr.append(ptr[-1] + sum(len(part[k][1]) for part in parts))
        return cls(np.array(ptr), np.concatenate(columns).astype(np.int32), np.concatenate(values))

    def beside(self, other: "Sparse") -> "Sparse":
        """These columns, then those of another."""
        return Sparse(
            np.concatenate([self.ptr, self.ptr[-1] + other.ptr[1:]]),
            np.concatenate([self.cell, other.cell]),
            np.concatenate([self.value, other.value]),
        )


@dataclass(frozen=True)
class Sample:
    """Sampled rows: a head's attention and the pool's features on their visible cells.

    Attributes:
        pool: the relations, in the order of the columns of `features`.
        row_text: the text of each row, shape `(R,)`.
        row_token: the query of each row, numbered through all texts, `(R,)`.
        lengths: visible keys of each row, `(R,)`.
        key_token: the key of each cell, numbered through all texts, `(N,)`.
        attention: `(H, N)`, float32; every row sums to 1.
        kinds: the kind of each token as `scoring.profile` numbers them, `(tokens,)`.
        tokens: attributes of all tokens of all texts, by name: values as objects, `(tokens,)`.
        patterns: the names of patterns that were asked for their prediction.
        positional: whether each reads positions and sinks only.
        predictions: what they predict; rows that a pattern does not cover have no entry.
        texts: the passages, on which further relations are evaluated.
        seen: what the heads see.
        rare: relations that few heads need, evaluated where one does (`more`).
    """

    pool: tuple[str, ...]
    groups: tuple[str, ...]
    row_text: Int[np.ndarray, " R"]
    row_token: Int[np.ndarray, " R"]
    lengths: Int[np.ndarray, " R"]
    key_token: Int[np.ndarray, " N"]
    attention: Float[np.ndarray, "H N"]
    features: Sparse
    kinds: Int[np.ndarray, " tokens"]
    tokens: dict[str, Shaped[np.ndarray, " tokens"]]
    patterns: tuple[str, ...]
    positional: tuple[bool, ...]
    predictions: Sparse
    texts: tuple[Passage, ...]
    seen: Visibility
    rare: tuple[str, ...] = ()

    @cached_property
    def position(self) -> dict[str, int]:
        """The column of each relation of the pool."""
        return {source: k for k, source in enumerate(self.pool)}

    @cached_property
    def sinks(self) -> Int[np.ndarray, " tokens"]:
        """1 for the token that opens a text and soaks up attention, 2 for other sinks, 0 else."""
        return np.where(self.kinds <= CLOSING, self.kinds, ORDINARY)

    @cached_property
    def start(self) -> Int[np.ndarray, " R"]:
        """The first cell of each row."""
        return np.cumsum(self.lengths) - self.lengths

    @cached_property
    def row(self) -> Int[np.ndarray, " N"]:
        """The row of each cell."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)

    @cached_property
    def distance(self) -> Int[np.ndarray, " N"]:
        """Key index minus query index of each cell."""
        return self.key_token - self.row_token[self.row]

    def only(self, keep: Bool[np.ndarray, " R"]) -> "Sample":
        """Keep the marked rows."""
        cells = keep[self.row]
        place = np.cumsum(cells) - 1
        return replace(
            self,
            row_text=self.row_text[keep],
            row_token=self.row_token[keep],
            lengths=self.lengths[keep],
            key_token=self.key_token[cells],
            attention=np.ascontiguousarray(self.attention[:, cells]),
            features=self.features.only(cells, place),
            predictions=self.predictions.only(cells, place),
        )

    def more(self, relations: Sequence[str]) -> "Sample":
        """The same with further relations, those that the pool lacks, at its end."""
        relations = [relation for relation in relations if relation not in self.position]
        first_row = np.searchsorted(self.row_text, np.arange(len(self.texts) + 1))
        token = np.cumsum([0, *map(len, self.texts)])
        parsed = [parse(source) for source in relations]
        parts: list[Columns] = []
        offset: list[int] = []
        for i, passage in enumerate(self.texts):
            rows = slice(first_row[i], first_row[i + 1])
            if rows.start == rows.stop:
                continue
            begin = self.start[rows]
            evaluator = Evaluator(passage, self.seen)
            lay = _Layout.of(
                len(passage), self.row_token[rows] - token[i], begin - begin[0],
                self.key_token[begin] - token[i],
            )  # fmt: skip
            cells = map(evaluator.cells, parsed)
            parts.append([lay.placed(cell.query, cell.key, cell.value) for cell in cells])
            offset.append(int(begin[0]))
        columns = Sparse.stacked(parts, np.array(offset))
        return replace(self, pool=(*self.pool, *relations), features=self.features.beside(columns))

    def column(self, relation: str) -> Float[np.ndarray, " N"]:
        """A relation over all cells, float32, whether it is of the pool or not."""
        k = self.position.get(relation)
        if k is None:
            return self.more([relation]).features.column(len(self.pool), len(self.key_token))
        return self.features.column(k, len(self.key_token))


def sampled_queries(text_id: str, length: int, limit: int, seed: int) -> Int[np.ndarray, " n"]:
    """At most `limit` queries of a text, ascending; which ones depends on text and seed alone."""
    if length <= limit:
        return np.arange(length)
    digest = blake2b(f"{seed}:rows:{text_id}".encode("utf-8", "surrogatepass"), digest_size=8)
    chooser = np.random.default_rng(int.from_bytes(digest.digest(), "big"))
    return np.sort(chooser.choice(length, limit, replace=False))


@dataclass(frozen=True)
class _Layout:
    """Where the cells of some rows of a text lie: by query the first cell, -1 for no row of these,
    and the key of that cell.
    """

    start: Int[np.ndarray, " T"]
    first: Int[np.ndarray, " T"]

    @classmethod
    def of(
        cls,
        length: int,
        query: Int[np.ndarray, " n"],
        start: Int[np.ndarray, " n"],
        first: Int[np.ndarray, " n"],
    ) -> "_Layout":
        lay = cls(np.full(length, -1), np.zeros(length, np.int64))
        lay.start[query], lay.first[query] = start, first
        return lay

    def placed(
        self,
        query: Int[np.ndarray, " m"],
        key: Int[np.ndarray, " m"],
        value: Shaped[np.ndarray, " m"],
    ) -> tuple[Int[np.ndarray, " k"], Float[np.ndarray, " k"]]:
        """The cells of pairs of a query and a key, as far as they are of these rows."""
        keep = self.start[query] >= 0
        query = query[keep]
        cell = self.start[query] + key[keep] - self.first[query]
        return cell, value[keep].astype(np.float32)


@dataclass
class Collector:
    """Evaluates a pool of relations on passage after passage and keeps the sampled rows.

    Attributes:
        pool: relations in the relation language.
        attributes: token attributes to keep for terms that are grown from the data; a leading
            `prev.` reads the token before.
        rows_per_text: at most so many rows of every text.
        patterns: patterns whose predictions to keep as well.
        rare: relations that are evaluated only where a head needs them.
    """

    pool: Sequence[str]
    attributes: Sequence[str] = ()
    rows_per_text: int = 64
    seed: int = 0
    patterns: Sequence[Pattern] = ()
    rare: Sequence[str] = ()
    _parts: list["_Part"] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._relations = [parse(source) for source in self.pool]

    def add(self, passage: Passage, attention: HeadsAttention, visibility: Visibility) -> None:
        """Take one passage and the attention of every head on it.

        Raises:
            UsageError: the attention has another length, or another number of heads than before.
            RunError: attention that is not finite.
        """
        length = len(passage)
        where = f"text {passage.text_id}"
        if attention.shape[1:] != (length, length):
            raise UsageError(
                f"{where}: expected attention of shape (heads, {length}, {length}), "
                f"got {attention.shape}"
            )
        if self._parts and self._parts[0].attention.shape[0] != attention.shape[0]:
            raise UsageError(
                f"{where}: expected {self._parts[0].attention.shape[0]} heads as in the first "
                f"text, got {attention.shape[0]}"
            )
        query = sampled_queries(passage.text_id, length, self.rows_per_text, self.seed)
        first, last = visibility.first(length), visibility.last(length)
        counts = last[query] - first[query] + 1
        start = np.cumsum(counts) - counts
        row = np.repeat(np.arange(len(query)), counts)
        key = np.arange(counts.sum()) - start[row] + first[query][row]
        real = attention[:, query[row], key].astype(np.float32)
        if not np.isfinite(real).all():
            raise RunError(f"{where}: expected finite attention, got NaN or infinity")
        total = np.add.reduceat(real, start, axis=1)
        placed = _Layout.of(length, query, start, first[query]).placed
        evaluator = Evaluator(passage, visibility)
        related = [evaluator.cells(relation) for relation in self._relations]
        predicted = [pattern.predict(passage, visibility) for pattern in self.patterns]
        self._parts.append(
            _Part(
                passage,
                visibility,
                query,
                counts,
                key,
                real / total[:, row],
                [placed(cells.query, cells.key, cells.value) for cells in related],
                [placed(rows.query, rows.key, rows.weight) for rows in predicted],
                token_kinds(sinks_of(passage, visibility), causal=visibility.causal),
                {name: _attribute(passage, name) for name in self.attributes},
            )
        )

    def finish(self) -> Sample:
        """Lay all passages end to end.

        Raises:
            UsageError: there was no passage.
        """
        parts = self._parts
        if not parts:
            raise UsageError("expected at least one text to fit to, got none")
        token = np.cumsum([0, *(len(part.passage) for part in parts)])
        cell = np.cumsum([0, *(len(part.key) for part in parts)])
        return Sample(
            tuple(self.pool),
            tuple(part.passage.group for part in parts),
            np.repeat(np.arange(len(parts)), [len(part.query) for part in parts]),
            np.concatenate([part.query + token[i] for i, part in enumerate(parts)]),
            np.concatenate([part.counts for part in parts]),
            np.concatenate([part.key + token[i] for i, part in enumerate(parts)]),
            np.concatenate([part.attention for part in parts], axis=1),
            Sparse.stacked([part.columns for part in parts], cell),
            np.concatenate([part.kinds for part in parts]),
            {
                name: np.concatenate([part.tokens[name] for part in parts])
                for name in self.attributes
            },
            tuple(pattern.name for pattern in self.patterns),
            tuple(pattern.family in {"positional", "sink"} for pattern in self.patterns),
            Sparse.stacked([part.predictions for part in parts], cell),
            tuple(part.passage for part in parts),
            parts[0].seen,
            tuple(self.rare),
        )


@dataclass(frozen=True)
class _Part:
    """What is kept of one passage."""

    passage: Passage
    seen: Visibility
    query: Int[np.ndarray, " n"]
    counts: Int[np.ndarray, " n"]
    key: Int[np.ndarray, " c"]
    attention: Float[np.ndarray, "H c"]
    columns: Columns
    predictions: Columns
    kinds: Int[np.ndarray, " T"]
    tokens: dict[str, np.ndarray]


def _attribute(passage: Passage, name: str) -> Shaped[np.ndarray, " T"]:
    """The values of an attribute as objects, None where missing."""
    steps, _, bare = name.rpartition(".")
    values = ATTRIBUTES[bare].read(passage)
    listed: list[str | int | None]
    if isinstance(values, np.ndarray):
        listed = [None if np.isnan(v) else int(v) for v in values.astype(np.float64)]
    else:
        listed = list(values)
    for _ in filter(None, steps.split(".")):
        listed = [None, *listed[:-1]]
    column = np.empty(len(listed), object)
    column[:] = listed
    return column
