"""How often a head's strongest key is the word that a dependency relation points to.

Clark et al. 2019 ("What Does BERT Look At?") asked this of every head and relation; here the head,
and the fixed offset that it is compared with, are chosen on one half of the texts and reported on
the other, both ways.

Attention is merged to words: the sum over the key word's subwords, the mean over the query word's.
Special tokens and the query word itself are no candidates. A relation is asked in both directions:
`to_head`, from the dependent, and `to_dependent`, from the head to any dependent of that relation.
In causal layers only instances whose target comes before the query count.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscribe.models.calls import AttentionCall
from headscribe.scoring.observer import LayerAttention
from headscribe.scoring.sparse import BLOCK_CELLS
from headscribe.scoring.statistics import ratio
from headscribe.text.passages import Passage
from headscribe.text.splits import BUCKETS

Direction = Literal["to_head", "to_dependent"]
OFFSETS = tuple(offset for offset in range(-5, 6) if offset)
"""The fixed offsets in words that a head has to beat."""

NEEDS = frozenset({"dep", "head"})

WHOLE_TOKENS = 1024
"""Texts of more tokens are read some rows at a time."""


@dataclass
class RelationSums:
    """Instances and hits by bucket, for every relation and direction that occurred.

    Attributes:
        instances: by (relation, direction), shape `(BUCKETS,)`.
        heads: hits of every head, `(BUCKETS, N)`.
        offsets: hits of every fixed offset, `(BUCKETS, len(OFFSETS))`.
    """

    number_of_heads: int
    instances: dict[tuple[str, str], Float[np.ndarray, " B"]] = field(default_factory=dict)
    heads: dict[tuple[str, str], Float[np.ndarray, "B N"]] = field(default_factory=dict)
    offsets: dict[tuple[str, str], Float[np.ndarray, "B K"]] = field(default_factory=dict)

    def at(self, key: tuple[str, str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The three sums of a relation and direction, zeros where it is new."""
        if key not in self.instances:
            self.instances[key] = np.zeros(BUCKETS)
            self.heads[key] = np.zeros((BUCKETS, self.number_of_heads), np.float32)
            self.offsets[key] = np.zeros((BUCKETS, len(OFFSETS)))
        return self.instances[key], self.heads[key], self.offsets[key]

    def add(self, other: "RelationSums") -> None:
        """Add the sums of another part of the same survey."""
        for key in other.instances:
            for mine, theirs in zip(self.at(key), other.at(key), strict=True):
                mine += theirs

    def arrays(self) -> dict[str, np.ndarray]:
        """The sums by name, for storage."""
        return {
            f"relations/{kind}/{relation}/{direction}": table[relation, direction]
            for kind, table in (
                ("instances", self.instances), ("heads", self.heads), ("offsets", self.offsets)
            )
            for relation, direction in table
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], number_of_heads: int) -> "RelationSums":
        """Read back what `arrays` gave."""
        relation_sums = cls(number_of_heads)
        for name, values in arrays.items():
            if name.startswith("relations/"):
                _, kind, relation, direction = name.split("/")
                getattr(relation_sums, kind)[relation, direction] = values.copy()
        return relation_sums

    def table(self, heads_of_layer: int) -> pa.Table:
        """One row per relation, direction and half; see `results.relations`.

        The head and the offset of a row were chosen on the other half.
        """
        lines = []
        for (relation, direction), half in product(sorted(self.instances), (0, 1)):
            instances, heads, offsets = self.at((relation, direction))
            here = np.arange(BUCKETS) % 2 == half
            if not instances[here].any() or not instances[~here].any():
                continue
            head = int(heads[~here].sum(axis=0).argmax())
            offset = int(offsets[~here].sum(axis=0).argmax())
            count = instances[here]
            columns = {
                "accuracy": heads[here][:, head],
                "offset_accuracy": offsets[here][:, offset],
                "gain": heads[here][:, head] - offsets[here][:, offset],
            }
            line: dict[str, object] = {
                "relation": relation, "direction": direction, "half": half,
                "layer": head // heads_of_layer, "head": head % heads_of_layer,
                "offset": OFFSETS[offset], "instances": int(count.sum()),
            }  # fmt: skip
            for name, hits in columns.items():
                mean, low, high = (float(value) for value in ratio(hits, count))
                # A share does not leave 0 to 1, a difference of shares -1 to 1.
                low, high = max(low, -1.0 if name == "gain" else 0.0), min(high, 1.0)
                line |= {
                    name: mean,
                    f"{name}_low": None if np.isnan(low) else low,
                    f"{name}_high": None if np.isnan(high) else high,
                }
            lines.append(line)
        return pa.Table.from_pylist(lines)


