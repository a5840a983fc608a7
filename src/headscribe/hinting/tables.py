"""The tables of a run of hints, as `docs/decisions/hints.md` describes them."""

from collections.abc import Sequence
from math import isfinite, nan
from typing import Any

import numpy as np
import pyarrow as pa

from headscribe.core.heads import HeadId
from headscribe.hinting.comparison import Finding
from headscribe.hinting.conditions import CONDITIONS
from headscribe.hinting.measures import MEASURES
from headscribe.hinting.reading import ALTERED
from headscribe.hinting.run import Study

_TEXT, _WHOLE, _REAL, _FLAG = pa.string(), pa.int64(), pa.float64(), pa.bool_()
_NUMBERS, _TEXTS = pa.list_(pa.float64()), pa.list_(pa.string())

Columns = dict[str, Any]


def run_tables(study: Study) -> dict[str, pa.Table]:
    """Every table of a finished study, by name."""
    tables = {
        "questions": _questions(study),
        "answers": _answers(study),
        "rates": _rates(study),
        "heads": _heads(study),
        "slides": _slides(study),
        "readings": _readings(study),
        "profile": _profile(study),
    }
    if study.comparison.findings:
        tables["ranking"] = _ranking(study)
    if study.checks:
        tables["causal"] = _causal(study)
    return tables


def _questions(study: Study) -> pa.Table:
    schema = {"number": _WHOLE, "id": _TEXT, "group": _TEXT, "question": _TEXT, "choices": _TEXTS,
              "answer": _WHOLE, "status": _TEXT, "detail": _TEXT}  # fmt: skip
    rows = [
        (q.number, q.id, q.group, q.question, list(q.choices), q.answer, q.status, q.detail)
        for q in study.questions.rows
    ]
    return _table(schema, rows)


def _answers(study: Study) -> pa.Table:
    schema = {"id": _TEXT, "group": _TEXT, "condition": _TEXT, "target": _WHOLE, "answer": _WHOLE,
              "state": _TEXT, "correct": _FLAG, "changed": _FLAG, "to_hinted": _FLAG,
              "excess": _REAL, "scores": _NUMBERS, "text": _TEXT, "insertion": _TEXT,
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


def _rates(study: Study) -> pa.Table:
    schema = {"name": _TEXT, "condition": _TEXT, "hits": _WHOLE, "n": _WHOLE, "share": _REAL,
              "low": _REAL, "high": _REAL}  # fmt: skip
    rows = [
        (r.name, r.condition, r.hits, r.n, r.share, r.low, r.high) for r in study.outcomes.rates
    ]
    return _table(schema, rows)


_HEAD = {"head": _TEXT, "layer": _WHOLE, "index": _WHOLE}


def _named(head: HeadId) -> tuple[str, int, int]:
    return str(head), head.layer, head.head


def _heads(study: Study) -> pa.Table:
    schema = _HEAD | {
        "measure": _TEXT, "condition": _TEXT, "n": _WHOLE, "hint": _REAL, "hint_low": _REAL,
        "hint_high": _REAL, "note": _REAL, "beyond": _REAL, "beyond_low": _REAL,
        "beyond_high": _REAL, "n_changed": _WHOLE, "changed": _REAL, "n_unchanged": _WHOLE,
        "unchanged": _REAL, "contrast": _REAL, "contrast_low": _REAL, "contrast_high": _REAL,
        "t": _REAL, "p": _REAL, "flagged": _FLAG,
    }  # fmt: skip
    rows = [
        (*_named(r.head), r.measure, r.condition, r.n, *r.hint, r.note, *r.beyond, r.n_changed,
         r.changed, r.n_unchanged, r.unchanged, *r.contrast, r.t, r.p, r.flagged)
        for r in study.comparison.rows
    ]  # fmt: skip
    return _table(schema, rows)


def _ranking(study: Study) -> pa.Table:
    schema = {"rank": _WHOLE} | _HEAD | {"measure": _TEXT, "t": _REAL, "p": _REAL,
              "flagged": _FLAG, "slides": _REAL, "slides_beyond": _REAL, "slides_n": _WHOLE,
              "effect": _REAL, "effect_low": _REAL, "effect_high": _REAL,
              "effect_p": _REAL}  # fmt: skip
    scores = {one.head: one for one in study.slides}
    rows = []
    for f in study.comparison.findings:
        score = scores.get(f.head)
        slides = (None, None, 0) if score is None else (score.score[0], score.beyond[0], score.n)
        rows.append(
            (f.rank, *_named(f.head), f.measure, f.t, f.p, f.flagged, *slides, *f.effect,
             f.effect_p)
        )  # fmt: skip
    return _table(schema, rows)


def _slides(study: Study) -> pa.Table:
    schema = _HEAD | {"score": _REAL, "low": _REAL, "high": _REAL, "note": _REAL, "beyond": _REAL,
                      "beyond_low": _REAL, "beyond_high": _REAL, "n": _WHOLE,
                      "prediction": _TEXT}  # fmt: skip
    rows = [
        (*_named(s.head), *s.score, s.note, *s.beyond, s.n, study.prediction) for s in study.slides
    ]
    return _table(schema, rows)


def _readings(study: Study) -> pa.Table:
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


def _profile(study: Study) -> pa.Table:
    schema = {"id": _TEXT, "head": _TEXT, "condition": _TEXT, "position": _WHOLE, "token": _TEXT,
              "shared": _WHOLE, "part": _TEXT, "weight": _REAL}  # fmt: skip
    id = study.outcomes.asked[study.example].question.id
    rows = [
        (id, str(one.head), one.condition, at, token, None if shared < 0 else shared, part, weight)
        for one in study.profiles
        for at, (token, shared, part, weight) in enumerate(
            zip(one.tokens, one.shared, one.part, one.weight.tolist(), strict=True)
        )
    ]
    return _table(schema, rows)


def _causal(study: Study) -> pa.Table:
    schema = {"set": _TEXT, "draw": _WHOLE, "how": _TEXT, "heads": _TEXTS, "n": _WHOLE,
              "back": _WHOLE, "share": _REAL, "low": _REAL, "high": _REAL}  # fmt: skip
    rows = [
        (c.set, c.draw, c.how, [str(head) for head in c.heads], c.n,
         None if c.back < 0 else c.back, c.share, c.low, c.high)
        for c in study.checks
    ]  # fmt: skip
    return _table(schema, rows)


def _table(schema: dict[str, pa.DataType], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    """Rows as a table; NaN and infinity, which mean that there is no number, become null."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [
        pa.array([_null(value) for value in column], kind)
        for column, kind in zip(columns, schema.values(), strict=True)
    ]
    return pa.table(dict(zip(schema, arrays, strict=True)))


def _null(value: object) -> object:
    return None if isinstance(value, float) and not isfinite(value) else value


def findings_of(table: pa.Table) -> tuple[Finding, ...]:
    """The heads of a table `ranking`, as `run_tables` wrote them; what has no value is NaN."""
    found = []
    for row in table.to_pylist():
        real = {name: nan if row[name] is None else row[name] for name in row}
        found.append(
            Finding(
                row["rank"],
                HeadId(row["layer"], row["index"]),
                row["measure"],
                real["t"],
                real["p"],
                row["flagged"],
                (real["effect"], real["effect_low"], real["effect_high"]),
                real["effect_p"],
            )
        )
    return tuple(found)
