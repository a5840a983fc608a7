"""Attention as other tools keep it, made a recording: TransformerLens caches, dictionaries."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.visibility import Visibility
from headscribe.models.pieces import looks_special
from headscribe.models.recorded import ROW_TOLERANCE, Recording, write_recording
from headscribe.models.sentences import checked, passage_of
from headscribe.text.passages import Passage

_PATTERN = re.compile(r"blocks\.(\d+)\.attn\.hook_pattern")
"""The names under which TransformerLens caches attention."""

_BLANKS = ("Ġ", "▁", " ")
"""How vocabularies write a blank before a word; TransformerLens gives it as it is."""

_HALF = ("float16", "bfloat16")


@dataclass(frozen=True)
class _Item:
    """One text's attention before it is cut to the text, `P` tokens wide."""

    name: str
    attention: Float[np.ndarray, "L H P P"]


def import_attention(
    folder: str | Path,
    attention: Any,  # noqa: ANN401 what other tools keep
    tokens: Sequence[str] | Sequence[Sequence[str]] | Mapping[str, Sequence[str]],
    texts: str | Sequence[str] | None = None,
    *,
    special: Sequence[bool] | Sequence[Sequence[bool]] | None = None,
    visibility: Sequence[Visibility] | None = None,
) -> Recording:
    """Make a recording of attention that another tool computed, and open it.

    >>> import numpy as np
    >>> from tempfile import mkdtemp
    >>> even = np.tril(np.ones((2, 4, 3, 3))) / np.arange(1, 4)[:, None]
    >>> recording = import_attention(mkdtemp() + "/r", even, ["<bos>", "The", " cat"])
    >>> recording.layers, recording.heads, recording.passages[0].text
    (2, 4, 'The cat')

    Args:
        folder: a new folder.
        attention: one of

            - a TransformerLens cache (`model.run_with_cache(texts)[1]`) of one text or a batch;
            - a dictionary from names of texts to arrays `(layers, heads, T, T)`;
            - a dictionary from layers, 0, 1, ..., to arrays `(heads, T, T)`, or from heads,
              `"7.10"` or `(7, 10)`, to arrays `(T, T)`, of one text;
            - an array `(layers, heads, T, T)` of one text;
            - the layers of one batch, `(texts, heads, T, T)` each, as transformers returns them;
            - a list of caches.

            Arrays may be of NumPy or torch, and padded on the right.
        tokens: the tokens of each text, in the same order or by the same names; of one text also
            as a plain list (`model.to_str_tokens(text)`).
        texts: the characters of each text; None: what the tokens spell.
        special: for every token of each text whether the tokenizer added it; None: those that are
            written as such (`<s>`, `[CLS]`, `<|endoftext|>`).
        visibility: what each layer sees; None: told from the attention.

    Raises:
        UsageError: an unknown form, or tokens, texts and arrays that do not fit each other.
        RunError: attention is NaN or no distribution.
    """
    items = _items(attention)
    if isinstance(tokens, Mapping):
        missing = [item.name for item in items if item.name not in tokens]
        if missing:
            raise UsageError(f"expected tokens for every text, got none for {missing[0]!r}")
        lists = [list(tokens[item.name]) for item in items]
    else:
        plain = all(isinstance(token, str) for token in tokens)
        lists = [list(map(str, tokens))] if plain else [list(some) for some in tokens]
    if texts is None:
        marked = any(token[:1] in _BLANKS for some in lists for token in some)
        texts = [_spelled(some, marked) for some in lists]
    whole = [texts] if isinstance(texts, str) else list(texts)
    flags: list[Any] = [None] * len(items) if special is None else list(special)
    if special is not None and all(isinstance(flag, bool) for flag in special):
        flags = [special]
    for what, given in (("lists of tokens", lists), ("texts", whole), ("lists of flags", flags)):
        if len(given) != len(items):
            raise UsageError(f"expected {len(items)} {what}, as many as arrays, got {len(given)}")
    rows = zip(items, lists, whole, flags, strict=True)
    write_recording(folder, [_made(*row) for row in rows], visibility)
    return Recording(folder)


def _made(
    item: _Item, tokens: list[str], text: str, special: Sequence[bool] | None
) -> tuple[Passage, Float[np.ndarray, "L H T T"]]:
    where = f"text {item.name!r}"
    length, attention = len(tokens), item.attention
    if attention.shape[-1] < length:
        raise UsageError(
            f"{where}: expected attention over its {length} tokens, got the shape {attention.shape}"
        )
    record: dict[str, Any] = {"id": item.name, "text": text, "tokens": tokens}
    if special is not None:
        record["special"] = [bool(flag) for flag in special]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    passage = passage_of(checked(record, where), vocabulary, where)
    return passage, attention[:, :, :length, :length]


