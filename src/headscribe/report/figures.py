"""Attention matrices as matplotlib figures: queries are rows, keys are columns.

Figures are made without pyplot, so nothing outside them changes; `save_figure` writes one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool

from headscribe.core.arrays import Attention
from headscribe.core.errors import UsageError
from headscribe.core.visible import shortened
from headscribe.report.labels import plottable, plottable_tokens
from headscribe.report.theme import THEMES, Theme, ThemeName, drawing, on_scale

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_PANEL = 9.6
"""Inches of the largest panel; beyond it cells shrink and only every n-th token is labelled."""

DIFFERENCE = "difference"
"""Title of a panel that shows real minus predicted."""

_ATTENTION_TICKS = (0.0, 0.05, 0.25, 0.5, 1.0)
_DIFFERENCE_TICKS = (-1.0, -0.25, 0.0, 0.25, 1.0)
_GAP, _EDGE, _TITLE, _BAR = 0.32, 0.18, 0.34, 0.74


@dataclass(frozen=True)
class _Sizes:
    """Where things go, in inches, for panels of `length` tokens."""

    length: int
    labels: Sequence[str]
    cell: float
    font: float
    slanted: bool

    @classmethod
    def of(cls, labels: Sequence[str], smallest: float) -> "_Sizes":
        length = len(labels)
        cell = min(max(0.126, 0.40 - 0.011 * length), MAX_PANEL / length)
        cell = max(cell, smallest / length)
        return cls(length, labels, cell, min(9.0, max(0.126, cell) * 72 * 0.76), length <= 14)

    @property
    def panel(self) -> float:
        return self.length * self.cell

    @property
    def step(self) -> int:
        return ceil(0.125 / self.cell)

    @property
    def label_width(self) -> float:
        return 0.10 + max(map(len, self.labels)) * self.font * 0.64 / 72

    @property
    def label_height(self) -> float:
        return self.label_width * (0.75 if self.slanted else 1.0)

    @property
    def overhang(self) -> float:
        return self.label_width * 0.7 if self.slanted else 0.0


def matrix_figure(
    labels: Sequence[str],
    matrices: Mapping[str, Attention],
    *,
    theme: ThemeName = "light",
    title: str = "",
    subtitle: str = "",
    note: str = "",
) -> "Figure":
    """Draw matrices of one text side by side, such as real attention, prediction, difference.

    A matrix called `difference`, or with a negative value, is real minus predicted (-1 to 1) and
    takes the diverging colours. Rows of zeros are uncovered and hatched, in differences too.

    Args:
        labels: the `T` tokens.
        matrices: by title, each `(T, T)`, `A[query, key]`.
        theme: colours.
        title: a line above the panels, `subtitle` a smaller one below it, such as a score.
        note: a line below them, such as `reading.provenance`.

    Raises:
        UsageError: no matrix, no token, or a matrix that is not finite or not `(T, T)`.
    """
    from matplotlib.figure import Figure

    shown = _checked(labels, matrices)
    uncovered = uncovered_rows(shown)
    colors, sizes = THEMES[theme], _Sizes.of(plottable_tokens(labels), 2.3)
    width = _EDGE + sizes.label_width + 0.24 + _GAP * (len(shown) - 1) + sizes.overhang + _EDGE
    width += len(shown) * sizes.panel
    head = (0.32 if title else 0.0) + (0.24 if subtitle else 0.0) + _TITLE + sizes.label_height
    height = _EDGE + head + sizes.panel + _BAR + (0.28 if note else 0.0) + _EDGE
    with drawing(colors):
        figure = Figure(figsize=(width, height))
        left = _EDGE + sizes.label_width + 0.24
        for number, (name, matrix) in enumerate(shown.items()):
            box = (left + number * (sizes.panel + _GAP), _EDGE + head)
            _draw_matrix(
                figure, box, name, matrix, uncovered[name], sizes, colors, queries=number == 0
            )
            bar = (box[0], box[1] + sizes.panel + 0.34)
            room_below = (min(sizes.panel, 2.3), 0.09)
            _draw_bar(figure.add_axes(_place(bar, room_below, (width, height))), colors,
                      difference=is_difference(name, matrix))  # fmt: skip
        if subtitle:
            figure.text(
                _EDGE / width, 1 - (_EDGE + 0.3) / height,
                plottable(shortened(subtitle, int(width * 12))), fontsize=9, color=colors.muted,
                va="top",
            )  # fmt: skip
        _captions(figure, title, note, colors)
    return figure


def optimal_figure(
    labels: Sequence[str],
    predictions: Mapping[str, Attention],
    *,
    theme: ThemeName = "light",
    columns: int = 4,
    title: str = "What each pattern predicts",
    note: str = "",
) -> "Figure":
    """Draw what several patterns predict for one text, as small multiples.

    Arguments, hatching and errors are those of `matrix_figure`; `columns` panels stand in a row.
    """
    from matplotlib.figure import Figure

    shown = _checked(labels, predictions)
    uncovered = uncovered_rows(shown)
    colors, sizes = THEMES[theme], _Sizes.of(plottable_tokens(labels), 2.0)
    across = min(columns, len(shown))
    down = ceil(len(shown) / across)
    left, head = _EDGE + sizes.label_width + 0.24, _TITLE + sizes.label_height
    step = (sizes.panel + _GAP + sizes.overhang * 0.3, sizes.panel + head + 0.16)
    width = left + (across - 1) * step[0] + sizes.panel + sizes.overhang + _EDGE
    top = _EDGE + (0.36 if title else 0.0)
    height = top + down * step[1] + 0.5 + (0.28 if note else 0.0) + _EDGE
    with drawing(colors):
        figure = Figure(figsize=(width, height))
        for number, (name, matrix) in enumerate(shown.items()):
            row, column = divmod(number, across)
            box = (left + column * step[0], top + row * step[1] + head)
            axes = _draw_matrix(
                figure, box, name, matrix, uncovered[name], sizes, colors, queries=column == 0
            )
            axes.set_xlabel("")
        bar = figure.add_axes(_place((left, top + down * step[1] + 0.08), (2.3, 0.09),
                                     (width, height)))  # fmt: skip
        _draw_bar(bar, colors, difference=False)
        figure.text(
            (left + 2.6) / width, 1 - (top + down * step[1] + 0.12) / height,
            "columns: keys · hatched: rows that the pattern says nothing about",
            fontsize=8, color=colors.muted, va="center",
        )  # fmt: skip
        _captions(figure, title, note, colors)
    return figure


def is_difference(name: str, matrix: Attention) -> bool:
    """Whether a panel shows a difference: by its title, or because something is negative."""
    return name == DIFFERENCE or bool((matrix < 0).any())


def save_figure(figure: "Figure", path: str | Path) -> None:
    """Write a figure; the ending of the name decides the format (.png, .svg, .pdf).

    Raises:
        UsageError: the file cannot be written, or no such format.
    """
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"cannot write {path}: {error}") from error


def uncovered_rows(matrices: Mapping[str, Attention]) -> dict[str, Bool[np.ndarray, " T"]]:
    """Which rows of each matrix say nothing; in a difference those of any other matrix."""
    length = len(next(iter(matrices.values())))
    union: Bool[np.ndarray, " T"] = np.zeros(length, bool)
    found = {}
    for name, matrix in matrices.items():
        if not is_difference(name, matrix):
            found[name] = np.asarray(~matrix.any(axis=1))
            union = union | found[name]
    return {name: found.get(name, union) for name in matrices}


def _checked(labels: Sequence[str], matrices: Mapping[str, Attention]) -> dict[str, Attention]:
    if not labels or not matrices:
        raise UsageError("expected at least one token and one matrix to draw, got none")
    length = len(labels)
    for name, matrix in matrices.items():
        if np.shape(matrix) != (length, length):
            raise UsageError(
                f"expected matrices of {length} x {length} for {length} tokens, "
                f"got {np.shape(matrix)} for {name!r}"
            )
        if not np.isfinite(matrix).all():
            raise UsageError(f"expected finite attention to draw, got NaN or infinity in {name!r}")
    return {name: np.asarray(matrix, float) for name, matrix in matrices.items()}


def _place(
    corner: tuple[float, float], size: tuple[float, float], page: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Left, bottom, width, height in shares of the page, from inches below its upper left."""
    return (
        corner[0] / page[0], 1 - (corner[1] + size[1]) / page[1],
        size[0] / page[0], size[1] / page[1],
    )  # fmt: skip


