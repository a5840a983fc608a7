"""`headscribe record`: what it prints."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headscribe.models.recorded import Recording


def show(recording: "Recording", *, as_json: bool) -> None:
    """Print where the recording lies."""
    facts = {"recording": str(recording.folder), "texts": len(recording.passages)}
    if as_json:
        print(json.dumps(facts))
    else:
        print(f"recording: {recording.folder} ({len(recording.passages)} texts)")
