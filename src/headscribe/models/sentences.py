"""The texts of a recording: its sentence file as aligned passages, and passages as its lines."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headscribe.core.arrays import Spans
from headscribe.core.errors import UsageError
from headscribe.models.pieces import bare, folded_text, located, looks_special
from headscribe.text.alignment import align
from headscribe.text.annotators.plain import Plain
from headscribe.text.corpora import Text
from headscribe.text.fields import ABOUT, about_of
from headscribe.text.passages import WORD_FIELDS, Encoding, Passage, Ragged, Words
from headscribe.text.readers import Broken, json_lines
from headscribe.text.records import Source

FILES = ("sentences.jsonl", "prompts.jsonl")

_NAMES = {"dep": "dep_rel", "head": "dep_head"}
"""Fields of words that a recording calls otherwise."""


@dataclass(frozen=True)
class Sentence:
    """One line of the file: a text, and the arrays that may hold its attention, best first."""

    passage: Passage
    arrays: tuple[str, ...]


def sentences_of(folder: Path) -> tuple[Sentence, ...]:
    """Read the texts of a recording, in the order of the file.

    Raises:
        UsageError: the file is missing, empty or no UTF-8, a line is broken, or two texts name one
            array; named by the number of the line.
    """
    path = next((folder / name for name in FILES if (folder / name).is_file()), None)
    if path is None:
        raise UsageError(f"expected {' or '.join(FILES)} in {folder}, got neither")
    records: list[tuple[str, dict[str, Any]]] = []
    for number, item in json_lines(Source(path)):
        where = f"{path}:{number}"
        if not isinstance(item, dict):
            got = item if isinstance(item, Broken) else type(item).__name__
            raise UsageError(f"{where}: expected a JSON object, got {got}")
        records.append((where, checked(item, where)))
    if not records:
        raise UsageError(f"{path}: expected at least one text, got an empty file")
    tokens = sorted({token for _, record in records for token in record["tokens"]})
    vocabulary = {token: index for index, token in enumerate(tokens)}
    sentences: list[Sentence] = []
    places: dict[str, str] = {}
    for where, record in records:
        own = str(record["id"])
        arrays: tuple[str, ...] = (own, f"{own}_attention", f"{own}_logits")
        if "array" in record:
            arrays = (record["array"],)
        elif own in places:
            raise UsageError(
                f"{where}: expected ids that differ, since arrays are named by them, got "
                f"{own!r} as in {places[own]}"
            )
        places[own] = where
        sentences.append(Sentence(passage_of(record, vocabulary, where), arrays))
    if len({sentence.passage.text_id for sentence in sentences}) < len(sentences):
        raise UsageError(f"{path}: expected ids that differ, got one twice")
    return tuple(sentences)


def line_of(passage: Passage, array: str) -> str:
    """A passage as a line of the file; plain ASCII, so that no separator of lines is in it."""
    words = passage.words
    columns = {name: getattr(words, name) for name in WORD_FIELDS}
    fields: dict[str, object] = {
        "id": passage.text_id,
        "array": array,
        "group": passage.group,
        "text": passage.text,
        "tokens": passage.tokens,
        "ids": np.asarray(passage.ids).tolist(),
        "spans": np.asarray(passage.spans).tolist(),
        "special": np.asarray(passage.is_special).tolist(),
        "cut": passage.encoding.cut,
        "words": words.form,
        "word_spans": np.asarray(words.spans).tolist(),
        "word_of_token": [touched.tolist() for touched in passage.words_of],
        **{f"{ABOUT}{name}": value for name, value in passage.about.items()},
    }
    for name, column in columns.items():
        if column is not None:
            values = np.asarray(column).tolist() if name in ("head", "sentence") else column
            if name == "head":
                values = [None if head < 0 else head for head in values]
            fields[_NAMES.get(name, name)] = values
    return json.dumps(fields)


def checked(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A record whose fields are of the right kind; one that is null is as good as none.

    Raises:
        UsageError: a field is missing or wrong; names it and `where`.
    """
    record = {name: value for name, value in given.items() if value is not None}
    text = record.setdefault("text", record.get("prompt"))
    if "id" not in record or not isinstance(text, str):
        raise UsageError(f"{where}: expected the fields id and text")
    if "token_ids" in record:
        record.setdefault("ids", record["token_ids"])
    _column(record, "tokens", str, where)
    if not record.get("tokens"):
        raise UsageError(f"{where}: expected a list of strings in `tokens`")
    count = len(record["tokens"])
    _column(record, "ids", int, where, count)
    _column(record, "special", bool, where, count)
    _pairs(record, "spans", where, count, len(text))
    _column(record, "words", str, where)
    if "words" in record:
        words = len(record["words"])
        if "word_of_token" not in record:
            raise UsageError(f"{where}: expected `word_of_token` where there are `words`")
        _pairs(record, "word_spans", where, words, len(text))
        for name in ("upos", "dep_rel", "lemma", "xpos", "morph", "entity"):
            _column(record, name, str, where, words)
        _column(record, "sentence", int, where, words)
        _column(record, "dep_head", int, where, words, missing=True)
        record["word_of_token"] = _touched(record["word_of_token"], where, count, words)
    if not isinstance(record.get("array", ""), str):
        raise UsageError(f"{where}: expected a string in `array`")
    return record


