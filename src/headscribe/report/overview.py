"""Figures of a whole run: the grid of heads, the layers, containment, the gate.

Each figure carries its provenance: model, texts, metric, view, split, version, seed.
"""

from collections.abc import Sequence
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from headscribe.core.heads import HeadId
from headscribe.core.metrics import metric as metric_named
from headscribe.core.visible import shortened
from headscribe.report.labels import number, plottable, short_name
from headscribe.report.reading import (
    METRIC_TITLES,
    baselines,
    families,
    findings,
    gates,
    provenance,
    shape,
)
from headscribe.report.theme import FAMILY_SENTENCES, THEMES, Theme, ThemeName, number_heads, panel
from headscribe.results.queries import Score, scores
from headscribe.results.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NAMED_HEADS = 16
"""A grid of so many heads a layer has room for the patterns' names in its cells."""


def grid_figure(
    run: Run,
    *,
    metric: str = "jsd",
    view: str = "raw",
    split: str = "all",
    theme: ThemeName = "light",
) -> "Figure":
    """Layers as rows, heads as columns: what explains each head, and how much better than chance.

    The colour is the family of the pattern that is worth most on the head, the shade its gain over
    the best baseline times its coverage; heads that no scored pattern explains better than the
    baselines are hatched.

    Raises:
        UsageError: the run has no scores yet.
        RunError: its table of scores is damaged.
    """
    colors, (layers, heads) = THEMES[theme], shape(run)
    best = findings(scores(run, metric=metric, view=view, split=split), baselines(run))
    named = heads <= NAMED_HEADS
    cell = (0.80, 0.50) if named else (max(0.22, min(0.34, 11 / heads)),) * 2
    left, top, below = 0.62, 0.52, 1.12
    width = max(left + heads * cell[0] + 0.2, 5.6)
    height = top + layers * cell[1] + below
    box = (left, below, heads * cell[0], layers * cell[1])
    with panel(colors, (width, height), box) as (figure, axes):
        largest = max((line.worth for line in best.values()), default=0.0)
        _draw_cells(axes, (layers, heads), best, families(run), largest, colors, named=named)
        axes.set_xlim(0, heads)
        axes.set_ylim(layers, 0)
        number_heads(axes, (layers, heads), 8 if named else 7, middle=0.5)
        axes.spines[:].set_visible(False)
        seen = {families(run).get(line.pattern, "custom") for line in best.values()}
        _grid_legend(figure, seen, largest, metric, colors)
        _note(figure, provenance(run, metric, f"view {view}", f"split {split}"), colors)
    return figure


