"""What discovery works on: texts in three splits, the examined heads' attention, sampled rows."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from headscribe.core.arrays import Attention, HeadsAttention
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId, absent
from headscribe.core.visibility import Visibility
from headscribe.fitting.atlas import Item, collect
from headscribe.fitting.features import Sample, sampled_queries
from headscribe.fitting.scores import Scorer
from headscribe.patterns.contract import Pattern
from headscribe.relations import Evaluator, parse
from headscribe.text.passages import Passage
from headscribe.text.splits import SPLITS, Split, bucket_of, split_of

ROWS_PER_TEXT = 64
"""Rows of a text that scores are taken from, at most."""

Items = Callable[[], Iterable[Item]]
"""Reads all texts with attention, from the first, every time that it is called."""


@dataclass(frozen=True)
class Material:
    """Texts in three splits with the attention of the examined heads.

    Attributes:
        model: its name, for prompts and records.
        heads: the examined heads.
        passages: all texts; `attention`: of the examined heads on each, `(H, T, T)`; empty where
            whole matrices were not kept.
        splits: the split of each text.
        visibility: what the heads see.
        look_ahead: whether programs may read tokens after the query.
        sample: sampled rows of all texts with the pool and the catalogue's predictions.
        seed: deals groups to splits, chooses rows.
        embeddings: the model's, by token id; None where there is only a recording.
    """

    model: str
    heads: tuple[HeadId, ...]
    passages: tuple[Passage, ...]
    attention: tuple[Float[np.ndarray, "_ _ _"], ...]
    splits: tuple[Split, ...]
    visibility: Visibility
    look_ahead: bool
    sample: Sample
    seed: int
    embeddings: Float[np.ndarray, "V d"] | None = None

    def texts(self, split: Split) -> tuple[int, ...]:
        """The places of a split's texts."""
        return tuple(i for i, one in enumerate(self.splits) if one == split)

    def some(self, number: int) -> list[Passage]:
        """The first texts to fit to."""
        return [self.passages[text] for text in self.texts("fit")[:number]]

    def rows(self, split: Split) -> Bool[np.ndarray, " R"]:
        """Which sampled rows lie in a split."""
        held: Bool[np.ndarray, " R"] = np.array([one == split for one in self.splits])[
            self.sample.row_text
        ]
        return held

    @cached_property
    def fit(self) -> Sample:
        """The sampled rows of the `fit` split."""
        return self.sample.only(self.rows("fit"))

    @cached_property
    def scorer(self) -> Scorer:
        """Scores predictions for all sampled rows, by text."""
        return Scorer(self.sample)

    @cached_property
    def provides(self) -> frozenset[str]:
        """The word fields that every text has."""
        return frozenset.intersection(*(passage.words.provides for passage in self.passages))

    @cached_property
    def group(self) -> Int[np.ndarray, " texts"]:
        """The number of each text's group."""
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(p.group, len(numbers)) for p in self.passages])

    @cached_property
    def _queries(self) -> tuple[Int[np.ndarray, " n"], ...]:
        return tuple(
            sampled_queries(p.text_id, len(p), ROWS_PER_TEXT, self.seed) for p in self.passages
        )

    def cells(self, text: int, matrix: Shaped[np.ndarray, "T T"]) -> Float[np.ndarray, " n"]:
        """The entries of a text's matrix at its sampled rows and visible keys, as laid out."""
        queries = self._queries[text]
        seen = self.visibility.dense(len(self.passages[text]))[queries]
        return np.asarray(matrix, np.float32)[queries][seen]

    def laid_out(
        self, matrix_of: Callable[[int], Shaped[np.ndarray, "_ _"]]
    ) -> Float[np.ndarray, " N"]:
        """All texts' matrices laid out as the sample's cells, float32."""
        return np.concatenate([self.cells(i, matrix_of(i)) for i in range(len(self.passages))])

    def columns(self, relations: Sequence[str]) -> Float[np.ndarray, "N k"]:
        """The values of relations on the sample's cells, float32.

        Raises:
            UsageError: the texts lack a word field that a relation needs.
        """
        parsed = [parse(relation) for relation in relations]
        parts = []
        for i, passage in enumerate(self.passages):
            evaluator = Evaluator(passage, self.visibility)
            parts.append(
                np.stack([self.cells(i, evaluator.dense(relation)) for relation in parsed], axis=1)
            )
        return np.concatenate(parts).astype(np.float32)

    def real(self, place: int, text: int) -> Attention:
        """One examined head's attention on one text."""
        return self.attention[text][place]

    def column_of(self, read: Callable[[Passage], Sequence[Any]]) -> np.ndarray:
        """A value for every token of all texts, as objects, numbered as the sample does."""
        values = [value for passage in self.passages for value in read(passage)]
        column = np.empty(len(values), object)
        column[:] = values
        return column


def gather(
    items: Items,
    all_heads: Sequence[HeadId],
    examined: Sequence[HeadId],
    *,
    model: str,
    look_ahead: bool,
    patterns: Sequence[Pattern] = (),
    pool: Sequence[str] | None = None,
    seed: int = 0,
    whole: bool = True,
    embeddings: Float[np.ndarray, "V d"] | None = None,
    testing: Collection[str] = (),
) -> Material:
    """Read all texts once and keep what discovery needs of the examined heads.

    Args:
        all_heads: the heads in the order of that attention.
        examined: those to keep.
        embeddings: the model's, by token id.
        testing: the ids of texts that are there to test on; none: a quarter of all is.
        whole: keep whole matrices besides the sampled rows; evidence and pictures need them.

    Raises:
        UsageError: an unknown head, texts that see different keys, or a split without a text.
    """
    places = []
    for head in examined:
        if head not in all_heads:
            raise absent(head, all_heads, model)
        places.append(list(all_heads).index(head))
    passages: list[Passage] = []
    attention: list[HeadsAttention] = []
    seen: list[Visibility] = []

    def kept() -> Iterable[Item]:
        for passage, matrices, visibility in items():
            passages.append(passage)
            own = np.asarray(matrices[places], np.float32)
            if whole:
                attention.append(own)
            seen.append(visibility)
            yield passage, own, visibility

    sample = collect(
        kept(),
        look_ahead=look_ahead,
        rows_per_text=ROWS_PER_TEXT,
        seed=seed,
        pool=pool,
        patterns=patterns,
    )
    if len(set(seen)) != 1:
        raise UsageError(f"expected texts that see the same keys, got {len(set(seen))} masks")
    splits = dealt(passages, seed, testing)
    return Material(
        model,
        tuple(examined),
        tuple(passages),
        tuple(attention),
        splits,
        seen[0],
        look_ahead or not seen[0].causal,
        sample,
        seed,
        embeddings,
    )


def split_by(group: str, seed: int, apart: bool) -> Split:
    """The split of a text, by its group; where those to test on are apart, the rest selects."""
    split = split_of(bucket_of(group, seed))
    return "select" if apart and split == "test" else split


def dealt(
    passages: Sequence[Passage], seed: int, testing: Collection[str] = ()
) -> tuple[Split, ...]:
    """The split of every text, by its group; `testing` names those to test on, if they are apart.

    Raises:
        UsageError: a split without a text.
    """
    splits = tuple(
        "test" if passage.text_id in testing else split_by(passage.group, seed, bool(testing))
        for passage in passages
    )
    for split in SPLITS:
        if split not in splits:
            groups = len({passage.group for passage in passages})
            raise UsageError(
                f"expected texts in each of the splits {', '.join(SPLITS)}, got none in {split} "
                f"({len(passages)} texts of {groups} groups); give more texts"
            )
    return splits