def _column(
    record: Mapping[str, Any],
    name: str,
    kind: type,
    where: str,
    count: int | None = None,
    *,
    missing: bool = False,
) -> None:
    """Check a list of values of one kind, if there is one."""
    if name not in record:
        return
    plural = {str: "strings", int: "integers", bool: "true and false"}[kind]
    values = record[name]
    # A bool is an int to Python, not to a reader; 0 and 1 are flags to both.
    right = (bool, int) if kind is bool else kind
    if not isinstance(values, list) or not all(
        (missing and value is None)
        or (isinstance(value, right) and (kind is bool or not isinstance(value, bool)))
        for value in values
    ):
        raise UsageError(f"{where}: expected a list of {plural} in `{name}`")
    if count is not None and len(values) != count:
        raise UsageError(f"{where}: expected {count} values in `{name}`, got {len(values)}")


def _pairs(record: Mapping[str, Any], name: str, where: str, count: int, length: int) -> None:
    """Check a list of spans within the text, if there is one."""
    values = record.get(name)
    if values is None:
        return
    right = isinstance(values, list) and all(
        isinstance(pair, list)
        and len(pair) == 2
        and all(type(place) is int for place in pair)
        and 0 <= pair[0] <= pair[1] <= length
        for pair in values
    )
    if not right:
        raise UsageError(f"{where}: expected [start, end] within the text in `{name}`")
    if len(values) != count:
        raise UsageError(f"{where}: expected {count} values in `{name}`, got {len(values)}")


def _touched(values: object, where: str, count: int, words: int) -> list[list[int]]:
    """The words that each token touches: an index, null, or a list of indices."""
    if not isinstance(values, list) or len(values) != count:
        got = len(values) if isinstance(values, list) else type(values).__name__
        raise UsageError(f"{where}: expected {count} values in `word_of_token`, got {got}")
    lists = [
        value if isinstance(value, list) else [] if value is None else [value] for value in values
    ]
    for word in (word for touched in lists for word in touched):
        if type(word) is not int or not 0 <= word < words:
            raise UsageError(
                f"{where}: expected word indices below {words} in `word_of_token`, got {word!r:.40}"
            )
    return lists


def passage_of(record: Mapping[str, Any], vocabulary: Mapping[str, int], where: str) -> Passage:
    """The passage that a checked record describes; what it does not say is found in the text."""
    text, tokens = record["text"], record["tokens"]
    text_id = str(record["id"])
    group = str(record.get("group", text_id))
    words = _words(record, text, where) if "words" in record else None
    touched = record.get("word_of_token")
    special = record.get("special")
    if special is None:
        known = [looks_special(token) and token not in text for token in tokens]
        special = known if words is None else [not some for some in touched or ()]
    if "spans" in record:
        spans = np.array(record["spans"], np.int64).reshape(-1, 2)
    elif words is not None and touched is not None:
        spans = _within_words(text, tokens, touched, words.spans)
    else:
        spans = located(text, tokens, special, where)
    ids = record.get("ids") or [vocabulary[token] for token in tokens]
    flags, cut = np.array(special, bool), record.get("cut", 0)
    about = about_of(record)
    encoding = Encoding(tuple(tokens), np.array(ids, np.int64), spans, flags, cut)
    if words is None or touched is None:
        source = Text(text_id, group, text, about=about)
        return align(source, encoding, next(iter(Plain().annotate([source]))))
    return Passage(text_id, group, text, encoding, words, Ragged.from_lists(touched), about)


def _words(record: Mapping[str, Any], text: str, where: str) -> Words:
    form = tuple(record["words"])
    spans = (
        np.array(record["word_spans"], np.int64).reshape(-1, 2)
        if "word_spans" in record
        else located(text, form, [False] * len(form), where)
    )
    columns: dict[str, Any] = {}
    for name in WORD_FIELDS:
        column = record.get(_NAMES.get(name, name))
        if column is not None and name == "head":
            columns[name] = np.array([-1 if head is None else head for head in column], np.int64)
        elif column is not None and name == "sentence":
            columns[name] = np.array(column, np.int64)
        elif column is not None:
            columns[name] = tuple(column)
    try:
        return Words(form, spans, **columns)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def _within_words(
    text: str, tokens: Sequence[str], touched: Sequence[Sequence[int]], words: Spans
) -> Spans:
    """Spans of subwords within their words; the whole word where a subword is not found in it."""
    spans = np.zeros((len(tokens), 2), np.int64)
    folded, cursor = folded_text(text), 0
    for row, (token, some) in enumerate(zip(tokens, touched, strict=True)):
        if not some:
            continue
        piece = folded_text(bare(token))
        start, end = (int(place) for place in words[some[0]])
        found = folded.find(piece, max(cursor, start), end) if piece else -1
        if found >= 0:
            start, end = found, found + len(piece)
            cursor = end
        spans[row] = start, end
    return spans
