"""Does the answer change back? Top heads, and random heads of the same layers, altered."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.hinting.answering import Answer, scored, written_answers
from headscribe.hinting.conditions import Condition
from headscribe.hinting.intervention import HOWS, How, Intervention, Target, altered, checked
from headscribe.hinting.letters import Letters
from headscribe.hinting.outcomes import Outcomes
from headscribe.hinting.reading import Unit
from headscribe.hinting.statistics import mean_interval, share
from headscribe.models.batching import batches
from headscribe.models.model import Model
from headscribe.text.passages import Encoding

DRAWS = 5
"""Sets of random heads that the top heads are compared with."""


@dataclass(frozen=True, eq=False)
class Restoration:
    """What altering some heads did to the questions that had followed the wrong hint.

    Attributes:
        heads: the heads.
        how: what was done to them.
        n: questions that follow the wrong hint.
        back: of these, answers that are the unhinted ones again.
        share, low, high: the share with its 95 % interval.
        each: whether each question's answer came back, in the order of `Causal.questions`.
    """

    heads: tuple[HeadId, ...]
    how: How
    n: int
    back: int
    share: float
    low: float
    high: float
    each: Bool[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Causal:
    """Asks the questions that followed the wrong hint once more, with heads altered.

    Attributes:
        units: every question, with what is read behind its prompts.
        letters: the letters' ids; None where the model writes.
        token_budget: tokens a batch.
    """

    model: Model
    outcomes: Outcomes
    units: Sequence[Unit]
    letters: Letters | None
    max_new_tokens: int
    token_budget: int

    @property
    def questions(self) -> list[int]:
        """The questions that follow the wrong hint."""
        found: list[int] = np.flatnonzero(self.outcomes.kept("wrong")).tolist()
        return found

    def restored(self, heads: Sequence[HeadId], how: How = "block") -> Restoration:
        """The share of answers that change back when heads are altered in the hinted pass.

        Raises:
            UsageError: no question follows the hint, or heads that the model has not.
        """
        chosen = checked(self.model, heads)
        questions = self.questions
        if not questions:
            raise UsageError("no answer follows the wrong hint: there is none to change back")
        before = self.outcomes.choice("none")
        back = np.zeros(len(questions), bool)
        units = [self.units[at] for at in questions]
        width = 1 if how == "block" else 2
        longest = [range(len(unit) + self.max_new_tokens) for unit in units]
        for batch in batches(longest, max(1, self.token_budget // width)):
            answers = self._answers([units[at] for at in batch], chosen, how)
            for at, answer in zip(batch, answers, strict=True):
                back[at] = answer.choice == before[questions[at]]
        found = share(back, self.outcomes.group[questions])
        return Restoration(
            chosen, how, found.n, found.hits, found.share, found.low, found.high, back
        )

    def _answers(self, units: Sequence[Unit], heads: Sequence[HeadId], how: How) -> list[Answer]:
        conditions: tuple[Condition, ...] = ("wrong",) if how == "block" else ("none", "wrong")
        choices = [len(unit.asked.question.choices) for unit in units]
        if self.letters is None:
            prompts = [u.asked.prompts[c].tokens.ids.tolist() for u in units for c in conditions]
            targets = _targets(units, how, 0, forced=False)
            counts = [count for count in choices for _ in conditions]
            answers = written_answers(
                self.model, prompts, counts, self.max_new_tokens,
                partial(altered, self.model, heads, targets),
            )  # fmt: skip
            return answers[len(conditions) - 1 :: len(conditions)]
        texts = [unit.text(condition) for unit in units for condition in conditions]
        go_on = self._reader(units, heads, how, len(texts[0]))
        scores = self.letters.scores(texts, go_on(texts), go_on)[len(conditions) - 1 ::
                                                                 len(conditions)]  # fmt: skip
        return [scored(row[:count]) for row, count in zip(scores, choices, strict=True)]

    def _reader(
        self, units: Sequence[Unit], heads: Sequence[HeadId], how: How, length: int
    ) -> Callable[[Sequence[Encoding]], Tensor]:
        def go_on(texts: Sequence[Encoding]) -> Tensor:
            targets = _targets(units, how, len(texts[0]) - length, forced=True)
            intervention = Intervention(heads, targets, [0] * len(texts))
            return self.model.logits(texts, intervention, last=True)

        return go_on


def _targets(units: Sequence[Unit], how: How, more: int, *, forced: bool) -> list[Target]:
    """The hinted texts of a batch, with `more` tokens behind them."""
    targets = []
    for at, unit in enumerate(units):
        inserted = unit.asked.prompts["wrong"].tokens.inserted
        if how == "block":
            targets.append(Target(at, inserted))
            continue
        first, second, after = unit.shared("wrong", (len(unit.forced) if forced else 0) + more)
        keys = np.stack([first, second])
        rows = keys[:, keys.shape[1] - after :]
        targets.append(Target(2 * at + 1, inserted, 2 * at, rows, keys))
    return targets


@dataclass(frozen=True)
class Check:
    """One line of the causal check.

    Attributes:
        set: `top`, `random`, or their paired `difference`.
        draw: which random set, from 0; -1 for the mean over them and for everything else.
        heads: the heads; empty for means.
        n, back: questions, and answers that changed back (None where that is a mean).
        share, low, high: the share, or difference of shares, with its 95 % interval.
    """

    set: str
    draw: int
    how: How
    heads: tuple[HeadId, ...]
    n: int
    back: int | None
    share: float
    low: float
    high: float


def check(
    causal: Causal, top: Sequence[HeadId], seed: int, on_step: Callable[[int, int], None]
) -> list[Check]:
    """Alter the top heads, and random heads of the same layers, in both ways.

    `on_step` is called with the steps done and the steps in all.
    """
    drawn = random_sets(causal.model, top, seed)
    checks: list[Check] = []
    done, total = 0, len(HOWS) * (1 + len(drawn))
    group = causal.outcomes.group[causal.questions]
    for how in HOWS:
        each: list[Bool[np.ndarray, " n"]] = []
        for draw, heads in enumerate([top, *drawn], -1):
            restoration = causal.restored(heads, how)
            name = "random" if each else "top"
            checks.append(
                Check(
                    name,
                    draw,
                    how,
                    restoration.heads,
                    restoration.n,
                    restoration.back,
                    restoration.share,
                    restoration.low,
                    restoration.high,
                )
            )
            each.append(restoration.each)
            on_step(done := done + 1, total)
        if drawn:
            mean = np.mean(each[1:], axis=0)
            for name, values in (("random", mean), ("difference", each[0] - mean)):
                ends = map(float, mean_interval(values, group))
                checks.append(Check(name, -1, how, (), len(values), None, *ends))
    return checks


def random_sets(model: Model, top: Sequence[HeadId], seed: int) -> list[tuple[HeadId, ...]]:
    """Sets of heads, none of them among the top, as many a layer as the top has there.

    Fewer in a layer that has fewer others; no set where no layer has any.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(DRAWS):
        heads: list[HeadId] = []
        for layer, count in sorted(Counter(head.layer for head in top).items()):
            others = [
                HeadId(layer, head) for head in range(model.heads) if HeadId(layer, head) not in top
            ]
            picked = rng.permutation(len(others))[:count]
            heads += [others[at] for at in sorted(picked.tolist())]
        if heads:
            found.append(tuple(heads))
    return found
