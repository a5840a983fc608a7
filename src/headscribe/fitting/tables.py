"""The tables of a fit's run directory; equal findings give equal tables, byte for byte.

formulas      a row a head: its formula as JSON and as text, labels, scores with intervals
layers        mean scores of every layer, and of the model where `layer` is empty
mixtures      a row for every part of every head: the graph from patterns to heads
labels        a row a label: `corpus` is `all`, `half 0` or `half 1`
similarity    a row for every two heads: mean Jensen-Shannon distance
dendrogram    a row a merger: clusters below the number of heads are heads, then mergers
profiles      a row a head: mean attention by cell class (`scoring/profile.py`)
covers        for each loss and head the head whose formula serves it
examples      a few texts with every head's attention and what its formula predicts
"""

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from headscribe.core.errors import RunError, UsageError
from headscribe.core.heads import HeadId
from headscribe.core.metrics import VIEWS
from headscribe.fitting.findings import Findings
from headscribe.fitting.formula import Formula
from headscribe.fitting.heads import ALL_METRICS, Atlas, Estimate, HeadFormula, series
from headscribe.fitting.labels import Label
from headscribe.text.grouping import FOLDS

MATTERS = 0.05
"""A gain over the profile, in IoU, that is counted as one."""

Row = dict[str, Any]


def run_tables(atlas: Atlas, findings: Findings) -> dict[str, pa.Table]:
    """All tables of a fit, by name."""
    return {
        "formulas": pa.Table.from_pylist([_formula(head) for head in atlas.heads]),
        "layers": _table(_layers(atlas), _LAYERS),
        "mixtures": _table(_mixtures(atlas, findings), _MIXTURES),
        "labels": _table(_labels(atlas, findings), _LABELS),
        "similarity": _table(_similarity(atlas, findings), _SIMILARITY),
        "dendrogram": _table(_dendrogram(findings), _DENDROGRAM),
        "covers": _table(_covers(atlas, findings), _COVERS),
        "profiles": _table(_profiles(atlas), _PROFILES),
    }


_PLACE = {"layer": pa.int32(), "head": pa.int32()}
_ESTIMATE = {"mean": pa.float64(), "low": pa.float64(), "high": pa.float64()}
_LAYERS = {
    "layer": pa.int32(), "score": pa.string(), "view": pa.string(), "metric": pa.string(),
    **_ESTIMATE, "heads": pa.int32(), "above": pa.int32(), "labelled": pa.int32(),
}  # fmt: skip
_MIXTURES = {
    **_PLACE, "pattern": pa.string(), "weight": pa.float64(), "gain": pa.float64(),
    "low": pa.float64(), "high": pa.float64(),
}  # fmt: skip
_LABELS = {
    "corpus": pa.string(), **_PLACE, "place": pa.int32(), "pattern": pa.string(),
    "gain_iou": pa.float64(), "gain_jsd": pa.float64(), "p": pa.float64(),
}  # fmt: skip
_SIMILARITY = {
    "layer_a": pa.int32(), "head_a": pa.int32(), "layer_b": pa.int32(), "head_b": pa.int32(),
    "jsd": pa.float64(),
}  # fmt: skip
_DENDROGRAM = {
    "left": pa.int32(), "right": pa.int32(), "distance": pa.float64(), "heads": pa.int32(),
}  # fmt: skip
_COVERS = {
    "loss": pa.float64(), **_PLACE, "by_layer": pa.int32(), "by_head": pa.int32(),
    "iou": pa.float64(), "own_iou": pa.float64(),
}  # fmt: skip
_PROFILES = {**_PLACE, "mean": pa.list_(pa.float64())}


def _table(rows: Iterable[Row], fields: dict[str, pa.DataType]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=pa.schema(list(fields.items())))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _ends(estimate: Estimate) -> Row:
    return {part: _number(getattr(estimate, part)) for part in ("mean", "low", "high")}


def _formula(head_formula: HeadFormula) -> Row:
    row: Row = {
        "layer": head_formula.head.layer,
        "head": head_formula.head.head,
        "formula": json.dumps(head_formula.formula.to_json()),
        "text": str(head_formula),
        "labels": [label.pattern for label in head_formula.labels],
        "pattern": None if head_formula.pattern is None else head_formula.pattern[0],
        "folds": head_formula.folds,
    }
    for (what, view, metric), estimate in head_formula.scores.items():
        for part, value in _ends(estimate).items():
            row[f"{what}_{view}_{metric}_{part}"] = value
    best = None if head_formula.pattern is None else head_formula.pattern[1]
    for part in ("mean", "low", "high"):
        row[f"pattern_raw_iou_{part}"] = None if best is None else _ends(best)[part]
    return row


