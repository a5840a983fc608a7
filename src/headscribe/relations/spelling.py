"""The spelling of a relation, checked character by character before Python's parser sees it.

Python's parser folds full-width letters into ASCII names, raises RecursionError, MemoryError and
UnicodeEncodeError on hostile input, and warns about odd escapes; none of that is reached.
"""

import re
from typing import NoReturn

from headscribe.core.errors import UsageError

MAX_CHARACTERS = 6000
MAX_BRACKETS = 64
MAX_DIGITS = 24

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_ESCAPE = re.compile(r"\\(?:[\\\"'nrtbf]|u[0-9a-fA-F]{4})")
_SYMBOLS = frozenset(" .,()[]{}=!<>+-*/")
_BLANKS = frozenset("\n\r\t")


def refuse(column: int, reason: str) -> NoReturn:
    """Raise the error of the language: the column, counted from 1, and the reason."""
    raise UsageError(f"column {column}: {reason}")


def _string(source: str, start: int) -> int:
    """Return where the string literal that opens at `start` ends."""
    quote, position = source[start], start + 1
    while position < len(source):
        character = source[position]
        if character == quote:
            return position + 1
        if character == "\\":
            escape = _ESCAPE.match(source, position)
            if escape is None:
                refuse(position + 1, r"only the escapes \\ \" \n \r \t \b \f \uXXXX are known")
            position = escape.end()
        elif character in "\n\r":
            refuse(position + 1, "a string literal ends on the line where it starts")
        else:
            position += 1
    refuse(start + 1, "the string literal is not closed")


def _number(source: str, start: int) -> int:
    """Return where the number that starts at `start` ends."""
    number = _NUMBER.match(source, start)
    end = start + 1 if number is None else number.end()
    if number is None or (end < len(source) and (source[end].isalnum() or source[end] in "_.")):
        refuse(start + 1, "a number is written as 12, 0.5 or 1e-3")
    if end - start > MAX_DIGITS:
        refuse(start + 1, f"a number has at most {MAX_DIGITS} characters, got {end - start}")
    return end


def _first_bad(source: str) -> None:
    """Refuse characters that no relation contains, not even in a string literal."""
    for position, character in enumerate(source):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            what = "NUL" if character == "\0" else "half of a surrogate pair"
            refuse(position + 1, f"{what} ({ord(character):#x}) cannot be part of a relation")


def _unknown(position: int, character: str) -> NoReturn:
    """Refuse a character that has no meaning outside string literals."""
    if not character.isascii():
        refuse(
            position + 1,
            f"{character!a} is not ASCII; other letters may stand in string literals only",
        )
    meant = {"&": "`and`", "|": "`or`", "~": "`not`", "^": "no powers", "#": "no comments"}
    hint = f" (use {meant[character]})" if character in "&|~" else ""
    hint = f" ({meant[character]})" if character in "^#" else hint
    refuse(position + 1, f"the character {character!r} has no meaning here{hint}")


def check_spelling(source: str) -> str:
    """Check `source` and return it with line breaks and tabs outside literals made blanks.

    Raises:
        UsageError: empty or longer than 2,000 characters; outside string literals a character
            that is not ASCII or has no meaning; a malformed literal; unbalanced brackets.
    """
    if len(source) > MAX_CHARACTERS:
        raise UsageError(f"a relation has at most {MAX_CHARACTERS} characters, got {len(source)}")
    if not source.strip():
        raise UsageError("expected a relation such as `key.word == query.head`, got nothing")
    _first_bad(source)
    plain = list(source)
    position, brackets, previous = 0, 0, ""
    while position < len(source):
        character, start = source[position], position
        after_digit = source[position + 1 : position + 2].isdigit()
        if character in "\"'":
            if previous in {"word", "string"} and source[position - 1] != " ":
                refuse(position + 1, "a string literal stands alone: no f, r, b or triple quotes")
            position, previous = _string(source, position), "string"
        elif (word := _PLAIN.match(source, position)) is not None:
            position, previous = word.end(), "word"
        elif character in "0123456789" or (character == "." and after_digit):
            position, previous = _number(source, position), "number"
        elif character in _SYMBOLS or character in _BLANKS:
            plain[start] = " " if character in _BLANKS else character
            brackets += (character in "([{") - (character in ")]}")
            if brackets < 0:
                refuse(position + 1, f"{character!r} closes nothing")
            if brackets > MAX_BRACKETS:
                refuse(position + 1, f"brackets are nested deeper than {MAX_BRACKETS}")
            position, previous = position + 1, "symbol"
        else:
            _unknown(position, character)
    if brackets:
        raise UsageError(f"column {len(source)}: {brackets} bracket(s) are not closed")
    return "".join(plain)
