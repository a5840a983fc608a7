r"""Untrusted text made safe to look at: no controls, no direction marks, no zero-width characters.

Corpora, language models and other people's runs can hold characters that hide words from the reader
or move the terminal's cursor. What is not visible is written out, as in `\x1b` or `\u202e`.
"""

import unicodedata
from functools import cache

ELLIPSIS = "…"


def visible(text: str) -> str:
    r"""`text` with everything that is not a visible character written out.

    Controls, direction marks, zero-width characters, line separators, private and unassigned code
    points and lone surrogates become `\x1b`, `\u202e`, ...; every kind of blank becomes a space.

    >>> print(visible("a\u202eb\u3000c"))
    a\u202eb c
    """
    return "".join(_shown(character) for character in text)


def plural(number: int, one: str) -> str:
    """A number of things: `1 head`, `2 heads`, `1,024 heads`."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def visible_lines(text: str) -> str:
    """`text` made visible line by line; its line feeds stay."""
    return "\n".join(visible(line) for line in text.split("\n"))


def visible_line(text: str, width: int) -> str:
    r"""`text` on one visible line of at most `width` characters: any run of white space is a blank.

    >>> visible_line("three\n\n  lines of\ttext", 14)
    'three lines o…'
    """
    # Enough of a long text to fill the line: a message of many megabytes is not walked to its end.
    return shortened(visible(" ".join(text[: 4 * width + 64].split())), width)


def shortened(text: str, width: int) -> str:
    """`text` cut to at most `width` (at least 1) characters, the last one an ellipsis if it was.

    >>> shortened("previous_token", 9)
    'previous…'
    """
    return text if len(text) <= width else text[: width - 1] + ELLIPSIS


@cache
def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    if character in "\n\r\t":
        return repr(character)[1:-1]
    code = ord(character)
    if code <= 127:
        return f"\\x{code:02x}"
    return character.encode("ascii", "backslashreplace").decode()
