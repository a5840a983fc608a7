"""A run of hints: how answers change, which heads change with them, one question's columns."""

from typing import Any

from headscribe.report.schema import Facts, Table, of_table, rows, tabled
from headscribe.results.run import Run

_RANKING = ("rank", "head", "measure", "t", "p", "flagged")
_EFFECT = ("effect", "effect_low", "effect_high")

MAX_TOKENS = 40_000
"""Positions of the column profile, of all heads and conditions, that a page keeps."""


def about(run: Run) -> Facts:
    """Questions, what must be said of the run, and what the ranking rests on."""
    return {
        "questions": run.manifest.get("questions"),
        "messages": run.manifest.get("messages", []),
        "ranking": run.manifest.get("ranking"),
    }


def ranking(run: Run) -> Table | None:
    """The heads whose change goes with the answer's, best first; None where ranking is refused.

    With what each head does to the answer (`effect`, in logits) where that was measured.
    """
    if "ranking" not in run.manifest.get("tables", []):
        return None
    known = run.schema("ranking").names
    columns = (*_RANKING, *(name for name in _EFFECT if name in known))
    return tabled(columns, rows(run, "ranking", columns))


def profile(run: Run) -> Facts | None:
    """One question's column profile and what was asked and answered; None where none was kept."""
    if "profile" not in run.manifest.get("tables", []):
        return None
    columns = ("head", "condition", "token", "part", "weight")
    tokens = rows(run, "profile", ("id", *columns))[:MAX_TOKENS]
    question = next((row["id"] for row in tokens), None)
    asked = _of(run, "questions", question, ("question", "choices", "answer"))
    return {
        "question": question,
        "asked": asked[0] if asked else None,
        "answers": _of(run, "answers", question, ("condition", "answer", "text")),
        "tokens": tabled(columns, tokens),
    }


def _of(run: Run, name: str, question: str | None, columns: tuple[str, ...]) -> list[Any]:
    """What a table says of one question."""
    found = rows(run, name, ("id", *columns))
    return [{key: row[key] for key in columns} for row in found if row["id"] == question]


PARTS = {
    "about": about,
    "rates": of_table("rates", ("name", "condition", "hits", "n", "share", "low", "high")),
    "heads": of_table(
        "heads",
        ("head", "measure", "condition", "hint", "note", "beyond", "beyond_low", "beyond_high",
         "contrast", "contrast_low", "contrast_high", "p", "flagged"),
    ),
    "ranking": ranking,
    "profile": profile,
    "causal": of_table(
        "causal", ("set", "draw", "how", "heads", "n", "share", "low", "high"), optional=True
    ),
}  # fmt: skip
