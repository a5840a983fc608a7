"""The score of the exploratory slides: attention after the hint, predicted before it.

    score  = JSD( column profile of the head's attention under the right hint,
                  column profile of what is predicted without hint )
    beyond = score - the same under the neutral note

over the shared keys, rows after the insertion, each row and each profile normalised; mean over the
questions that the right hint turns from a wrong to the right answer. The slides predict by a
program of the head; where there is none, the head's own attention without hint is the prediction, a
program without error. So the score is what any insertion moves, what the hint moves beyond that,
and, with a program, what the program misses. The slides have the score alone; `beyond` takes off
what a note of as many tokens does, and with it most of what a program misses. The slides compare
columns token by token where the two prompts do not align; here only keys that both share are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float

from headscribe.core.heads import HeadId
from headscribe.hinting.conditions import Condition
from headscribe.hinting.measures import MEASURES, TINY, jsd
from headscribe.hinting.outcomes import Outcomes
from headscribe.hinting.reading import ALTERED, Unit
from headscribe.hinting.statistics import interval_at, mean_interval
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.replacement.plan import Program
from headscribe.replacement.rows import dense_rows
from headscribe.replacement.transcripts import Transcript
from headscribe.results.records import Interval
from headscribe.text.passages import Passage

OWN = "own"
"""The head's own attention without hint, as its prediction."""

COMPARED: tuple[Condition, Condition] = ("right", "note")
"""The insertions under which attention is compared with what was predicted without."""


@dataclass(frozen=True)
class SlidesScore:
    """One head's score, that under the note, and the paired difference; NaN where none counts."""

    head: HeadId
    score: Interval
    note: float
    beyond: Interval
    n: int


def turned_right(outcomes: Outcomes) -> list[int]:
    """The questions that the right hint turns from a wrong to the right answer."""
    found: list[int] = np.flatnonzero(outcomes.to_hinted("right")).tolist()
    return found


def own_scores(outcomes: Outcomes, values: Float[np.ndarray, "Q 3 M L H"]) -> list[SlidesScore]:
    """The score with each head's own unhinted attention as prediction."""
    chosen = values[turned_right(outcomes), :, MEASURES.index("columns")]
    layers, heads = values.shape[3:]
    names = [HeadId(layer, head) for layer in range(layers) for head in range(heads)]
    pair = chosen[:, [ALTERED.index(one) for one in COMPARED]]
    return _scores(names, pair.reshape(len(chosen), len(COMPARED), len(names)), outcomes)


def program_scores(
    model: Model, outcomes: Outcomes, units: Sequence[Unit], programs: Mapping[HeadId, Program]
) -> list[SlidesScore]:
    """The score with a program as each head's prediction; two texts a question are read again.

    Programs read the prompt without hint, with the words that its ids spell. Rows on which a
    program says nothing are left out.

    Raises:
        UsageError: a program that needs to know more of words than their form.
    """
    chosen = turned_right(outcomes)
    heads = sorted(programs)
    found = np.full((len(chosen), len(COMPARED), len(heads)), np.nan)
    for row, at in enumerate(chosen):
        passage = Transcript(model.tokenizer, units[at].asked.question.id).passage(
            units[at].text("none").ids.tolist()
        )
        observer = _Against(model, units[at], passage, programs)
        model.logits([units[at].text(one) for one in COMPARED], observer=observer, last=True)
        found[row] = np.transpose([observer.found[head] for head in heads])
    return _scores(heads, found, outcomes)


def _scores(
    heads: Sequence[HeadId], values: Float[np.ndarray, "n 2 h"], outcomes: Outcomes
) -> list[SlidesScore]:
    values = values.astype(float)
    values[np.isnan(values).any(1, keepdims=True).repeat(2, 1)] = np.nan
    group = outcomes.group[turned_right(outcomes)]
    score = mean_interval(values[:, 0], group)
    note = mean_interval(values[:, 1], group)
    beyond = mean_interval(values[:, 0] - values[:, 1], group)
    count = (~np.isnan(values[:, 0])).sum(0)
    return [
        SlidesScore(
            head, interval_at(score, at), float(note[0][at]), interval_at(beyond, at),
            int(count[at]),
        )
        for at, head in enumerate(heads)
    ]  # fmt: skip


class _Against:
    """Compares the attention of a question's altered texts with what programs predicted."""

    def __init__(
        self, model: Model, unit: Unit, passage: Passage, programs: Mapping[HeadId, Program]
    ) -> None:
        self._cells = []
        for condition in COMPARED:
            first, second, after = unit.shared(condition)
            keys = torch.from_numpy(np.stack([first, second]))
            self._cells.append((keys[:, len(first) - after :], keys))
        self._model, self._passage, self._programs = model, passage, programs
        self.found = {head: [np.nan] * len(COMPARED) for head in programs}

    def observe(self, call: AttentionCall) -> None:
        for head, program in self._programs.items():
            if head.layer != call.layer:
                continue
            seen = self._model.visibility(call.layer)
            made = dense_rows(program, "exclude", head, self._passage, seen)
            weight = made.weight.float().cpu()
            attention = call.probabilities()[:, head.head].cpu()
            for at, (rows, keys) in enumerate(self._cells):
                predicted, real = weight[rows[0]][:, keys[0]], attention[at][rows[1]][:, keys[1]]
                mass = torch.stack([predicted.sum(-1), real.sum(-1)])
                counted = (mass > TINY).all(0)
                if made.covered is not None:
                    counted &= made.covered.cpu()[rows[0]]
                if bool(counted.any()):
                    profile = [
                        (part[counted] / total[counted][:, None]).mean(0)
                        for part, total in zip((predicted, real), mass, strict=True)
                    ]
                    self.found[head][at] = float(jsd(*profile))
