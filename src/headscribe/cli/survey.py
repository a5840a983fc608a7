"""`headscribe survey`: what it prints."""

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headscribe.api.survey import Survey


def show(found: "Survey", *, as_json: bool) -> None:
    """Print what every head does, and how to look deeper; without cards the best heads."""
    manifest = found.run.manifest
    if as_json:
        document = {
            "run": str(found.folder),
            "skipped": manifest["skipped"],
            "failures": manifest["failures"],
            "notes": manifest["notes"],
            "summary": manifest.get("summary"),
            "cards": found.to_json() if found.answered else [],
            "top": [score.as_dict() for score in found.scores()],
        }
        print(json.dumps(document, ensure_ascii=False))
        return
    if found.answered:
        from headscribe.cli.explain import print_answer

        print_answer(found)
        print(
            "\nLook deeper: headscribe explain RUN 7.10 (a card), headscribe top RUN (the closest "
            "heads of\neach pattern), headscribe show RUN 7.10, headscribe report RUN."
        )
    else:
        from headscribe.report.terminal import print_layers, print_top

        print_top(found.scores())
        print_layers(found.run.table("layers").to_pylist())
        for note in manifest["notes"]:
            print(note, file=sys.stderr)
    skipped: dict[str, list[str]] = {}
    for name, reason in manifest["skipped"].items():
        skipped.setdefault(reason, []).append(name)
    for reason, names in skipped.items():
        print(f"skipped {', '.join(names)}: {reason}", file=sys.stderr)
    for name, count in manifest["failures"].items():
        print(f"{name} failed on {count} texts", file=sys.stderr)
    print(f"run: {found.folder}")
