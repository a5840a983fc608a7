"""A run of hints in the terminal: what was answered, which heads read otherwise, what is causal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from headscribe.core.visible import visible
from headscribe.report.labels import interval, number, percent, signed
from headscribe.report.terminal import plain_table, print_whole
from headscribe.results.run import Run

CONDITION_NAMES = {
    "none": "no hint",
    "wrong": "wrong hint",
    "right": "right hint",
    "note": "neutral note",
}
"""How the conditions are called in tables and figures."""

MEASURE_NAMES = {
    "rows": "rows",
    "columns": "column profile",
    "answer": "row of the answer",
    "hint": "reads the hint",
    "hint_answer": "reads the hint, answering",
}
"""How the measures are called."""

SHOWN = 10


def print_hints(run: Run, console: Console | None = None) -> None:
    """Print a finished run of hints.

    Raises:
        UsageError: the run is unfinished or of another kind.
    """
    out = console or Console()
    print_whole(rates_table(run), out)
    if "ranking" in run.manifest["tables"]:
        print_whole(heads_table(run), out)
    if "causal" in run.manifest["tables"]:
        print_whole(causal_table(run), out)
    for message in run.manifest["messages"]:
        out.print(Text(f"• {visible(str(message))}"))


def rates_table(run: Run) -> Table:
    """Accuracy and change rates by condition."""
    rates = {(row["name"], row["condition"]): row for row in run.table("rates").to_pylist()}
    chance = rates["chance", "none"]
    table = plain_table(
        f"Answers to {chance['n']} questions",
        "of how many, and 95 % intervals over questions · guessing gives "
        f"{percent(chance['share'])} · to the hinted choice: of those that did not give it before; "
        "under the note, to the choice that the wrong hint names",
    )
    table.add_column("")
    for name in ("right", "changed", "to the\nhinted choice", "from wrong\nto right", "no answer"):
        table.add_column(name, justify="right", no_wrap=True)
    for condition, label in CONDITION_NAMES.items():
        cells = [
            _share(rates.get((name, condition)))
            for name in ("accuracy", "changed", "to_hinted", "wrong_to_right")
        ]
        lost = sum(rates[name, condition]["hits"] for name in ("unparsed", "unended"))
        table.add_row(label, *cells, str(lost))
    return table


def heads_table(run: Run) -> Table:
    """The best heads of the ranking."""
    ranking = run.table("ranking").to_pylist()[:SHOWN]
    rows = {
        (row["head"], row["measure"]): row
        for row in run.table("heads").to_pylist()
        if row["condition"] == "wrong"
    }
    facts = run.manifest["ranking"]
    traced = facts.get("order") == "effect"
    meaning = "effect: part in what keeping all heads from the hint does to the answer, logits · "
    table = plain_table(
        "Heads whose reading of the hint moves the answer"
        if traced
        else "Heads that read otherwise where the answer follows the hint",
        f"{meaning if traced else ''}measure under the hint minus under the note, by the strongest "
        f"measure, where the answer follows the hint and where it stays, and the difference · "
        "moved: distance of what is read under the right hint from what is predicted without, and "
        "in brackets that minus the same under the note · "
        f"{facts['changed']} answers follow, {facts['others']} could have · * changes where "
        f"answers follow, with a false-discovery rate of {percent(facts['rate'])} over "
        f"{facts['tests']} contrasts (Benjamini-Yekutieli)",
    )
    table.add_column("", justify="right")
    table.add_column("head", justify="right", no_wrap=True)
    if traced:
        table.add_column("effect", justify="right", no_wrap=True)
    table.add_column("by", min_width=8)
    for name in ("follows", "stays", "differ-\nence", "t", "p", "moved"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in ranking:
        row = rows[one["head"], one["measure"]]
        ends = interval(one["effect_low"], one["effect_high"], 2) if traced else ""
        effect = [f"{number(one['effect'], 2)}\n({ends})" if ends else "–"] if traced else []
        table.add_row(
            str(one["rank"]),
            Text(f"{'* ' if one['flagged'] else ''}{visible(one['head'])}"),
            *effect,
            MEASURE_NAMES.get(one["measure"], visible(one["measure"])),
            number(row["changed"]),
            number(row["unchanged"]),
            number(row["contrast"]),
            number(one["t"], 1),
            "–" if one["p"] is None else f"{one['p']:.1g}",
            f"{number(one['slides'])}\n({signed(one.get('slides_beyond'))})",
        )
    return table


def causal_table(run: Run) -> Table:
    """How many answers change back when heads are altered."""
    lines = run.table("causal").to_pylist()
    count = max((line["n"] for line in lines), default=0)
    names: list[str] = next((line["heads"] for line in lines if line["set"] == "top"), [])
    table = plain_table(
        f"Answers that change back, of {count} that followed the hint",
        f"top heads: {', '.join(map(visible, names))} · random heads of the same layers",
    )
    for name in ("heads", "do not read\nthe hint", "", "attend as\nwithout it", ""):
        table.add_column(name, justify="left" if name == "heads" else "right", no_wrap=True)
    for label, kind in (("top", "top"), ("random, mean", "random"), ("difference", "difference")):
        cells = []
        for how in ("block", "unhinted"):
            line = next(
                (one for one in lines
                 if (one["set"], one["draw"], one["how"]) == (kind, -1, how)), None
            )  # fmt: skip
            share = None if line is None else line["share"]
            cells.append("–" if share is None else percent(share).replace("-", "−"))
            cells.append("" if line is None else interval(line["low"], line["high"], 2))
        table.add_row(label, *cells)
    return table


def _share(rate: Mapping[str, Any] | None) -> str:
    if rate is None or rate["share"] is None:
        return "–"
    ends = f"{100 * rate['low']:.0f}–{100 * rate['high']:.0f}"
    return f"{percent(rate['share'])} of {rate['n']}\n({ends})"
