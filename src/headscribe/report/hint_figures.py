"""Figures of a run of hints: the grid of heads, and the column profiles of one question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from headscribe.core.errors import UsageError
from headscribe.core.visible import shortened
from headscribe.report.hint_tables import CONDITION_NAMES
from headscribe.report.labels import plottable, plottable_tokens
from headscribe.report.theme import THEMES, Theme, ThemeName, drawing, number_heads, on_scale, panel
from headscribe.results.run import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_TOKENS = 140
"""Tokens that a figure of profiles shows; the ones around the insertion, of longer texts."""

HEADS = 6

_PANEL = ("none", "wrong", "note")


def hint_figures(run: Run, theme: ThemeName = "light") -> "dict[str, Figure]":
    """Every figure of a finished run, by a short name."""
    return {"grid": grid_figure(run, theme=theme), "profile": profile_figure(run, theme=theme)}


def grid_figure(run: Run, *, theme: ThemeName = "light") -> "Figure":
    """Layers as rows, heads as columns: how much each head's reading of the hint moves the answer.

    The shade is the effect by which heads are ranked (or `t`, where there is no effect), a star
    marks heads that change where answers follow, with false-discovery control. Where heads are not
    ranked it is how much attention the hint gets, and nothing is starred.

    Raises:
        UsageError: the run is unfinished.
    """
    colors = THEMES[theme]
    shape = (run.manifest["model"]["layers"], run.manifest["model"]["heads"])
    grid = _grid(run, shape)
    cell = 0.5 if shape[1] <= 16 else max(0.22, 11 / shape[1])
    left, above, below = 0.62, 0.86, 0.66
    width, height = max(left + shape[1] * cell + 0.2, 5.6), above + shape[0] * cell + below
    box = (left, below, shape[1] * cell, shape[0] * cell)
    with panel(colors, (width, height), box) as (figure, axes):
        _draw_grid(axes, grid, colors, written=cell >= 0.4)
        number_heads(axes, shape)
        _caption(figure, grid.title, f"{grid.note} · {_source(run)}", colors)
    return figure


@dataclass(frozen=True, eq=False)
class _Grid:
    """A number for each head, `(layers, heads)`, which of them are starred, and what it means."""

    values: np.ndarray
    starred: np.ndarray
    largest: float
    title: str
    note: str


def _grid(run: Run, shape: tuple[int, int]) -> _Grid:
    values, starred = np.full(shape, np.nan), np.zeros(shape, bool)
    if "ranking" not in run.manifest["tables"]:
        for row in run.table("heads").to_pylist():
            if (row["measure"], row["condition"]) == ("hint", "wrong") and row["hint"] is not None:
                values[row["layer"], row["index"]] = row["hint"]
        return _Grid(
            values, starred, 1.0, "How much each head reads the hint (heads are not ranked)",
            "mean attention on the hint's tokens behind it",
        )  # fmt: skip
    facts = run.manifest["ranking"]
    name = "effect" if facts.get("order") == "effect" else "t"
    for row in run.table("ranking").to_pylist():
        values[row["layer"], row["index"]] = np.nan if row[name] is None else row[name]
        starred[row["layer"], row["index"]] = row["flagged"]
    title, what = {
        "effect": ("Heads whose reading of the hint moves the answer", "effect in logits"),
        "t": ("Heads that read otherwise where the answer follows", "t of the strongest measure"),
    }[name]
    note = f"{what} · ★ changes where answers follow, controlled over {facts['tests']} contrasts"
    return _Grid(values, starred, float(np.nanmax(values, initial=1e-9)), title, note)


def _draw_grid(axes: "Axes", grid: _Grid, theme: Theme, *, written: bool) -> None:
    shades = np.sqrt(np.clip(np.nan_to_num(grid.values) / max(grid.largest, 1e-9), 0, 1))
    axes.imshow(
        shades, cmap=theme.colormap("attention"), vmin=0, vmax=1, interpolation="nearest",
        aspect="auto",
    )  # fmt: skip
    for (layer, head), value in np.ndenumerate(grid.values):
        ink = theme.text_on(theme.attention_at(shades[layer, head]))
        text = f"{value:.2f}".replace("-0.", "-.").removeprefix("0") if abs(value) < 10 else (
            f"{value:.0f}")  # fmt: skip
        shown = ("★" if grid.starred[layer, head] else "") + (
            text.replace("-", "−") if written and np.isfinite(value) else ""
        )
        axes.text(head, layer, shown, ha="center", va="center", fontsize=6.5, color=ink)


def profile_figure(run: Run, *, theme: ThemeName = "light") -> "Figure":
    """What some heads read of one question, beside its tokens: without hint, with it, with a note.

    Raises:
        UsageError: the run is unfinished, or keeps no profile.
    """
    from matplotlib.figure import Figure

    colors = THEMES[theme]
    rows = run.table("profile").to_pylist()
    if not rows:
        raise UsageError(f"expected profiles in {run.folder}, got none")
    heads = list(dict.fromkeys(row["head"] for row in rows))[:HEADS]
    by = {(head, condition): [] for head in heads for condition in _PANEL}  # type: ignore[var-annotated]
    for row in rows:
        if (row["head"], row["condition"]) in by:
            by[row["head"], row["condition"]].append(row)
    labels, marked, matrix = _lines(by, heads)
    line, strip = 0.15, 0.22
    left = 0.2 + max(map(len, labels)) * 0.075
    above, below = 1.2, 0.55
    gap = 0.14
    width = max(left + len(heads) * (len(_PANEL) * strip + gap) + 0.2, 6.4)
    height = above + len(labels) * line + below
    with drawing(colors):
        figure = Figure(figsize=(width, height))
        for number, head in enumerate(heads):
            at = left + number * (len(_PANEL) * strip + gap)
            axes = figure.add_axes(
                (at / width, below / height, len(_PANEL) * strip / width,
                 len(labels) * line / height)
            )  # fmt: skip
            _strips(axes, matrix[number], labels if number == 0 else None, marked, colors)
            where = (at / width, 1 - 0.4 / height)
            figure.text(*where, plottable(head), fontsize=8, fontweight="bold", va="top")
        question = run.manifest["example"]["question"]
        title = f"What heads read of question {question}"
        note = "share of what the tokens after the insertion read, each head to its own largest"
        _caption(figure, title, f"{note} · {_source(run)}", colors)
    return figure


def _lines(
    by: Mapping[tuple[str, str], Sequence[Mapping[str, Any]]], heads: Sequence[str]
) -> tuple[list[str], list[bool], Any]:
    """Labels, which of them belong to the insertion, and weights `(heads, lines, conditions)`.

    A line is a shared token, or the n-th token of hint and note, which are as long.
    """
    plain = by[heads[0], "none"]
    added = {
        condition: [row for row in by[heads[0], condition] if row["part"] == "insertion"]
        for condition in ("wrong", "note")
    }
    count = max(map(len, added.values()))
    first = min((row["position"] for rows in added.values() for row in rows), default=0)
    pairs = [
        " / ".join(
            plottable_tokens([str(rows[n]["token"])])[0]
            for rows in added.values() if n < len(rows)
        )
        for n in range(count)
    ]  # fmt: skip
    names = plottable_tokens([str(row["token"]) for row in plain])
    labels = [*names[:first], *pairs, *names[first:]]
    marked = [first <= at < first + count for at in range(len(labels))]
    matrix = np.full((len(heads), len(labels), len(_PANEL)), np.nan)
    for number, head in enumerate(heads):
        for column, condition in enumerate(_PANEL):
            met = 0
            for row in by[head, condition]:
                if row["part"] == "insertion":
                    matrix[number, first + met, column] = row["weight"]
                    met += 1
                elif row["shared"] is not None:
                    shared = row["shared"]
                    matrix[number, shared + (count if shared >= first else 0), column] = row[
                        "weight"
                    ]
    begin = max(0, min(first + count // 2 - MAX_TOKENS // 2, len(labels) - MAX_TOKENS))
    shown = slice(begin, begin + MAX_TOKENS)
    return labels[shown], marked[shown], matrix[:, shown]


def _strips(
    axes: "Axes", weights: Any, labels: Sequence[str] | None, marked: Sequence[bool], theme: Theme  # noqa: ANN401
) -> None:  # fmt: skip
    largest = max(float(np.nanmax(weights)), 1e-9)
    axes.imshow(
        on_scale(np.nan_to_num(weights) / largest), cmap=theme.colormap("attention"), vmin=0,
        vmax=1, interpolation="nearest", aspect="auto",
    )  # fmt: skip
    from matplotlib.patches import Rectangle

    for line, column in np.argwhere(np.isnan(weights)):
        axes.add_patch(
            Rectangle((column - 0.5, line - 0.5), 1, 1, facecolor=theme.empty, linewidth=0)
        )
    axes.xaxis.tick_top()
    names = [CONDITION_NAMES[condition] for condition in _PANEL]
    axes.set_xticks(range(len(names)), names, fontsize=6, rotation=90)
    axes.set_yticks(range(len(marked)), labels or [""] * len(marked), fontsize=7)
    for tick, inserted in zip(axes.get_yticklabels(), marked, strict=True):
        tick.set_color(theme.second if inserted else theme.ink)
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(True)


def _source(run: Run) -> str:
    """Model, questions, version: where the figure comes from."""
    manifest = run.manifest
    version = manifest.get("versions", {}).get("headscribe", "")
    return (
        f"{manifest['model']['name']} · {manifest['questions']['name']}, "
        f"{manifest['questions']['ok']} questions · seed {manifest['config']['seed']} · "
        f"headscribe {version}"
    )


def _caption(figure: "Figure", title: str, note: str, theme: Theme) -> None:
    width, height = figure.get_size_inches()
    figure.text(
        0.15 / width, 1 - 0.12 / height, plottable(shortened(title, int(width * 10))),
        fontsize=11, fontweight="bold", va="top",
    )  # fmt: skip
    figure.text(
        0.15 / width, 0.12 / height, "\n".join(wrap(plottable(note), int(width * 15))[:3]),
        fontsize=7, color=theme.muted, va="bottom",
    )  # fmt: skip
