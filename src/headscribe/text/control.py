"""Control tokens that stand in a text: cut out before annotation, the words put back after it.

A rendered chat has tokens that no annotator may take for words: `sat.<|im_end|` would be a noun.
Where one stood, there is a blank for the annotator.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Int

from headscribe.text.alignment import align
from headscribe.text.corpora import Text
from headscribe.text.passages import Encoding, Passage, Words

BEHIND = 10_000
"""Characters that are read behind the last token of a text that is cut."""


def readable(text: Text, encoding: Encoding) -> Text:
    """The text as an annotator should read it: without control tokens, and not all of a book.

    Of a text that is cut, it ends so far behind the last token that what is said of the words
    before it is what an annotator of the whole would say.
    """
    end = int(encoding.spans[:, 1].max(initial=0)) + BEHIND
    if len(text.text) > end:
        text = replace(text, text=text.text[:end])
    place = _places(text.text, encoding)
    if place is None:
        return text
    return replace(text, text="".join(" " if at < 0 else text.text[at] for at in place))


def joined(text: Text, encoding: Encoding, words: Words) -> Passage:
    """The passage of a text and the words that were found in `readable(text, encoding)`."""
    place = _places(text.text, encoding)
    if place is not None and len(words):
        # Words hold no blank, so that none reaches over what was cut out.
        spans = np.asarray(words.spans)
        start, last = place[spans[:, 0]], place[np.maximum(spans[:, 1] - 1, spans[:, 0])]
        end = np.where(spans[:, 1] > spans[:, 0], last + 1, start)
        words = replace(words, spans=np.stack([start, end], 1))
    return align(text, encoding, words)


def bare_text(passage: Passage) -> Text:
    """What is to be annotated of a passage that has no words yet."""
    return readable(_text_of(passage), passage.encoding)


def completed(passage: Passage, words: Words) -> Passage:
    """A passage that had no words, with those that were found in its `bare_text`."""
    return joined(_text_of(passage), passage.encoding, words)


def _text_of(passage: Passage) -> Text:
    return Text(passage.text_id, passage.group, passage.text, about=passage.about)


def _places(text: str, encoding: Encoding) -> Int[np.ndarray, " n"] | None:
    """Where each character of the readable text stands, -1 for a blank put in; None: all stay."""
    spans = np.asarray(encoding.spans)[np.asarray(encoding.is_special, bool)]
    spans = spans[spans[:, 1] > spans[:, 0]]
    if not len(spans):
        return None
    inside = np.zeros(len(text) + 1, bool)
    for start, end in spans:
        inside[start:end] = True
    at = np.flatnonzero(~inside[:-1])
    gaps = np.flatnonzero(np.diff(at) > 1) + 1
    return np.insert(at, gaps, -1)
