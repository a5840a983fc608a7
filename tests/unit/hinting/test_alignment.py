"""What two prompts share, against a comparison of every token with every other."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from headscribe.core.errors import UsageError
from headscribe.hinting.alignment import Tokens, align
from tests.oracles.hints import aligned
from tests.unit.hinting import tiny

TEXTS = ["the hint is an answer", "answer: the tin hat", "an\n\nend", "é ü naïve ☃ 日本"]


@cache
def trained(kind):
    """Tokenizers that merge in different ways, without and with word boundaries."""
    if kind == "unigram":
        made = Tokenizer(models.Unigram())
        trainer = trainers.UnigramTrainer(vocab_size=60, unk_token="?", special_tokens=["?"])
        made.pre_tokenizer = pre_tokenizers.Metaspace()
    else:
        made = Tokenizer(models.BPE(unk_token="?"))
        trainer = trainers.BpeTrainer(
            vocab_size=330, special_tokens=["?"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if kind == "bytes" else [],
        )  # fmt: skip
        if kind == "bytes":
            made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.train_from_iterator(TEXTS * 3, trainer)
    return made


def tokens(tokenizer, text, start, end, opening=0):
    found = tokenizer.encode(text, add_special_tokens=False)
    ids = np.array([1] * opening + found.ids, np.int64)
    spans = np.array([(0, 0)] * opening + found.offsets, np.int64).reshape(-1, 2)
    return Tokens(ids, spans, start, end)


PIECES = st.text("the answrdi:\n. é☃日", max_size=14)


@settings(max_examples=120, deadline=None)
@given(
    kind=st.sampled_from(["bytes", "bpe", "unigram"]), head=PIECES, inserted=PIECES, tail=PIECES,
    opening=st.integers(0, 2),
)  # fmt: skip
def test_shared_tokens_are_those_over_the_same_characters(kind, head, inserted, tail, opening):
    tokenizer, tail = trained(kind), tail + " the end"
    start, end = len(head), len(head) + len(inserted)
    plain = tokens(tokenizer, head + tail, start, start, opening)
    altered = tokens(tokenizer, head + inserted + tail, start, end, opening)
    triples = [
        [(int(i), int(a), int(b)) for i, (a, b) in zip(one.ids, one.spans, strict=True)]
        for one in (plain, altered)
    ]
    expected = aligned(head + tail, head + inserted + tail, start, end, *triples)
    if not expected or expected[-1] != (len(plain) - 1, len(altered) - 1):
        with pytest.raises(UsageError, match="expected prompts that end in the same token"):
            align(plain, altered)
        return
    found = align(plain, altered)
    texts = [(a, b) for a, b in zip(found.first, found.second, strict=True) if a >= opening]
    assert texts == expected
    assert list(zip(found.first[:opening], found.second[:opening], strict=True)) == [
        (n, n) for n in range(opening)
    ]
    assert (np.diff(found.first) > 0).all()
    assert (np.diff(found.second) > 0).all()
    after = plain.spans[found.first, 0] >= start
    after[:opening] = False
    assert found.after == after.sum()
    assert after[len(after) - found.after :].all()


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(["bytes", "bpe", "unigram"]), head=PIECES, inserted=PIECES, tail=PIECES)
def test_the_insertion_is_what_holds_its_characters(kind, head, inserted, tail):
    text, start = head + inserted + tail, len(head)
    made = tokens(trained(kind), text, start, start + len(inserted))
    first, last = made.inserted
    inside = [n for n, (a, b) in enumerate(made.spans) if a < made.end and b > made.start and b > a]
    assert list(range(first, last)) == (list(range(inside[0], inside[-1] + 1)) if inside else [])
    if not inside:
        assert all(b <= start for a, b in made.spans[:first] if b > a)
        assert all(a >= start for a, b in made.spans[first:] if b > a)


def test_more_tokens_behind_both():
    plain = Tokens(np.array([5, 6]), np.array([[0, 1], [1, 2]]), 1, 1)
    altered = Tokens(np.array([5, 9, 6]), np.array([[0, 1], [1, 4], [4, 5]]), 1, 4)
    found = align(plain, altered)
    assert (found.first.tolist(), found.second.tolist(), found.after) == ([0, 1], [0, 2], 1)
    longer = found.extended(2, 3, 2)
    assert longer.first.tolist() == [0, 1, 2, 3]
    assert longer.second.tolist() == [0, 2, 3, 4]
    assert longer.after == 3


def test_prompts_must_end_alike():
    plain = Tokens(np.array([5]), np.array([[0, 2]]), 2, 2)
    altered = Tokens(np.array([5, 9]), np.array([[0, 2], [2, 3]]), 2, 3)
    with pytest.raises(UsageError, match="expected prompts that end in the same token"):
        align(plain, altered)


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("position", ["before", "after"])
def test_prompts_share_all_but_the_insertion(chat, position):
    asked = tiny.prompter(tiny.tokenizer(chat), position=position).ask(tiny.question())
    plain = asked.prompts["none"].tokens
    for condition in ("wrong", "right", "note"):
        found, altered = asked.shared[condition], asked.prompts[condition].tokens
        first, last = altered.inserted
        assert found.first.tolist() == list(range(len(plain)))
        left = [n for n in range(len(altered)) if not first <= n < last]
        assert found.second.tolist() == left
        assert plain.ids[found.first].tolist() == altered.ids[found.second].tolist()
        assert found.after == sum(n >= last for n in left)
