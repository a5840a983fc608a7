"""Relation accuracy against loops, and on a tree that a head follows by construction."""

from collections import Counter

import numpy as np
import pytest
import torch

from headscribe.models.calls import AttentionCall
from headscribe.scoring.relation_accuracy import OFFSETS, RelationObserver, RelationSums
from headscribe.text.passages import Encoding, Passage, Ragged, Words
from tests.oracles.relation_accuracy import instances


def parsed(name: str, seed: int) -> Passage:
    """Random words of one to three subwords between special tokens, with a random tree."""
    rng = np.random.default_rng(seed)
    number = int(rng.integers(3, 8))
    word_of = np.repeat(np.arange(number), rng.integers(1, 4, number))
    lists = [[], *([int(w)] for w in word_of), []]
    head = np.array([-1, *(int(rng.integers(0, i)) for i in range(1, number))])
    dep = ("root", *(str(rng.choice(["det", "obj", "punct", "obj:x"])) for _ in range(1, number)))
    order = rng.permutation(number)
    head = np.array([-1 if h < 0 else order[h] for h in head])[np.argsort(order)]
    dep = tuple(np.array(dep)[np.argsort(order)])
    words = Words(tuple("w" * number), np.zeros((number, 2), int), dep=dep, head=head)
    special = np.array([not touched for touched in lists])
    length = len(lists)
    encoding = Encoding(("t",) * length, np.arange(length), np.zeros((length, 2), int), special)
    return Passage(name, name, "", encoding, words, Ragged.from_lists(lists))


@pytest.mark.parametrize("causal", [False, True])
def test_hits_equal_the_oracle(causal: bool) -> None:
    texts = [parsed(f"text{i}", i) for i in range(8)]
    buckets = np.arange(8) * 3
    width = max(map(len, texts))
    rng = np.random.default_rng(1)
    attention = rng.random((2, 8, 3, width, width)).astype(np.float32)
    sums = RelationSums(6)
    observer = RelationObserver(sums, texts, buckets, causal=causal)
    for layer in range(2):
        weights = torch.from_numpy(attention[layer])
        lengths = torch.tensor([len(text) for text in texts])
        observer.observe(AttentionCall(layer, lengths, tuple(texts), weights.float, None))
    assert not sums.instances, "nothing is added before the batch is through"
    observer.commit()
    count, hits, offsets = Counter(), Counter(), Counter()
    for b, text in enumerate(texts):
        for n in range(6):
            real = attention[n // 3, b, n % 3, : len(text), : len(text)]
            for relation, direction, hit, by_offset in instances(text, real, causal):
                count[relation, direction, buckets[b]] += n == 0
                hits[relation, direction, buckets[b], n] += hit
                for k, right in by_offset.items():
                    offsets[relation, direction, buckets[b], k] += right and n == 0
    for line in sums.table(3).to_pylist():
        assert all(-1 <= (line[f"gain_{end}"] or 0) <= 1 for end in ("low", "high"))
        assert all(0 <= (line[f"accuracy_{end}"] or 0) <= 1 for end in ("low", "high"))
    keys = {(relation, direction) for relation, direction, _ in count}
    assert set(sums.instances) == keys
    assert len(keys) > 3
    for relation, direction in keys:
        total, heads, fixed = sums.at((relation, direction))
        for bucket in buckets:
            assert total[bucket] == count[relation, direction, bucket]
            for n in range(6):
                assert heads[bucket, n] == hits[relation, direction, bucket, n]
            for place, k in enumerate(OFFSETS):
                assert fixed[bucket, place] == offsets[relation, direction, bucket, k]
    again = RelationSums.from_arrays(sums.arrays(), 6)
    assert again.table(3).equals(sums.table(3))
    again.add(sums)
    assert again.instances["det", "to_head"].sum() == 2 * sums.instances["det", "to_head"].sum()


def test_head_and_offset_are_chosen_on_the_other_half() -> None:
    sums = RelationSums(4)
    instances_, heads, offsets = sums.at(("obj", "to_head"))
    instances_[:4] = 10
    heads[[0, 2], 1], heads[[1, 3], 2] = 9, 8  # each half has its own best head
    heads[[1, 3], 1] = 3
    heads[[0, 2], 2] = 4
    offsets[:4, OFFSETS.index(-1)] = 5
    rows = {row["half"]: row for row in sums.table(2).to_pylist()}
    assert (rows[0]["layer"], rows[0]["head"], rows[0]["accuracy"]) == (1, 0, 0.4)
    assert (rows[1]["layer"], rows[1]["head"], rows[1]["accuracy"]) == (0, 1, 0.3)
    assert rows[0]["offset"] == -1
    assert rows[0]["gain"] == pytest.approx(-0.1)
    assert rows[0]["instances"] == 20
