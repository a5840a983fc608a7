"""From texts to tokens with character spans, cut at the model's context."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from transformers import PreTrainedTokenizerFast

from headscribe.core.errors import UsageError
from headscribe.models.pieces import looks_special
from headscribe.text.passages import Encoding


def encode(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], limit: int | None
) -> list[Encoding]:
    """Tokenise texts, special tokens included; of longer ones than `limit` keep the beginning.

    Raises:
        UsageError: `limit` leaves no room beside the special tokens.
    """
    special = tokenizer.num_special_tokens_to_add()
    if limit is not None and limit <= special:
        raise UsageError(
            f"expected a limit above the tokenizer's {special} special tokens, got {limit}"
        )
    encodings = _whole(tokenizer, texts, None)
    long = (
        []
        if limit is None
        else [i for i, encoding in enumerate(encodings) if len(encoding) > limit]
    )
    for index, cut in zip(long, _whole(tokenizer, [texts[i] for i in long], limit), strict=True):
        encodings[index] = _cut(encodings[index], cut)
    return encodings


def _cut(whole: Encoding, cut: Encoding) -> Encoding:
    """What is left of a text; of a character that the cut splits its pieces say nothing."""
    kept = int((cut.spans[:, 1] > cut.spans[:, 0]).sum())
    later = whole.spans[whole.spans[:, 1] > whole.spans[:, 0]][kept:, 0]
    spans = np.minimum(cut.spans, later.min()) if len(later) else cut.spans
    return replace(cut, spans=spans, cut=len(whole) - len(cut))


def _whole(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], limit: int | None
) -> list[Encoding]:
    if not texts:
        return []
    side = tokenizer.truncation_side
    try:
        tokenizer.truncation_side = "right"  # some tokenizers are set to keep the end of a text
        columns = tokenizer(
            list(texts),
            add_special_tokens=True,
            truncation=limit is not None,
            max_length=limit,
            padding=False,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            verbose=False,
        )
    finally:
        tokenizer.truncation_side = side
    names = ("input_ids", "offset_mapping", "special_tokens_mask")
    rows = zip(*(columns[name] for name in names), strict=True)
    control = special_ids(tokenizer)
    return [_encoding(tokenizer, control, *row) for row in rows]


def special_ids(tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    """The ids of control tokens, which are special wherever they stand.

    They are those that the tokenizer says are special or adds to every text, and those added to its
    vocabulary that are written like them (`<think>`, `[TOOL_CALLS]`). The unknown token stands for
    characters and is none of them, unless it has another role too (`<|endoftext|>` of GPT-2).
    """
    empty = tokenizer("", return_special_tokens_mask=True)
    added = zip(empty["input_ids"], empty["special_tokens_mask"], strict=True)
    named = {*tokenizer.all_special_ids, *(one for one, special in added if special)}
    for number, token in tokenizer.added_tokens_decoder.items():
        if token.special or looks_special(token.content):
            named.add(number)
    roles = tokenizer.special_tokens_map
    if not any(tokenizer.unk_token == roles[role] for role in roles if role != "unk_token"):
        named.discard(tokenizer.unk_token_id)
    return frozenset(named)


def _encoding(
    tokenizer: PreTrainedTokenizerFast,
    control: frozenset[int],
    ids: list[int],
    offsets: list[tuple[int, int]],
    added: list[int],
) -> Encoding:
    spans = np.array(offsets, np.int64).reshape(len(ids), 2)
    spans[np.array(added, bool)] = 0  # control tokens that the text itself has keep their place
    is_special = np.array(added, bool) | np.isin(np.array(ids, np.int64), list(control))
    tokens = tuple(str(token) for token in tokenizer.convert_ids_to_tokens(ids))
    return Encoding(tokens, np.array(ids, np.int64), spans, is_special)
