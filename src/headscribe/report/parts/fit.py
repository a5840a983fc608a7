"""A fit: the formula of every head with its scores, mixtures, similar heads, covers."""

import json
from typing import Any

from headscribe.core.errors import RunError
from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Formula
from headscribe.fitting.headline import Headline
from headscribe.report.schema import Facts, Table, of_table, rows, tabled
from headscribe.results.run import Run

SIMILAR = 8
"""Similar heads that a page names of each head."""

_SCORED = [
    f"{what}_{view}_{metric}"
    for what in ("formula", "profile", "gain")
    for view in ("raw", "content")
    for metric in ("iou", "jsd")
]


def about(run: Run) -> Facts:
    """How many folds; none where texts of their own were scored."""
    return {"folds": (run.manifest.get("atlas") or {}).get("folds")}


def formulas(run: Run) -> Facts:
    """By head: terms with intervals and costs, labels, and scores on unseen texts.

    Raises:
        RunError: a formula is damaged.
    """
    ends = [f"{name}_{end}" for name in _SCORED for end in ("mean", "low", "high")]
    return {
        row["head"]: {
            "terms": _terms(row["formula"], row["head"]),
            "inWords": _in_words(row["formula"], row["formula_raw_iou_mean"]),
            "labels": row["labels"],
            "scores": {
                name: [row[f"{name}_{end}"] for end in ("mean", "low", "high")] for name in _SCORED
            },
        }
        for row in rows(run, "formulas", ("head", "formula", "labels", *ends))
    }


def _terms(stored: str, head: str) -> Table:
    try:
        terms = [
            {"low": None, "high": None, "drop": None} | term for term in json.loads(stored)["terms"]
        ]
        return tabled(("relation", "weight", "low", "high", "drop"), terms)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise RunError(f"formulas: the formula of head {head} is damaged ({error})") from error


def _in_words(stored: str, iou: float) -> str | None:
    """What a formula says in plain words, where it is all that there is to say."""
    headline = Headline.of(Formula.from_json(json.loads(stored)), iou)
    return None if headline is None else str(headline)


def similar(run: Run) -> Table:
    """The heads whose attention is closest to each head's, with the distance."""
    near: dict[str, list[dict[str, Any]]] = {}
    for row in rows(run, "similarity", ("layer_a", "head_a", "layer_b", "head_b", "jsd")):
        pair = [str(HeadId(row[f"layer_{end}"], row[f"head_{end}"])) for end in "ab"]
        if row["jsd"] is not None:
            for head, other in (pair, pair[::-1]):
                near.setdefault(head, []).append({"head": head, "other": other, "jsd": row["jsd"]})
    closest = (sorted(found, key=lambda row: row["jsd"])[:SIMILAR] for found in near.values())
    return tabled(("head", "other", "jsd"), (row for found in closest for row in found))


PARTS = {
    "about": about,
    "formulas": formulas,
    "layers": of_table("layers", ("layer", "score", "view", "metric", "mean", "low", "high")),
    "mixtures": of_table("mixtures", ("head", "pattern", "weight", "gain", "low", "high")),
    "similar": similar,
    "covers": of_table("covers", ("loss", "head", "by_head", "iou", "own_iou")),
}
