"""Pictures as data: a text of `test` with a head's attention and what programs predict of it."""

from collections.abc import Sequence

import numpy as np

from headscribe.discovery.library import Entry
from headscribe.discovery.material import Material
from headscribe.discovery.outcomes import Outcome
from headscribe.discovery.study import HeadTask
from headscribe.results.examples import ExampleRow
from headscribe.sandbox import ProgramFailureError, Runner
from headscribe.scoring.examples import LEGIBLE, facts_of
from headscribe.text.passages import Passage


def pictures(
    studies: Sequence[HeadTask], outcomes: Sequence[Outcome], runner: Runner | None
) -> list[ExampleRow]:
    """The pictures of all heads, every row once: heads may share a text."""
    rows = [
        row
        for outcome, study in zip(outcomes, studies, strict=True)
        for row in picture(study, outcome, runner)
    ]
    return list({(row.text_id, row.kind, row.name): row for row in rows}.values())


def picture_text(study: HeadTask) -> int:
    """A text of `test` that can be read and on which the formula does as well as usual."""
    texts = study.material.texts("test")
    legible = [i for i in texts if len(study.material.passages[i]) in LEGIBLE] or list(texts)
    iou = study.rivals["formula"][legible]
    return legible[int(np.argmin(np.abs(iou - np.median(iou))))]


def picture(study: HeadTask, outcome: Outcome, runner: Runner | None) -> list[ExampleRow]:
    """A `test` text with the head's attention, its formula's and, if any, the program's.

    The predictions are called `7.10:formula` and `7.10:program`.
    """
    material = study.material
    text = picture_text(study)
    passage, head = material.passages[text], str(study.head)
    name = passage.text_id
    rows = [
        ExampleRow.of_text(name, len(passage), facts_of(passage)),
        ExampleRow.of_matrix(name, "head", head, material.real(study.place, text)),
        ExampleRow.of_matrix(name, "pattern", f"{head}:formula", study.matrix(text)),
    ]
    predicted = predicted_matrix(outcome, passage, material, runner)
    if predicted is not None:
        rows.append(ExampleRow.of_matrix(name, "pattern", f"{head}:program", predicted))
    return rows


def predicted_matrix(
    outcome: Outcome, passage: Passage, material: Material, runner: Runner | None
) -> np.ndarray | None:
    """What an accepted program predicts, uniform where it says nothing; None if it fails."""
    if outcome.program is None:
        return None
    entry = Entry("program", outcome.program, "", outcome.looks_ahead, {"model": "", "head": ""})
    pattern = entry.pattern(runner)
    if pattern is None:
        return None
    try:
        rows = pattern.predict(passage, material.visibility)
    except ProgramFailureError:
        return None
    return rows.filled("uniform", material.visibility).to_dense()
