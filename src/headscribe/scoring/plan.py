"""What a batch of passages asks of every head: what every pattern predicts, by view.

A plan is made once a batch and used in every layer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from headscribe.core.memory import give_back
from headscribe.core.metrics import View
from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.patterns.contract import Pattern
from headscribe.scoring.entries import Entries, same_rows
from headscribe.scoring.layout import Layout, Lists, lay_out, slot_lists
from headscribe.scoring.predictions import fixed_baselines, predict, sampled_rows, sinks_of
from headscribe.text.passages import Passage

LONG_TEXT = 256
"""In texts of more tokens than this hits are counted on the sampled rows only: elsewhere the
largest entry of a row is not known, because the row never exists as a whole."""

_MANY = 1 << 18


@dataclass(frozen=True)
class ViewPlan:
    """What all patterns predict of a batch in one view.

    Attributes:
        counts: the rows and keys that count in this view, shape `(B, T)`; false for padding and, in
            the content view, sinks.
        covered: the rows that each pattern covers, `(P, B, T)`.
        slots: the sampled queries of each text, `(B, S)`; -1 for none.
        fixed: which patterns are the fixed baselines.
        admissible: keys that count and that each query sees, `(B, T)`.
    """

    view: View
    counts: Bool[np.ndarray, "B T"]
    covered: Bool[np.ndarray, "P B T"]
    slots: Int[np.ndarray, "B S"]
    fixed: Int[np.ndarray, " K"]
    admissible: Int[np.ndarray, "B T"]
    read: Callable[[], Entries]

    @cached_property
    def entries(self) -> Entries:
        """The entries; the weights of each row sum to 1."""
        return self.read()

    def forget_entries(self) -> None:
        """Make room: long texts have millions, which are read anew if they are asked for again."""
        self.__dict__.pop("entries", None)

    @property
    def baseline_entries(self) -> Entries:
        """The entries of the fixed baselines' sampled rows."""
        text, slot = np.nonzero(self.slots >= 0)
        sampled = np.zeros_like(self.counts)
        sampled[text, self.slots[text, slot]] = True
        entries = self.entries
        keep = np.isin(entries.pattern, self.fixed) & sampled[entries.text, entries.query]
        return entries.where(keep)

    @cached_property
    def slots_covered(self) -> Bool[np.ndarray, "B P S"]:
        """Whether a pattern covers a sampled row."""
        text = np.arange(len(self.slots))[:, None]
        flags = self.covered[:, text, self.slots] & (self.slots >= 0)
        return flags.transpose(1, 0, 2)


@dataclass(frozen=True)
class BatchPlan:
    """A batch of passages and what is predicted of them.

    Attributes:
        lengths: real tokens of each text, shape `(B,)`; `width` is the padded length `T`.
        said: rows that each pattern covers, of which dense ones keep the sampled, `(P, B)`.
        sampled: rows on which dense baselines are compared, shape `(B, T)`.
        failed: which pattern failed on which text, shape `(P, B)`.
        same: sampled rows of the content view that each pattern covers, and on which it is each
            fixed baseline, fall-backs included, `(2, K, P)`.
    """

    passages: tuple[Passage, ...]
    visibility: Visibility
    lengths: Int[np.ndarray, " B"]
    width: int
    predictions: tuple[tuple[Rows, ...], ...]
    failed: Bool[np.ndarray, "P B"]
    said: Int[np.ndarray, "P B"]
    sampled: Bool[np.ndarray, "B T"]
    sinks: Bool[np.ndarray, "B T"]
    views: dict[View, ViewPlan]
    same: Int[np.ndarray, "2 K P"]

    @cached_property
    def size(self) -> int:
        """Cells that are predicted, of all patterns and texts."""
        return sum(len(rows.key) for line in self.predictions for rows in line)

    @cached_property
    def layout(self) -> Layout:
        """All rows, for the compiled loops."""
        raw, content = self.views["raw"], self.views["content"]
        entries = raw.entries, content.entries
        laid_out = self._lay_out(entries)
        for view in self.views.values():
            view.forget_entries()
        if self.size > _MANY:
            give_back()
        return laid_out

    @cached_property
    def baseline_layout(self) -> Layout:
        """The sampled rows of the fixed baselines alone."""
        raw, content = self.views["raw"], self.views["content"]
        entries = raw.baseline_entries, content.baseline_entries
        return self._lay_out(entries)

    def _lay_out(self, entries: tuple[Entries, Entries]) -> Layout:
        raw, content = self.views["raw"], self.views["content"]
        admissible = raw.admissible, content.admissible
        return lay_out(entries, admissible, content.counts, raw.slots, raw.fixed)

    @cached_property
    def slot_lists(self) -> tuple[Lists, Lists]:
        """The sampled slots that each (pattern, text) covers, by view."""
        raw, content = self.views["raw"], self.views["content"]
        return slot_lists(raw.slots_covered), slot_lists(content.slots_covered)


