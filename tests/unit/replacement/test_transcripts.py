"""Passages of ids: the text as the tokenizer read it, and beginnings that stay."""

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from headscribe.core.errors import UsageError
from headscribe.models.loading import load
from headscribe.models.tokenizing import special_ids
from headscribe.replacement.transcripts import Transcript
from headscribe.text.prefixes import prefix
from tests.unit.hinting.tiny import chat_tokenizer
from tests.unit.replacement.tiny import passages, tiny

STORY = 'Once upon a time, there was a girl named Lily. She said, "I can\'t fly!"\nThe end.'


def _same(one, other):
    assert one.text == other.text
    assert one.tokens == other.tokens
    for name in ("ids", "is_special", "word"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.words.form == other.words.form


def test_equals_the_tokenizers_own_spans(stories):
    model = load(stories)
    (read,) = passages(model, (STORY,))
    made = Transcript(model.tokenizer, "made").passage(read.ids)
    _same(made, read)
    for ours, theirs in zip(made.spans.tolist(), read.spans.tolist(), strict=True):
        assert made.text[slice(*ours)].strip() == read.text[slice(*theirs)].strip()


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_equals_the_passage_of_whole_words(family):
    model = tiny(family)
    for read in passages(model, ("w5 w9 w5 w12 w9", "w7")):
        _same(Transcript(model.tokenizer, "made").passage(read.ids), read)


def test_a_growing_text_keeps_its_beginning(stories):
    model = load(stories)
    (encoding,) = model.encode([STORY])
    growing = Transcript(model.tokenizer, "growing")
    whole = Transcript(model.tokenizer, "whole").passage(encoding.ids)
    for length in range(1, len(encoding.ids) + 1):
        part = growing.passage(encoding.ids[:length])
        np.testing.assert_array_equal(part.spans, whole.spans[:length])
        cut = prefix(whole, length)
        assert part.text == cut.text
        assert part.tokens == cut.tokens
    others = np.concatenate([encoding.ids[:5], encoding.ids[9:12]])
    other = growing.passage(others)
    fresh = Transcript(model.tokenizer, "x").passage(others.tolist())
    _same(other, fresh)


def test_pieces_of_one_character_span_all_of_it():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    bytewise = PreTrainedTokenizerFast(tokenizer_object=inner)
    ids = bytewise("aé😀b")["input_ids"]
    assert len(ids) == 8
    made = Transcript(bytewise, "bytes").passage(ids)
    assert made.text == "aé😀b"
    assert [made.text[a:b] for a, b in made.spans[[0, 2, 6, 7]]] == ["a", "é", "😀", "b"]
    assert [made.words.form[w] for w in made.word] == [
        "aé",
        "aé",
        "aé",
        "😀",
        "😀",
        "😀",
        "😀",
        "b",
    ]


@pytest.mark.parametrize("fallback", [False, True])
def test_pieces_of_a_character_show_nothing_of_it_before_the_last(fallback):
    names = [f"<0x{byte:02X}>" for byte in range(256)]
    letters = names if fallback else sorted(pre_tokenizers.ByteLevel.alphabet())
    table = {letter: i for i, letter in enumerate(letters)}
    inner = Tokenizer(models.BPE(table, [], byte_fallback=fallback))
    inner.decoder = decoders.ByteFallback() if fallback else decoders.ByteLevel()
    inner.pre_tokenizer = None if fallback else pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<end>")
    ids = bytewise("aé😀b日")["input_ids"]
    ids = [*ids[:5], bytewise.eos_token_id, *ids, bytewise.eos_token_id, *ids[:2]]
    made = Transcript(bytewise, "bytes").passage(ids)
    for length in range(1, len(ids) + 1):
        part, cut = Transcript(bytewise, "x").passage(ids[:length]), prefix(made, length)
        np.testing.assert_array_equal(part.read_spans, made.read_spans[:length])
        assert (part.text, part.words.form) == (cut.text, cut.words.form)


def test_control_tokens_of_a_chat_are_no_words_and_glue_none():
    read = chat_tokenizer()
    ids = read("<|turn|>user w1 .<|end|><|turn|>assistant\nAnswer : B<|end|>")["input_ids"]
    made = Transcript(read, "chat").passage(ids)
    assert made.text == "user w1 . assistant Answer : B"
    assert made.words.form == ("user", "w1", ".", "assistant", "Answer", ":", "B")
    assert made.is_special.tolist() == [one in special_ids(read) for one in ids]
    assert made.word.tolist() == [-1, 0, 1, 2, -1, -1, 3, 4, 5, 6, -1]
    for length in range(1, len(ids)):
        _same(Transcript(read, "x").passage(ids[:length]), prefix(made, length))


def test_prefixes_are_bounded():
    (one, *_) = passages(tiny("llama"))
    with pytest.raises(UsageError, match="expected a length within"):
        prefix(one, 0)
    with pytest.raises(UsageError, match="expected a length within"):
        prefix(one, len(one) + 1)
