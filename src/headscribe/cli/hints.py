"""`headscribe hints`: what it prints."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headscribe.api.hints import Hints


def show(hints: "Hints", *, as_json: bool) -> None:
    """Print a finished run."""
    if as_json:
        print(json.dumps(hints.document, ensure_ascii=False, allow_nan=False))
        return
    from headscribe.report.hint_tables import print_hints

    print_hints(hints.run)
    print(f"run: {hints.folder}")
