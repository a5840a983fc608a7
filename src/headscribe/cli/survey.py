"""`headscribe survey`: what it prints."""

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headscribe.api.survey import Survey


def show(found: "Survey", *, as_json: bool) -> None:
    """Print the best heads of every pattern, the layers, and what was left out."""
    manifest = found.run.manifest
    scores = found.scores()
    if as_json:
        document = {
            "run": str(found.folder),
            "skipped": manifest["skipped"],
            "failures": manifest["failures"],
            "notes": manifest["notes"],
            "top": [score.as_dict() for score in scores],
        }
        print(json.dumps(document, ensure_ascii=False))
        return
    from headscribe.report.terminal import print_layers, print_top

    print_top(scores)
    print_layers(found.run.table("layers").to_pylist())
    for name, reason in manifest["skipped"].items():
        print(f"skipped {name}: {reason}", file=sys.stderr)
    for name, count in manifest["failures"].items():
        print(f"{name} failed on {count} texts", file=sys.stderr)
    for note in manifest["notes"]:
        print(note, file=sys.stderr)
    print(f"run: {found.folder}")
