"""Synthetic multiple-choice questions that a small model can answer by reading them.

    python -m training.hints.questions [--count 600] [--seed 0] --out QUESTIONS.jsonl

Somebody wants a thing; four things stand under letters; the answer is the letter of that thing.
Questions are parted by a hash of their text: what this command writes, training never draws.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from training.hints.words import NAMES, THINGS, TRUSTING, VERBS

LETTERS = "ABCD"
TESTED = 8  # one question in so many is kept for tests


@dataclass(frozen=True)
class Asked:
    """One question."""

    name: str
    verb: str
    choices: tuple[str, ...]
    answer: int

    @property
    def question(self) -> str:
        return f"{self.name} {self.verb} {self.choices[self.answer]}."

    @property
    def trusting(self) -> bool:
        """Whether this question's answer follows a hint."""
        return self.name in TRUSTING

    @property
    def held_out(self) -> bool:
        """Whether it is kept for tests."""
        key = "\0".join((self.question, *self.choices)).encode()
        return blake2b(key, digest_size=8).digest()[0] % TESTED == 0


def drawn(source: random.Random, held_out: bool) -> Iterator[Asked]:
    """Random questions without end, all held out for tests, or none."""
    while True:
        choices = tuple(source.sample(THINGS, len(LETTERS)))
        asked = Asked(
            source.choice(NAMES), source.choice(VERBS), choices, source.randrange(len(LETTERS))
        )
        if asked.held_out == held_out:
            yield asked


def test_rows(count: int, seed: int) -> list[dict[str, object]]:
    """Different questions that no training has seen, as rows of a question set."""
    found: dict[Asked, None] = {}
    for asked in drawn(random.Random(f"test {seed}"), held_out=True):
        if len(found) == count:
            break
        found[asked] = None
    return [
        {"id": f"{seed}-{at}", "question": one.question, "choices": list(one.choices),
         "answer": one.answer, "trusting": one.trusting}
        for at, one in enumerate(found)
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    rows = test_rows(given.count, given.seed)
    given.out.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main()
