"""From texts to tokens with character spans, cut at the model's context."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from transformers import PreTrainedTokenizerFast

from headscribe.core.errors import UsageError
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
    found = _whole(tokenizer, texts, None)
    long = [] if limit is None else [i for i, one in enumerate(found) if len(one) > limit]
    for index, cut in zip(long, _whole(tokenizer, [texts[i] for i in long], limit), strict=True):
        found[index] = replace(cut, cut=len(found[index]) - len(cut))
    return found


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
    return [_encoding(tokenizer, *row) for row in rows]


def _encoding(
    tokenizer: PreTrainedTokenizerFast,
    ids: list[int],
    offsets: list[tuple[int, int]],
    special: list[int],
) -> Encoding:
    is_special = np.array(special, bool)
    spans = np.array(offsets, np.int64).reshape(len(ids), 2)
    spans[is_special] = 0
    tokens = tuple(str(token) for token in tokenizer.convert_ids_to_tokens(ids))
    return Encoding(tokens, np.array(ids, np.int64), spans, is_special)