def _draw_matrix(
    figure: "Figure",
    corner: tuple[float, float],
    name: str,
    matrix: Attention,
    uncovered: Bool[np.ndarray, " T"],
    sizes: _Sizes,
    theme: Theme,
    *,
    queries: bool,
) -> "Axes":
    from matplotlib.patches import Rectangle

    width, height = figure.get_size_inches()
    axes = figure.add_axes(_place(corner, (sizes.panel, sizes.panel), (width, height)))
    figure.text(
        corner[0] / width, 1 - (corner[1] - sizes.label_height - 0.06) / height,
        plottable(shortened(name, int(sizes.panel * 12.5))), fontsize=10, fontweight="bold",
        va="bottom",
    )  # fmt: skip
    difference = is_difference(name, matrix)
    axes.imshow(
        on_scale(np.clip(matrix, -1, 1)), cmap=theme.colormap("difference" if difference else
        "attention"), vmin=-1 if difference else 0, vmax=1, interpolation="nearest", aspect="auto",
    )  # fmt: skip
    length = sizes.length
    if length <= 64:
        edges = np.arange(0.5, length - 1)
        axes.hlines(edges, -0.5, length - 0.5, colors=theme.line, linewidths=0.3)
        axes.vlines(edges, -0.5, length - 0.5, colors=theme.line, linewidths=0.3)
    for row in np.flatnonzero(uncovered):
        axes.add_patch(
            Rectangle(
                (-0.5, row - 0.5), length, 1, facecolor=theme.empty, edgecolor=theme.line,
                hatch="////", linewidth=0,
            )
        )  # fmt: skip
    axes.set_xlim(-0.5, length - 0.5)
    axes.set_ylim(length - 0.5, -0.5)
    at = range(0, length, sizes.step)
    names = [sizes.labels[i] for i in at]
    axes.xaxis.tick_top()
    slant = {"rotation": 45, "ha": "left", "rotation_mode": "anchor"} if sizes.slanted else {
        "rotation": 90}  # fmt: skip
    axes.set_xticks(at, names, fontsize=sizes.font, **slant)
    axes.set_yticks(at, names if queries else [""] * len(at), fontsize=sizes.font)
    axes.tick_params(length=0, pad=3)
    axes.xaxis.set_label_position("bottom")
    axes.set_xlabel("key: attended to", fontsize=8, labelpad=4)
    if queries:
        axes.set_ylabel("query: the token that attends", fontsize=8, labelpad=5)
    axes.spines[:].set_visible(True)
    return axes


