"""What a page carries: plain values with untrusted text made visible, arrays quantised and packed.

Numbers of tables are 16-bit integers on a grid of 1/8192, so that -4 to 4 fits and an error is at
most 0.00006; attention is its square root on 63 levels (fewer where a text is long), which is
what its colours show. Arrays are deflated, in base64; the browser unpacks them when it needs them.
"""

import json
import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from headscribe.core.visible import visible_lines

GRID = 8192
"""Steps of a packed number to the unit."""

MISSING = -32768
"""Stands for a number that is not there; no number is ever packed to it."""

LEVELS = ((128, 63), (256, 15))
"""Levels of attention in texts of up to so many tokens."""

COARSE = 5
"""Levels in longer texts; attention below 1 % is no longer seen there."""

MAX_TEXT = 200_000
"""Characters of one string of a run that a page shows; the rest is cut."""


class Packed(str):
    """Base64 that was made here: nothing to clean, however long."""

    __slots__ = ()


def clean(value: Any) -> Any:  # noqa: ANN401
    """A value of a run as JSON may hold it: text made visible line by line, no NaN, no objects."""
    if value is None or isinstance(value, (bool, Packed)):
        return value
    if isinstance(value, str):
        return visible_lines(value[:MAX_TEXT])
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.6g}") if np.isfinite(value) else None
    if isinstance(value, Mapping):
        return {clean(str(key)): clean(entry) for key, entry in value.items()}
    if isinstance(value, (Sequence, np.ndarray, set, frozenset)) and not isinstance(value, bytes):
        return [clean(entry) for entry in value]
    return clean(str(value))


def script_safe(document: Any) -> str:  # noqa: ANN401
    """JSON that may stand in a script element: nothing in it can end the element."""
    text = json.dumps(document, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def numbers(values: Float[np.ndarray, "..."]) -> Packed:
    """Numbers of -3.99 to 3.99 as packed 16-bit integers; NaN is `MISSING`."""
    known = np.isfinite(values)
    scaled = np.rint(np.clip(np.where(known, values, 0.0), -3.99, 3.99) * GRID)
    return packed(np.where(known, scaled, MISSING).astype("<i2").tobytes())


def small_numbers(values: np.ndarray) -> Packed:
    """Whole numbers of 0 to 255 as packed bytes."""
    return packed(np.asarray(values).astype(np.uint8).tobytes())


def levels(length: int) -> int:
    """How many levels of attention a text of so many tokens is kept with."""
    return next((top for longest, top in LEVELS if length <= longest), COARSE)


def attention(matrices: Sequence[Float[np.ndarray, "T T"]], length: int) -> bytes:
    """Matrices one after the other, a byte a cell: the attention's square root by `levels`."""
    top = levels(length)
    parts = [
        np.rint(np.sqrt(np.clip(matrice, 0, 1)) * top).astype(np.uint8) for matrice in matrices
    ]
    return b"".join(part.tobytes() for part in parts)


def packed(content: bytes) -> Packed:
    """Bytes, deflated, in base64."""
    return Packed(b64encode(zlib.compress(content, 6)).decode())