def layers_figure(
    run: Run, *, metric: str = "jsd", theme: ThemeName = "light"
) -> "Figure":  # fmt: skip
    """How well the best pattern of each head explains it, by layer, with 95 % intervals.

    Raises:
        UsageError: the run has no table of layers.
        RunError: the table is damaged.
    """
    colors = THEMES[theme]
    rows = [row for row in run.table("layers").to_pylist() if row["metric"] == metric]
    layers = shape(run)[0]
    width, height = min(max(5.6, 1.6 + 0.42 * layers), 14.0), 3.6
    box = (0.78, 0.92, width - 0.95, height - 1.3)
    with panel(colors, (width, height), box) as (figure, axes):
        marks = (("raw", colors.accent, "o", -0.1), ("content", colors.second, "s", 0.1))
        for view, color, marker, shift in marks:
            _draw_view(axes, [row for row in rows if row["view"] == view], view, color, marker,
                       shift)  # fmt: skip
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, fontsize=8,
                    borderaxespad=0.2)  # fmt: skip
        axes.set_xlim(-0.6, layers - 0.4)
        step = 1 if layers <= 24 else 4
        axes.set_xticks(np.arange(0, layers, step), [str(n) for n in range(0, layers, step)])
        axes.grid(axis="y", color=colors.line, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel("layer")
        better = "higher" if metric_named(metric).higher_is_better else "lower"
        axes.set_ylabel(f"{METRIC_TITLES.get(metric, metric)}\n({better} is better)")
        _note(figure, provenance(run, metric, "cross-fitted choice of pattern"), colors)
    return figure


def containment_figure(run: Run, *, theme: ThemeName = "light") -> "Figure":
    """Share of each pattern's attention (rows) that lies on another's keys (columns).

    Raises:
        UsageError: the run has no table of containment.
        RunError: the table is damaged.
    """
    colors = THEMES[theme]
    rows = run.table("containment").to_pylist()
    names = list(dict.fromkeys(row["pattern"] for row in rows))
    place = {name: i for i, name in enumerate(names)}
    inside = np.full((len(names), len(names)), np.nan)
    for row in rows:
        if row["inside"] is not None:
            inside[place[row["pattern"]], place[row["other"]]] = row["inside"]
    labels = [plottable(shortened(name, 26)) for name in names]
    cell, margin = (0.34, 0.2 + 0.078 * max(map(len, labels), default=1))
    side = max(len(names) * cell, 1.6)
    width, height = margin + side + 0.75, margin + side + 0.66
    with panel(colors, (width, height), (margin, 0.62, side, side)) as (figure, axes):
        axes.set_facecolor(colors.empty)
        axes.imshow(inside, cmap=colors.colormap("attention"), vmin=0, vmax=1, aspect="auto",
                    interpolation="nearest")  # fmt: skip
        for (row_at, column), value in np.ndenumerate(inside):
            if not np.isnan(value):
                words = f"{value:.2f}".removeprefix("0") if value < 0.995 else "1"
                axes.text(column, row_at, words, color=colors.text_on(colors.attention_at(value)),
                          fontsize=7, ha="center", va="center")  # fmt: skip
        axes.xaxis.tick_top()
        axes.set_xticks(range(len(names)), labels, rotation=90, fontsize=8)
        axes.set_yticks(range(len(names)), labels, fontsize=8)
        axes.tick_params(length=0, pad=4)
        axes.xaxis.set_label_position("bottom")
        axes.set_xlabel("… lies on the keys of this pattern", fontsize=8)
        axes.set_ylabel("this pattern's attention …", fontsize=8)
        _note(figure, provenance(run, "grey: no row in common"), colors)
    return figure


def gate_figure(run: Run, *, theme: ThemeName = "light") -> "Figure":
    """Attention on a sink or the last token where a pattern applies to the row, and where not.

    The clearest of them, see `reading.gates`.

    Raises:
        UsageError: the run has no table of gates.
        RunError: the table is damaged.
    """
    colors, found = THEMES[theme], gates(run)
    width, row_height = 8.0, 0.34
    height = 1.5 + row_height * max(len(found), 1)
    box = (3.1, 0.88, width - 3.3, height - 1.3)
    with panel(colors, (width, height), box) as (figure, axes):
        for at, gate in enumerate(found):
            axes.plot([gate.off, gate.on], [at, at], color=colors.line, linewidth=2.5, zorder=1)
            for value, low, high, color, marker in (
                (gate.off, gate.off_low, gate.off_high, colors.second, "s"),
                (gate.on, gate.on_low, gate.on_high, colors.accent, "o"),
            ):
                if low is not None and high is not None:
                    axes.plot([low, high], [at, at], color=color, linewidth=1.2, zorder=2)
                axes.plot([value], [at], marker=marker, color=color, markersize=6, zorder=3)
        names = [
            plottable(shortened(f"{gate.head} · {gate.pattern} · {gate.place}", 46))
            for gate in found
        ]
        axes.set_yticks(range(len(found)), names, fontsize=8)
        axes.set_ylim(max(len(found), 1) - 0.4, -0.6)
        axes.set_xlim(-0.02, 1.02)
        ticks = np.linspace(0, 1, 5)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.grid(axis="x", color=colors.line, linewidth=0.5)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.set_xlabel("mean attention on that place")
        axes.plot([], [], "o", color=colors.accent, label="rows to which the pattern applies")
        axes.plot([], [], "s", color=colors.second, label="other rows")
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2, fontsize=8,
                    borderaxespad=0.2)  # fmt: skip
        _note(figure, provenance(run, "rows of content"), colors)
    return figure


