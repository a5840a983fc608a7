"""Tables and matrices in the terminal. All text from corpora and models is written out safely.

Cells are `rich.text.Text`, never markup, and hold no control character.
"""

from collections.abc import Mapping, Sequence
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any

import numpy as np
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from headscribe.core.arrays import Attention
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.metrics import metric as metric_named
from headscribe.report.labels import MISSING_GLYPH, interval, number, percent, token_label, visible
from headscribe.report.reading import METRIC_TITLES
from headscribe.results.queries import Score
from headscribe.results.relations import HalfAccuracy

SHADES = ((0.02, "·"), (0.25, "░"), (0.5, "▒"), (0.75, "▓"), (float("inf"), "█"))
"""Below which attention a cell shows which character."""

_WIDEST = 200
"""Columns that a table may take where the terminal has fewer."""

UNCOVERED = "-"
LABEL_WIDTH, HEADER_HEIGHT = 14, 8


def print_top(scores: Sequence[Score], console: Console | None = None) -> None:
    """Print the best heads of each pattern, the best one starred."""
    print_whole(top_table(scores), console or Console())


def print_head(
    head: HeadId,
    scores: Sequence[Score],
    labels: Sequence[str],
    matrices: Mapping[str, Attention],
    console: Console | None = None,
) -> None:
    """Print how well each pattern fits a head, then titled matrices of one text."""
    out = console or Console()
    print_whole(head_table(head, scores), out)
    for title, matrix in matrices.items():
        out.print(Text(f"\n{visible(title)}", style="bold"))
        out.print(Text(matrix_text(labels, matrix, width=out.width)), soft_wrap=True)


def print_whole(table: Table, console: Console) -> None:
    """Print a table whole: where the terminal is too narrow its lines run on, nothing is cut."""
    roomy = console.options.update(max_width=_WIDEST)
    needed = Measurement.get(console, roomy, table).maximum
    width = console.width
    console.width = max(width, min(needed, _WIDEST))
    try:
        console.print(table)
    finally:
        console.width = width


def print_layers(rows: Sequence[dict[str, Any]], console: Console | None = None) -> None:
    """Print how well each layer is explained: rows of the table `layers`, raw view."""
    out = console or Console()
    out.print("How well each layer is explained", style="bold")
    table = Table(box=None)
    for name in ("layer", "distance", "interval"):
        table.add_column(name, justify="right")
    for row in rows:
        if row["view"] == "raw" and row["metric"] == "jsd":
            layer = "all" if row["layer"] is None else str(row["layer"])
            between = f"{number(row['low'])}–{number(row['high'])}"
            table.add_row(layer, number(row["score"]), between)
    out.print(table)
    out.print(
        "Jensen-Shannon distance of each head's best pattern, chosen on other texts; lower is "
        "better. Gates and containment: headscribe report.\n"
    )


def print_relations(lines: Sequence[HalfAccuracy], console: Console | None = None) -> None:
    """Print for every dependency relation the head that follows it, both halves."""
    print_whole(relations_table(lines), console or Console())


def relations_table(lines: Sequence[HalfAccuracy]) -> Table:
    """Accuracy of each relation's best head beside its best fixed offset, by half."""
    table = Table(
        title="Strongest content key of a word against its dependency relation",
        caption="head and offset chosen on one half of the texts, reported on the other · 95 % "
        "intervals · * fewer than 30 instances",
        box=None, title_justify="left", caption_justify="left",
    )  # fmt: skip
    table.add_column("relation", overflow="fold")
    table.add_column("direction")
    for name in ("head", "accuracy", "", "offset", "accuracy", "gain", "", "n"):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(
            Text(visible(line.relation)),
            line.direction.replace("_", " "),
            line.head,
            number(line.accuracy, 2),
            f"{number(line.accuracy_low, 2)}–{number(line.accuracy_high, 2)}",
            f"{line.offset:+d}".replace("-", "−"),
            number(line.offset_accuracy, 2),
            number(line.gain, 2),
            f"{number(line.gain_low, 2)} to {number(line.gain_high, 2)}",
            f"{line.instances}{'*' if line.few else ''}",
        )
    return table


def top_table(scores: Sequence[Score]) -> Table:
    """The best heads of each pattern, best first, the best one starred."""
    table = _table("Best heads of each pattern", scores)
    table.add_column("pattern", overflow="fold")
    table.add_column("head", justify="right")
    _score_columns(table, scores)
    last = None
    for score in scores:
        new = score.pattern != last
        if new and last is not None:
            table.add_section()
        last = score.pattern
        name = Text(visible(score.pattern) if new else "", style="bold")
        head = Text(f"★ {score.head}" if new else score.head)
        table.add_row(name, head, *_score_cells(score))
    return table


def head_table(head: HeadId, scores: Sequence[Score]) -> Table:
    """All patterns' scores for one head, best first."""
    table = _table(f"Patterns on {head.prose}, best first", scores)
    table.add_column("pattern", overflow="fold")
    _score_columns(table, scores)
    for place, score in enumerate(scores):
        name = Text(visible(score.pattern), style="bold" if place == 0 else "")
        table.add_row(name, *_score_cells(score))
    return table


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
        cells = (_shade(matrix[query, key]) if covered else UNCOVERED for key in keys)
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


def _table(title: str, scores: Sequence[Score]) -> Table:
    """An empty table that says which metric, view and split it shows."""
    caption = None
    if scores:
        first = scores[0]
        better = "higher" if metric_named(first.metric).higher_is_better else "lower"
        name = METRIC_TITLES.get(first.metric, first.metric)
        split = "split all (descriptive)" if first.split == "all" else f"split {first.split}"
        caption = Text(
            f"{name}, {better} is better · view {first.view} · {split} · {first.texts} texts · "
            "gain: over the named baseline, positive is better · rows: share covered",
            style="dim",
        )
    return Table(
        title=Text(title, style="bold"), caption=caption, box=box.SIMPLE_HEAD,
        title_justify="left", caption_justify="left", pad_edge=False,
    )  # fmt: skip


def _score_columns(table: Table, scores: Sequence[Score]) -> None:
    table.add_column(scores[0].metric if scores else "score", justify="right")
    table.add_column("95 % interval", justify="right", style="dim", no_wrap=True)
    table.add_column("gain", justify="right")
    table.add_column("over", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)


def _score_cells(score: Score) -> list[Text]:
    good = score.gain is not None and score.gain > 0
    return [
        Text(number(score.score)),
        Text(interval(score.low, score.high)),
        Text(("+" if good else "") + number(score.gain), style="green" if good else ""),
        Text(visible(score.baseline or "")),
        Text(percent(score.coverage)),
    ]
