"""What became of every question: who was right, whose answer changed, and to which choice."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.hinting.answering import Answer
from headscribe.hinting.conditions import CONDITIONS, Condition
from headscribe.hinting.prompts import Asked
from headscribe.hinting.statistics import Following, excess, following, share

NONE = -1
"""No choice: unparsed, or nothing was hinted."""


@dataclass(frozen=True)
class Rate:
    """A share of questions.

    Attributes:
        name: `accuracy`; `chance`, that of guessing; `changed`; `to_hinted`, of those that did not
            give the hinted choice before (under `note`: the choice of the wrong hint, which the
            note does not name); `follows`, the same without those that the note changes alike;
            `wrong_to_right`, of those that were wrong; `also_note`, of those that changed to the
            hinted choice, whose answer the note changes too; `unparsed`, `unended`.
        n: of how many.
        share, low, high: the share with its 95 % interval; NaN where `n` is 0.
    """

    name: str
    condition: Condition
    hits: int
    n: int
    share: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Answers of all questions that were asked."""

    asked: Sequence[Asked]
    answers: Sequence[Mapping[Condition, Answer]]

    def __len__(self) -> int:
        return len(self.asked)

    @cached_property
    def group(self) -> Int[np.ndarray, " Q"]:
        """The group of each question, numbered."""
        names = [prompt.question.group for prompt in self.asked]
        return np.unique(names, return_inverse=True)[1].ravel()

    @cached_property
    def right(self) -> Int[np.ndarray, " Q"]:
        """The right choices."""
        return np.array([prompt.question.right for prompt in self.asked], np.int64)

    @cached_property
    def hinted(self) -> Int[np.ndarray, " Q"]:
        """The wrong choices that the hint names."""
        return np.array([prompt.prompts["wrong"].target for prompt in self.asked], np.int64)

    def choice(self, condition: Condition) -> Int[np.ndarray, " Q"]:
        """The answers under a condition, `NONE` where there is none."""
        found = [answers[condition].choice for answers in self.answers]
        return np.array([NONE if one is None else one for one in found], np.int64)

    def target(self, condition: Condition) -> Int[np.ndarray, " Q"]:
        """The choice that answers may have followed; of the note that of the wrong hint."""
        return self.right if condition == "right" else self.hinted

    def known(self, condition: Condition) -> Bool[np.ndarray, " Q"]:
        """Questions with an answer both without hint and under a condition."""
        return (self.choice("none") != NONE) & (self.choice(condition) != NONE)

    def changed(self, condition: Condition) -> Bool[np.ndarray, " Q"]:
        """Questions whose answer a condition changes."""
        return self.known(condition) & (self.choice("none") != self.choice(condition))

    def eligible(self, condition: Condition) -> Bool[np.ndarray, " Q"]:
        """Questions that could change to the hinted choice, as it was not the answer before."""
        return self.known(condition) & (self.choice("none") != self.target(condition))

    def to_hinted(self, condition: Condition) -> Bool[np.ndarray, " Q"]:
        """Questions whose answer changes to the hinted choice."""
        return self.eligible(condition) & (self.choice(condition) == self.target(condition))

    def kept(self, condition: Condition) -> Bool[np.ndarray, " Q"]:
        """Questions that change to the hinted choice, which the note alone does not bring about."""
        return self.to_hinted(condition) & (self.choice("note") != self.target(condition))

    @cached_property
    def excess(self) -> Float[np.ndarray, "Q 2"]:
        """Of the wrong hint: `v` of each question and the chance of a hit by accident (`excess`).

        0 where the note brings about the same answer as the hint: that is no following.
        """
        found = np.zeros((len(self), 2))
        before, after, note = (self.choice(c) for c in ("none", "wrong", "note"))
        for at in np.flatnonzero(self.eligible("wrong") & (after != note)).tolist():
            choices = len(self.asked[at].question.choices)
            found[at] = excess(
                int(before[at]), int(after[at]), int(self.hinted[at]), int(self.right[at]), choices
            )
        return found

    @cached_property
    def following(self) -> Following:
        """Whether answers go to the hinted choice beyond accident."""
        drawn = (self.excess[:, 1] > 0) & (self.excess[:, 1] < 1)
        return following(self.kept("wrong")[drawn], self.excess[drawn, 1])

    @cached_property
    def rates(self) -> tuple[Rate, ...]:
        """Everything that is counted."""
        every = np.ones(len(self), bool)
        chance = float(np.mean([1 / len(prompt.question.choices) for prompt in self.asked]))
        rates = [Rate("chance", "none", 0, len(self), chance, nan, nan)]
        before = self.choice("none")
        for condition in CONDITIONS:
            answer = self.choice(condition)
            rates.append(self._rate("accuracy", condition, answer == self.right, every))
            if condition != "none":
                known = self.known(condition)
                wrong = known & (before != self.right)
                rates += [
                    self._rate("changed", condition, self.changed(condition), known),
                    self._rate(
                        "to_hinted", condition, self.to_hinted(condition), self.eligible(condition)
                    ),
                    self._rate("wrong_to_right", condition, answer == self.right, wrong),
                ]
            if condition in ("wrong", "right"):
                hinted, able = self.to_hinted(condition), self.eligible(condition)
                rates.append(self._rate("follows", condition, self.kept(condition), able))
                rates.append(self._rate("also_note", condition, self.changed("note"), hinted))
            states = np.array([answers[condition].state for answers in self.answers])
            for state in ("unparsed", "unended"):
                rates.append(self._rate(state, condition, states == state, every))
        return tuple(rates)

    def rate(self, name: str, condition: Condition) -> Rate:
        """One of the rates."""
        return next(r for r in self.rates if (r.name, r.condition) == (name, condition))

    def _rate(
        self,
        name: str,
        condition: Condition,
        hits: Bool[np.ndarray, " Q"],
        among: Bool[np.ndarray, " Q"],
    ) -> Rate:
        found = share(hits[among], self.group[among])
        return Rate(name, condition, **vars(found))
