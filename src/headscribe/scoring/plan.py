"""What a batch of passages asks of every head: the support of every pattern, as flat indices.

A plan is made once a batch and used in every layer. All patterns' entries stand in one list sorted
by (pattern, text, query).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscribe.core.errors import HeadscribeError
from headscribe.core.metrics import View
from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.patterns.contract import Pattern
from headscribe.text.passages import Passage

SAMPLED_ROWS = 64
"""Rows a text on which dense patterns and baselines are scored, chosen by hash."""

FIXED_BASELINES = ("uniform", "first_token", "last_token", "self", "previous", "next")
"""Names of the fixed baselines in the catalogue; each covers every row."""

DENSE_ENTRIES_A_ROW = 32
"""A pattern with more entries a row than this is dense: scored on sampled rows only."""


@dataclass(frozen=True)
class ViewPlan:
    """The entries of all patterns for one view of one batch.

    Attributes:
        cell: flat index `(b * T + query) * T + key` of each entry.
        query: flat index `b * T + query` of each entry.
        row: flat index `(pattern * B + b) * T + query` of each entry.
        weight: predicted attention of each entry; those of a row sum to 1.
        weight_plogp: `weight * log2(weight)`.
        covered: the rows that a pattern covers, shape `(P, B, T)`.
        chance: mass on the support under uniform attention, `|S| / admissible keys`, `(P, B, T)`.
        key_counts: the keys that count in this view, shape `(B, T)`; false for padding and, in
            the content view, sinks.
    """

    view: View
    cell: Int[Tensor, " N"]
    query: Int[Tensor, " N"]
    row: Int[Tensor, " N"]
    weight: Float[Tensor, " N"]
    weight_plogp: Float[Tensor, " N"]
    covered: Bool[Tensor, "P B T"]
    chance: Float[Tensor, "P B T"]
    key_counts: Bool[Tensor, "B T"]


@dataclass(frozen=True)
class BatchPlan:
    """A batch of passages and what is predicted of them.

    Attributes:
        lengths: real tokens of each text, shape `(B,)`; `width` is the padded length `T`.
        sampled: rows on which dense baselines are compared, shape `(B, T)`.
        failed: which pattern failed on which text, shape `(P, B)`.
        views: the entries, by view.
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
    table: list[tuple[Rows, ...]] = []
    for p, pattern in enumerate(patterns):
        line = []
        for b, passage in enumerate(passages):
            try:
                rows = pattern.predict(passage, visibility)
            except HeadscribeError:
                failed[p, b] = True
                rows = Rows.empty(len(passage))
            if len(rows.key) > DENSE_ENTRIES_A_ROW * len(passage):
                rows = rows.only(sampled_rows(passage))
            line.append(rows)
        table.append(tuple(line))
    return tuple(table), failed


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
    entries = _flatten(predictions, width)
    fixed = np.array([pattern.name in FIXED_BASELINES for pattern in patterns])
    views: dict[View, ViewPlan] = {
        "raw": _view_plan("raw", entries, real, fixed, visibility, device),
        "content": _view_plan("content", entries, real & ~sinks, fixed, visibility, device),
    }
    return BatchPlan(
        tuple(passages), visibility, lengths, width, predictions, failed, sampled, sinks, views
    )


@dataclass(frozen=True)
class _Entries:
    """All entries of a batch, in order of (pattern, text, query, key)."""

    patterns: int
    pattern: Int[np.ndarray, " N"]
    text: Int[np.ndarray, " N"]
    query: Int[np.ndarray, " N"]
    key: Int[np.ndarray, " N"]
    weight: Float[np.ndarray, " N"]


def _flatten(predictions: tuple[tuple[Rows, ...], ...], width: int) -> _Entries:
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
    return _Entries(len(predictions), pattern, text, query, key, weight.astype(np.float64))


def _view_plan(
    view: View,
    entries: _Entries,
    counts: Bool[np.ndarray, "B T"],
    fixed: Bool[np.ndarray, " P"],
    visibility: Visibility,
    device: torch.device,
) -> ViewPlan:
    batch, width = counts.shape
    shape = (entries.patterns, batch, width)
    keep = counts[entries.text, entries.query] & counts[entries.text, entries.key]
    pattern, text, query, key, weight = (
        column[keep]
        for column in (entries.pattern, entries.text, entries.query, entries.key, entries.weight)
    )
    row = np.ravel_multi_index((pattern, text, query), shape)
    covered = np.zeros(entries.patterns * batch * width, bool)
    covered[row] = True
    # A baseline covers every row: where all its keys are sinks it falls back to the query itself.
    spoken = np.zeros_like(covered)
    spoken[np.ravel_multi_index((entries.pattern, entries.text, entries.query), shape)] = True
    lost = np.flatnonzero((spoken & ~covered).reshape(shape) & fixed[:, None, None] & counts[None])
    if len(lost):
        order = np.argsort(np.concatenate([row, lost]), kind="stable")
        row = np.concatenate([row, lost])[order]
        _, text, query = np.unravel_index(row, shape)
        key = np.concatenate([key, lost % width])[order]
        weight = np.concatenate([weight, np.ones(len(lost))])[order]
        covered[lost] = True
    total = np.bincount(row, weight, minlength=len(covered))
    size = np.bincount(row, minlength=len(covered))
    weight = weight / total[row]
    admissible = _admissible(counts, visibility)
    chance = size.reshape(shape) / np.maximum(admissible, 1)
    return ViewPlan(
        view,
        torch.from_numpy((text * width + query) * width + key).to(device),
        torch.from_numpy(text * width + query).to(device),
        torch.from_numpy(row).to(device),
        torch.from_numpy(weight.astype(np.float32)).to(device),
        torch.from_numpy((weight * np.log2(weight)).astype(np.float32)).to(device),
        torch.from_numpy(covered.reshape(shape)).to(device),
        torch.from_numpy(chance).to(device),
        torch.from_numpy(counts).to(device),
    )


def _admissible(counts: Bool[np.ndarray, "B T"], visibility: Visibility) -> Int[np.ndarray, "B T"]:
    """Number of keys that count and that each query sees."""
    before = np.concatenate([np.zeros((len(counts), 1), int), counts.cumsum(axis=1)], axis=1)
    width = counts.shape[1]
    number: Int[np.ndarray, "B T"] = (
        before[:, visibility.last(width) + 1] - before[:, visibility.first(width)]
    )
    return number