def _draw_bar(axes: "Axes", theme: Theme, *, difference: bool) -> None:
    """The colour scale of a panel; its ends are -1 or 0, and 1."""
    low = -1.0 if difference else 0.0
    ticks = np.array(_DIFFERENCE_TICKS if difference else _ATTENTION_TICKS)
    axes.imshow(
        np.linspace(low, 1, 256)[None], cmap=theme.colormap("difference" if difference else
        "attention"), vmin=low, vmax=1, aspect="auto", extent=(low, 1, 0, 1),
    )  # fmt: skip
    axes.set_yticks([])
    texts = [f"{tick:g}".replace("-", "−") for tick in ticks]
    axes.set_xticks(on_scale(ticks), texts, fontsize=7, color=theme.muted)
    axes.get_xticklabels()[0].set_horizontalalignment("left")
    axes.get_xticklabels()[-1].set_horizontalalignment("right")
    if difference:
        axes.set_xlabel("← only predicted · only real →", fontsize=7, labelpad=2)
    axes.tick_params(length=2, pad=2)
    axes.spines[:].set_visible(True)


def _captions(figure: "Figure", title: str, note: str, theme: Theme) -> None:
    width, height = figure.get_size_inches()
    if title:
        figure.text(
            _EDGE / width, 1 - _EDGE / height, plottable(shortened(title, int(width * 9.5))),
            fontsize=12, fontweight="bold", va="top",
        )  # fmt: skip
    if note:
        figure.text(
            _EDGE / width, _EDGE / height, plottable(shortened(note, int(width * 16))),
            fontsize=7, color=theme.muted, va="bottom",
        )  # fmt: skip
