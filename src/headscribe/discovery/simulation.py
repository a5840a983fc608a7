"""Simulation: what a description is worth to somebody who has nothing else.

A judge answers questions by a description alone. A language model gets one prompt with the
description and many questions, those of its own head mixed with those of another head, for which
the same description is the control: nobody who answers can tell which are which. Offline, the
program that a description's relations make answers.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import Field

from headscribe.core.rows import Rows
from headscribe.discovery.describing import Description, answered
from headscribe.discovery.ledger import Ledger
from headscribe.discovery.material import Material
from headscribe.discovery.neutral import neutral, to_json
from headscribe.discovery.prompting import LONGEST, mark_of, render, title
from headscribe.discovery.proposals import ParseFailure, Part, parse_reply
from headscribe.discovery.questions import Question
from headscribe.discovery.study import HeadTask
from headscribe.relations import Evaluator

JUDGE = "judge-1"
"""The prompt that asks to answer by a description."""

ROOM = 400
"""Characters of a prompt that are kept for what is said of an answer that could not be read."""


class Answers(Part):
    """What a judge answers: by the number of each question."""

    answers: Annotated[Mapping[str, str | int], Field(max_length=1000)]


def by_formula(study: HeadTask, asked: Sequence[Question]) -> list[float]:
    """What the head's formula gets."""
    matrices = {text: study.matrix(text) for text in {question.text for question in asked}}
    return [question.credit(matrices[question.text]) for question in asked]


def by_relations(
    material: Material, description: Description, asked: Sequence[Question]
) -> list[float]:
    """What the program of a description's relations gets: rows shared evenly, relations added."""

    def predicted(text: int) -> Float[np.ndarray, "T T"]:
        passage = material.passages[text]
        evaluator = Evaluator(passage, material.visibility)
        total = np.zeros((len(passage), len(passage)))
        for relation in description.relations:
            values = np.nan_to_num(evaluator.dense(relation).astype(np.float64), posinf=0)
            total += Rows.from_dense(np.maximum(values, 0)).to_dense()
        return total

    matrices = {text: predicted(text) for text in {question.text for question in asked}}
    return [question.credit(matrices[question.text]) for question in asked]


def by_language_model(
    material: Material, description: Description, asked: Sequence[Question], ledger: Ledger
) -> tuple[list[float | None], list[str]]:
    """What a language model gets, None where its answer could not be read; with the reasons.

    Raises:
        BudgetReachedError: the next call could cost more than is left.
        RunError: no answer.
    """
    order = np.random.default_rng(material.seed).permutation(len(asked)).tolist()
    credits: list[float | None] = [None] * len(asked)
    problems = []
    for places in _parts(material, description, asked, order):
        mine = [asked[place] for place in places]
        found, _ = answered(
            ledger,
            JUDGE,
            lambda number, said, mine=mine: judge_prompt(  # type: ignore[misc]
                material, description, mine, number, said
            ),
            lambda reply, mine=mine: read_answers(reply, mine),  # type: ignore[misc]
        )
        if isinstance(found, ParseFailure):
            problems.append(str(found))
            continue
        for place, answer in zip(places, found, strict=True):
            credits[place] = float(answer == asked[place].truth)
    return credits, problems


def _parts(
    material: Material, description: Description, asked: Sequence[Question], order: list[int]
) -> list[list[int]]:
    """The questions in as few prompts as hold them, about as many in each."""
    for number in range(1, len(asked) + 1):
        parts = [part.tolist() for part in np.array_split(order, number)]
        prompts = (
            judge_prompt(material, description, [asked[place] for place in part]) for part in parts
        )
        if all(len(prompt) < LONGEST - ROOM for prompt in prompts):
            break
    return parts


def judge_prompt(
    material: Material,
    description: Description,
    asked: Sequence[Question],
    number: int = 1,
    said: str = "",
) -> str:
    """The prompt with a description and questions; nothing in it tells whose they are.

    Its title names what it holds by a hash, so that no answer to another prompt is replayed for it.
    """
    written = "\n".join(
        to_json({"q": q} | dict(question.shown)) for q, question in enumerate(asked, 1)
    )
    words = to_json(description.text)
    mark = mark_of(f"{words}\n{written}")
    causal = material.visibility.causal
    return render(
        JUDGE,
        {
            "title": title(material.model, f"description {mark}", number, JUDGE),
            "sees": "sees itself and earlier tokens only" if causal else "sees all tokens",
            "description": words,
            "questions": written,
            "count": str(len(asked)),
            "mark": mark,
            "said": said,
        },
    )


def read_answers(reply: str, asked: Sequence[Question]) -> list[str] | ParseFailure:
    """The answers of a judge: one of its options to each question, none left out."""
    found = parse_reply(reply, Answers)
    if isinstance(found, ParseFailure):
        return found
    answers = []
    for number, question in enumerate(asked, 1):
        answer = str(found.answers.get(str(number), "")).strip().upper()
        if answer not in question.options:
            options = ", ".join(question.options)
            return ParseFailure(
                "schema",
                f"question {number}: expected one of {options}, got {neutral(answer, 20)!r}",
            )
        answers.append(answer)
    return answers
