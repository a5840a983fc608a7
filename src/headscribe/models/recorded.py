"""Attention that somebody recorded: a folder that takes the place of a model and its texts.

A recording is a folder with

- `sentences.jsonl` (or `prompts.jsonl`), one text a line: `id`, `text` (or `prompt`), `tokens`, and
  if known `ids`, `group`, `special` (true for tokens that the tokenizer added), `words`,
  `word_of_token` (null for none), `dep_head` (word index, null for a root), `dep_rel`, `upos`;
- `attention.npz`, for each text the array `<id>` (or `<id>_attention`) of shape
  `(layers, heads, T, T)`: probabilities as floats, or as integers in units of 1e-4; or
  `<id>_logits`, scaled scores that get a causal softmax.

Rows are renormalised on reading, since what is stored is rounded.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, runtime_checkable
from zipfile import BadZipFile

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headscribe.core.errors import RunError, UsageError
from headscribe.core.visibility import CAUSAL, FULL, Visibility
from headscribe.models.sentences import passages_of
from headscribe.text.passages import Passage

UNIT = 1e-4
"""What an integer in a recording stands for."""

ROW_TOLERANCE = 0.02
"""How far a recorded row may sum from 1 before it is taken for damaged."""


@dataclass(frozen=True)
class RecordedCall:
    """One layer's attention on a batch of recorded texts, padded with zeros."""

    layer: int
    attention: Float[Tensor, "B H T T"]

    def probabilities(self) -> Float[Tensor, "B H T T"]:
        """The attention, float32."""
        return self.attention


@runtime_checkable
class RecordedObserver(Protocol):
    """What can read a recording."""

    def observe(self, call: RecordedCall) -> None:
        """Read one layer's attention on one batch."""
        ...


