"""Passages made by hand: a small tokeniser, the project's own alignment, columns as given."""

import re
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np

from headscribe.text.alignment import align
from headscribe.text.annotators import Plain
from headscribe.text.corpora import Text
from headscribe.text.passages import Encoding, Passage, Words

CLS, SEP = 101, 102


def encode(text: str, piece: int = 4, special: bool = True) -> Encoding:
    """Cut runs of letters into pieces of `piece` characters, other signs and line breaks alone."""
    tokens, spans, ids = [], [], []
    for match in re.finditer(r"\w+|[^\w\s]|\n", text):
        for start in range(match.start(), match.end(), piece):
            end = min(start + piece, match.end())
            tokens.append(("##" if start > match.start() else "") + text[start:end].lower())
            spans.append((start, end))
            ids.append(1000 + crc32(tokens[-1].encode()) % 30000)
    if special:
        tokens, ids = ["[CLS]", *tokens, "[SEP]"], [CLS, *ids, SEP]
        spans = [(0, 0), *spans, (0, 0)]
    flags = np.isin(ids, [CLS, SEP]) if special else np.zeros(len(ids), bool)
    return Encoding(
        tuple(tokens),
        np.array(ids, np.int64),
        np.array(spans, np.int64).reshape(-1, 2),
        np.asarray(flags, bool),
    )


def split(text: str, seed: int) -> Passage:
    """A passage of random runs of bytes, which split characters, as byte-level vocabularies do."""
    draw, raw = np.random.default_rng(seed), text.encode()
    owner = [index for index, character in enumerate(text) for _ in character.encode()]
    ends = np.unique([*np.cumsum(draw.integers(1, 4, len(raw))), len(raw)])
    ends = ends[ends <= len(raw)]
    bounds = list(zip([0, *ends.tolist()], ends.tolist(), strict=False))
    tokens = tuple(raw[start:end].decode("latin-1") for start, end in bounds)
    ids = [1000 + crc32(raw[start:end]) % 30000 for start, end in bounds]
    spans = [(owner[start], owner[end - 1] + 1) for start, end in bounds]
    source = Text("0", "0", text)
    (words,) = Plain().annotate([source])
    made = (np.array(ids), np.array(spans).reshape(-1, 2), np.zeros(len(ids), bool))
    return align(source, Encoding(tokens, *made), words)


def make(
    text: str, piece: int = 4, special: bool = True, text_id: str = "0", **columns: Sequence[Any]
) -> Passage:
    """A passage of plain words; `columns` are what an annotator knows of each."""
    source = Text(text_id, text_id, text)
    (words,) = Plain().annotate([source])
    for name in ("head", "sentence"):
        if name in columns:
            columns[name] = np.array(columns[name], np.int64)
    made = {n: c if isinstance(c, np.ndarray) else tuple(c) for n, c in columns.items()}
    return align(source, encode(text, piece, special), Words(words.form, words.spans, **made))


UPOS = ("NOUN", "VERB", "DET", "PROPN", "PRON", "ADP", "PUNCT")
DEPS = ("nsubj", "obj", "det", "amod", "case", "acl:relcl", "punct", "root")


def random_passage(seed: int, length: int = 12, special: bool = True) -> Passage:
    """Random short words with random annotation: trees, tags, sentences."""
    draw = np.random.default_rng(seed)
    stock = ["the", "Cat", "sits", "on", "a", "mattress", ",", ".", "(", ")", '"', "12", "unhappy"]
    text = " ".join(draw.choice(stock, length).tolist())
    (words,) = Plain().annotate([Text("0", "0", text)])
    count = len(words.form)
    head = [-1 if i == 0 else int(draw.integers(0, i)) for i in range(count)]
    order = draw.permutation(count)
    place = np.argsort(order)
    return make(
        text,
        special=special,
        head=[-1 if head[order[i]] < 0 else int(place[head[order[i]]]) for i in range(count)],
        upos=draw.choice(UPOS, count).tolist(),
        xpos=draw.choice(["NN", "VB", "DT"], count).tolist(),
        dep=draw.choice(DEPS, count).tolist(),
        lemma=[form.lower() for form in words.form],
        morph=draw.choice(["", "Number=Sing", "Case=Nom|Number=Plur"], count).tolist(),
        entity=draw.choice(["", "PERSON"], count).tolist(),
        sentence=np.sort(draw.integers(0, 3, count)).tolist(),
    )
