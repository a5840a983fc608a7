"""A run of hints: how answers change, which heads change with them, one question's columns."""

from typing import Any

from headscribe.report.parts.tables import rows
from headscribe.results.run import Run

_HEADS = (
    "head", "measure", "condition", "n", "hint", "note", "beyond", "beyond_low", "beyond_high",
    "contrast", "contrast_low", "contrast_high", "t", "p", "flagged",
)  # fmt: skip
_RANKING = ("rank", "head", "measure", "t", "p", "flagged", "slides", "slides_n")
_EFFECT = ("effect", "effect_low", "effect_high", "effect_p")
MAX_TOKENS = 40_000
"""Positions of the column profile, of all heads and conditions, that a page keeps."""


def about(run: Run) -> dict[str, Any]:
    """Questions, settings, what must be said of the run, and what the ranking rests on."""
    config = run.manifest.get("config", {})
    return {
        "questions": run.manifest.get("questions"),
        "messages": run.manifest.get("messages", []),
        "ranking": run.manifest.get("ranking"),
        "template": config.get("template"),
        "position": config.get("position"),
        "answer": config.get("answer"),
    }


def rates(run: Run) -> list[dict[str, Any]]:
    """How often answers change and where to, with intervals."""
    return rows(run, "rates", ("name", "condition", "hits", "n", "share", "low", "high"))


def heads(run: Run) -> dict[str, Any]:
    """Every head's measures, as columns."""
    found = rows(run, "heads", _HEADS)
    return {"columns": list(_HEADS), "rows": [[row[name] for name in _HEADS] for row in found]}


def ranking(run: Run) -> list[dict[str, Any]] | None:
    """The heads whose change goes with the answer's, best first; None where ranking is refused.

    With what each head does to the answer (`effect`, in logits) where that was measured.
    """
    if "ranking" not in run.manifest.get("tables", []):
        return None
    found = run.table("ranking").column_names
    return rows(run, "ranking", (*_RANKING, *(name for name in _EFFECT if name in found)))


def profile(run: Run) -> dict[str, Any] | None:
    """One question's column profile and what was asked and answered; None where none was kept."""
    if "profile" not in run.manifest.get("tables", []):
        return None
    columns = ("id", "head", "condition", "position", "token", "part", "weight")
    found = rows(run, "profile", columns)[:MAX_TOKENS]
    question = next((row["id"] for row in found), None)
    asked = [
        {name: row[name] for name in ("question", "choices", "answer")}
        for row in rows(run, "questions", ("id", "question", "choices", "answer"))
        if row["id"] == question
    ]
    columns_of_answers = ("id", "condition", "target", "answer", "state", "text", "insertion")
    return {
        "question": question,
        "asked": asked[0] if asked else None,
        "answers": [
            {name: row[name] for name in columns_of_answers}
            for row in rows(run, "answers", columns_of_answers)
            if row["id"] == question
        ],
        "tokens": [
            [
                row["head"],
                row["condition"],
                row["position"],
                row["token"],
                row["part"],
                row["weight"],
            ]
            for row in found
        ],
    }


def causal(run: Run) -> list[dict[str, Any]] | None:
    """How many answers come back when heads no longer read the hint; None if not measured."""
    if "causal" not in run.manifest.get("tables", []):
        return None
    columns = ("set", "draw", "how", "heads", "n", "back", "share", "low", "high")
    return rows(run, "causal", columns)


PARTS = {
    "about": about,
    "rates": rates,
    "heads": heads,
    "ranking": ranking,
    "profile": profile,
    "causal": causal,
}