class Recording:
    """A folder of recorded attention, read text by text.

    Attributes:
        name: the folder's name.
        passages: the texts, aligned, as they stand in the recording.
        layers: number of layers; `heads`: heads of every layer.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open a recording.

        Raises:
            UsageError: no such folder, a missing file, or a broken line, named by its number.
            RunError: a text without an array, or arrays of different models.
        """
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UsageError(f"expected a folder of recorded attention, got {str(folder)!r}")
        self.name = self.folder.resolve().name
        self.passages = passages_of(self.folder)
        self._file = _open(self.folder / "attention.npz")
        self._key = {p.text_id: self._key_of(p.text_id) for p in self.passages}
        first = self.read(self.passages[0])
        self.layers = first.shape[0]
        self.heads = first.shape[1]
        self._visibility = CAUSAL if self._is_causal() else FULL

    @property
    def fingerprint(self) -> str:
        """A hash of both files."""
        digest = blake2b(digest_size=16)
        for path in sorted(self.folder.iterdir()):
            if path.suffix in (".npz", ".jsonl"):
                digest.update(path.name.encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def device_of(self, layer: int) -> torch.device:
        """The CPU, where recordings are read."""
        return torch.device("cpu")

    def visibility(self, layer: int) -> Visibility:
        """All keys, or the keys up to the query if no recorded row looks ahead."""
        return self._visibility

    def read(self, passage: Passage) -> Float[np.ndarray, "L H T T"]:
        """The attention of all heads on one text, float32, rows renormalised.

        Raises:
            RunError: NaN, a negative number, a wrong shape, or a row that is no distribution;
                names the text, the head and the row.
        """
        key = self._key[passage.text_id]
        where = f"{self.folder / 'attention.npz'}: text {passage.text_id!r}"
        try:
            stored = self._file[key]
        except (BadZipFile, ValueError, OSError, EOFError) as error:
            raise RunError(f"{where}: expected an array, got a damaged one ({error})") from error
        length = len(passage)
        if stored.ndim != 4 or stored.shape[2:] != (length, length):
            raise RunError(
                f"{where}: expected shape (layers, heads, {length}, {length}), got {stored.shape}"
            )
        if key.endswith("_logits"):
            return causal_softmax(stored)
        values = stored.astype(np.float32)
        if np.issubdtype(stored.dtype, np.integer):
            values *= UNIT
        total = values.sum(-1, dtype=np.float64)
        wrong = ~((np.abs(total - 1) < ROW_TOLERANCE) & (values >= 0).all(-1))
        if wrong.any():
            layer, head, row = (int(i) for i in np.argwhere(wrong)[0])
            got = values[layer, head, row]
            what = "NaN" if np.isnan(got).any() else f"a row that sums to {total[wrong][0]:.3f}"
            raise RunError(
                f"{where}: expected attention that sums to 1, got {what} in head {layer}.{head}, "
                f"row {row}"
            )
        return (values / total[..., None]).astype(np.float32)

    def run(self, batch: Sequence[Passage], observer: RecordedObserver) -> None:
        """Show `observer` the attention of every layer on a batch, layer by layer."""
        width = max(len(passage) for passage in batch)
        shape = (self.layers, len(batch), self.heads, width, width)
        padded = np.zeros(shape, np.float32)
        for b, passage in enumerate(batch):
            attention = self.read(passage)
            if attention.shape[:2] != (self.layers, self.heads):
                raise RunError(
                    f"text {passage.text_id!r}: expected {self.layers} layers of {self.heads} "
                    f"heads as in the first text, got {attention.shape[0]} of {attention.shape[1]}"
                )
            padded[:, b, :, : len(passage), : len(passage)] = attention
        for layer in range(self.layers):
            observer.observe(RecordedCall(layer, torch.from_numpy(padded[layer])))

    def _key_of(self, text_id: str) -> str:
        for key in (text_id, f"{text_id}_attention", f"{text_id}_logits"):
            if key in self._file:
                return key
        raise RunError(f"{self.folder / 'attention.npz'}: expected an array for text {text_id!r}")

    def _is_causal(self) -> bool:
        """Whether no row of the shortest texts puts anything on a later key."""
        some = sorted(self.passages, key=len)[-3:]
        if all(len(passage) < 2 for passage in some):
            return False
        return all(not np.triu(self.read(p), 1).any() for p in some)


def causal_softmax(logits: Float[np.ndarray, "... T T"]) -> Float[np.ndarray, "... T T"]:
    """Attention of a causal layer from its scaled scores, in float32."""
    scores = torch.from_numpy(np.asarray(logits, np.float32))
    length = scores.shape[-1]
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
    attention: Float[np.ndarray, "... T T"] = (
        scores.masked_fill(hidden, float("-inf")).softmax(-1).numpy()
    )
    return attention


def write_recording(
    folder: str | Path, texts: Iterable[tuple[Passage, Float[np.ndarray, "L H T T"]]]
) -> None:
    """Write texts and their attention as a recording, rounded to units of 1e-4.

    Raises:
        UsageError: the folder holds a recording already.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / "attention.npz"
    if target.exists():
        raise UsageError(f"{target} exists already: choose another folder")
    lines: list[str] = []
    arrays: dict[str, np.ndarray] = {}
    for passage, attention in texts:
        arrays[passage.text_id] = np.rint(np.asarray(attention) / UNIT).astype(np.uint16)
        lines.append(json.dumps(_sentence(passage), ensure_ascii=False))
    (folder / "sentences.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    temporary = folder / "attention.partial.npz"
    np.savez_compressed(temporary, allow_pickle=False, **arrays)
    temporary.replace(target)


def _sentence(passage: Passage) -> dict[str, object]:
    words = passage.words
    optional: dict[str, object] = {
        "upos": words.upos,
        "dep_rel": words.dep,
        "dep_head": None
        if words.head is None
        else [None if head < 0 else int(head) for head in words.head],
    }
    return {
        "id": passage.text_id,
        "group": passage.group,
        "text": passage.text,
        "tokens": passage.tokens,
        "ids": passage.ids.tolist(),
        "spans": passage.spans.tolist(),
        "special": passage.is_special.tolist(),
        "words": words.form,
        "word_spans": words.spans.tolist(),
        "word_of_token": [None if word < 0 else int(word) for word in passage.word],
    } | {name: value for name, value in optional.items() if value is not None}


def _open(path: Path) -> np.lib.npyio.NpzFile:
    try:
        file = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise UsageError(f"expected the file {path}, got none") from error
    except (BadZipFile, ValueError, OSError, EOFError) as error:
        raise RunError(f"{path}: expected an .npz file, got a damaged one ({error})") from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise RunError(f"{path}: expected an .npz file of named arrays")
    return file
