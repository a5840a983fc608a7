"""`headscribe describe`: what it prints."""

import json
import sys
from textwrap import fill
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from headscribe.api.describe import Descriptions


def show(descriptions: "Descriptions", *, as_json: bool) -> None:
    """Print the finding, then every head: its description, and what it is worth."""
    stopped = descriptions.run.manifest.get("stopped")
    if stopped:
        print(f"run: {descriptions.folder}", file=sys.stderr)
        print(
            f"{stopped['descriptions']} descriptions are unfinished: {stopped['reason']}; go on "
            "with --resume",
            file=sys.stderr,
        )
        raise typer.Exit(1)
    if as_json:
        print(json.dumps(descriptions.to_json(), ensure_ascii=False))
    else:
        print(fill(descriptions.summary, 79))
        for one in descriptions.to_json():
            print()
            print(fill(f"{one['head']:<6}{one['description']}", 79, subsequent_indent=" " * 6))
            right = ", ".join(f"{who} {share:.0%}" for who, share in one["right"].items())
            print(fill(f"right: {right}", 79, initial_indent=" " * 6, subsequent_indent=" " * 6))
    for note in descriptions.run.manifest["notes"]:
        print(note, file=sys.stderr)
    print(f"\nrun: {descriptions.folder}", file=sys.stderr if as_json else sys.stdout)
