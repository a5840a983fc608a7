"""Relation accuracy by loops over words, straight from its definition."""

import numpy as np

from headscribe.text.passages import Passage


def merged(passage: Passage, attention: np.ndarray) -> np.ndarray:
    """Attention from word to word: summed over the key's subwords, mean over the query's."""
    words = len(passage.words)
    result = np.zeros((words, words))
    for i in range(words):
        for j in range(words):
            rows = [
                sum(float(attention[q, k]) for k in range(len(passage)) if passage.word[k] == j)
                for q in range(len(passage))
                if passage.word[q] == i
            ]
            result[i, j] = float(np.mean(rows)) if rows else 0.0
    return result


def instances(
    passage: Passage, attention: np.ndarray, causal: bool
) -> list[tuple[str, str, bool, dict[int, bool]]]:
    """Relation, direction, whether the head is right, and whether each offset is."""
    score = merged(passage, attention)
    alive = [bool((passage.word == w).any()) for w in range(len(passage.words))]
    dep, head = passage.words.dep, passage.words.head
    assert dep is not None
    assert head is not None
    found = []
    for relation in sorted(set(dep) - {"root", "punct"}):
        for direction in ("to_head", "to_dependent"):
            for query in range(len(dep)):
                may = [
                    w for w in range(len(dep))
                    if alive[w] and alive[query] and w != query and (w < query or not causal)
                ]  # fmt: skip
                if direction == "to_head":
                    right = {int(head[query])} if dep[query] == relation else set()
                else:
                    right = {d for d in range(len(dep)) if head[d] == query and dep[d] == relation}
                right &= set(may)
                if not right:
                    continue
                best = max(may, key=lambda w: (score[query, w], -w))
                offsets = {k: query + k in right for k in range(-5, 6) if k}
                found.append((relation, direction, best in right, offsets))
    return found
