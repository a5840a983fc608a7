"""`headscribe bench`: what it prints."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headscribe.exam.sheet import Sheet


def show(sheet: "Sheet", *, as_json: bool) -> None:
    """Print the score sheet."""
    print(json.dumps(sheet.to_json(), ensure_ascii=False) if as_json else sheet)
