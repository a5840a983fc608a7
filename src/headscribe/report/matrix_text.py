"""An attention matrix in the terminal, drawn with shades."""

from collections.abc import Sequence
from shutil import get_terminal_size
from textwrap import wrap

import numpy as np
from rich.cells import cell_len

from headscribe.core.arrays import Attention
from headscribe.core.errors import UsageError
from headscribe.report.labels import MISSING_GLYPH, token_label

SHADES = ((0.02, "·"), (0.25, "░"), (0.5, "▒"), (0.75, "▓"), (float("inf"), "█"))
"""Below which attention a cell shows which character."""

UNCOVERED = "-"
LABEL_WIDTH, HEADER_HEIGHT = 14, 8


def matrix_text(labels: Sequence[str], matrix: Attention, *, width: int | None = None) -> str:
    """Draw a matrix with shades: queries are rows, keys columns, rows of zeros `-` (uncovered).

    Keys that do not fit side by side follow in further blocks; every line is at most `width` wide
    (default: the terminal's).

    Raises:
        UsageError: no token, or the matrix is not finite or not `(T, T)`.
    """
    length = len(labels)
    if length == 0 or np.shape(matrix) != (length, length) or not np.isfinite(matrix).all():
        raise UsageError(
            f"expected a finite matrix of {length} x {length} for {length} tokens (at least 1), "
            f"got shape {np.shape(matrix)}"
        )
    names = [token_label(label, LABEL_WIDTH) for label in labels]
    width = width or get_terminal_size().columns
    room = width - min(LABEL_WIDTH, _widest(names)) - 1
    cell = 2 if 2 * length <= room else 1
    block = max(room // cell, 1)
    drawn = [
        _block(names, matrix, range(first, min(first + block, length)), cell)
        for first in range(0, length, block)
    ]
    return "\n\n".join(drawn) + f"\n\n{_legend(matrix, max(width, 20))}"


def _block(names: Sequence[str], matrix: Attention, keys: range, cell: int) -> str:
    """The columns `keys` of a matrix with their labels on top, read downwards."""
    margin = min(LABEL_WIDTH, _widest(names))
    lines = [
        (" " * (margin + 1) + "".join(row)).rstrip()
        for row in zip(*(_downwards(names[key], cell) for key in keys), strict=True)
    ]
    lines = [line for line in lines if line]
    for query, name in enumerate(names):
        covered = bool(matrix[query].any())
        cells = (_shade(float(matrix[query, key])) if covered else UNCOVERED for key in keys)
        label = _fit(name, margin)
        lines.append(f"{label} {''.join(character * cell for character in cells)}")
    return "\n".join(lines)


def _downwards(name: str, cell: int) -> list[str]:
    """A label's characters one below the other, at the bottom of the header."""
    characters = list(name if len(name) <= HEADER_HEIGHT else name[: HEADER_HEIGHT - 1] + "…")
    column = []
    for character in characters:
        size = cell_len(character)
        shown = character if 0 < size <= cell else MISSING_GLYPH
        column.append(shown + " " * (cell - cell_len(shown)))
    return [" " * cell] * (HEADER_HEIGHT - len(column)) + column


def _fit(name: str, width: int) -> str:
    """A label right-aligned in `width` terminal columns, cut where it is wider."""
    while cell_len(name) > width:
        name = name[:-2] + "…" if len(name) > 1 else "…"
    return " " * (width - cell_len(name)) + name


def _widest(names: Sequence[str]) -> int:
    return max(map(cell_len, names))


def _shade(value: float) -> str:
    return next(character for limit, character in SHADES if abs(value) < limit)


def _legend(matrix: Attention, width: int) -> str:
    parts = [
        "rows: queries, columns: keys",
        "· < 0.02",
        "░ < 0.25",
        "▒ < 0.5",
        "▓ < 0.75",
        "█ more",
    ]
    if not matrix.any(axis=1).all():
        parts.append(f"{UNCOVERED} uncovered")
    return "\n".join(wrap("   ".join(parts), width, drop_whitespace=True))
