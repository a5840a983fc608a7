"""What a model's configuration states: its vocabulary, its padding, the longest text it reads."""

from typing import TypeGuard

from torch import nn
from transformers import PretrainedConfig
from transformers import PreTrainedModel as HuggingFaceModel

_UNLIMITED = 1_000_000
"""Tokenizers and models without a limit state a number beyond this."""

_LIMITS = ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx")


def text_config(hf: HuggingFaceModel) -> PretrainedConfig:
    """The configuration of the part that reads text."""
    try:
        return hf.config.get_text_config()
    except ValueError:
        return hf.config  # several parts read text


def vocabulary(hf: HuggingFaceModel) -> int:
    """Number of token ids that the model knows, 0 if it reads none."""
    size = getattr(text_config(hf), "vocab_size", None)
    return size if isinstance(size, int) else 0


def padding_id(hf: HuggingFaceModel) -> int:
    """What fills short rows of a batch; nothing real reads it, so any id will do."""
    pad = getattr(text_config(hf), "pad_token_id", None)
    return pad if isinstance(pad, int) and 0 <= pad < vocabulary(hf) else 0


def position_limit(hf: HuggingFaceModel) -> int | None:
    """The longest text by configuration and tables of positions; None where none limits it."""
    text = text_config(hf)
    limits = [int(n) for name in _LIMITS if is_limit(n := getattr(text, name, None))]
    if getattr(text, "attention_type", None) == "block_sparse":
        # BigBird attends to all keys in texts of up to so many tokens, to blocks in longer ones.
        limits.append((5 + 2 * text.num_random_blocks) * text.block_size)
    table = _positions(hf)
    return min(limits + ([] if table is None else [table]), default=None)


def is_limit(stated: object) -> TypeGuard[int]:
    """Whether a stated length limits anything."""
    return isinstance(stated, int) and 0 < stated < _UNLIMITED


def _positions(hf: HuggingFaceModel) -> int | None:
    """The room that a table of positions has, where it begins after its padding (RoBERTa)."""
    for name, module in hf.named_modules():
        is_table = name.endswith("position_embeddings") and isinstance(module, nn.Embedding)
        if is_table and module.padding_idx is not None:
            return module.num_embeddings - int(module.padding_idx) - 1
    return None
