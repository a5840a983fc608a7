"""Tiny random models that read made-up words, and patterns written by hand."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from tokenizers import Tokenizer, decoders, pre_tokenizers, processors
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from headscribe.core.heads import HeadId
from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.models.loading import load
from headscribe.models.model import Model
from headscribe.text.alignment import align
from headscribe.text.annotators.plain import Plain
from headscribe.text.corpora import Text
from headscribe.text.passages import Passage
from tests.integration.families import FAMILIES, VOCABULARY, build

SPECIAL = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]")
ONE_STACK = [name for name, family in FAMILIES.items() if family.stacks == (None,)]
STORIES = (
    "w5 w9 w5 w12. w9 w30 w9",
    "w7 w8 w6",
    "w11 w12 w13 w14 w11 w12 w13 w40 w41 w5 w5",
)


def tokenizer(special: bool) -> PreTrainedTokenizerFast:
    """Words `w5` ... `w60` and the full stop, in `[CLS] ... [SEP]` if asked for."""
    words = [*SPECIAL, *(f"w{number}" for number in range(5, VOCABULARY - 1)), "."]
    inner = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece(cleanup=False)
    if special:
        inner.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="[PAD]", unk_token="[UNK]", mask_token="[MASK]"
    )


@cache
def tiny(family: str) -> Model:
    """A family's random model; nothing may change it."""
    return load((build(family), tokenizer(not FAMILIES[family].causal)))


def passages(model: Model, texts: tuple[str, ...] = STORIES) -> list[Passage]:
    """The texts as the model reads them, each its own group."""
    listed = [Text(f"text:{k}", f"group:{k}", text) for k, text in enumerate(texts)]
    encodings = model.encode([text.text for text in listed])
    return [align(*three) for three in zip(listed, encodings, Plain().annotate(listed))]  # noqa: B905


def every_head(model: Model) -> list[HeadId]:
    return [HeadId(layer, head) for layer in range(model.layers) for head in range(model.heads)]


@dataclass(frozen=True, eq=False)
class Handmade:
    """A pattern of a function from a passage and a visibility to a matrix."""

    matrix: Callable[[Passage, Visibility], np.ndarray]
    name: str = "handmade"
    looks_ahead: bool = False
    needs_later_keys: bool = False
    sentence: str = ""
    source: str = ""
    family: str = "custom"
    needs: frozenset[str] = frozenset()
    mirror: None = None

    def predict(self, passage: Passage, visibility: Visibility) -> Rows:
        return Rows.from_dense(self.matrix(passage, visibility))


def _same_token(passage: Passage, visibility: Visibility) -> np.ndarray:
    same = passage.ids[:, None] == passage.ids[None, :]
    return same * visibility.dense(len(passage)) * 1.0


UNIFORM = Handmade(lambda p, seen: seen.dense(len(p)) * 1.0, "uniform")
ITSELF = Handmade(lambda p, _: np.eye(len(p)), "self")
PREVIOUS = Handmade(lambda p, _: np.eye(len(p), k=-1), "previous")
SAME = Handmade(_same_token, "same")
"""Attends to equal tokens; a wrong cache or a shifted text would show in it."""
FIXED = (UNIFORM, ITSELF, Handmade(lambda p, s: np.eye(len(p))[s.first(len(p))], "first"))