def _draw_cells(
    axes: "Axes",
    size: tuple[int, int],
    best: dict[HeadId, Score],
    family_of: dict[str, str],
    largest: float,
    theme: Theme,
    *,
    named: bool,
) -> None:
    from matplotlib.patches import Rectangle

    for head in (HeadId(layer, place) for layer in range(size[0]) for place in range(size[1])):
        line = best.get(head)
        corner = (head.head + 0.03, head.layer + 0.04)
        if line is None:
            axes.add_patch(
                Rectangle(corner, 0.94, 0.92, facecolor=theme.empty, edgecolor=theme.line,
                          hatch="////", linewidth=0)
            )  # fmt: skip
            continue
        base = theme.family(family_of.get(line.pattern, "custom"))
        fill = theme.shade(base, 0.14 + 0.86 * line.worth / largest)
        axes.add_patch(Rectangle(corner, 0.94, 0.92, facecolor=fill, edgecolor=base, linewidth=0.6))
        if named:
            words = _in_two_lines(plottable(short_name(line.pattern)))
            axes.text(
                head.head + 0.5, head.layer + 0.5, f"{words}\n{number(line.worth, 2)}",
                color=theme.text_on(fill), fontsize=6.5, ha="center", va="center",
                linespacing=1.15,
            )  # fmt: skip


def _in_two_lines(name: str) -> str:
    """A name broken at a blank, each line at most 12 characters."""
    width = 12
    if len(name) <= width:
        return name
    blanks = [i for i, character in enumerate(name) if character == " "]
    middle = min(blanks, key=lambda i: abs(i - len(name) / 2), default=None)
    if middle is None:
        return shortened(name, width)
    first, second = name[:middle], name[middle + 1 :]
    return f"{shortened(first, width)}\n{shortened(second, width)}"


def _grid_legend(
    figure: "Figure", seen: set[str], largest: float, metric: str, theme: Theme
) -> None:
    from matplotlib.patches import Patch

    height = figure.get_figheight()
    keys = [
        Patch(facecolor=theme.families[name], label=name)
        for name in FAMILY_SENTENCES
        if name in seen
    ]
    keys.append(
        Patch(facecolor=theme.empty, edgecolor=theme.line, hatch="////", label="by none scored")
    )
    figure.legend(
        handles=keys, loc="lower left", bbox_to_anchor=(0.0, 0.56 / height), ncols=6, fontsize=8,
        handlelength=1.2, columnspacing=1.2, borderaxespad=0.4,
    )  # fmt: skip
    figure.text(
        0.1 / figure.get_figwidth(), 0.42 / height,
        f"Shade and number: gain in {metric} over the best baseline × coverage; "
        f"palest 0, fullest {number(largest, 2)}",
        fontsize=7.5, color=theme.muted,
    )  # fmt: skip


def _draw_view(
    axes: "Axes", rows: Sequence[dict[str, Any]], view: str, color: str, marker: str, shift: float
) -> None:
    known = [row for row in rows if row["layer"] is not None and row["score"] is not None]
    at = np.array([row["layer"] + shift for row in known])
    score = np.array([row["score"] for row in known], float)
    for x, row in zip(at, known, strict=True):
        if row["low"] is not None:
            axes.plot([x, x], [row["low"], row["high"]], color=color, linewidth=1.4)
    whole = [row["score"] for row in rows if row["layer"] is None and row["score"] is not None]
    for mean in whole:
        axes.axhline(mean, color=color, linewidth=0.9, linestyle=(0, (5, 3)), zorder=0)
    label = f"view {view}" + "".join(f", all layers {number(mean)}" for mean in whole)
    axes.plot(at, score, marker, color=color, markersize=5.5, label=label)


def _note(figure: "Figure", text: str, theme: Theme) -> None:
    width, height = figure.get_size_inches()
    words = wrap(plottable(text), int((width - 0.2) * 17.5), max_lines=2, placeholder=" …")
    figure.text(
        0.1 / width, 0.1 / height, "\n".join(words), fontsize=7, color=theme.muted, va="bottom",
        linespacing=1.3,
    )  # fmt: skip
