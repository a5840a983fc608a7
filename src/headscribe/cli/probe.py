"""`headscribe probe`: what it prints."""

import json
import sys
from typing import TYPE_CHECKING

from headscribe.core.visible import plural

if TYPE_CHECKING:
    from headscribe.api.probe import Probed

_SHOWN = 5
"""Heads of a probe that are printed."""


def show(probed: "Probed", *, as_json: bool) -> None:
    """Print the finding, then the heads that do most beyond the control of each probe."""
    if as_json:
        print(json.dumps(probed.to_json(), ensure_ascii=False))
        return
    from textwrap import fill

    print(fill(probed.summary, 79))
    for name, said in probed.run.manifest["asks"].items():
        flagged = [row for row in probed.top(name, k=None) if row["flagged"]]
        print(f"\n{fill(name + ': ' + said['asks'] + '; control: ' + said['control'], 79)}")
        for row in flagged[:_SHOWN]:
            share = row["unit"] == "attention"
            value, control = (
                f"{row[part]:.0%}" if share else f"{row[part]:+.2f}"
                for part in ("value", "control")
            )
            low, high = (
                f"{100 * row[part]:+.0f}" if share else f"{row[part]:+.2f}"
                for part in ("low", "high")
            )
            unit = "points more" if share else "logits more"
            head = f"{row['layer']}.{row['head']}"
            print(f"  {head:<6}{value:>6}, control {control:>5}: {low} to {high} {unit}")
        if len(flagged) > _SHOWN:
            print(f"  and {plural(len(flagged) - _SHOWN, 'more head')}, with --json")
        if not flagged:
            print("  no head does more than the control")
    for note in probed.run.manifest.get("notes", []):
        print(note, file=sys.stderr)
    print(f"\nrun: {probed.folder}")
