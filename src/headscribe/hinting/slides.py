"""The score of the slides that Headscribe grew from: attention after the hint, predicted before.

    score = JSD( column profile of the head's attention under the right hint,
                 column profile of what is predicted without hint )

over the shared keys, rows after the insertion, each row and each profile normalised; mean over the
questions that the right hint turns from a wrong to the right answer. The slides predict by a
program of the head; where there is none, the head's own attention without hint is the prediction, a
program without error. So the score is what the hint moves, plus, with a program, what the program
misses. The slides compare columns token by token where the two prompts do not align; here only keys
that both prompts share are compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from headscribe.core.heads import HeadId
from headscribe.fitting.statistics import mean_interval
from headscribe.hinting.measures import MEASURES, TINY, jsd
from headscribe.hinting.outcomes import Outcomes
from headscribe.hinting.reading import ALTERED, Unit
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.replacement.plan import Program
from headscribe.replacement.rows import dense_rows
from headscribe.replacement.transcripts import Transcript
from headscribe.text.passages import Passage

OWN = "own"
"""The head's own attention without hint, as its prediction."""


@dataclass(frozen=True)
class SlidesScore:
    """One head's score with its 95 % interval; NaN where no question counts."""

    head: HeadId
    score: float
    low: float
    high: float
    n: int


def turned_right(outcomes: Outcomes) -> list[int]:
    """The questions that the right hint turns from a wrong to the right answer."""
    found: list[int] = np.flatnonzero(outcomes.to_hinted("right")).tolist()
    return found


def own_scores(outcomes: Outcomes, values: Float[np.ndarray, "Q 3 M L H"]) -> list[SlidesScore]:
    """The score with each head's own unhinted attention as prediction."""
    at = (ALTERED.index("right"), MEASURES.index("columns"))
    chosen = turned_right(outcomes)
    layers, heads = values.shape[3:]
    names = [HeadId(layer, head) for layer in range(layers) for head in range(heads)]
    return _scores(
        names, values[chosen][:, at[0], at[1]].reshape(len(chosen), len(names)), outcomes
    )


def program_scores(
    model: Model,
    outcomes: Outcomes,
    units: Sequence[Unit],
    programs: Mapping[HeadId, Program],
) -> list[SlidesScore]:
    """The score with a program as each head's prediction; one pass a question.

    Programs read the prompt without hint, with the words that its ids spell. Rows on which a
    program says nothing are left out.

    Raises:
        UsageError: a program that needs to know more of words than their form.
    """
    chosen = turned_right(outcomes)
    heads = sorted(programs)
    found = np.full((len(chosen), len(heads)), np.nan)
    for row, at in enumerate(chosen):
        passage = Transcript(model.tokenizer, units[at].asked.question.id).passage(
            units[at].text("none").ids.tolist()
        )
        observer = _Against(model, units[at], passage, programs)
        model.logits([units[at].text("right")], observer=observer, last=True)
        found[row] = [observer.found[head] for head in heads]
    return _scores(heads, found, outcomes)


def _scores(
    heads: Sequence[HeadId], values: Float[np.ndarray, "n h"], outcomes: Outcomes
) -> list[SlidesScore]:
    if not len(values):
        return [SlidesScore(head, np.nan, np.nan, np.nan, 0) for head in heads]
    group = np.unique(outcomes.group[turned_right(outcomes)], return_inverse=True)[1].ravel()
    mean, low, high = mean_interval(values.astype(float), group)
    count = (~np.isnan(values)).sum(0)
    columns = zip(heads, mean, low, high, count, strict=True)
    return [SlidesScore(h, float(m), float(a), float(b), int(n)) for h, m, a, b, n in columns]


class _Against:
    """Compares the attention of one text with what programs predicted of another."""

    def __init__(
        self, model: Model, unit: Unit, passage: Passage, programs: Mapping[HeadId, Program]
    ) -> None:
        first, second, after = unit.shared("right")
        self._keys = torch.from_numpy(np.stack([first, second]))
        self._rows = self._keys[:, len(first) - after :]
        self._model, self._passage, self._programs = model, passage, programs
        self.found = dict.fromkeys(programs, np.nan)

    def observe(self, call: AttentionCall) -> None:
        for head, program in self._programs.items():
            if head.layer != call.layer:
                continue
            seen = self._model.visibility(call.layer)
            made = dense_rows(program, "exclude", head, self._passage, seen)
            predicted = made.weight.float().cpu()[self._rows[0]][:, self._keys[0]]
            real = call.probabilities()[0, head.head].cpu()[self._rows[1]][:, self._keys[1]]
            mass = torch.stack([predicted.sum(-1), real.sum(-1)])
            counted = (mass > TINY).all(0)
            if made.covered is not None:
                counted &= made.covered.cpu()[self._rows[0]]
            if bool(counted.any()):
                profile = [
                    (rows[counted] / total[counted][:, None]).mean(0)
                    for rows, total in zip((predicted, real), mass, strict=True)
                ]
                self.found[head] = float(jsd(*profile))
