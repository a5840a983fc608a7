"""Answers and readings made by hand, for models that need not exist."""

import numpy as np

from headscribe.hinting.alignment import Tokens
from headscribe.hinting.answering import Answer
from headscribe.hinting.conditions import CONDITIONS
from headscribe.hinting.outcomes import Outcomes
from headscribe.hinting.prompts import Asked, Prompt
from tests.unit.hinting import tiny

NOTHING = Tokens(np.zeros(0, np.int64), np.zeros((0, 2), np.int64), 0, 0)


def outcomes(before, wrong, right, note, hinted, correct, choices=4):
    """Outcomes of questions with given answers (None: unparsed) and given choices."""
    asked, answers = [], []
    for number, row in enumerate(zip(before, wrong, right, note, hinted, correct, strict=True)):
        *given, target, answer = row
        question = tiny.question(
            question=f"w1 w2 number {number}", choices=[f"w{n}" for n in range(choices)],
            answer=int(answer), id=f"q{number}",
        )  # fmt: skip
        targets = dict(zip(CONDITIONS, (None, int(target), int(answer), None), strict=True))
        asked.append(Asked(question, {c: Prompt(NOTHING, "", targets[c]) for c in CONDITIONS}, {}))
        answers.append(
            {
                condition: Answer(None if one is None else int(one),
                                  "unparsed" if one is None else "answered")
                for condition, one in zip(CONDITIONS, given, strict=True)
            }
        )  # fmt: skip
    return Outcomes(asked, answers)


def planted(rng, questions=300, follows=0.5, presence=False):
    """A model that gives the right answer, and follows the hint on some questions.

    With `presence` it gives another wrong answer there, whatever the hint says.
    """
    right = rng.integers(4, size=questions)
    hinted = (right + 1 + rng.integers(3, size=questions)) % 4
    gate = rng.random(questions) < follows
    elsewhere = (right + 1 + rng.integers(3, size=questions)) % 4
    after = np.where(gate, elsewhere if presence else hinted, right)
    return outcomes(right, after, right, right, hinted, right), gate


def readings(rng, found, gate, layers=3, heads=4):
    """Measures in which head 1.2 reads the hint where the gate is open, and 0.1 sees the gate."""
    values = rng.gamma(0.5, 0.05, size=(len(found), 3, 5, layers, heads)).astype(np.float32)
    values[gate, 0, 3:, 1, 2] += 0.4
    values[gate, :, :, 0, 1] += 0.3
    return values
