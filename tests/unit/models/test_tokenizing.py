"""Tokens, spans and cuts."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from headscribe.core.errors import UsageError
from headscribe.models.loading import load
from headscribe.models.stated import position_limit
from headscribe.models.tokenizing import encode
from tests.integration.families import build
from tests.unit.models.tokenizers import WORDS, word_tokenizer


def test_tokens_spans_and_special_tokens():
    (encoding,) = encode(word_tokenizer(), ["the cats sat."], None)
    assert encoding.tokens == ("[CLS]", "the", "cat", "##s", "sat", ".", "[SEP]")
    assert encoding.ids.tolist() == [1, 4, 5, 10, 6, 9, 2]
    assert encoding.is_special.tolist() == [True, *[False] * 5, True]
    assert encoding.spans.tolist() == [[0, 0], [0, 3], [4, 7], [7, 8], [9, 12], [12, 13], [0, 0]]
    assert encoding.cut == 0


def test_without_special_tokens_an_empty_text_has_no_token():
    empty, some = encode(word_tokenizer(special=False), ["", "cat"], None)
    assert len(empty) == 0
    assert empty.spans.shape == (0, 2)
    assert some.tokens == ("cat",)
    assert encode(word_tokenizer(), [], 5) == []


def byte_tokenizer():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return PreTrainedTokenizerFast(tokenizer_object=inner)


def test_a_character_that_is_cut_in_two_is_not_shown():
    text = "a\N{GRINNING FACE}b日"
    (whole,) = encode(byte_tokenizer(), [text], None)
    assert [text[a:b] for a, b in whole.spans[:6]] == ["a", *["\N{GRINNING FACE}"] * 4, "b"]
    for limit in range(1, len(whole)):
        (cut,) = encode(byte_tokenizer(), [text], limit)
        np.testing.assert_array_equal(cut.read_spans, whole.read_spans[:limit])
        assert cut.spans[:, 1].max() <= whole.read_spans[:limit].max()


@given(
    words=st.lists(st.sampled_from(WORDS[4:10]), max_size=12),
    limit=st.integers(3, 10),
    special=st.booleans(),
)
@settings(max_examples=30, deadline=None)
def test_cutting_keeps_the_beginning_and_the_special_tokens(words, limit, special):
    tokenizer = word_tokenizer(special)
    text = " ".join(words)
    (whole,), (cut,) = encode(tokenizer, [text], None), encode(tokenizer, [text], limit)
    assert len(cut) == min(len(whole), limit)
    assert cut.cut == len(whole) - len(cut)
    inner = len(cut) - special
    np.testing.assert_array_equal(cut.ids[:inner], whole.ids[:inner])
    np.testing.assert_array_equal(cut.spans[:inner], whole.spans[:inner])
    if special:
        assert cut.tokens[-1] == "[SEP]"
        assert cut.is_special[-1]


def test_a_limit_needs_room():
    with pytest.raises(UsageError, match="above the tokenizer's 2 special tokens, got 2"):
        encode(word_tokenizer(), ["cat"], 2)


@pytest.mark.parametrize(
    "family,limit", [("bert", 64), ("gpt2", 64), ("roberta", 63), ("opt", 64), ("t5", None)]
)
def test_the_models_limit(family, limit):
    assert position_limit(build(family)) == limit


def test_the_tokenizers_limit():
    model = load((build("bert"), word_tokenizer(model_max_length=17)))
    assert model.max_tokens == 17


@pytest.mark.parametrize("padding_side", ["left", "right"])
@pytest.mark.parametrize("truncation_side", ["left", "right"])
def test_the_beginning_is_kept_whatever_side_the_tokenizer_cuts(truncation_side, padding_side):
    tokenizer = word_tokenizer()
    tokenizer.truncation_side, tokenizer.padding_side = truncation_side, padding_side
    (cut,) = encode(tokenizer, ["the cat sat."], 4)
    assert cut.tokens == ("[CLS]", "the", "cat", "[SEP]")
    assert (tokenizer.truncation_side, tokenizer.padding_side) == (truncation_side, padding_side)
