"""Grouping texts into batches."""

import logging
from collections.abc import Callable, Sequence, Sized
from typing import TypeVar

import torch

from headscribe.core.errors import RunError

T = TypeVar("T")
R = TypeVar("R")

_LOG = logging.getLogger("headscribe")


class OutOfMemoryError(RunError):
    """A batch does not fit into memory; a smaller one may."""


def batches(passages: Sequence[Sized], token_budget: int) -> list[tuple[int, ...]]:
    """Group texts of similar length, longest first, so that no batch exceeds a budget.

    A batch of `n` texts, the longest of `T` tokens, costs `n * T` tokens; a single text may
    exceed the budget. The grouping depends on the lengths and their order alone.

    Returns:
        The indices of each batch's passages.
    """
    order = sorted(range(len(passages)), key=lambda index: (-len(passages[index]), index))
    found: list[list[int]] = []
    for index in order:
        if found and (len(found[-1]) + 1) * len(passages[found[-1][0]]) <= token_budget:
            found[-1].append(index)
        else:
            found.append([index])
    return [tuple(batch) for batch in found]


def in_halves(batch: Sequence[T], read: Callable[[Sequence[T]], Sequence[R]]) -> list[R]:
    """What `read` gives for a batch; where that does not fit into memory, for either half of it.

    Raises:
        OutOfMemoryError: an item does not fit by itself.
    """
    try:
        return list(read(batch))
    except (torch.OutOfMemoryError, OutOfMemoryError) as error:
        if len(batch) == 1:
            raise
        middle = len(batch) // 2
        _LOG.warning("%s; going on with %d and %d", error, middle, len(batch) - middle)
    return [*in_halves(batch[:middle], read), *in_halves(batch[middle:], read)]
