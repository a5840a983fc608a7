"""Attention that somebody recorded: a folder that takes the place of a model and its texts.

`docs/reference/recordings.md` describes the format: `sentences.jsonl` with the texts,
`attention.npz` with an array `(layers, heads, T, T)` for each, and `recording.json`, by which it is
known that the numbers are those that a model computed, to be taken as they are. Without it they
are someone's own, perhaps rounded: then rows that sum to almost 1 are renormalised on reading.
"""

import json
import weakref
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from types import NoneType
from typing import Any, Protocol, TypeGuard, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float

from headscribe.core.errors import RunError, UsageError
from headscribe.core.files import replacing, write_whole
from headscribe.core.visibility import CAUSAL, FULL, Visibility
from headscribe.models.calls import AttentionCall, Keeper, Observer
from headscribe.models.sentences import FILES, line_of, sentences_of
from headscribe.text.passages import Passage

FORMAT = 2
"""What `recording.json` says; folders without one are of the first format, or others' own."""

UNIT = 1e-4
"""What an integer in a recording stands for."""

ROW_TOLERANCE = 0.02
"""How far a recorded row may sum from 1 before it is taken for damaged."""

_BROKEN = (zipfile.BadZipFile, ValueError, OSError, EOFError, KeyError, NotImplementedError)
"""What reading a damaged archive raises."""