def _layers(atlas: Atlas) -> Iterable[Row]:
    layers = sorted({head_formula.head.layer for head_formula in atlas.heads})
    for layer in (*layers, None):
        places = [
            i
            for i, head_formula in enumerate(atlas.heads)
            if layer in (None, head_formula.head.layer)
        ]
        labelled = sum(bool(atlas.heads[i].labels) for i in places)
        for what in ("formula", "profile", "gain"):
            for view in VIEWS:
                for metric in ALL_METRICS:
                    values = series(atlas.by_text[places], what, view, metric)
                    means = [atlas.heads[i].scores[what, view, metric].mean for i in places]
                    yield {
                        "layer": layer, "score": what, "view": view, "metric": metric,
                        **_ends(Estimate.of(values.mean(axis=0), atlas.group)),
                        "heads": len(places),
                        "above": sum(m > MATTERS for m in means) if what == "gain" else None,
                        "labelled": labelled,
                    }  # fmt: skip


def _mixtures(atlas: Atlas, findings: Findings) -> Iterable[Row]:
    for head_formula, parts in zip(atlas.heads, findings.mixtures, strict=True):
        for part in parts:
            gain = (np.nan,) * 3 if part.gain is None else part.gain
            yield {
                "layer": head_formula.head.layer, "head": head_formula.head.head,
                "pattern": part.pattern, "weight": part.weight,
                **dict(zip(("gain", "low", "high"), map(_number, gain), strict=True)),
            }  # fmt: skip


def _labels(atlas: Atlas, findings: Findings) -> Iterable[Row]:
    corpora: dict[str, tuple[tuple[Label, ...], ...]] = {
        "all": tuple(head.labels for head in atlas.heads)
    }
    corpora |= {f"half {side}": labels for side, labels in enumerate(findings.halves)}
    for corpus, by_head in corpora.items():
        for head_formula, labels in zip(atlas.heads, by_head, strict=True):
            for place, label in enumerate(labels):
                yield {
                    "corpus": corpus, "layer": head_formula.head.layer,
                    "head": head_formula.head.head, "place": place, "pattern": label.pattern,
                    "gain_iou": label.gain_iou, "gain_jsd": label.gain_jsd, "p": label.p,
                }  # fmt: skip


def _similarity(atlas: Atlas, findings: Findings) -> Iterable[Row]:
    for i, a in enumerate(atlas.heads):
        for j, b in enumerate(atlas.heads[i + 1 :], i + 1):
            yield {
                "layer_a": a.head.layer, "head_a": a.head.head,
                "layer_b": b.head.layer, "head_b": b.head.head,
                "jsd": float(findings.distance[i, j]),
            }  # fmt: skip


def _dendrogram(findings: Findings) -> Iterable[Row]:
    for left, right, distance, heads in findings.merged.tolist():
        yield {"left": int(left), "right": int(right), "distance": distance, "heads": int(heads)}


def _covers(atlas: Atlas, findings: Findings) -> Iterable[Row]:
    for loss, cover in findings.covers.items():
        for h, head_formula in enumerate(atlas.heads):
            by = cover.formulas[int(cover.served_by[h])]
            server = atlas.heads[by].head
            yield {
                "loss": loss, "layer": head_formula.head.layer, "head": head_formula.head.head,
                "by_layer": server.layer, "by_head": server.head,
                "iou": float(findings.transfer[by, h]),
                "own_iou": float(findings.transfer[h, h]),
            }  # fmt: skip


def heads_of(table: pa.Table) -> tuple[HeadFormula, ...]:
    """The heads of a table `formulas`, as `run_tables` wrote them.

    Of labels the names alone stand there; the table `labels` has their gains.

    Raises:
        RunError: a stored formula is damaged.
    """
    return tuple(_head_of(row) for row in table.to_pylist())


def _head_of(row: Row) -> HeadFormula:
    head = HeadId(row["layer"], row["head"])
    try:
        formula = Formula.from_json(json.loads(row["formula"]))
    except (json.JSONDecodeError, UsageError) as error:
        raise RunError(f"the stored formula of {head} is damaged ({error})") from error
    scores: dict[tuple[str, str, str], Estimate] = {
        (what, view, metric): _estimate(row, f"{what}_{view}_{metric}")
        for what in ("formula", "profile", "gain")
        for view in VIEWS
        for metric in ALL_METRICS
        if f"{what}_{view}_{metric}_mean" in row
    }
    labels = tuple(Label(name, np.nan, np.nan, np.nan) for name in row["labels"] or ())
    best = (row["pattern"], _estimate(row, "pattern_raw_iou")) if row["pattern"] else None
    # Fits without the column were cross-fitted, but for a few that had texts to test on.
    return HeadFormula(head, formula, scores, labels, best, row.get("folds", FOLDS))


def _estimate(row: Row, name: str) -> Estimate:
    ends = (row.get(f"{name}_{part}") for part in ("mean", "low", "high"))  # older runs lack some
    return Estimate(*(np.nan if end is None else float(end) for end in ends))


def _profiles(atlas: Atlas) -> Iterable[Row]:
    if atlas.profile is not None:
        for head_formula, mean in zip(atlas.heads, atlas.profile.tolist(), strict=True):
            yield {"layer": head_formula.head.layer, "head": head_formula.head.head, "mean": mean}
