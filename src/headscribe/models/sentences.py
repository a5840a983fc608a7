"""The texts of a recording: its sentence file as aligned passages."""

import json
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headscribe.core.arrays import Spans
from headscribe.core.errors import UsageError
from headscribe.text.alignment import align
from headscribe.text.annotators.plain import Plain
from headscribe.text.corpora import Text
from headscribe.text.passages import Encoding, Passage, Ragged, Words

FILES = ("sentences.jsonl", "prompts.jsonl")


def passages_of(folder: Path) -> tuple[Passage, ...]:
    """Read the texts of a recording, in the order of the file.

    Raises:
        UsageError: the file is missing or empty, or a line is broken; named by its number.
    """
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        raise UsageError(f"expected {' or '.join(FILES)} in {folder}, got neither")
    records: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise UsageError(f"{path}:{number}: expected a JSON object, got {error}") from error
        _check(record, f"{path}:{number}")
        records.append((number, record))
    if not records:
        raise UsageError(f"{path}: expected at least one text, got an empty file")
    vocabulary = sorted({token for _, record in records for token in record["tokens"]})
    ids = {token: i for i, token in enumerate(vocabulary)}
    return tuple(_passage(record, ids, f"{path}:{number}") for number, record in records)


def _check(record: object, where: str) -> None:
    if not isinstance(record, dict):
        raise UsageError(f"{where}: expected a JSON object, got {type(record).__name__}")
    text, tokens = record.get("text", record.get("prompt")), record.get("tokens")
    if "id" not in record or not isinstance(text, str):
        raise UsageError(f"{where}: expected the fields id and text")
    if not isinstance(tokens, list) or not all(isinstance(t, str) for t in tokens) or not tokens:
        raise UsageError(f"{where}: expected a list of strings in `tokens`")
    for name in ("ids", "token_ids", "special", "spans", "word_of_token"):
        if name in record and len(record[name]) != len(tokens):
            raise UsageError(
                f"{where}: expected {len(tokens)} values in `{name}`, got {len(record[name])}"
            )
    if "words" in record and "word_of_token" not in record:
        raise UsageError(f"{where}: expected `word_of_token` where there are `words`")


def _passage(record: dict[str, Any], vocabulary: dict[str, int], where: str) -> Passage:
    text: str = record["text"] if "text" in record else record["prompt"]
    tokens: list[str] = record["tokens"]
    text_id = str(record["id"])
    group = str(record.get("group", text_id))
    words = _words(record, text, where) if "words" in record else None
    word_of = record.get("word_of_token", [0] * len(tokens))
    special = np.array(record.get("special", [word is None for word in word_of]), bool)
    given = record.get("spans")
    if given is not None:
        spans = np.array(given, np.int64).reshape(-1, 2)
    elif words is not None:
        spans = _token_spans(text, tokens, word_of, words.spans)
    else:
        spans = located(text, [t.replace("Ġ", " ").replace("▁", " ") for t in tokens], where)
    ids = record.get("ids", record.get("token_ids", [vocabulary[token] for token in tokens]))
    encoding = Encoding(tuple(tokens), np.array(ids, np.int64), spans, special)
    if words is None:
        source = Text(text_id, group, text)
        return align(source, encoding, next(iter(Plain().annotate([source]))))
    lists = [[] if word is None else [int(word)] for word in word_of]
    if any(word >= len(words) or word < 0 for touched in lists for word in touched):
        raise UsageError(f"{where}: expected word indices below {len(words)} in `word_of_token`")
    return Passage(text_id, group, text, encoding, words, Ragged.from_lists(lists))


def _words(record: dict[str, Any], text: str, where: str) -> Words:
    form = tuple(record["words"])
    spans = (
        np.array(record["word_spans"], np.int64).reshape(-1, 2)
        if "word_spans" in record
        else located(text, form, where)
    )
    head = record.get("dep_head")
    return Words(
        form,
        spans,
        upos=tuple(record["upos"]) if "upos" in record else None,
        dep=tuple(record["dep_rel"]) if "dep_rel" in record else None,
        head=None if head is None else np.array([-1 if h is None else int(h) for h in head]),
    )


def located(text: str, pieces: Sequence[str], where: str) -> Spans:
    """Find the pieces in a text one after the other, accents and case aside, shape `(N, 2)`.

    Raises:
        UsageError: a piece does not follow the one before it in the text.
    """
    folded, cursor = _folded(text), 0
    spans = np.zeros((len(pieces), 2), np.int64)
    for i, piece in enumerate(pieces):
        start = folded.find(_folded(piece.strip()), cursor)
        if start < 0:
            raise UsageError(f"{where}: expected {piece!r} in the text after position {cursor}")
        cursor = start + len(piece.strip())
        spans[i] = start, cursor
    return spans


def _token_spans(
    text: str, tokens: Sequence[str], word_of: Sequence[int | None], words: Spans
) -> Spans:
    """Spans of subwords within their words; the whole word where a subword is not found in it."""
    spans = np.zeros((len(tokens), 2), np.int64)
    folded, cursor = _folded(text), 0
    for i, (token, word) in enumerate(zip(tokens, word_of, strict=True)):
        if word is None:
            continue
        piece = _folded(token.removeprefix("##").lstrip("Ġ▁"))
        start, end = (int(place) for place in words[word])
        found = folded.find(piece, max(cursor, start), end) if piece else -1
        if found >= 0:
            start, end = found, found + len(piece)
            cursor = end
        spans[i] = start, end
    return spans


def _folded(text: str) -> str:
    """The text without accents and case, character by character, so that positions stay."""
    return "".join(unicodedata.normalize("NFD", char)[0].lower()[:1] for char in text)
