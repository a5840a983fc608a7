"""How often a head's strongest key is the word that a dependency relation points to.

Clark et al. 2019 ("What Does BERT Look At?") asked this of every head and relation; here the head,
and the fixed offset that it is compared with, are chosen on one half of the texts and reported on
the other, both ways.

Attention is merged to words: the sum over the key word's subwords, the mean over the query word's.
Special tokens and the query word itself are no candidates. A relation is asked in both directions:
`to_head`, from the dependent, and `to_dependent`, from the head to any dependent of that relation.
In causal layers only instances whose target comes before the query count.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscribe.scoring.observer import LayerAttention
from headscribe.scoring.statistics import ratio
from headscribe.text.passages import Passage
from headscribe.text.splits import BUCKETS

Direction = Literal["to_head", "to_dependent"]
OFFSETS = tuple(offset for offset in range(-5, 6) if offset)
"""The fixed offsets in words that a head has to beat."""

NEEDS = frozenset({"dep", "head"})


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
        found = cls(number_of_heads)
        for name, values in arrays.items():
            if name.startswith("relations/"):
                _, kind, relation, direction = name.split("/")
                getattr(found, kind)[relation, direction] = values.copy()
        return found

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
                if name != "gain":  # a share does not leave 0 to 1
                    low, high = max(low, 0.0), min(high, 1.0)
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
        query: the query word, `(I,)`; `answers`: which words are right, `(I, W)`.
    """

    key: tuple[tuple[str, str], ...]
    query: Int[np.ndarray, " I"]
    answers: Bool[np.ndarray, "I W"]


def questions_of(passage: Passage, candidates: Bool[np.ndarray, "W W"]) -> Questions:
    """The instances of every relation in a text, those without a candidate answer left out."""
    words = passage.words
    assert words.dep is not None
    assert words.head is not None
    answers: dict[tuple[tuple[str, str], int], list[int]] = {}
    for dependent, (relation, head) in enumerate(zip(words.dep, words.head.tolist(), strict=True)):
        if head < 0 or relation in ("", "root", "punct"):
            continue
        for direction in get_args(Direction):
            query, answer = (dependent, head) if direction == "to_head" else (head, dependent)
            if candidates[query, answer]:
                answers.setdefault(((relation, direction), query), []).append(answer)
    right = np.zeros((len(answers), len(words)), bool)
    for i, found in enumerate(answers.values()):
        right[i, found] = True
    return Questions(
        tuple(key for key, _ in answers),
        np.array([query for _, query in answers], np.int64),
        right,
    )


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
        self._lengths = [len(passage) for passage in passages]
        self._buckets = buckets
        self._word = [passage.word for passage in passages]
        self._allowed = [_candidates(passage, causal) for passage in passages]
        self._asked = [
            questions_of(passage, allowed)
            for passage, allowed in zip(passages, self._allowed, strict=True)
        ]
        self._pending: list[tuple[int, int, Bool[np.ndarray, "H I"]]] = []

    def observe(self, call: LayerAttention) -> None:
        """Ask one layer."""
        attention = call.probabilities()
        first = call.layer * attention.shape[1]
        for b, questions in enumerate(self._asked):
            if not len(questions.query):
                continue
            real = attention[b, :, : self._lengths[b], : self._lengths[b]]
            words = _between_words(real, self._word[b], len(self._allowed[b]))
            words = words[:, torch.from_numpy(questions.query).to(words.device)]
            allowed = self._allowed[b][questions.query]
            strongest = np.where(allowed, words.cpu().numpy(), -1.0).argmax(axis=2)  # H I
            hit = questions.answers[np.arange(len(questions.query)), strongest]
            self._pending.append((b, first, hit))

    def commit(self) -> None:
        """Add what was observed; until then the sums do not know of the batch."""
        for b, first, hit in self._pending:
            by_key: dict[tuple[str, str], Int[np.ndarray, " H"]] = {}
            for i, key in enumerate(self._asked[b].key):
                by_key[key] = by_key.get(key, 0) + hit[:, i].astype(int)
            for key, hits in by_key.items():
                self._sums.at(key)[1][self._buckets[b], first : first + len(hits)] += hits
        self._pending.clear()
        for b, questions in enumerate(self._asked):
            for i, key in enumerate(questions.key):
                instances, _, offsets = self._sums.at(key)
                instances[self._buckets[b]] += 1
                for k, offset in enumerate(OFFSETS):
                    place = questions.query[i] + offset
                    if 0 <= place < questions.answers.shape[1]:
                        offsets[self._buckets[b], k] += questions.answers[i, place]


def _candidates(passage: Passage, causal: bool) -> Bool[np.ndarray, "W W"]:
    """The words that each word may choose: those with tokens, itself aside."""
    alive = np.zeros(len(passage.words), bool)
    alive[passage.word[passage.word >= 0]] = True
    pairs: Bool[np.ndarray, "W W"] = alive[:, None] & alive[None, :]
    np.fill_diagonal(pairs, False)
    return np.tril(pairs) if causal else pairs


def _between_words(
    real: Float[Tensor, "H T T"], word: Int[np.ndarray, " T"], words: int
) -> Float[Tensor, "H W W"]:
    """Attention of each word, the mean over its tokens, to each word, the sum over its tokens."""
    # What belongs to no word goes to one word more.
    place = torch.from_numpy(np.where(word < 0, words, word)).to(real.device)
    heads, length = real.shape[:2]
    rows = real.new_zeros((heads, words + 1, length)).index_add_(1, place, real)
    rows /= torch.bincount(place, minlength=words + 1).clamp_min(1)[:, None]
    return real.new_zeros((heads, words + 1, words + 1)).index_add_(2, place, rows)[:, :-1, :-1]
