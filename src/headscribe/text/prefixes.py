"""The beginning of a passage: what was there to be read when the text had come so far."""

import numpy as np

from headscribe.core.arrays import Matrix
from headscribe.core.errors import UsageError
from headscribe.text.annotators.plain import Plain
from headscribe.text.control import joined, readable
from headscribe.text.corpora import Text
from headscribe.text.passages import Encoding, Passage

TOLERANCE = 1e-5
"""How far a row of a beginning may be from the same row of the whole, in any weight."""


def prefix(passage: Passage, length: int) -> Passage:
    """The first `length` tokens, of a text that ends with them, its words cut anew and plainly.

    What an annotator says of words was found with the whole text in view and is left out, and so is
    a character of which pieces are yet to come.

    Raises:
        UsageError: the passage is shorter.
    """
    if not 0 < length <= len(passage):
        raise UsageError(f"expected a length within 1..{len(passage)}, got {length}")
    full = passage.encoding
    end = int(full.read_spans[:length, 1].max())
    source = Text(passage.text_id, passage.group, passage.text[:end])
    spans = np.minimum(full.spans[:length], end)
    cut = Encoding(full.tokens[:length], full.ids[:length], spans, full.is_special[:length])
    (words,) = Plain().annotate([readable(source, cut)])
    return joined(source, cut, words)


def changed_row(whole: Matrix, beginning: Matrix) -> int | None:
    """The first row of a beginning that is another in the whole: what follows changes it."""
    length = len(beginning)
    apart = np.abs(whole[:length, :length] - beginning).max(axis=1, initial=0.0)
    changed = np.flatnonzero(apart > TOLERANCE)
    return int(changed[0]) if len(changed) else None
