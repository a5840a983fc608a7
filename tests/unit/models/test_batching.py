"""Batches by token budget."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.models.batching import batches


@given(lengths=st.lists(st.integers(1, 40), max_size=30), budget=st.integers(1, 120))
@settings(max_examples=50, deadline=None)
def test_batches_cover_every_text_once_within_the_budget(lengths, budget):
    texts = [range(length) for length in lengths]
    found = batches(texts, budget)
    assert sorted(index for batch in found for index in batch) == list(range(len(lengths)))
    order = [index for batch in found for index in batch]
    assert order == sorted(order, key=lambda index: (-lengths[index], index))
    for batch in found:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
    for one, following in pairwise(found):
        assert (len(one) + 1) * lengths[one[0]] > budget
        assert lengths[one[-1]] >= lengths[following[0]]
