"""Two runs side by side, in the terminal."""

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from headscribe.report.labels import interval, number, visible
from headscribe.report.terminal import print_whole
from headscribe.results.comparison import Change, Comparison
from headscribe.results.run import Run


def print_changes(
    found: Comparison, first: Run, second: Run, k: int = 20, console: Console | None = None
) -> None:
    """Print the `k` largest changes; those whose intervals do not overlap are marked."""
    print_whole(changes_table(found, first, second, k), console or Console())


def changes_table(found: Comparison, first: Run, second: Run, k: int = 20) -> Table:
    """The `k` largest changes as a table."""
    names = [visible(run.folder.name) for run in (first, second)]
    apart = sum(change.apart is True for change in found.changes)
    better = "higher" if found.higher_is_better else "lower"
    table = Table(
        title=Text(f"{names[0]} and {names[1]}: the largest changes", style="bold"),
        caption=Text(
            f"{found.measure}, {better} is better · {len(found.changes)} values in both, of "
            f"{apart} the 95 % intervals do not overlap (*)",
            style="dim",
        ),
        box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left", pad_edge=False,
    )  # fmt: skip
    table.add_column("of", overflow="fold")
    table.add_column({"share": "share"}.get(found.by, "head"), justify="right")
    for name in names:
        table.add_column(name, justify="right")
        table.add_column("95 % interval", justify="right")
    table.add_column("change", justify="right")
    table.add_column("")
    for change in found.changes[:k]:
        table.add_row(*_cells(change))
    return table


def _cells(change: Change) -> list[Text]:
    where = change.where if change.where == change.there else f"{change.where} / {change.there}"
    plus = "+" if change.change > 0 else ""
    return [
        Text(visible(change.what)),
        Text(visible(where)),
        Text(number(change.first)),
        Text(interval(change.first_low, change.first_high)),
        Text(number(change.second)),
        Text(interval(change.second_low, change.second_high)),
        Text(plus + number(change.change)),
        Text("*" if change.apart else ""),
    ]
