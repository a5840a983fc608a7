"""`headscribe survey`: what it prints."""

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headscribe.api.survey import Survey

WIDTH = 75
"""Columns of a command with what it shows; longer ones take two lines."""


def show(survey: "Survey", *, as_json: bool) -> None:
    """Print what every head does, and how to look deeper; without cards the best heads."""
    manifest = survey.run.manifest
    if as_json:
        document = {
            "run": str(survey.folder),
            "skipped": manifest["skipped"],
            "failures": manifest["failures"],
            "notes": manifest["notes"],
            "summary": manifest.get("summary"),
            "cards": survey.to_json() if survey.answered else [],
            "top": [score.as_dict() for score in survey.scores()],
        }
        print(json.dumps(document, ensure_ascii=False))
        return
    if survey.answered:
        from headscribe.cli.explain import print_answer

        print_answer(survey, short=True)
        head = max(survey.cards.values(), key=lambda card: card.excess).head
        print("\nLook deeper:")
        for command, what in (
            (f"explain {survey.folder} {head}", "a head's card"),
            (f"top {survey.folder}", "the closest heads of every pattern"),
            (f"show {survey.folder} {head}", "all patterns on a head, and its attention"),
            (f"report {survey.folder}", "one page of everything"),
        ):
            line = f"  headscribe {command}"
            print(f"{line}  # {what}" if len(line) + len(what) < WIDTH else f"  # {what}\n{line}")
    else:
        from headscribe.report.terminal import print_layers, print_top

        for note in manifest["notes"]:  # first, why heads have no cards
            print(note, file=sys.stderr)
        print_top(survey.scores())
        layers = survey.run.table("layers").to_pylist()
        if any(row["score"] is not None for row in layers):
            print_layers(layers)
    skipped: dict[str, list[str]] = {}
    for name, reason in manifest["skipped"].items():
        skipped.setdefault(reason, []).append(name)
    for reason, names in skipped.items():
        print(f"skipped {', '.join(names)}: {reason}", file=sys.stderr)
    for name, count in manifest["failures"].items():
        print(f"{name} failed on {count} texts", file=sys.stderr)
    print(f"run: {survey.folder}")