@dataclass(frozen=True)
class Questions:
    """What one text asks: for each instance the query word and the words that answer it.

    Attributes:
        key: (relation, direction) of each instance.
        query: the query word, `(I,)`; `answers`: the words that are right, filled up with -1,
            `(I, most)`.
        word: the word of each token, -1 for none, `(T,)`; `words`: their number.
        causal: words behind the query may not be chosen.
    """

    key: tuple[tuple[str, str], ...]
    query: Int[np.ndarray, " I"]
    answers: Int[np.ndarray, "I most"]
    word: Int[np.ndarray, " T"]
    words: int
    causal: bool

    @property
    def alive(self) -> Bool[np.ndarray, " W"]:
        """The words with tokens: any of them, but for the query itself, may be chosen."""
        flags = np.zeros(self.words, bool)
        flags[self.word[self.word >= 0]] = True
        return flags

    @classmethod
    def of(cls, passage: Passage, *, causal: bool) -> "Questions":
        """The instances of every relation in a text, those without a candidate answer left out."""
        words = passage.words
        assert words.dep is not None
        assert words.head is not None
        alive = np.zeros(len(words), bool)
        alive[passage.word[passage.word >= 0]] = True
        found: dict[tuple[tuple[str, str], int], list[int]] = {}
        for dependent, (relation, head) in enumerate(
            zip(words.dep, words.head.tolist(), strict=True)
        ):
            if head in (-1, dependent) or relation in ("", "root", "punct"):
                continue
            for direction in get_args(Direction):
                query, answer = (dependent, head) if direction == "to_head" else (head, dependent)
                if alive[query] and alive[answer] and not (causal and answer > query):
                    found.setdefault(((relation, direction), query), []).append(answer)
        answers = np.full((len(found), max(map(len, found.values()), default=0)), -1)
        for i, right in enumerate(found.values()):
            answers[i, : len(right)] = right
        query = np.array([query for _, query in found], np.int64)
        key = tuple(key for key, _ in found)
        return cls(key, query, answers, passage.word, len(words), causal)

    def hits(
        self, asked: Int[np.ndarray, " n"], chosen: Int[np.ndarray, "*any n"]
    ) -> Bool[np.ndarray, "*any n"]:
        """Whether the chosen words answer the instances asked."""
        right: Bool[np.ndarray, "*any n"] = (chosen[..., None] == self.answers[asked]).any(axis=-1)
        return right


