"""Which tokens two prompts share that differ by one insertion: by ids and character spans.

A token outside the insertion is shared if the other prompt has a token of the same id over the same
characters. Where a tokenizer merges across the insertion's edge, the tokens there are set aside.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from headscribe.core.errors import UsageError


@dataclass(frozen=True, eq=False)
class Tokens:
    """A tokenised prompt with the place of its insertion.

    Attributes:
        ids: vocabulary ids, shape `(T,)`.
        spans: character spans, shape `(T, 2)`; `(0, 0)` for tokens that the tokenizer opens with.
        start: the character where the insertion begins, or would.
        end: the character where it ends; `start` without one.
    """

    ids: Int[np.ndarray, " T"]
    spans: Int[np.ndarray, "T 2"]
    start: int
    end: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def inserted(self) -> tuple[int, int]:
        """The tokens that hold characters of the insertion, `[first, last)`; equal for none."""
        begin, stop = self.spans[:, 0], self.spans[:, 1]
        touched = np.flatnonzero((begin < self.end) & (stop > self.start) & (stop > begin))
        if len(touched):
            return int(touched[0]), int(touched[-1]) + 1
        before = (stop <= self.start) & (begin < self.start)
        at = self.opening + int(before[self.opening :].sum())
        return at, at

    @property
    def opening(self) -> int:
        """How many tokens without characters the tokenizer opens the prompt with."""
        some = np.flatnonzero(self.spans[:, 1] > 0)
        return int(some[0]) if len(some) else len(self)


@dataclass(frozen=True, eq=False)
class Alignment:
    """The shared tokens of two sequences, ascending in both.

    Attributes:
        first: their positions in one, shape `(n,)`.
        second: their positions in the other, shape `(n,)`.
        after: how many of them, the last ones, stand after the insertion.
    """

    first: Int[np.ndarray, " n"]
    second: Int[np.ndarray, " n"]
    after: int

    def extended(self, first: int, second: int, count: int) -> "Alignment":
        """The alignment with `count` more tokens behind both of `first` and `second` tokens."""
        more = np.arange(count)
        return Alignment(
            np.concatenate([self.first, first + more]),
            np.concatenate([self.second, second + more]),
            self.after + count,
        )


def align(plain: Tokens, altered: Tokens) -> Alignment:
    """The tokens that a prompt without insertion shares with one that has it.

    Raises:
        UsageError: the prompts do not end in the same token, so that their answers are not
            predicted from the same place.
    """
    known = {key: at for at, key in enumerate(_keys(altered, altered.end - altered.start))
             if key is not None}  # fmt: skip
    pairs = [
        (at, known[key], key[0])
        for at, key in enumerate(_keys(plain, 0))
        if key is not None and key in known
    ]
    if not pairs or pairs[-1][:2] != (len(plain) - 1, len(altered) - 1):
        raise UsageError(
            "expected prompts that end in the same token, got an insertion that the tokenizer "
            "merges with the end; a template whose `separator` is a line end works"
        )
    table = np.array(pairs, np.int64)
    return Alignment(table[:, 0], table[:, 1], int((table[:, 2] == _AFTER).sum()))


_OPENING, _BEFORE, _AFTER = range(3)


def _keys(tokens: Tokens, shift: int) -> list[tuple[int, ...] | None]:
    """What a token must have in common to be shared; None: it may not be shared.

    Its place (opening, before, after), its characters as counted without the insertion, its id,
    and, for the pieces of one character, which of them it is.
    """
    keys: list[tuple[int, ...] | None] = []
    seen: dict[tuple[int, ...], int] = {}
    opening = tokens.opening
    spans: Sequence[Sequence[int]] = tokens.spans.tolist()
    for at, (one, (begin, stop)) in enumerate(zip(tokens.ids.tolist(), spans, strict=True)):
        if at < opening:
            key = (_OPENING, at, at, one)
        elif stop <= tokens.start and begin < tokens.start:
            key = (_BEFORE, begin, stop, one)
        elif begin >= tokens.end and stop > begin:
            key = (_AFTER, begin - shift, stop - shift, one)
        else:
            keys.append(None)
            continue
        seen[key] = seen.get(key, 0) + 1
        keys.append((*key, seen[key]))
    return keys
