"""Two runs side by side, in the terminal."""

from typing import get_args

from rich.console import Console
from rich.table import Table
from rich.text import Text

from headscribe.core.visible import visible
from headscribe.report.labels import number, percent, signed, with_ends
from headscribe.report.terminal import plain_table, print_whole
from headscribe.results.comparison import Change, Comparison
from headscribe.results.names import Holds, Names
from headscribe.results.run import Run

SEEN = 0.0005
"""Smaller changes are none to three digits."""


def print_changes(
    comparison: Comparison, first: Run, second: Run, k: int = 20, console: Console | None = None
) -> None:
    """Print the `k` largest changes; those whose intervals do not overlap are marked."""
    print_whole(changes_table(comparison, first, second, k), console or Console())


def print_names(names: Names, k: int = 20, console: Console | None = None) -> None:
    """Print how many names hold, in words, by family, and `k` heads whose names do not."""
    out = console or Console()
    out.print(Text(visible(names.sentence)))
    table = plain_table("Names that hold, by family of the first")
    table.add_column("family")
    for how in get_args(Holds):
        table.add_column(how, justify="right", no_wrap=True)
    for family, counts in names.families.items():
        of = counts.total()
        cells = [f"{counts[how]} ({percent(counts[how] / of)})" for how in get_args(Holds)]
        table.add_row(Text(visible(family)), *cells)
    print_whole(table, out)
    lost = [pair for pair in names.pairs if pair.holds == "not there"][:k]
    if lost:
        first, second = (visible(run) for run in names.runs)
        table = plain_table(f"Names of {first} that do not hold in {second}")
        table.add_column("head", justify="right", no_wrap=True)
        for run in (first, second):
            table.add_column(run, overflow="fold", min_width=13)
        for pair in lost:
            table.add_row(pair.head, Text(visible(pair.first)), Text(visible(pair.second or "–")))
        print_whole(table, out)


def changes_table(comparison: Comparison, first: Run, second: Run, k: int = 20) -> Table:
    """The `k` largest changes as a table."""
    names = [visible(run.folder.name) for run in (first, second)]
    shown = [change for change in comparison.changes if abs(change.change) >= SEEN][:k]
    apart = sum(change.apart is True for change in comparison.changes)
    better = "higher" if comparison.higher_is_better else "lower"
    table = plain_table(
        f"{names[0]} and {names[1]}: the largest changes"
        if shown
        else f"{names[0]} and {names[1]}: nothing differs",
        f"{comparison.measure}, {better} is better · in brackets 95 % intervals · "
        f"{len(comparison.changes)} values in both, of {apart} the intervals do not overlap (*)",
    )
    table.add_column("of", overflow="fold", min_width=14)
    table.add_column({"share": "share"}.get(comparison.by, "head"), justify="right")
    for name in names:
        table.add_column(name, justify="right", overflow="fold", min_width=13)
    table.add_column("change", justify="right", no_wrap=True)
    for change in shown:
        table.add_row(*_cells(change))
    return table


def _cells(change: Change) -> list[Text]:
    where = change.where if change.where == change.there else f"{change.where} / {change.there}"
    return [
        Text(visible(change.what)),
        Text(visible(where)),
        Text(with_ends(number(change.first), change.first_low, change.first_high)),
        Text(with_ends(number(change.second), change.second_low, change.second_high)),
        Text(signed(change.change) + ("*" if change.apart else " ")),
    ]
