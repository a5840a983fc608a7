"""Real tokenizers, trained in a moment, that cover the kinds in use."""

from collections.abc import Callable

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from headscribe.text.passages import Encoding

SAMPLE = [
    "the cat doesn't sit on the mat, it sleeps there.",
    "café résumé naïve, the unhappiest cats are sleeping",
    "2024 was 3.14 times better -- wasn't it? \N{GRINNING FACE} yes",
] * 12


def encode(tokenizer: Tokenizer, text: str, cut: int | None = None) -> Encoding:
    """What a tokenizer makes of a text, cut after `cut` tokens."""
    found = tokenizer.encode(text)
    end = len(found.ids) if cut is None else cut
    return Encoding(
        tuple(found.tokens[:end]),
        np.array(found.ids[:end], np.int64),
        np.array(found.offsets[:end], np.int64).reshape(-1, 2),
        np.array(found.special_tokens_mask[:end], bool),
    )


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=120, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(SAMPLE, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


def byte_level(add_prefix_space: bool, trim_offsets: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SAMPLE, trainer)
    return tokenizer


def straddling() -> Tokenizer:
    """Byte-level without splitting at blanks: tokens that straddle words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SAMPLE, trainer)
    return tokenizer


def unigram(prepend: str) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend)
    trainer = trainers.UnigramTrainer(
        vocab_size=80, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator(SAMPLE, trainer)
    return tokenizer


MADE: dict[str, Callable[[], Tokenizer]] = {
    "wordpiece": wordpiece,
    "byte-level": lambda: byte_level(False, False),
    "byte-level, prefix": lambda: byte_level(True, False),
    "byte-level, trimmed": lambda: byte_level(True, True),
    "straddling": straddling,
    "metaspace": lambda: unigram("always"),
    "metaspace, no prefix": lambda: unigram("never"),
}


@pytest.fixture(scope="session")
def made() -> dict[str, Tokenizer]:
    """A trained tokenizer of every kind."""
    return {name: make() for name, make in MADE.items()}


@pytest.fixture(scope="session")
def encoded(made: dict[str, Tokenizer]) -> Callable[..., Encoding]:
    """`encoded(kind, text, cut=None)`."""
    return lambda kind, text, cut=None: encode(
        made[kind] if isinstance(kind, str) else kind, text, cut
    )
