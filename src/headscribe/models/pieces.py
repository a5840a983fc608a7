"""Where the tokens of a recording stand in its text, whoever's vocabulary wrote them."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

from headscribe.core.arrays import Spans
from headscribe.core.errors import UsageError

_SPECIAL = re.compile(r"\[[A-Z0-9_]+\]|<[^<>\s]*>|<\|[^<>\s]*\|>")
"""How vocabularies write tokens that stand for no characters: `[CLS]`, `<s>`, `<|endoftext|>`."""

_UNKNOWN = ("[UNK]", "<unk>", "<|unk|>")
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _byte_letters() -> dict[str, int]:
    """The letters in which byte-level vocabularies (GPT-2) write bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    letters = {chr(byte): byte for byte in plain}
    return letters | {chr(256 + index): byte for index, byte in enumerate(others)}


_BYTES = _byte_letters()


def looks_special(token: str) -> bool:
    """Whether a token is written as those are that a tokenizer adds."""
    return token not in _UNKNOWN and not _BYTE.fullmatch(token) and bool(_SPECIAL.fullmatch(token))


def located(text: str, tokens: Sequence[str], special: Sequence[bool], where: str) -> Spans:
    """The character spans of tokens, shape `(N, 2)`; `(0, 0)` for special ones.

    Byte-level pieces (`Ġcaf`, `Ã`, `©`) get the characters that their bytes belong to. Others are
    found one after the other, marks of blanks and of word pieces, accents and case aside; an
    unknown token takes what lies between its neighbours.

    >>> located("The cats", ["[CLS]", "the", "cat", "##s"], [True, False, False, False], "")[1:]
    array([[0, 3],
           [4, 7],
           [7, 8]])

    Raises:
        UsageError: a token does not follow the one before it in the text.
    """
    real = [index for index, flag in enumerate(special) if not flag]
    spans = np.zeros((len(tokens), 2), np.int64)
    if not real:
        return spans
    pieces = [tokens[index] for index in real]
    by_bytes = _by_bytes(text, pieces)
    spans[real] = _one_after_the_other(text, pieces, where) if by_bytes is None else by_bytes
    return spans


def _by_bytes(text: str, pieces: Sequence[str]) -> Spans | None:
    """The spans of byte-level pieces that together are the text; None if they are not."""
    if not all(letter in _BYTES for piece in pieces for letter in piece):
        return None
    raw = [bytes(_BYTES[letter] for letter in piece) for piece in pieces]
    whole = text.encode("utf-8", "surrogatepass")
    joined = b"".join(raw)
    blank = joined == b" " + whole  # some tokenizers put a blank before the text
    if joined != whole and not blank:
        return None
    owner = [
        index for index, char in enumerate(text) for _ in char.encode("utf-8", "surrogatepass")
    ]
    spans, cursor = np.zeros((len(pieces), 2), np.int64), -1 if blank else 0
    for row, piece in enumerate(raw):
        first, last = max(cursor, 0), cursor + len(piece) - 1
        spans[row] = (owner[first], owner[last] + 1) if last >= first else (0, 0)
        cursor += len(piece)
    return spans


def _one_after_the_other(text: str, pieces: Sequence[str], where: str) -> Spans:
    folded, cursor = folded_text(text), 0
    spans = np.zeros((len(pieces), 2), np.int64)
    unknown: list[int] = []
    row = 0
    while row < len(pieces):
        if pieces[row] in _UNKNOWN:
            unknown.append(row)
            row += 1
            continue
        letters, end = _characters(pieces, row)
        start = folded.find(folded_text(letters), cursor)
        if start < 0:
            raise UsageError(
                f"{where}: expected {pieces[row]!r} in the text after position {cursor}"
            )
        _fill(spans, unknown, text, cursor, start)
        cursor = start + len(letters)
        spans[row:end] = start, cursor
        row = end
    _fill(spans, unknown, text, cursor, len(text))
    return spans


def _fill(spans: Spans, unknown: list[int], text: str, start: int, end: int) -> None:
    """Give unknown tokens what lies between their neighbours, blanks at its ends aside."""
    gap = text[start:end]
    inner = gap.strip()
    begin = start + (len(gap) - len(gap.lstrip()) if inner else 0)
    for row in unknown:
        spans[row] = begin, begin + len(inner)
    unknown.clear()


def _characters(pieces: Sequence[str], row: int) -> tuple[str, int]:
    """The characters of a piece, and the piece behind it; bytes are joined to characters."""
    end, raw = row, b""
    while end < len(pieces) and (byte := _BYTE.fullmatch(pieces[end])):
        raw += bytes([int(byte[1], 16)])
        end += 1
        try:
            return raw.decode("utf-8"), end
        except UnicodeDecodeError:
            continue
    return bare(pieces[row]), row + 1


def bare(piece: str) -> str:
    """A piece without the marks that vocabularies put on it."""
    plain = piece.replace("Ġ", " ").replace("▁", " ").removeprefix("##")
    return plain.removesuffix("</w>").removesuffix("@@").strip() or plain.strip()


def folded_text(text: str) -> str:
    """The text without accents and case, character by character, so that positions stay."""
    return "".join(unicodedata.normalize("NFD", char)[0].lower()[:1] for char in text)
