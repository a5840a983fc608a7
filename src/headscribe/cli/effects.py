"""`headscribe effects`: what it prints."""

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headscribe.api.effects import Effects


_SHOWN = 20
"""Heads of a table that are printed."""


def show(effects: "Effects", *, as_json: bool) -> None:
    """Print what the heads write in a few sentences, then every head with a name."""
    if as_json:
        print(json.dumps(effects.to_json(), ensure_ascii=False))
        return
    from textwrap import fill

    print(fill(effects.summary, 79))
    rows = [row for row in effects.run.table("effects").to_pylist() if row["named"]]
    if rows:
        print("\nhead   what it does  logits (95 % interval)   other tokens   rows")
    for row in sorted(rows, key=lambda row: (row["named"], -abs(row["effect"]))):
        head = f"{row['layer']}.{row['head']}"
        interval = f"({row['low']:+.2f} to {row['high']:+.2f})"
        print(
            f"{head:<7}{row['named']:<13}{row['effect']:+6.2f} {interval:<19}"
            f"{row['expected']:+9.2f} {row['rows']:>9,}"
        )
    _matters(effects)
    _reads(effects)
    for note in effects.run.manifest.get("notes", []):
        print(note, file=sys.stderr)
    print(f"\nrun: {effects.folder}")


def _matters(effects: "Effects") -> None:
    """The heads whose absence changes the loss clearly, and the tokens that suffer most."""
    if "matters" not in effects.tables:
        return
    rows = [row for row in effects.run.table("matters").to_pylist() if row["by"] == "mean"]
    sure = sorted((row for row in rows if row["flagged"]), key=lambda row: -row["change"])
    suffers = [row for row in effects.run.table("suffers").to_pylist() if row["by"] == "mean"]
    if sure:
        print("\nhead   loss without it, nats a token   suffers most")
    for row in sure[:_SHOWN]:
        mine = [suffer for suffer in suffers if all(suffer[k] == row[k] for k in ("layer", "head"))]
        worst = max(mine, key=lambda one: one["change"])
        head = f"{row['layer']}.{row['head']}"
        interval = f"({row['low']:+.3f} to {row['high']:+.3f})"
        said = f"{worst['token']} {worst['change']:+.3f}"
        print(f"{head:<7}{row['change']:+.3f} {interval:<24} {said}")
    if len(sure) > _SHOWN:
        print(f"and {len(sure) - _SHOWN} more: the table matters")


def _reads(effects: "Effects") -> None:
    """The earlier heads that change most where heads look."""
    if "reads_from" not in effects.tables:
        return
    rows = [row for row in effects.run.table("reads_from").to_pylist() if row["flagged"]]
    if rows:
        print("\nhead   looks at                  without   in its   points of attention")
    for row in sorted(rows, key=lambda row: -abs(row["change"]))[:_SHOWN]:
        head, source = (f"{row[f'{part}layer']}.{row[f'{part}head']}" for part in ("", "from_"))
        points = [f"{100 * row[part]:+.0f}" for part in ("change", "low", "high")]
        print(
            f"{head:<7}{row['behaviour']:<26.26}{source:<10}{row['input']:<9}"
            f"{points[0]} ({points[1]} to {points[2]}) of {100 * row['own']:.0f}"
        )
