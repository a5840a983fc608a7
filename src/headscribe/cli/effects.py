"""`headscribe effects`: what it prints."""

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headscribe.api.effects import Effects


def show(found: "Effects", *, as_json: bool) -> None:
    """Print what the heads write in a few sentences, then every head with a name."""
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False))
        return
    from textwrap import fill

    print(fill(found.summary, 79))
    rows = [row for row in found.run.table("effects").to_pylist() if row["named"]]
    if rows:
        print("\nhead   what it does  logits (95 % interval)   other tokens   rows")
    for row in sorted(rows, key=lambda row: (row["named"], -abs(row["effect"]))):
        head = f"{row['layer']}.{row['head']}"
        interval = f"({row['low']:+.2f} to {row['high']:+.2f})"
        print(
            f"{head:<7}{row['named']:<13}{row['effect']:+6.2f} {interval:<19}"
            f"{row['expected']:+9.2f} {row['rows']:>9,}"
        )
    for note in found.run.manifest.get("notes", []):
        print(note, file=sys.stderr)
    print(f"\nrun: {found.folder}")
