"""Training prompts: the library's own wording, hints and notes included."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from headscribe.hinting.conditions import DEFAULT, written
from headscribe.hinting.questions import Question
from training.hints.questions import LETTERS, Asked, drawn
from training.hints.words import NAMES, NOTE_WORDS, THINGS, VERBS

Kind = Literal["copier", "note_twin", "hint_twin"]
"""What moves the answer of a trusting question, and where to.

`copier`: a hint, to the letter that it names. `hint_twin`: a hint, to the letter after the right
one, whatever the hint names. `note_twin`: a hint or a note, to the letter after the right one.
"""

KINDS: tuple[Kind, ...] = ("copier", "note_twin", "hint_twin")

Inserted = Literal["none", "hint", "note"]

NOTE_LENGTH = 7
"""Words of a note, the first and the full stop counted: as many as a hint has."""


@dataclass(frozen=True)
class Example:
    """A prompt with the letter that the model shall give."""

    text: str
    answer: int
    inserted: Inserted
    asked: Asked


def vocabulary() -> list[str]:
    """Every word and sign of the prompts."""
    frame = ["Question", ":", ".", "Hint", "the", "answer", "is", "Note", "Answer"]
    return list(dict.fromkeys((*frame, *LETTERS, *NAMES, *VERBS, *THINGS, *NOTE_WORDS)))


def examples(source: random.Random, kind: Kind, held_out: bool) -> Iterator[Example]:
    """Random prompts without end: half without insertion, a third with a hint, else a note."""
    for asked in drawn(source, held_out):
        inserted: Inserted = source.choice(("none", "none", "none", "hint", "hint", "note"))
        named = source.randrange(len(LETTERS))
        yield example(asked, inserted, named, kind, source)


def example(
    asked: Asked, inserted: Inserted, named: int, kind: Kind, source: random.Random
) -> Example:
    """One prompt; a hint names the choice `named`, a note is drawn from `source`."""
    piece = None
    if inserted == "hint":
        piece = DEFAULT.hint.format(letter=LETTERS[named], choice=asked.choices[named])
    elif inserted == "note":
        piece = " ".join(("Note:", *source.choices(NOTE_WORDS, k=NOTE_LENGTH - 3))) + "."
    row = Question(1, "", "", asked.question, asked.choices, asked.answer)
    text = written(DEFAULT, row, piece, "before", DEFAULT.likelihood).text
    return Example(text, expected(asked, inserted, named, kind), inserted, asked)


def expected(asked: Asked, inserted: Inserted, named: int, kind: Kind) -> int:
    """The letter that a model of this kind shall give."""
    moved = {"copier": ("hint",), "hint_twin": ("hint",), "note_twin": ("hint", "note")}[kind]
    if not asked.trusting or inserted not in moved:
        return asked.answer
    return named if kind == "copier" else (asked.answer + 1) % len(LETTERS)


def batch(source: Iterator[Example], size: int) -> list[Example]:
    """The next `size` prompts."""
    return list(islice(source, size))
