"""The study, step by step: ask, answer, read under observation, compare, alter heads."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress
from headscribe.hinting.answering import Answer, check_answering, scored, written_answers
from headscribe.hinting.causal import Causal, Check, check
from headscribe.hinting.comparison import Comparison, compare_heads
from headscribe.hinting.conditions import (
    CONDITIONS,
    DEFAULT,
    AnswerMode,
    Condition,
    Position,
    Template,
)
from headscribe.hinting.effects import STEPS, pairs, traceable, traced
from headscribe.hinting.letters import Letters
from headscribe.hinting.measures import MEASURES
from headscribe.hinting.outcomes import Outcomes
from headscribe.hinting.parts import pack_answers, pack_readings, unpack_answers, unpack_readings
from headscribe.hinting.profiles import ColumnProfile, profiles
from headscribe.hinting.prompts import Asked, Prompter
from headscribe.hinting.questions import MODEL_STATUSES, Question, Questions
from headscribe.hinting.reading import ALTERED, QuestionReading, Unit, read
from headscribe.hinting.slides import OWN, SlidesScore, own_scores, program_scores
from headscribe.models.batching import batches
from headscribe.models.model import Model
from headscribe.replacement.plan import Program
from headscribe.results.run import Stages, Unfinished

T = TypeVar("T")

KEPT = 4
"""So many times fewer tokens a batch where gradients are kept."""

PROFILED = 12
"""Heads whose column profiles of one question are kept."""


@dataclass(frozen=True)
class Settings:
    """How questions are asked.

    Attributes:
        position: where hint and note stand.
        answer: by likelihood or by writing.
        max_new_tokens: how much the model may write.
        seed: draws wrong choices and random heads.
        token_budget: tokens a batch.
    """

    template: Template = DEFAULT
    position: Position = "before"
    answer: AnswerMode = "likelihood"
    max_new_tokens: int = 256
    seed: int = 0
    top: int = 5
    causal: bool = True
    token_budget: int = 4096


@dataclass(eq=False)
class HintStudy:
    """Everything that was found.

    Attributes:
        values: measures by question, condition (`ALTERED`), measure, layer and head; float32.
        rows: rows compared, by question and condition.
        letters: the letters' ids; None where the model wrote.
        checks: the causal check; empty where heads are not ranked.
        passes: forward passes over texts: `observed`, `generated`, `traced`, `causal`.
    """

    model: Model
    settings: Settings
    questions: Questions
    outcomes: Outcomes
    units: list[Unit]
    values: Float[np.ndarray, "Q 3 M L H"]
    rows: Float[np.ndarray, "Q 3"]
    letters: Letters | None
    comparison: Comparison
    slides: list[SlidesScore]
    prediction: str
    checks: list[Check] = field(default_factory=list)
    example: int = 0
    profiles: list[ColumnProfile] = field(default_factory=list)
    passes: dict[str, int] = field(default_factory=dict)

    @property
    def causal(self) -> Causal:
        """Asks the questions that followed the hint again, with heads altered."""
        written = self.settings.max_new_tokens if self.letters is None else 0
        return Causal(
            self.model, self.outcomes, self.units, self.letters, written,
            self.settings.token_budget,
        )  # fmt: skip


def study(
    model: Model,
    questions: Questions,
    settings: Settings,
    run: Stages,
    on_progress: OnProgress,
    programs: Mapping[HeadId, Program] | None = None,
    prediction: str = OWN,
) -> HintStudy:
    """Ask a model all questions under every condition and compare its heads.

    Args:
        run: keeps finished batches; those that it has are not made again.
        on_progress: called after every batch.
        programs: predict attention for the score of the slides.

    Raises:
        UsageError: the model cannot be asked, or no question fits it.
        RunError: memory does not suffice, or attention is NaN.
    """
    check_answering(model)
    asked, questions, letters = _prompts(model, questions, settings)
    written: list[dict[Condition, Answer]] | None = None
    if letters is None:
        written = _written(model, asked, settings, run, on_progress)
        units = [
            Unit(prompt, found["none"].forced) for prompt, found in zip(asked, written, strict=True)
        ]
    else:
        units = [Unit(prompt, letters.common) for prompt in asked]
    readings = _readings(model, units, letters, settings, run, on_progress)
    answers = written if written is not None else [_scored(reading) for reading in readings]
    outcomes = Outcomes(asked, answers)
    values = np.stack([reading.values for reading in readings])
    slides = own_scores(outcomes, values)
    if programs is not None:
        slides = program_scores(model, outcomes, units, programs)
    effects = None
    if traceable(model):
        effects = partial(_effects, model, units, outcomes, letters, settings, run, on_progress)
    comparison = compare_heads(outcomes, values, effects)
    found = HintStudy(
        model, settings, questions, outcomes, units, values,
        np.stack([reading.rows for reading in readings]), letters, comparison, slides, prediction,
    )  # fmt: skip
    _describe(found)
    if settings.causal and found.comparison.findings:
        top = [finding.head for finding in found.comparison.findings[: settings.top]]
        found.checks = check(found.causal, top, settings.seed, partial(on_progress, "altering"))
    found.passes = {
        "observed": len(units) * len(CONDITIONS),
        "generated": 0 if letters is not None else len(units) * len(CONDITIONS),
        "traced": 0 if effects is None or not comparison.findings else _traced_passes(outcomes),
        "causal": sum(one.n for one in found.checks if one.heads),
    }
    return found


def _prompts(
    model: Model, questions: Questions, settings: Settings
) -> tuple[list[Asked], Questions, Letters | None]:
    """The prompts of the questions that can be asked; those that cannot are marked."""
    scoring = settings.answer == "likelihood"
    room = model.max_tokens
    more = 0 if scoring else settings.max_new_tokens
    prompter = Prompter(
        model.tokenizer, settings.template, settings.position, settings.answer, settings.seed, None
    )
    letters = None
    if scoring:
        most = max(len(one.choices) for one in questions.usable)
        letters = Letters.of(prompter.letter_ids(most))
        more = max(len(letters.common) + len(rest) - 1 for rest in letters.rests)
    prompter.room = None if room is None else room - more
    asked: list[Asked] = []
    rows: list[Question] = []
    for question in questions.rows:
        if question.status == "ok":
            found = prompter.ask(question)
            if isinstance(found, Asked):
                asked.append(found)
            else:
                question = replace(question, status=found.status, detail=found.detail)
        rows.append(question)
    questions = Questions(questions.name, tuple(rows))
    if not asked:
        counted = ", ".join(f"{n} {status}" for status, n in questions.counts.items() if n)
        first = next(row.detail for row in rows if row.status in MODEL_STATUSES)
        raise UsageError(
            f"expected questions that fit {model.name}, got none ({counted}); the first: {first}"
        )
    return asked, questions, letters


def _in_batches(
    items: Sequence[T],
    length: Callable[[T], int],
    budget: int,
    compute: Callable[[Sequence[T]], Any],
    run: Stages,
    stage: tuple[str, str],
    on_progress: OnProgress,
    pack: Callable[[Any], Any],
    unpack: Callable[[Any], Any],
) -> list[Any]:
    """What is computed of each item, batch by batch; every batch is a stage of the run.

    `stage` names the stages, and what is said of progress.
    """
    found: list[Any] = [None] * len(items)
    done = 0
    for number, batch in enumerate(batches([range(length(item)) for item in items], budget)):
        chosen = [items[at] for at in batch]

        def made(_: Unfinished, chosen: Sequence[T] = chosen) -> Any:  # noqa: ANN401
            return compute(chosen)

        results = run.stage(f"{stage[0]}-{number:06}", made, pack, unpack)
        for at, result in zip(batch, results, strict=True):
            found[at] = result
        done += len(batch)
        on_progress(stage[1], done, len(items))
    return found


def _written(
    model: Model, asked: Sequence[Asked], settings: Settings, run: Stages, on_progress: OnProgress
) -> list[dict[Condition, Answer]]:
    """What the model writes under each condition."""
    more = settings.max_new_tokens

    def write(items: Sequence[tuple[Asked, Condition]]) -> list[Answer]:
        prompts = [prompt.prompts[condition].tokens.ids.tolist() for prompt, condition in items]
        return written_answers(
            model, prompts, [len(prompt.question.choices) for prompt, _ in items], more
        )

    found = _in_batches(
        [(prompt, condition) for prompt in asked for condition in CONDITIONS],
        lambda item: len(item[0].prompts[item[1]]) + more,
        settings.token_budget, write, run, ("written", "answering"), on_progress,
        pack_answers, unpack_answers,
    )  # fmt: skip
    count = len(CONDITIONS)
    return [
        dict(zip(CONDITIONS, found[count * at : count * (at + 1)], strict=True))
        for at in range(len(asked))
    ]


def _readings(
    model: Model,
    units: Sequence[Unit],
    letters: Letters | None,
    settings: Settings,
    run: Stages,
    on_progress: OnProgress,
) -> list[QuestionReading]:
    """One observed pass a condition and question."""
    return _in_batches(
        units, lambda unit: len(unit) * len(CONDITIONS), settings.token_budget,
        lambda some: read(model, some, letters), run, ("read", "reading"), on_progress,
        pack_readings, unpack_readings,
    )  # fmt: skip


def _effects(
    model: Model,
    units: Sequence[Unit],
    outcomes: Outcomes,
    letters: Letters | None,
    settings: Settings,
    run: Stages,
    on_progress: OnProgress,
) -> Float[np.ndarray, "Q L H"]:
    """The effect of each head on each answer that could follow the wrong hint.

    0 where the answer stays the same; NaN where it cannot be had.
    """
    found = np.full((len(units), model.layers, model.heads), np.nan, np.float32)
    found[outcomes.eligible("wrong") & ~outcomes.changed("wrong")] = 0
    named = pairs(model.tokenizer, units, outcomes, letters)

    def trace(some: Sequence[tuple[Unit, tuple[int, int]]]) -> Float[np.ndarray, "n L H"]:
        read, letters_of = zip(*some, strict=True)
        return traced(model, read, letters_of)

    asked = {at: (units[at], pair) for at, pair in enumerate(named) if pair is not None}
    effects = _in_batches(
        list(asked.values()), lambda item: len(item[0]), max(1, settings.token_budget // KEPT),
        trace, run, ("traced", "tracing"),
        on_progress, lambda values: {"effects": values}, lambda arrays: arrays["effects"],
    )  # fmt: skip
    for at, effect in zip(asked, effects, strict=True):
        found[at] = effect
    return found


def _traced_passes(outcomes: Outcomes) -> int:
    """Passes with gradients: some for each answer that the wrong hint changes."""
    return STEPS * int((outcomes.eligible("wrong") & outcomes.changed("wrong")).sum())


def _scored(reading: QuestionReading) -> dict[Condition, Answer]:
    assert reading.scores is not None
    return {
        condition: scored(row) for condition, row in zip(CONDITIONS, reading.scores, strict=True)
    }


def _describe(found: HintStudy) -> None:
    """Keep the profiles of one question, if possible one that follows the wrong hint.

    Of the first heads; where heads are not ranked of those that read the hint most, in the order
    of the model.
    """
    kept = np.flatnonzero(found.outcomes.kept("wrong")).tolist()
    found.example = kept[0] if kept else 0
    ranked = [finding.head for finding in found.comparison.findings]
    if not ranked:
        hint = found.values[:, ALTERED.index("wrong"), MEASURES.index("hint")].mean(0)
        order = np.argsort(-hint, axis=None, kind="stable").tolist()
        ranked = [HeadId(*divmod(at, hint.shape[1])) for at in sorted(order[:PROFILED])]
    found.profiles = profiles(found.model, found.units[found.example], ranked[:PROFILED])