def _items(attention: Any) -> list[_Item]:  # noqa: ANN401
    """The texts' attention, one by one."""
    if hasattr(attention, "keys"):
        keys = list(attention.keys())
        sizes = {getattr(attention[key], "ndim", None) for key in keys}
        if sizes == {2}:
            return [_Item("0", _by_head({HeadId.of(key): attention[key] for key in keys}))]
        if sizes == {3} and all(type(key) is int for key in keys):
            return _batch([attention[layer] for layer in _counted(keys, "layers")])
        names = [name for name in keys if isinstance(name, str)]
        layers = {int(found[1]): name for name in names if (found := _PATTERN.search(name))}
        if layers:
            return _batch([attention[layers[layer]] for layer in _counted(layers, "layers")])
        return [_Item(str(name), _array(attention[name], f"text {name!r}")) for name in keys]
    if isinstance(attention, list | tuple):
        if attention and all(hasattr(part, "keys") for part in attention):
            parts = [item.attention for cache in attention for item in _items(cache)]
            return [_Item(str(number), part) for number, part in enumerate(parts)]
        return _batch(attention)
    return [_Item("0", _array(attention, "attention"))]


def _by_head(heads: Mapping[HeadId, Any]) -> Float[np.ndarray, "L H P P"]:
    """The attention of one text from that of its heads, `(T, T)` each."""
    layers = _counted({head.layer for head in heads}, "layers")
    count = 1 + max(head.head for head in heads)
    missing = [HeadId(i, j) for i in layers for j in range(count) if HeadId(i, j) not in heads]
    if missing:
        raise UsageError(f"expected the attention of every head, got none of {missing[0]}")
    rows = [_numbers([heads[HeadId(i, j)] for j in range(count)], "attention") for i in layers]
    return _array(np.stack(rows), "attention")


def _counted(numbers: Iterable[int], what: str) -> list[int]:
    """Numbers in order: all from 0 on."""
    found = sorted(numbers)
    if found != list(range(len(found))):
        raise UsageError(f"expected the attention of all {what} from 0 on, got {what} {found}")
    return found


def _batch(layers: Sequence[Any]) -> list[_Item]:
    """The texts of a batch from its layers, `(texts, heads, T, T)` or, of one, `(heads, T, T)`."""
    arrays = [_numbers(layer, "attention") for layer in layers]
    arrays = [array[None] if array.ndim == 3 else array for array in arrays]
    if len({array.shape for array in arrays}) != 1 or arrays[0].ndim != 4:
        shapes = [array.shape for array in arrays]
        raise UsageError(f"expected layers of one shape (texts, heads, T, T), got {shapes[:3]}")
    stacked = np.stack(arrays, 1)
    return [_Item(str(number), _array(one, "attention")) for number, one in enumerate(stacked)]


def _array(value: Any, where: str) -> Float[np.ndarray, "L H P P"]:  # noqa: ANN401
    array = _numbers(value, where)
    if array.ndim != 4 or array.shape[2] != array.shape[3] or 0 in array.shape:
        raise UsageError(f"{where}: expected shape (layers, heads, T, T), got {array.shape}")
    return array


def _numbers(value: Any, where: str) -> Float[np.ndarray, "..."]:  # noqa: ANN401
    """NumPy's or torch's numbers as float32; the rows of half precision sum to 1 again."""
    kind = str(getattr(value, "dtype", "")).removeprefix("torch.")
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().float().numpy()
    try:
        array = np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"{where}: expected an array of numbers, got {type(value).__name__}"
        ) from error
    if kind in _HALF and array.ndim > 2:
        total = array.sum(-1, keepdims=True)
        near = np.abs(total - 1) < ROW_TOLERANCE
        array = np.where(near, array / np.where(near, total, 1), array)
    return array


def _spelled(tokens: Sequence[str], marked: bool) -> str:
    """The text that tokens spell.

    Args:
        tokens: the tokens of one text, special ones among them.
        marked: blanks are written as a part of tokens; else they are put between words.
    """
    real = [token for token in tokens if not looks_special(token)]
    if marked:
        return "".join(real).replace("Ġ", " ").replace("▁", " ").strip(" ")
    text = ""
    for token in real:
        inner = token.startswith("##") or not token[:1].isalnum()
        text += token.removeprefix("##") if inner else f" {token}"
    return text.strip(" ")
