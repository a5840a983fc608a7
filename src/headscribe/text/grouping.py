"""What may not be split apart, where a corpus says too little of it.

Splits, folds and intervals go by groups: documents, stories. A treebank without `# newdoc`, or one
book cut into texts, is a single group, and a single group has no folds and no interval. Then blocks
of neighbouring texts take the place of documents, which is said: neighbours are less independent
than documents, so that intervals come out a little narrow.
"""

from collections import Counter
from collections.abc import Sequence

FOLDS = 5
"""Groups that splits and folds need at least."""

ENOUGH = 10
"""Groups below which intervals are wide, which is said."""

BLOCK = 10
"""Most texts of a block."""

BLOCKS = 40
"""So many blocks are wanted before a block gets a second text."""


def blocks_of(groups: Sequence[str], texts: Sequence[str]) -> tuple[list[str], str | None]:
    """The groups to go by, and what is to be said of them.

    Args:
        groups: the group of each text, in the order of the corpus.
        texts: their characters; equal texts stay together.

    Returns:
        `groups` as they are where there are `FOLDS` of them, or too few texts to make more;
        else blocks of up to `BLOCK` neighbouring texts that do not straddle a group.

    >>> blocks_of(["book"] * 6, ["one", "two", "three", "four", "five", "one"])[0][4:]
    ['book, block 5', 'book, block 1']
    >>> blocks_of(["a", "b"], ["one", "two"])[0]
    ['a', 'b']
    """
    distinct = len(set(groups))
    if distinct >= FOLDS or len(set(texts)) < max(FOLDS, 2 * distinct):
        return list(groups), _few(distinct)
    size = min(BLOCK, max(1, len(groups) // BLOCKS))
    seen: Counter[str] = Counter()
    first: dict[str, str] = {}
    found = []
    for group, text in zip(groups, texts, strict=True):
        own = f"{group}, block {seen[group] // size + 1}"
        if text not in first:
            seen[group] += 1
            first[text] = own
        found.append(first[text])
    many = "one document" if distinct == 1 else f"{distinct} documents"
    unit = "single texts" if size == 1 else f"blocks of {size} neighbouring texts"
    note = (
        f"the corpus is {many}: splits and intervals go by {unit}, which are less independent "
        "than documents"
    )
    few = _few(len(set(found)))
    return found, note if few is None else f"{note}; {few}"


def _few(groups: int) -> str | None:
    if groups == 1:
        return (
            "one text alone gives no gain and no interval: more texts would help (a blank line "
            "between its parts makes them texts of their own in a .txt file)"
        )
    if groups < ENOUGH:
        return f"{groups} texts are few: intervals are wide, and {ENOUGH} or more would help"
    return None
