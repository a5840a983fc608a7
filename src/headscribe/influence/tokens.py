"""Kinds of token, told by their characters alone."""

import numpy as np
from jaxtyping import Bool, Int

from headscribe.text.passages import Passage

KINDS = (
    "a line break", "a blank", "punctuation", "a number", "a capitalised word", "a word",
    "a piece within a word", "a token without characters",
)  # fmt: skip
"""Every token is one of these."""

ENDS = ".!?。！？"

FLAGS = ("repeated", "new", "sentence end", "capitalised word", "number", "punctuation", "piece")
"""What a token may be where a loss is counted; several of them at once."""


def kinds_read(passage: Passage) -> Int[np.ndarray, " T"]:
    """The place of every token's kind in `KINDS`."""
    found = np.empty(len(passage), np.int64)
    text = passage.text
    for at, (start, end) in enumerate(passage.spans.tolist()):
        whole = text[start:end]
        bare = whole.strip()
        if passage.is_special[at] or end <= start:
            kind = 7
        elif not bare:
            kind = 0 if "\n" in whole else 1
        elif not any(one.isalnum() for one in bare):
            kind = 2
        elif bare[0].isdigit():
            kind = 3
        elif start and not whole[0].isspace() and text[start - 1].isalnum():
            kind = 6
        else:
            kind = 4 if bare[0].isupper() else 5
        found[at] = kind
    return found


def flags_of(passage: Passage) -> Bool[np.ndarray, "F T"]:
    """Which of `FLAGS` every token is."""
    kind, ids = kinds_read(passage), np.asarray(passage.ids)
    first = np.zeros(len(ids), bool)
    first[np.unique(ids, return_index=True)[1]] = True
    ends = [bool(passage.text[a:b].strip("\"'”’) ")[-1:] in set(ENDS)) for a, b in passage.spans]
    return np.array([~first, first, ends, kind == 4, kind == 3, kind == 2, kind == 6])