def make_plan(
    patterns: Sequence[Pattern], passages: Sequence[Passage], visibility: Visibility
) -> BatchPlan:
    """Predict with every pattern and lay the predictions out."""
    predictions, failed, said = predict(patterns, passages, visibility)
    lengths = np.array([len(passage) for passage in passages])
    width = int(lengths.max())
    shape = (len(passages), width)
    sampled, sinks, real = (np.zeros(shape, bool) for _ in range(3))
    for b, passage in enumerate(passages):
        sampled[b, : lengths[b]] = sampled_rows(passage)
        sinks[b, : lengths[b]] = sinks_of(passage, visibility)
        real[b, : lengths[b]] = True
    slots = _slots(sampled)
    fixed = fixed_baselines(patterns)
    views: dict[View, ViewPlan] = {
        "raw": _view_plan("raw", predictions, real, slots, fixed, visibility),
        "content": _view_plan("content", predictions, real & ~sinks, slots, fixed, visibility),
    }
    same = same_rows(views["content"].entries, sampled, fixed)
    return BatchPlan(
        tuple(passages),
        visibility,
        lengths,
        width,
        predictions,
        failed,
        said,
        sampled,
        sinks,
        views,
        same,
    )


def _slots(sampled: Bool[np.ndarray, "B T"]) -> Int[np.ndarray, "B S"]:
    """The sampled queries of each text in order, filled up with -1."""
    number = sampled.sum(axis=1)
    slots = np.full((len(sampled), int(number.max())), -1)
    slots[np.arange(slots.shape[1]) < number[:, None]] = np.nonzero(sampled)[1]
    return slots


def _flatten(predictions: tuple[tuple[Rows, ...], ...]) -> Entries:
    lines = [rows for line in predictions for rows in line]
    texts = len(predictions[0])
    pair = np.repeat(np.arange(len(lines), dtype=np.int32), [len(rows.key) for rows in lines])
    size = np.concatenate([np.diff(rows.query_ptr) for rows in lines])
    query = np.concatenate([np.arange(rows.length, dtype=np.int32) for rows in lines])
    key = np.concatenate([rows.key for rows in lines], dtype=np.int32, casting="same_kind")
    weight = np.concatenate([rows.weight for rows in lines], dtype=np.float64)
    place = pair // texts, pair % texts
    return Entries(len(predictions), *place, np.repeat(query, size), key, weight)


def _view_plan(
    view: View,
    predictions: tuple[tuple[Rows, ...], ...],
    counts: Bool[np.ndarray, "B T"],
    slots: Int[np.ndarray, "B S"],
    fixed: Int[np.ndarray, " K"],
    visibility: Visibility,
) -> ViewPlan:
    def read() -> Entries:
        return _view_entries(_flatten(predictions), counts, fixed)

    entries = read()
    covered = np.zeros((len(predictions), *counts.shape), bool)
    covered[entries.pattern, entries.text, entries.query] = True
    admissible = np.maximum(_admissible(counts, visibility), 1)
    plan = ViewPlan(view, counts, covered, slots, fixed, admissible, read)
    plan.__dict__["entries"] = entries  # known already
    return plan


def _view_entries(
    entries: Entries, counts: Bool[np.ndarray, "B T"], fixed: Int[np.ndarray, " K"]
) -> Entries:
    """The entries that count, rows summing to 1 again."""
    kept = entries.where(counts[entries.text, entries.query] & counts[entries.text, entries.key])
    shape = (entries.patterns, *counts.shape)
    row = np.ravel_multi_index((kept.pattern, kept.text, kept.query), shape)
    # A baseline covers every row: where all its keys are sinks it falls back to the query itself.
    lost = np.zeros(shape, bool)
    lost[entries.pattern, entries.text, entries.query] = True
    lost.reshape(-1)[row] = False
    lost &= counts & np.isin(np.arange(entries.patterns), fixed)[:, None, None]
    place = np.flatnonzero(lost)
    if len(place):
        kept = _with_self(kept, row, place, shape)
        row = np.sort(np.concatenate([row, place]), kind="stable")
    weight = kept.weight / np.bincount(row, kept.weight, minlength=1)[row]
    return replace(kept, weight=weight)


def _with_self(
    entries: Entries,
    row: Int[np.ndarray, " N"],
    lost: Int[np.ndarray, " n"],
    shape: tuple[int, int, int],
) -> Entries:
    """The entries, which stand in `row`, and in the `lost` rows all weight on the query itself."""
    order = np.argsort(np.concatenate([row, lost]), kind="stable")
    pattern, text, query = np.unravel_index(lost, shape)
    added = pattern, text, query, query, np.ones(len(lost))
    held = entries.pattern, entries.text, entries.query, entries.key, entries.weight
    return Entries(
        entries.patterns,
        *(np.append(a, b.astype(a.dtype))[order] for a, b in zip(held, added, strict=True)),
    )


def _admissible(counts: Bool[np.ndarray, "B T"], visibility: Visibility) -> Int[np.ndarray, "B T"]:
    """Number of keys that count and that each query sees."""
    before = np.concatenate([np.zeros((len(counts), 1), int), counts.cumsum(axis=1)], axis=1)
    width = counts.shape[1]
    number: Int[np.ndarray, "B T"] = (
        before[:, visibility.last(width) + 1] - before[:, visibility.first(width)]
    )
    return number
