"""What a batch of passages asks of every head: what every pattern predicts, by view.

A plan is made once a batch and used in every layer.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscribe.core.errors import HeadscribeError
from headscribe.core.metrics import View
from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.patterns.contract import Pattern
from headscribe.sandbox import SandboxedProgram
from headscribe.scoring.layout import Layout, Lists, lay_out, slot_lists
from headscribe.scoring.tables import Entries, RowTable, row_table
from headscribe.text.passages import Passage

SAMPLED_ROWS = 64
"""Rows a text on which dense patterns and baselines are scored, chosen by hash."""

UNIFORM = "uniform"

FIXED_BASELINES = (UNIFORM, "first_token", "last_token", "self", "previous", "next")
"""Names of the fixed baselines in the catalogue; each covers every row."""

LONG_TEXT = 256
"""In texts of more tokens than this hits are counted on the sampled rows only: elsewhere the
largest entry of a row is not known, because the row never exists as a whole."""

DENSE_ENTRIES_A_ROW = 32
"""A pattern with more entries a row than this is dense: scored on sampled rows only."""


@dataclass(frozen=True)
class ViewPlan:
    """What all patterns predict of a batch in one view.

    Attributes:
        counts: the rows and keys that count in this view, shape `(B, T)`; false for padding and, in
            the content view, sinks.
        covered: the rows that each pattern covers, `(P, B, T)`.
        slots: the sampled queries of each text, `(B, S)`; -1 for none.
        fixed: which patterns are the fixed baselines.
        entries: the entries; the weights of each row sum to 1.
        admissible: keys that count and that each query sees, `(B, T)`.
        device: where the tables are used.
    """

    view: View
    counts: Bool[np.ndarray, "B T"]
    covered: Bool[np.ndarray, "P B T"]
    slots: Int[np.ndarray, "B S"]
    fixed: Int[np.ndarray, " K"]
    entries: Entries
    admissible: Int[np.ndarray, "B T"]
    device: torch.device

    @cached_property
    def table(self) -> RowTable:
        """The rows of all patterns."""
        return row_table(self.entries, self.counts.shape[1], self.slots, self.fixed, self.device)

    @cached_property
    def baseline_table(self) -> RowTable:
        """The sampled rows of the fixed baselines alone."""
        return row_table(
            self.baseline_entries, self.counts.shape[1], self.slots, self.fixed, self.device
        )

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
    def covered_slots(self) -> Float[Tensor, "B P S"]:
        """1 where a pattern covers a sampled row, else 0."""
        flags = self.slots_covered.astype(np.float32)
        return torch.from_numpy(flags).to(self.device)

    @cached_property
    def slots_covered(self) -> Bool[np.ndarray, "B P S"]:
        """Whether a pattern covers a sampled row."""
        text = np.arange(len(self.slots))[:, None]
        flags = self.covered[:, text, self.slots] & (self.slots >= 0)
        return flags.transpose(1, 0, 2)

    @cached_property
    def covered_rows(self) -> Float[Tensor, "B P T"]:
        """1 where a pattern covers a row, else 0."""
        flags = self.covered.transpose(1, 0, 2).astype(np.float32)
        return torch.from_numpy(flags).to(self.device)

    @cached_property
    def chance(self) -> Float[Tensor, "B P T"]:
        """Mass on the support under uniform attention, `|S| / admissible keys`."""
        entries, shape = self.entries, self.covered.shape
        row = np.ravel_multi_index((entries.pattern, entries.text, entries.query), shape)
        size = np.bincount(row, minlength=self.covered.size).reshape(shape)
        chance = (size / self.admissible).transpose(1, 0, 2).astype(np.float32)
        return torch.from_numpy(chance).to(self.device)

    @cached_property
    def slot_counts(self) -> Float[Tensor, " slots"]:
        """1 where a sampled row counts, else 0."""
        flags = np.take_along_axis(self.counts, self.slots, 1) & (self.slots >= 0)
        return torch.from_numpy(flags.ravel().astype(np.float32)).to(self.device)

    @cached_property
    def key_counts(self) -> Bool[Tensor, "B T"]:
        """`counts` on the device."""
        return torch.from_numpy(self.counts).to(self.device)


@dataclass(frozen=True)
class BatchPlan:
    """A batch of passages and what is predicted of them.

    Attributes:
        lengths: real tokens of each text, shape `(B,)`; `width` is the padded length `T`.
        sampled: rows on which dense baselines are compared, shape `(B, T)`.
        failed: which pattern failed on which text, shape `(P, B)`.
        views: what is predicted, by view.
    """

    passages: tuple[Passage, ...]
    visibility: Visibility
    lengths: Int[np.ndarray, " B"]
    width: int
    predictions: tuple[tuple[Rows, ...], ...]
    failed: Bool[np.ndarray, "P B"]
    sampled: Bool[np.ndarray, "B T"]
    sinks: Bool[np.ndarray, "B T"]
    views: dict[View, ViewPlan]

    @cached_property
    def layout(self) -> Layout:
        """All rows, for the compiled loops."""
        raw, content = self.views["raw"], self.views["content"]
        entries = raw.entries, content.entries
        return self._lay_out(entries)

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

    @cached_property
    def covered_content(self) -> Float[Tensor, "B P T"]:
        """1 where a pattern covers a row that is not a sink, else 0."""
        content = self.views["content"]
        flags = (self.views["raw"].covered & content.counts).transpose(1, 0, 2)
        return torch.from_numpy(flags.astype(np.float32)).to(content.device)


def sinks_of(passage: Passage, visibility: Visibility) -> Bool[np.ndarray, " T"]:
    """The keys that soak up attention: special tokens, and position 0 in causal models."""
    sinks: Bool[np.ndarray, " T"] = passage.is_special.copy()
    if visibility.causal and len(sinks):
        sinks[0] = True
    return sinks


def sampled_rows(passage: Passage) -> Bool[np.ndarray, " T"]:
    """At most `SAMPLED_ROWS` rows of a text, chosen by a hash of its identity; all if it is short.

    The choice depends on nothing but the tokens, so that it is the same in every batch, in every
    order of the texts, and on every machine.
    """
    length = len(passage)
    flags = np.ones(length, bool)
    if length > SAMPLED_ROWS:
        seed = int.from_bytes(content_digest(passage), "big")
        order = np.random.default_rng(seed).permutation(length)
        flags[order[SAMPLED_ROWS:]] = False
    return flags


def content_digest(passage: Passage) -> bytes:
    """16 bytes that depend on the tokens and characters of a text, not on its name."""
    content = "\0".join((passage.text, *passage.tokens))
    return hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def predict(
    patterns: Sequence[Pattern], passages: Sequence[Passage], visibility: Visibility
) -> tuple[tuple[tuple[Rows, ...], ...], Bool[np.ndarray, "P B"]]:
    """Ask every pattern about every passage; a pattern that fails on a text covers none of it.

    Returns:
        The predictions `[pattern][text]`, and which failed, shape `(P, B)`.
    """
    failed = np.zeros((len(patterns), len(passages)), bool)
    for pattern in patterns:
        if isinstance(pattern, SandboxedProgram):
            pattern.prepare(passages)  # one process for all, instead of one a text
    columns: list[list[Rows]] = []
    # Text by text: the patterns share what they evaluate on a passage.
    for b, passage in enumerate(passages):
        column = []
        for p, pattern in enumerate(patterns):
            try:
                rows = _uniform_rows(pattern, passage, visibility)
                rows = pattern.predict(passage, visibility) if rows is None else rows
            except HeadscribeError:
                failed[p, b] = True
                rows = Rows.empty(len(passage))
            if len(rows.key) > DENSE_ENTRIES_A_ROW * len(passage):
                rows = rows.only(sampled_rows(passage))
            column.append(rows)
        columns.append(column)
    return tuple(zip(*columns, strict=True)), failed


def _uniform_rows(pattern: Pattern, passage: Passage, visibility: Visibility) -> Rows | None:
    """The sampled rows of the uniform baseline where it is dense, without its `T * T` entries."""
    length = len(passage)
    if pattern.name != UNIFORM or length <= SAMPLED_ROWS:
        return None
    first, last = visibility.first(length), visibility.last(length)
    if (last - first + 1).sum() <= DENSE_ENTRIES_A_ROW * length:
        return None
    row = np.flatnonzero(sampled_rows(passage))
    size = last[row] - first[row] + 1
    step = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    return Rows.from_cells(np.repeat(row, size), np.repeat(first[row], size) + step, length)


def make_plan(
    patterns: Sequence[Pattern],
    passages: Sequence[Passage],
    visibility: Visibility,
    device: torch.device,
) -> BatchPlan:
    """Predict with every pattern and lay the predictions out for the kernels."""
    predictions, failed = predict(patterns, passages, visibility)
    lengths = np.array([len(passage) for passage in passages])
    width = int(lengths.max())
    shape = (len(passages), width)
    sampled, sinks, real = (np.zeros(shape, bool) for _ in range(3))
    for b, passage in enumerate(passages):
        sampled[b, : lengths[b]] = sampled_rows(passage)
        sinks[b, : lengths[b]] = sinks_of(passage, visibility)
        real[b, : lengths[b]] = True
    slots = _slots(sampled)
    entries = _flatten(predictions, width)
    fixed = np.array(
        [p for p, pattern in enumerate(patterns) if pattern.name in FIXED_BASELINES], np.int64
    )
    views: dict[View, ViewPlan] = {
        "raw": _view_plan("raw", entries, real, slots, fixed, visibility, device),
        "content": _view_plan("content", entries, real & ~sinks, slots, fixed, visibility, device),
    }
    return BatchPlan(
        tuple(passages), visibility, lengths, width, predictions, failed, sampled, sinks, views
    )


def _slots(sampled: Bool[np.ndarray, "B T"]) -> Int[np.ndarray, "B S"]:
    """The sampled queries of each text in order, filled up with -1."""
    number = sampled.sum(axis=1)
    slots = np.full((len(sampled), int(number.max())), -1)
    slots[np.arange(slots.shape[1]) < number[:, None]] = np.nonzero(sampled)[1]
    return slots


def _flatten(predictions: tuple[tuple[Rows, ...], ...], width: int) -> Entries:
    columns: list[list[np.ndarray]] = [[], [], [], [], []]
    for p, line in enumerate(predictions):
        for b, rows in enumerate(line):
            count = len(rows.key)
            for column, values in zip(
                columns,
                (np.full(count, p), np.full(count, b), rows.query, rows.key, rows.weight),
                strict=True,
            ):
                column.append(values)
    pattern, text, query, key, weight = (np.concatenate(column) for column in columns)
    return Entries(len(predictions), pattern, text, query, key, weight.astype(np.float64))


def _view_plan(
    view: View,
    entries: Entries,
    counts: Bool[np.ndarray, "B T"],
    slots: Int[np.ndarray, "B S"],
    fixed: Int[np.ndarray, " K"],
    visibility: Visibility,
    device: torch.device,
) -> ViewPlan:
    batch, width = counts.shape
    shape = (entries.patterns, batch, width)
    kept = entries.where(counts[entries.text, entries.query] & counts[entries.text, entries.key])
    row = np.ravel_multi_index((kept.pattern, kept.text, kept.query), shape)
    covered = np.zeros(entries.patterns * batch * width, bool)
    covered[row] = True
    # A baseline covers every row: where all its keys are sinks it falls back to the query itself.
    spoken = np.zeros_like(covered)
    spoken[np.ravel_multi_index((entries.pattern, entries.text, entries.query), shape)] = True
    is_fixed = np.isin(np.arange(entries.patterns), fixed)[:, None, None]
    lost = np.flatnonzero((spoken & ~covered).reshape(shape) & is_fixed & counts[None])
    key, weight = kept.key, kept.weight
    if len(lost):
        order = np.argsort(np.concatenate([row, lost]), kind="stable")
        row = np.concatenate([row, lost])[order]
        key = np.concatenate([key, lost % width])[order]
        weight = np.concatenate([weight, np.ones(len(lost))])[order]
        covered[lost] = True
    weight = weight / np.bincount(row, weight, minlength=1)[row]
    pattern, text, query = np.unravel_index(row, shape)
    return ViewPlan(
        view,
        counts,
        covered.reshape(shape),
        slots,
        fixed,
        Entries(entries.patterns, pattern, text, query, key, weight),
        np.maximum(_admissible(counts, visibility), 1),
        device,
    )


def _admissible(counts: Bool[np.ndarray, "B T"], visibility: Visibility) -> Int[np.ndarray, "B T"]:
    """Number of keys that count and that each query sees."""
    before = np.concatenate([np.zeros((len(counts), 1), int), counts.cumsum(axis=1)], axis=1)
    width = counts.shape[1]
    number: Int[np.ndarray, "B T"] = (
        before[:, visibility.last(width) + 1] - before[:, visibility.first(width)]
    )
    return number
