"""What every pattern says of passages, and which rows and keys count for what."""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from headscribe.core.errors import HeadscribeError, UsageError
from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.patterns.contract import Pattern
from headscribe.patterns.registry import group_of
from headscribe.sandbox import SandboxedProgram
from headscribe.scoring.compiled.sums import BASELINES
from headscribe.text.passages import Passage

MOST_BASELINES = BASELINES - 1
"""So many fixed baselines have room beside the profile in the compiled sums."""

SAMPLED_ROWS = 64
"""Rows a text on which dense patterns and baselines are scored, chosen by hash."""

UNIFORM = "uniform"
"""The fixed baseline that knows nothing."""

DENSE_ENTRIES_A_ROW = 32
"""A pattern with more entries a row of a text than this is dense there: scored on the sampled rows
only, which the column `scored` of a survey's scores tells."""


def fixed_baselines(patterns: Sequence[Pattern]) -> Int[np.ndarray, " K"]:
    """Which patterns are fixed baselines: those of the group `baseline`, each covering every row.

    Raises:
        UsageError: there are more than a survey has room for.
    """
    places = [p for p, pattern in enumerate(patterns) if group_of(pattern) == "baseline"]
    if len(places) > MOST_BASELINES:
        raise UsageError(
            f"expected at most {MOST_BASELINES} patterns of the group baseline, got {len(places)}"
        )
    return np.array(places, np.int64)


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
) -> tuple[tuple[tuple[Rows, ...], ...], Bool[np.ndarray, "P B"], Int[np.ndarray, "P B"]]:
    """Ask every pattern about every passage; a pattern that fails on a text covers none of it.

    Returns:
        The predictions `[pattern][text]`, of dense patterns on the sampled rows of longer texts
        only; which failed, shape `(P, B)`; and how many rows each pattern covers, `(P, B)`.
    """
    failed = np.zeros((len(patterns), len(passages)), bool)
    said = np.zeros((len(patterns), len(passages)), np.int64)
    for pattern in patterns:
        if isinstance(pattern, SandboxedProgram):
            pattern.prepare(passages)  # remembered for every layer that asks
    columns: list[list[Rows]] = []
    # Text by text: the patterns share what they evaluate on a passage.
    for b, passage in enumerate(passages):
        column = []
        for p, pattern in enumerate(patterns):
            try:
                uniform = _uniform_rows(pattern, passage, visibility)
                rows = pattern.predict(passage, visibility) if uniform is None else uniform
            except HeadscribeError:
                failed[p, b] = True
                uniform, rows = None, Rows.empty(len(passage))
            said[p, b] = rows.covered.sum() if uniform is None else len(passage)
            if len(rows.key) > DENSE_ENTRIES_A_ROW * len(passage):
                rows = rows.only(sampled_rows(passage))
            column.append(rows)
        columns.append(column)
    return tuple(zip(*columns, strict=True)), failed, said


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