class RelationObserver:
    """Asks every question of a batch of every head, layer by layer."""

    def __init__(
        self,
        sums: RelationSums,
        passages: Sequence[Passage],
        buckets: Int[np.ndarray, " B"],
        *,
        causal: bool,
    ) -> None:
        self._sums = sums
        self._buckets = buckets
        self._asked = [Questions.of(passage, causal=causal) for passage in passages]
        self._pending: list[tuple[int, int, Bool[np.ndarray, "H I"]]] = []

    def observe(self, call: LayerAttention) -> None:
        """Ask one layer."""
        for b, questions in enumerate(self._asked):
            if not len(questions.query):
                continue
            parts, asked = [], []
            for some, tokens, real in _query_rows(call, b, questions):
                words = _between_words(real, tokens, questions)
                asked.append(some)
                parts.append(questions.hits(some, _strongest(words, some, questions)))
            hit = np.zeros((len(parts[0]), len(questions.query)), bool)
            hit[:, np.concatenate(asked)] = np.concatenate(parts, axis=1)
            self._pending.append((b, call.layer * len(hit), hit))

    def commit(self) -> None:
        """Add what was observed; until then the sums do not know of the batch."""
        for b, first, hit in self._pending:
            by_key: dict[tuple[str, str], Int[np.ndarray, " H"]] = {}
            for i, key in enumerate(self._asked[b].key):
                by_key[key] = by_key.get(key, 0) + hit[:, i].astype(int)
            for key, hits in by_key.items():
                self._sums.at(key)[1][self._buckets[b], first : first + len(hits)] += hits
        self._pending.clear()
        for bucket, questions in zip(self._buckets, self._asked, strict=True):
            every = np.arange(len(questions.query))
            places = questions.query + np.array(OFFSETS)[:, None]
            right = questions.hits(every, np.where(places < 0, questions.words, places))
            for i, key in enumerate(questions.key):
                instances, _, offsets = self._sums.at(key)
                instances[bucket] += 1
                offsets[bucket] += right[:, i]


def _query_rows(
    call: LayerAttention, text: int, questions: Questions
) -> Iterator[tuple[Int[np.ndarray, " n"], Int[np.ndarray, " t"], Float[Tensor, "H t T"]]]:
    """Instances of a text, the tokens of their query words, and these tokens' attention.

    All at once; in texts of more than `WHOLE_TOKENS` some at a time, so that the matrix never
    exists as a whole.
    """
    length = len(questions.word)
    order = np.argsort(questions.query, kind="stable")
    if not (isinstance(call, AttentionCall) and call.closed and length > WHOLE_TOKENS):
        tokens = np.flatnonzero(np.isin(questions.word, questions.query))
        yield order, tokens, call.probabilities()[text][:, torch.from_numpy(tokens), :length]
        return
    texts, heads = call.query.shape[:2]
    step = max(1, BLOCK_CELLS // (texts * heads * length))
    for begin in range(0, len(order), step):
        some = order[begin : begin + step]
        tokens = np.flatnonzero(np.isin(questions.word, questions.query[some]))
        first = int(tokens[0])
        rows = call.rows(first, int(tokens[-1]) + 1)[text]
        yield some, tokens, rows[:, torch.from_numpy(tokens - first), :length]


def _between_words(
    real: Float[Tensor, "H t T"], tokens: Int[np.ndarray, " t"], questions: Questions
) -> Float[np.ndarray, "H w W"]:
    """Attention of the tokens' words, the mean over each one's, to each word, the sum over its."""
    _, row = np.unique(questions.word[tokens], return_inverse=True)
    # What belongs to no word goes to one word more.
    key = np.where(questions.word < 0, questions.words, questions.word)
    row_of, key_of = (torch.from_numpy(place).to(real.device) for place in (row, key))
    heads, _, length = real.shape
    rows = real.new_zeros((heads, int(row.max()) + 1, length)).index_add_(1, row_of, real)
    rows /= torch.bincount(row_of)[:, None]
    words = real.new_zeros((heads, rows.shape[1], questions.words + 1))
    return words.index_add_(2, key_of, rows)[..., :-1].cpu().numpy()


def _strongest(
    words: Float[np.ndarray, "H w W"], asked: Int[np.ndarray, " n"], questions: Questions
) -> Int[np.ndarray, "H n"]:
    """The word to which each query attends most, among those that it may choose."""
    query, row = np.unique(questions.query[asked], return_inverse=True)
    allowed = np.tile(questions.alive, (len(query), 1))
    allowed[np.arange(len(query)), query] = False
    if questions.causal:
        allowed &= np.arange(questions.words) <= query[:, None]
    chosen: Int[np.ndarray, "H w"] = np.where(allowed, words, -1.0).argmax(axis=2)
    return chosen[:, row]
