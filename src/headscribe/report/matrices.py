"""Attention matrices drawn in the page itself: a raster of one pixel a cell under live labels.

A few kilobytes each, in both themes, with the reader's own fonts: matplotlib would need a hundred
times that.
"""

import struct
import unicodedata
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from headscribe.core.arrays import Attention
from headscribe.report.figures import is_difference, uncovered_rows
from headscribe.report.labels import token_label
from headscribe.report.markup import Html, data_uri, join, scrolling, tag
from headscribe.report.theme import THEMES, on_scale

LEVELS = 65
"""Colours of a raster; odd, so that a difference of 0 has the surface's."""

HATCH = Html(
    '<svg width="0" height="0" class="defs" aria-hidden="true"><defs>'
    '<pattern id="hatch" width="6" height="6" patternUnits="userSpaceOnUse" '
    'patternTransform="rotate(45)"><rect width="6" height="6" class="empty"/>'
    '<line x1="0" y1="0" x2="0" y2="6" class="stroke"/></pattern></defs></svg>'
)
"""The hatching of uncovered rows; stands once in a page."""


def panels(labels: Sequence[str], matrices: Mapping[str, Attention], subject: str) -> Html:
    """Draw matrices of one text side by side, wrapping where the page is narrow.

    Differences, diverging colours and hatching are those of `figures.matrix_figure`.

    Args:
        labels: the `T` tokens.
        matrices: by title, each `(T, T)`.
        subject: what they show, for a screen reader.
    """
    uncovered = uncovered_rows(matrices)
    names = [token_label(label, 14) for label in labels]
    drawn = [
        tag(
            "figure",
            tag("figcaption", title),
            scrolling(
                _svg(
                    names,
                    matrix,
                    uncovered[title],
                    f"{subject}: {title}",
                    difference=is_difference(title, matrix),
                ),
                title,
            ),
            class_="panel",
        )
        for title, matrix in matrices.items()
    ]
    return tag("div", *drawn, class_="panels")


def _svg(
    names: Sequence[str],
    matrix: Attention,
    uncovered: np.ndarray,
    description: str,
    *,
    difference: bool,
) -> Html:
    length = len(names)
    cell = 15 if length <= 16 else 12 if length <= 24 else 10
    font = 11 if length <= 16 else 10 if length <= 24 else 9
    margin = round(max(map(_columns, names)) * font * 0.58) + 8
    side = length * cell
    rows = [
        tag("rect", x=margin, y=margin + row * cell, width=side, height=cell,
            fill="url(#hatch)")
        for row in np.flatnonzero(uncovered).tolist()
    ]  # fmt: skip
    middle = [margin + i * cell + cell / 2 for i in range(length)]
    queries = [
        tag("text", name, x=margin - 5, y=f"{at + font * 0.35:.1f}", text_anchor="end")
        for name, at in zip(names, middle, strict=True)
    ]
    keys = [
        tag("text", name, transform=f"translate({at + font * 0.35:.1f} {margin - 5}) rotate(-90)")
        for name, at in zip(names, middle, strict=True)
    ]
    frame = tag("rect", x=margin, y=margin, width=side, height=side, class_="frame")
    size = margin + side + 1
    return tag(
        "svg", join([*_rasters(matrix, margin, side, difference), *rows, frame, *queries, *keys]),
        role="img", aria_label=description, width=size, height=size,
        viewBox=f"0 0 {size} {size}", font_size=font, class_="matrix",
    )  # fmt: skip


def _rasters(matrix: Attention, margin: int, side: int, difference: bool) -> list[Html]:
    """The cells in the colours of either theme."""
    low = -1.0 if difference else 0.0
    at = (on_scale(np.clip(matrix, low, 1)) - low) / (1 - low)
    index = np.rint(at * (LEVELS - 1)).astype(np.uint8)
    return [
        tag(
            "image", href=data_uri(
                _png(index, theme.ramp("difference" if difference else "attention", LEVELS)),
                "image/png",
            ),
            x=margin, y=margin, width=side, height=side, class_=f"cells {name}",
            preserveAspectRatio="none",
        )
        for name, theme in THEMES.items()
    ]  # fmt: skip


def _png(index: UInt8[np.ndarray, "h w"], palette: UInt8[np.ndarray, "n 3"]) -> bytes:
    """A PNG of palette colours (ISO/IEC 15948): header, palette, one deflated block, end."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    height, width = index.shape
    lines = b"".join(b"\x00" + row.tobytes() for row in index)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", palette.tobytes())
        + chunk(b"IDAT", zlib.compress(lines, 9))
        + chunk(b"IEND", b"")
    )


def _columns(name: str) -> int:
    """How wide a label is, in letters."""
    return sum(1 + (unicodedata.east_asian_width(c) in "WF") for c in name)
