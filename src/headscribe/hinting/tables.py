"""The tables of a run of hints, as `docs/decisions/hints.md` describes them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headscribe.hinting.causal import Check
from headscribe.hinting.comparison import Finding, Row
from headscribe.hinting.conditions import CONDITIONS
from headscribe.hinting.measures import MEASURES
from headscribe.hinting.outcomes import Rate
from headscribe.hinting.questions import Question
from headscribe.hinting.reading import ALTERED
from headscribe.hinting.run import HintStudy
from headscribe.hinting.slides import SlidesScore
from headscribe.results.records import table_of

_TEXT, _WHOLE, _REAL, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()


def run_tables(study: HintStudy) -> dict[str, pa.Table]:
    """Every table of a finished study, by name."""
    comparison, scores = study.comparison, study.slides
    said = (study.prediction for _ in scores)
    slides = table_of(SlidesScore, scores, prediction=(str, said))
    names = {"score_low": "low", "score_high": "high"}
    tables = {
        "questions": table_of(Question, study.questions.rows),
        "answers": _answers(study),
        "rates": table_of(Rate, study.outcomes.rates),
        "heads": table_of(Row, comparison.rows),
        "slides": slides.rename_columns([names.get(name, name) for name in slides.column_names]),
        "readings": _readings(study),
        "profile": _profile(study),
    }
    if comparison.findings:
        tables["ranking"] = ranking(comparison.findings, scores)
    if study.checks:
        tables["causal"] = table_of(Check, study.checks)
    return tables


def ranking(findings: Sequence[Finding], scores: Sequence[SlidesScore]) -> pa.Table:
    """The table of heads in their order, beside their scores of the slides."""
    by_head = {score.head: score for score in scores}
    found = [by_head.get(finding.head) for finding in findings]
    return table_of(
        Finding,
        findings,
        slides=(float, [None if one is None else one.score[0] for one in found]),
        slides_beyond=(float, [None if score is None else score.beyond[0] for score in found]),
        slides_n=(int, [0 if score is None else score.n for score in found]),
    )


def _answers(study: HintStudy) -> pa.Table:
    schema = {"id": _TEXT, "group": _TEXT, "condition": _TEXT, "target": _WHOLE, "answer": _WHOLE,
              "state": _TEXT, "correct": _FLAG, "changed": _FLAG, "to_hinted": _FLAG,
              "excess": _REAL, "scores": pa.list_(_REAL), "text": _TEXT, "insertion": _TEXT,
              "tokens": _WHOLE, "start": _WHOLE, "end": _WHOLE}  # fmt: skip
    outcomes = study.outcomes
    rows = []
    for at, (asked, answers) in enumerate(zip(outcomes.asked, outcomes.answers, strict=True)):
        before = answers["none"].choice
        for condition in CONDITIONS:
            answer, prompt = answers[condition], asked.prompts[condition]
            hinted = prompt.target is not None
            known = before is not None and answer.choice is not None
            first, last = prompt.tokens.inserted
            rows.append(
                (
                    asked.question.id, asked.question.group, condition, prompt.target,
                    answer.choice, answer.state,
                    None if answer.choice is None else answer.choice == asked.question.right,
                    (answer.choice != before) if known and condition != "none" else None,
                    (answer.choice != before and answer.choice == prompt.target)
                    if known and hinted else None,
                    float(outcomes.excess[at, 0]) if condition == "wrong" else None,
                    None if answer.scores is None else list(answer.scores), answer.text,
                    prompt.insertion, len(prompt), first, last,
                )
            )  # fmt: skip
    return _table(schema, rows)


def _readings(study: HintStudy) -> pa.Table:
    ids = [asked.question.id for asked in study.outcomes.asked]
    count, conditions, measures, layers, heads = study.values.shape
    flat = pa.array(np.ascontiguousarray(study.values, np.float32).reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, layers * heads)
    each = conditions * measures
    return pa.table(
        {
            "id": pa.array(np.repeat(np.array(ids, object), each), _TEXT),
            "condition": pa.array(np.tile(np.repeat(ALTERED, measures), count), _TEXT),
            "measure": pa.array(np.tile(MEASURES, count * conditions), _TEXT),
            "rows": pa.array(np.repeat(study.rows.astype(float), measures)),
            "values": lists.cast(pa.list_(pa.float32())),
        }
    )


def _profile(study: HintStudy) -> pa.Table:
    schema = {"id": _TEXT, "head": _TEXT, "condition": _TEXT, "position": _WHOLE, "token": _TEXT,
              "shared": _WHOLE, "part": _TEXT, "weight": _REAL}  # fmt: skip
    id = study.outcomes.asked[study.example].question.id
    rows = [
        (
            id,
            str(profile.head),
            profile.condition,
            at,
            token,
            None if shared < 0 else shared,
            part,
            weight,
        )
        for profile in study.profiles
        for at, (token, shared, part, weight) in enumerate(
            zip(profile.tokens, profile.shared, profile.part, profile.weight.tolist(), strict=True)
        )
    ]
    return _table(schema, rows)


def _table(schema: dict[str, pa.DataType], rows: list[tuple[Any, ...]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [pa.array(list(c), kind) for c, kind in zip(columns, schema.values(), strict=True)]
    return pa.table(dict(zip(schema, arrays, strict=True)))
