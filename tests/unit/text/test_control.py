"""Control tokens that stand in a text are no words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from headscribe.models.tokenizing import encode, special_ids
from headscribe.text.annotators.plain import Plain
from headscribe.text.control import joined, readable
from headscribe.text.corpora import Text

CONTROL = ("<|im_start|>", "<|im_end|>", "[INST]", "<s>", "</s>")


def tokenizer(**roles):
    words = ["<pad>", "<s>", "</s>", "<unk>", "the", "cat", "sat", ".", "a", "dog"]
    inner = Tokenizer(
        models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>")
    )
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    given = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner,
        additional_special_tokens=["<|im_start|>", "<|im_end|>"],
        **(given | roles),
    )
    # As chat models have them: added, written like control tokens, not said to be special.
    made.add_tokens([AddedToken("[INST]", special=False), AddedToken("covid", special=False)])
    return made


def special(made, text):
    (encoding,) = encode(made, [text], None)
    return [t for t, flag in zip(encoding.tokens, encoding.is_special, strict=True) if flag]


def test_control_tokens_are_special_wherever_they_stand():
    made = tokenizer()
    text = "<s><|im_start|>the cat sat.<|im_end|> [INST] a covid dog bird</s>"
    assert special(made, text) == [
        "<s>", "<s>", "<|im_start|>", "<|im_end|>", "[INST]", "</s>",
    ]  # fmt: skip
    (encoding,) = encode(made, [text], None)
    assert encoding.tokens[-2] == "<unk>"
    assert not encoding.is_special[-2]
    # The one that the tokenizer added stands nowhere, the others where they are written.
    assert encoding.spans[0].tolist() == [0, 0]
    assert encoding.spans[1].tolist() == [0, 3]


def test_an_unknown_token_that_ends_texts_too_is_special():
    made = tokenizer(unk_token="</s>", eos_token="</s>")
    assert 2 in special_ids(made)
    assert 3 not in special_ids(tokenizer())


def test_words_are_found_as_if_the_control_tokens_were_not_there():
    made = tokenizer()
    text = Text("t", "g", "<s><|im_start|>the cat sat.<|im_end|>a dog</s>.")
    (encoding,) = encode(made, [text.text], None)
    assert readable(text, encoding).text == "the cat sat. a dog ."
    passage = joined(text, encoding, next(Plain().annotate([readable(text, encoding)])))
    assert passage.words.form == ("the", "cat", "sat", ".", "a", "dog", ".")
    assert [text.text[a:b] for a, b in passage.words.spans] == list(passage.words.form)
    touched = [passage.words.form[w] if w >= 0 else None for w in passage.word]
    assert touched == [
        None, None, None, "the", "cat", "sat", ".", None, "a", "dog", None, ".",
    ]  # fmt: skip


@given(st.lists(st.sampled_from([*CONTROL, "the", "cat", " ", "dog.", "\n", "é", "日本"])))
def test_no_word_touches_a_control_token(pieces):
    made = tokenizer()
    text = Text("t", "g", "".join(pieces))
    (encoding,) = encode(made, [text.text], None)
    passage = joined(text, encoding, next(Plain().annotate([readable(text, encoding)])))
    inside = np.zeros(len(text.text), bool)
    for (start, end), flag in zip(encoding.spans, encoding.is_special, strict=True):
        inside[start:end] |= flag
    for form, (start, end) in zip(passage.words.form, passage.words.spans, strict=True):
        assert text.text[start:end] == form
        assert not inside[start:end].any()
    # Nothing else is lost.
    kept = {at for at in range(len(inside)) if not inside[at] and not text.text[at].isspace()}
    assert kept == {at for start, end in passage.words.spans for at in range(start, end)}
    assert (passage.word[np.asarray(encoding.is_special)] == -1).all()


def test_of_a_book_that_is_cut_no_more_is_read_than_matters():
    book = Text("t", "g", "the cat sat. a dog </s> bird " * 2_000)
    (encoding,) = encode(tokenizer(), [book.text], 12)
    assert len(readable(book, encoding).text) < 11_000
    read = next(Plain().annotate([readable(book, encoding)]))
    passage = joined(book, encoding, read)
    (cut,) = encode(tokenizer(), [book.text[:100]], 12)
    short = joined(
        book, cut, next(Plain().annotate([Text("t", "g", book.text[:100].replace("</s>", " "))]))
    )
    assert passage.tokens == short.tokens
    touched = [[p.words.form[w] if w >= 0 else None for w in p.word] for p in (passage, short)]
    assert touched[0] == touched[1]


@pytest.mark.parametrize("text", ["the cat", ""])
def test_texts_without_control_tokens_stay_the_same_object(text):
    whole = Text("t", "g", text)
    (encoding,) = encode(tokenizer(), [text], None)
    assert readable(whole, encoding) is whole
