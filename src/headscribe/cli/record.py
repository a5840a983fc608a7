"""`headscribe record`: what it prints."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headscribe.models.recorded import Recording


def show(found: "Recording", *, as_json: bool) -> None:
    """Print where the recording lies."""
    facts = {"recording": str(found.folder), "texts": len(found.passages)}
    if as_json:
        print(json.dumps(facts))
    else:
        print(f"recording: {found.folder} ({len(found.passages)} texts)")
