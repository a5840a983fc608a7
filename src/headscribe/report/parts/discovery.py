"""A discovery: what was proposed for each head, what became of it, and the programs that stayed."""

import json
from pathlib import Path
from typing import Any

from headscribe.core.errors import RunError
from headscribe.fitting.classes import WordClass, by_name
from headscribe.report.schema import of_table, rows
from headscribe.results.run import Run

MAX_FILE = 4_000_000
"""Bytes of the file of one head."""

MAX_CODE = 20_000
"""Characters of one program."""

CELLS, PAIRS, TEXTS, ELSEWHERE = 200, 6, 4, 8
"""Cells of a proposed example, pairs of a text, texts of the evidence, and other heads of a
program, at most."""

_ATTEMPT = (
    "round", "source", "fate", "kind", "message", "notes", "fit_iou", "fit_gain", "select_p",
    "select_gain", "select_texts", "detectable",
    "example_agreement",
)  # fmt: skip


def tally(run: Run) -> dict[str, Any]:
    """What was asked for, and the one table that counts everything."""
    config = run.manifest.get("config", {})
    wanted = ("proposer", "prompt", "python", "rounds", "terms", "look_ahead")
    return {
        "tally": run.manifest.get("tally"),
        "examined": run.manifest.get("examined"),
        "left_out": run.manifest.get("left_out"),
        "asked": {name: config[name] for name in wanted if name in config},
    }


def stories(run: Run) -> dict[str, dict[str, Any]]:
    """By head its attempts, its program and scores, and what was shown of it.

    Raises:
        RunError: a file is damaged or too large.
    """
    found = {}
    for row in rows(run, "discoveries", ("head",)):
        name = row["head"]
        told = _read(run.folder / "heads" / f"{name}.json")
        if told is not None:
            story = _story(told)
            story["evidence"] = _evidence(_read(run.folder / "evidence" / f"{name}.json") or {})
            found[name] = story
    return found


def _story(told: dict[str, Any]) -> dict[str, Any]:
    kept = ("status", "reason", "formula", "rivals", "looks_ahead", "scores", "gains")
    return {name: told.get(name) for name in kept} | {
        "program": _program(told.get("program")),
        "attempts": [
            {name: attempt.get(name) for name in _ATTEMPT}
            | {"proposal": _proposal(attempt.get("proposal"))}
            for attempt in told.get("attempts", [])
        ],
    }


def _program(stored: dict[str, Any] | None) -> dict[str, Any] | None:
    """A program as lines of code: weighted relations, or Python."""
    if not stored:
        return None
    if stored.get("kind") == "python":
        return {"kind": "python", "code": str(stored.get("program", ""))[:MAX_CODE]}
    formula = stored.get("formula", {})
    terms = formula.get("terms", [])
    classes = [WordClass(**c | {"words": tuple(c["words"])}) for c in formula.get("classes", [])]
    return {
        "kind": "formula",
        "terms": [[t["weight"], by_name(str(t["relation"]), classes)[:MAX_CODE]] for t in terms],
        "fresh": [*stored.get("relations", []), *map(str, classes)],
    }


def _proposal(stored: dict[str, Any] | None) -> dict[str, Any] | None:
    if not stored:
        return None
    code, example = stored.get("code") or {}, stored.get("example") or {}
    return {
        "hypotheses": stored.get("hypotheses", []),
        "chosen": stored.get("chosen"),
        "validation": stored.get("validation", ""),
        "relations": [str(one)[:MAX_CODE] for one in code.get("relations") or []],
        "program": str(code.get("program") or "")[:MAX_CODE],
        "example": {"text": example.get("text"), "cells": (example.get("cells") or [])[:CELLS]},
    }


def _evidence(shown: dict[str, Any]) -> list[dict[str, Any]]:
    """The texts that a proposer saw, with the strongest pairs and the formula's worst cells."""
    if "rows" in shown:
        return [
            {
                "text": row.get("text"),
                "why": row.get("why"),
                "iou": None,
                "pairs": [[row["query"][1], key[1], key[2]] for key in row["keys"]],
                "wrong": [],
            }
            for row in shown["rows"][:TEXTS]
        ]
    return [
        {
            "text": text.get("text"),
            "why": text.get("why"),
            "iou": text.get("iou_of_formula"),
            "pairs": [
                [pair["from"].get("token"), pair["to"].get("token"), pair.get("weight")]
                for pair in text.get("top_pairs", [])[:PAIRS]
            ],
            "wrong": [
                [kind, cell[1], *cell[3:6]]
                for kind, cells in text.get("formula_wrong", {}).items()
                for cell in cells[:PAIRS]
            ],
        }
        for text in shown.get("texts", [])[:TEXTS]
    ]


def elsewhere(run: Run) -> dict[str, list[list[Any]]] | None:
    """By program the heads that it predicts best; None where nothing was accepted."""
    if "all_heads" not in run.manifest.get("tables", []):
        return None
    found: dict[str, list[tuple[float, str]]] = {}
    for row in rows(run, "all_heads", ("program", "head", "iou")):
        if row["iou"] is not None:
            found.setdefault(row["program"], []).append((row["iou"], row["head"]))
    return {
        program: [[head, iou] for iou, head in sorted(entries, reverse=True)[:ELSEWHERE]]
        for program, entries in found.items()
    }


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON file of a run; None where there is none."""
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_FILE:
        raise RunError(f"{path}: expected at most {MAX_FILE:,} bytes")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: expected JSON, got a damaged file") from error
    return found if isinstance(found, dict) else None


PARTS = {
    "tally": tally,
    "heads": of_table(
        "discoveries",
        ("head", "status", "reason", "statement", "iou_formula", "iou_program", "gain", "gain_low",
         "gain_high", "rounds"),
    ),
    "stories": stories,
    "elsewhere": elsewhere,
}  # fmt: skip
