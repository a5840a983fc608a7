"""A fit: the formula of every head with its scores, mixtures, labels, similar heads, covers."""

import json
from typing import Any

from headscribe.core.errors import RunError
from headscribe.core.heads import HeadId
from headscribe.report.parts.tables import rows
from headscribe.results.run import Run

SIMILAR = 8
"""Similar heads that a page names of each head."""

_SCORED = [
    f"{what}_{view}_{metric}"
    for what in ("formula", "profile", "gain")
    for view in ("raw", "content")
    for metric in ("iou", "jsd")
]


def formulas(run: Run) -> dict[str, Any]:
    """By head: terms with intervals and costs, labels, and scores on unseen texts.

    Raises:
        RunError: a formula is damaged.
    """
    ends = [f"{name}_{end}" for name in _SCORED for end in ("mean", "low", "high")]
    found = {}
    for row in rows(run, "formulas", ("layer", "head", "formula", "labels", "pattern", *ends)):
        head = str(HeadId(row["layer"], row["head"]))
        try:
            terms = json.loads(row["formula"])["terms"]
            listed = [
                [t["relation"], t["weight"], t.get("low"), t.get("high"), t.get("drop")]
                for t in terms
            ]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise RunError(f"formulas: the formula of head {head} is damaged ({error})") from error
        found[head] = {
            "terms": listed,
            "labels": row["labels"],
            "pattern": row["pattern"],
            "scores": {
                name: [row[f"{name}_{end}"] for end in ("mean", "low", "high")] for name in _SCORED
            },
        }
    return found


def layers(run: Run) -> list[dict[str, Any]]:
    """The layer summary of the formulas."""
    columns = ("layer", "score", "view", "metric", "mean", "low", "high", "heads", "above")
    return rows(run, "layers", columns)


def mixtures(run: Run) -> dict[str, list[list[Any]]]:
    """By head its parts: pattern, weight, gain in IoU with its interval."""
    found: dict[str, list[list[Any]]] = {}
    columns = ("layer", "head", "pattern", "weight", "gain", "low", "high")
    for row in rows(run, "mixtures", columns):
        head = str(HeadId(row["layer"], row["head"]))
        found.setdefault(head, []).append([row[name] for name in columns[2:]])
    return found


def labels(run: Run) -> list[list[Any]]:
    """Labels of all texts and of both halves: corpus, head, pattern, gains, p."""
    columns = ("corpus", "layer", "head", "place", "pattern", "gain_iou", "gain_jsd", "p")
    return [
        [row["corpus"], str(HeadId(row["layer"], row["head"])), *(row[c] for c in columns[4:])]
        for row in rows(run, "labels", columns)
    ]


def similar(run: Run) -> dict[str, list[list[Any]]]:
    """By head the heads whose attention is closest, with the distance."""
    near: dict[str, list[tuple[float, str]]] = {}
    columns = ("layer_a", "head_a", "layer_b", "head_b", "jsd")
    for row in rows(run, "similarity", columns):
        one, other = f"{row['layer_a']}.{row['head_a']}", f"{row['layer_b']}.{row['head_b']}"
        if row["jsd"] is not None:
            near.setdefault(one, []).append((row["jsd"], other))
            near.setdefault(other, []).append((row["jsd"], one))
    return {
        head: [[other, distance] for distance, other in sorted(found)[:SIMILAR]]
        for head, found in near.items()
    }


def covers(run: Run) -> list[list[Any]]:
    """Allowed loss, head, the head whose formula serves it, the IoU of that and of its own."""
    columns = ("loss", "layer", "head", "by_layer", "by_head", "iou", "own_iou")
    return [
        [
            row["loss"], f"{row['layer']}.{row['head']}", f"{row['by_layer']}.{row['by_head']}",
            row["iou"], row["own_iou"],
        ]
        for row in rows(run, "covers", columns)
    ]  # fmt: skip


def about(run: Run) -> dict[str, Any]:
    """How many terms and folds; no folds where texts of their own were scored."""
    atlas = run.manifest.get("atlas") or {}
    return {"terms": atlas.get("terms"), "folds": atlas.get("folds")}


PARTS = {
    "about": about,
    "formulas": formulas,
    "layers": layers,
    "mixtures": mixtures,
    "labels": labels,
    "similar": similar,
    "covers": covers,
}
