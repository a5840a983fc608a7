"""What the queries of a layer can see, read from its mask: beyond the few tokens of a probe.

transformers builds masks from rules, functions of (text, head, query, key), and these can be asked
about positions that no probe reaches. Where a layer's mask follows no rule, its attention on a
longer text says what it sees.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from headscribe.core.arrays import PairFlags
from headscribe.core.visibility import Visibility

Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Whether a key is visible, from the indices of text, head, query and key, which broadcast."""

FAR = 1 << 17
"""How far a rule is followed where the model states no limit."""


SHORTEST = 3
"""No layer sees chunks of fewer tokens than this."""


@dataclass(frozen=True)
class Seen:
    """What a layer sees.

    Attributes:
        visibility: the keys that its queries see.
        limit: that holds in texts of up to so many tokens; None: in all.
    """

    visibility: Visibility
    limit: int | None = None


def seen_by_rule(rule: Rule, length: int | None, device: torch.device) -> Seen | None:
    """What a mask's rule lets a layer see in texts of up to `length` tokens; asked on `device`.

    Returns:
        None where the rule cannot be asked about positions beyond the text that it was made for.
    """
    length = FAR if length is None else min(length, FAR)
    try:
        return _seen(lambda query: _visible(rule, query, length, device), length)
    except (IndexError, RuntimeError, TypeError, ValueError):
        return None  # the rule looks the positions up in tables of the probe's length


def seen_in(visible: PairFlags) -> Seen:
    """What a layer sees whose attention on one text is positive where `visible` says."""
    return _seen(lambda query: np.asarray(visible[query]), len(visible))


def _seen(row: Callable[[int], Bool[np.ndarray, " T"]], length: int) -> Seen:
    """Guess from the last and the middle query, then find out how far the guess holds."""
    middle, last = np.flatnonzero(row(length // 2)), np.flatnonzero(row(length - 1))
    causal = bool(middle.size and middle[-1] == length // 2) and length > 1
    window = int(length - last[0]) if last.size and last[0] > 0 else None
    guess = Visibility(causal, window)
    if _holds(row, guess, length):
        return Seen(guess)
    # Chunks, blocks: what short texts see is still all keys, or all up to the query.
    plain = Visibility(bool(np.flatnonzero(row(0)).max(initial=0) == 0))
    low, high = 1, length
    while high - low > 1:
        middle_length = (low + high) // 2
        if _holds(row, plain, middle_length):
            low = middle_length
        else:
            high = middle_length
    if low < SHORTEST:  # no chunks: weights that are too small to be told from 0
        later = any(np.flatnonzero(row(query)).max(initial=0) > query for query in range(length))
        return Seen(Visibility(not later))
    return Seen(plain, low)


def _holds(row: Callable[[int], Bool[np.ndarray, " T"]], guess: Visibility, within: int) -> bool:
    """Whether the first `within` tokens see each other as guessed; asked of up to 40 queries."""
    queries = {*range(min(within, 8)), *np.linspace(0, within - 1, 32).astype(int).tolist()}
    first, last = guess.first(within), guess.last(within)
    keys = np.arange(within)
    return all(
        np.array_equal(row(query)[:within], (keys >= first[query]) & (keys <= last[query]))
        for query in sorted(queries, reverse=True)
    )


def _visible(rule: Rule, query: int, length: int, device: torch.device) -> Bool[np.ndarray, " T"]:
    zero = torch.zeros((), dtype=torch.long, device=device)
    keys = torch.arange(length, device=device)
    answer = torch.as_tensor(rule(zero, zero, torch.full_like(keys, query), keys))
    return np.asarray(answer.expand(length).cpu().numpy(), bool)