class Recording:
    """A folder of recorded attention, read text by text.

    Attributes:
        name: the folder's name.
        passages: the texts, aligned, as they stand in the recording.
        layers: number of layers.
        heads: heads of every layer.
    """

    def __init__(self, folder: str | Path) -> None:
        """Open a recording.

        Raises:
            UsageError: no such folder, a missing file, or a broken line, named by its number.
            RunError: a text without an array, or arrays of different models.
        """
        self.folder = Path(folder).expanduser()
        if not self.folder.is_dir():
            raise UsageError(f"expected a folder of recorded attention, got {str(folder)!r}")
        self.name = self.folder.resolve().name
        facts = _facts(self.folder / "recording.json")
        sentences = sentences_of(self.folder)
        self.passages = tuple(sentence.passage for sentence in sentences)
        self._file = _open(self.folder / "attention.npz")
        # Closed with the recording, also where a cycle of an error kept both.
        weakref.finalize(self, self._file.close)
        self._exact = facts is not None
        self._key = {s.passage.text_id: self._key_of(s.passage, s.arrays) for s in sentences}
        first = self.read(self.passages[0])
        self.layers, self.heads = first.shape[:2]
        self._visibility = (facts or {}).get("sees") or [CAUSAL if self._is_causal() else FULL]
        if len(self._visibility) not in (1, self.layers):
            raise UsageError(
                f"{self.folder / 'recording.json'}: expected {self.layers} layers in `sees`, got "
                f"{len(self._visibility)}"
            )

    def __repr__(self) -> str:
        texts = "1 text" if len(self.passages) == 1 else f"{len(self.passages):,} texts"
        return f"<Recording {self.name!r}: {texts}, {self.layers} layers of {self.heads} heads>"

    @property
    def fingerprint(self) -> str:
        """A hash of its files."""
        digest = blake2b(digest_size=16)
        for path in sorted(self.folder.iterdir()):
            if path.name in ("attention.npz", "recording.json", *FILES):
                digest.update(path.name.encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()

    def visibility(self, layer: int) -> Visibility:
        """What the recorded model's layer sees; all keys, or those up to the query, if unknown."""
        return self._visibility[layer if len(self._visibility) > 1 else 0]

    def read(self, passage: Passage) -> Float[np.ndarray, "L H T T"]:
        """The attention of all heads on one text, float32.

        Raises:
            RunError: NaN, a negative number, a wrong shape, or a row that is no distribution;
                names the text, the head and the row.
            UsageError: the recording does not hold the text.
        """
        key = self._key.get(passage.text_id)
        if key is None:
            raise UsageError(f"{self.folder} holds no text {passage.text_id!r}")
        where = f"{self.folder / 'attention.npz'}: text {passage.text_id!r}"
        try:
            stored = self._file[key]
        except _BROKEN as error:
            raise RunError(f"{where}: expected an array, got a damaged one ({error})") from error
        length = len(passage)
        if stored.dtype.kind not in "fiu" or stored.ndim != 4 or 0 in stored.shape:
            raise RunError(
                f"{where}: expected numbers of shape (layers, heads, {length}, {length}), got "
                f"{stored.dtype} of shape {stored.shape}"
            )
        queries, keys = stored.shape[2:]
        padded = queries == keys > length and self._padded
        if (queries, keys) != (length, length) and not padded:
            raise RunError(
                f"{where}: expected shape (layers, heads, {length}, {length}), got {stored.shape}"
            )
        values = stored[:, :, :length, :length]
        if key.endswith("_logits") and not self._exact:
            return causal_softmax(values)
        return distributions(values, where, exact=self._exact)

    def run(self, batch: Sequence[Passage], observer: Observer) -> None:
        """Show `observer` the attention of every layer on a batch, layer by layer."""
        lengths = torch.tensor([len(passage) for passage in batch])
        width = int(lengths.max())
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
            weights = torch.from_numpy(padded[layer])
            observer.observe(AttentionCall(layer, lengths, tuple(batch), weights.float, None))

    @cached_property
    def _padded(self) -> bool:
        """Whether all arrays have one size: others pad the texts of a batch, on the right."""
        archive = self._file.zip
        if self._exact or archive is None:
            return False
        sizes = set()
        for name in archive.namelist():
            with archive.open(name) as file:
                version = np.lib.format.read_magic(file)
                read = (
                    np.lib.format.read_array_header_1_0
                    if version == (1, 0)
                    else np.lib.format.read_array_header_2_0
                )
                sizes.add(read(file)[0][-1:])
        return len(sizes) == 1

    def _key_of(self, passage: Passage, arrays: Sequence[str]) -> str:
        for key in arrays:
            if key in self._file:
                return key
        raise RunError(
            f"{self.folder / 'attention.npz'}: expected an array for text {passage.text_id!r}"
        )

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


def distributions(
    stored: Float[np.ndarray, "L H T T"] | Any,  # noqa: ANN401 also integers
    where: str,
    *,
    exact: bool,
) -> Float[np.ndarray, "L H T T"]:
    """Recorded numbers as float32 attention, every row checked.

    Args:
        stored: probabilities, or integers in units of 1e-4, shape `(layers, heads, T, T)`.
        exact: take rows as they are, also where they sum to less than 1 (attention sinks inside
            the softmax); else they must sum to 1 but for rounding, and are renormalised.

    Raises:
        RunError: NaN, a negative number, or a row that is no distribution.
    """
    values = np.asarray(stored, np.float32)
    tolerance = ROW_TOLERANCE
    if np.issubdtype(stored.dtype, np.integer):
        values = values * np.float32(UNIT)
        tolerance = max(tolerance, values.shape[-1] * UNIT / 2)  # of rounding every number
    total = values.sum(-1, dtype=np.float64)
    low = -tolerance if exact else 1 - tolerance
    wrong = ~((total > low) & (total < 1 + tolerance) & (values >= 0).all(-1))
    if not exact:
        wrong |= total <= 0
    if wrong.any():
        layer, head, row = (int(index) for index in np.argwhere(wrong)[0])
        got = values[layer, head, row]
        what = "NaN" if np.isnan(got).any() else f"a row that sums to {total[wrong][0]:.3f}"
        if (got < 0).any():
            what = "a negative number"
        raise RunError(
            f"{where}: expected attention that sums to 1, got {what} in head {layer}.{head}, "
            f"row {row}"
        )
    return values if exact else (values / total[..., None]).astype(np.float32)


def write_recording(
    folder: str | Path,
    texts: Iterable[tuple[Passage, np.ndarray]],
    visibility: Sequence[Visibility] | None = None,
) -> None:
    """Write texts and their attention as a recording, one after the other.

    >>> from tempfile import mkdtemp
    >>> from headscribe.models.loading import load
    >>> from headscribe.models.inputs import model_inputs
    >>> from headscribe.text.corpora import from_strings
    >>> model = load("bundled:stories")
    >>> texts = model_inputs(model, from_strings(["The cat sat."]), "plain").passages
    >>> write_recording(folder := mkdtemp(), attention_of(model, texts), model.stack.visibility)
    >>> Recording(folder).read(texts[0]).shape
    (6, 6, 5, 5)

    Args:
        folder: where to; made if there is none.
        texts: passages with the attention of every head, `(layers, heads, T, T)`, stored as
            float32.
        visibility: what each layer sees; None: told from the attention on reading.

    Raises:
        UsageError: the folder holds a recording already, two texts have the same id, or attention
            has a wrong shape.
        RunError: attention is NaN or no distribution, or the folder cannot be written.
    """
    folder = Path(folder)
    target = folder / "attention.npz"
    if target.exists():
        raise UsageError(f"{target} exists already: choose another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {folder}: {error.strerror or error}") from error
    lines: dict[str, str] = {}
    with ExitStack() as stack:
        temporary = stack.enter_context(replacing(target))
        archive = stack.enter_context(
            # Most of what compresses are zeros, which the fastest level finds too.
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        )
        for number, (passage, attention) in enumerate(texts):
            if passage.text_id in lines:
                raise UsageError(f"expected texts whose ids differ, got {passage.text_id!r} twice")
            values = np.asarray(attention, np.float32)
            where = f"text {passage.text_id!r}"
            if values.ndim != 4 or values.shape[2:] != (len(passage), len(passage)):
                raise UsageError(
                    f"{where}: expected shape (layers, heads, {len(passage)}, {len(passage)}), "
                    f"got {values.shape}"
                )
            distributions(values, where, exact=True)
            with archive.open(f"{number}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, values, allow_pickle=False)
            lines[passage.text_id] = line_of(passage, str(number))
        sees = None
        if visibility is not None:
            sees = [{"causal": layer.causal, "window": layer.window} for layer in visibility]
        # The archive is renamed last: where it lies, the recording is whole.
        write_whole(folder / "sentences.jsonl", "\n".join(lines.values()) + "\n")
        write_whole(
            folder / "recording.json", json.dumps({"format": FORMAT, "sees": sees}, indent=1) + "\n"
        )


def _facts(path: Path) -> dict[str, Any] | None:
    """What `recording.json` says, its layers as visibilities; None if there is none."""
    if not path.exists():
        return None
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        known = facts["format"]
        if known != FORMAT:
            raise UsageError(
                f"{path}: expected format {FORMAT}, got {known!r}; a newer Headscribe may read it"
            )
        if any(type(layer["window"]) not in (int, NoneType) for layer in facts["sees"] or ()):
            raise TypeError("a window is an integer or null")
        sees = [Visibility(bool(layer["causal"]), layer["window"]) for layer in facts["sees"] or ()]
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UsageError(
            f'{path}: expected {{"format": {FORMAT}, "sees": null or a list of layers}}, got '
            f"something else ({type(error).__name__}: {error})"
        ) from error
    return {"sees": sees}


def _open(path: Path) -> np.lib.npyio.NpzFile:
    try:
        file = np.load(path, allow_pickle=False)
    except FileNotFoundError as error:
        raise UsageError(f"expected the file {path}, got none") from error
    except _BROKEN as error:
        raise RunError(f"{path}: expected an .npz file, got a damaged one ({error})") from error
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise RunError(f"{path}: expected an .npz file of named arrays")
    return file


def is_recording(named: object) -> TypeGuard[str | Path]:
    """Whether something names the folder of a recording."""
    return isinstance(named, str | Path) and (Path(named) / "attention.npz").is_file()


@runtime_checkable
class Runs(Protocol):
    """What shows its layers, one after the other: a model, a recording."""

    @property
    def layers(self) -> int: ...  # noqa: D102

    def run(self, batch: Sequence[Passage], observer: Observer) -> None:
        """Show `observer` every layer on a batch of texts."""
        ...


def attention_of(
    source: Runs, passages: Iterable[Passage], layers: Sequence[int] | None = None
) -> Iterator[tuple[Passage, Float[np.ndarray, "L H T T"]]]:
    """Every passage with the attention of some layers (default all), as it is asked for.

    A model makes one forward pass a passage; a recording holds the passages.
    """
    chosen = list(range(source.layers) if layers is None else layers)
    for passage in passages:
        # Not a layer is held here while a passage is looked at or the next one is read.
        yield passage, _stacked(source, passage, chosen)


def _stacked(source: Runs, passage: Passage, chosen: Sequence[int]) -> Float[np.ndarray, "L H T T"]:
    keeper = Keeper(chosen)
    source.run([passage], keeper)
    # Layers of a model that is spread over devices lie on several.
    # In NumPy's memory: Torch's aligned blocks of a text fragment the heap, by 2.5 MB a text.
    found: Float[np.ndarray, "L H T T"] = np.stack(
        [keeper.layers.pop(layer)[0].cpu().numpy() for layer in chosen]
    )
    return found
