"""Grouping texts into batches."""

from collections.abc import Sequence, Sized


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
