"""`headscribe discover`: what it prints."""

import json
import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from headscribe.api.discover import Discovery


def show(discovery: "Discovery", *, as_json: bool) -> None:
    """Print what was found of every head, and whether there is more to do."""
    from headscribe.core.visible import visible_lines

    if as_json:
        print(json.dumps(discovery.to_json(), ensure_ascii=False))
    else:
        print(visible_lines(str(discovery)))
    for note in discovery.run.manifest["notes"]:
        print(note, file=sys.stderr)
    print(f"run: {discovery.folder}", file=sys.stderr if as_json else sys.stdout)
    if discovery.tally.stopped:
        print(
            f"{discovery.tally.stopped} heads are unfinished: go on with --resume", file=sys.stderr
        )
        raise typer.Exit(1)
