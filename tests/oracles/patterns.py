"""The classic patterns as loops, straight from their description; and rows from any matrix."""

import numpy as np
from numpy.typing import NDArray

from headscribe.core.visibility import Visibility
from headscribe.text.passages import Passage

from .relations import matrix as relation_matrix

Matrix = NDArray[np.float64]


def predict(source: str, passage: Passage, visibility: Visibility) -> Matrix:
    """What a relation predicts: each row of its matrix over the row's sum."""
    result = relation_matrix(source, passage, visibility)
    for row in result:
        if row.sum() > 0:
            row /= row.sum()
    return result


def classic(name: str, passage: Passage, visibility: Visibility) -> Matrix:
    """One classic pattern, one row at a time, with its fall-back."""
    length = len(passage)
    seen = visibility.dense(length)
    result = np.zeros((length, length))
    for i in range(length):
        visible = [j for j in range(length) if seen[i, j]]
        keys = [j for j in visible if _relates(name, passage, i, j)]
        if not keys:
            to_self = name in {"punctuation", "previous_punctuation", "part_of_speech"}
            to_self = to_self or (name == "dependency" and not passage.is_special[i])
            keys = [i] if to_self else [min(visible)]
        for j in keys:
            result[i, j] = 1 / len(keys)
    return result


def _relates(name: str, passage: Passage, i: int, j: int) -> bool:
    special = bool(passage.is_special[i])
    words, query, key = passage.words, int(passage.word[i]), int(passage.word[j])
    if name == "next_token":
        return j == i + 1 and not special
    if name == "previous_token":
        return j == i - 1 and not special
    if name == "same_token":
        return j == i and not special
    if name == "repetition":
        return bool(passage.ids[i] == passage.ids[j]) and not special
    if name in {"punctuation", "previous_punctuation"}:
        start, end = passage.spans[j]
        text = passage.text[start:end]
        mark = text != "" and all(not sign.isalnum() for sign in text)
        return mark and (j > i if name == "punctuation" else j < i)
    if query < 0 or key < 0:
        return False
    if name == "part_of_speech":
        assert words.upos is not None
        return words.upos[query] == words.upos[key] and i != j
    assert words.head is not None
    return bool(words.head[query] == key or words.head[key] == query)
