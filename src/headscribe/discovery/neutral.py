"""Text that nobody vouches for, made harmless to read; tokens counted without a tokenizer."""

import json
import math
import re

from headscribe.core.visible import shortened, visible

_MARKUP = re.compile(r"<(?=[|/!?<A-Za-z])")


def neutral(text: str, limit: int = 40) -> str:
    """One visible line of at most `limit` characters, see `core.visible`.

    Control and format characters (line breaks, direction marks, tag characters) can hide words
    from the person who reads along.
    """
    return shortened(visible(text[: 4 * limit]), limit)


def to_json(document: object) -> str:
    """The document as JSON in which neither a code fence nor a tag can stand.

    Backticks, and `<` before what could make it a tag, are written as JSON escapes; whoever parses
    the JSON gets the same document.
    """
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _MARKUP.sub(r"\\u003c", text.replace("`", "\\u0060"))


def count_tokens(text: str) -> int:
    """A count of tokens that common tokenizers stay below on text of this kind.

    Half the ASCII characters, plus every byte of the others: byte-level vocabularies never need
    more than a token a byte, and average more than 2.5 characters a token on JSON and code.
    """
    data = len(text.encode("utf-8", "surrogatepass"))
    plain = sum(character < "\x80" for character in text)
    return math.ceil(plain / 2) + data - plain
