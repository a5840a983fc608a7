"""Tables in the terminal. All text from corpora and models is written out safely.

Cells are `rich.text.Text`, never markup, and hold no control character.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from headscribe.core.arrays import Attention
from headscribe.core.heads import HeadId
from headscribe.core.metrics import metric as metric_named
from headscribe.core.visible import plural, visible
from headscribe.report.labels import interval, number, percent, signed, with_ends
from headscribe.report.matrix_text import matrix_text
from headscribe.report.reading import METRIC_TITLES
from headscribe.results.queries import MIN_COVERAGE, Score
from headscribe.results.relations import HalfAccuracy

T = TypeVar("T")

_WIDEST = 200
"""Columns that a table may take where the terminal has fewer."""


def print_top(scores: Sequence[Score], console: Console | None = None) -> None:
    """Print the closest heads of each pattern."""
    print_whole(top_table(scores), console or Console())


def print_behaviours(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Print the heads of each behaviour, those with the largest excess first."""
    table = plain_table(
        "What heads do most clearly beyond position",
        "share of content attention where it can be done, points beyond the head's own mean "
        "attention by position with 95 % interval, on texts that named nothing; rows: tokens that "
        "were asked",
    )
    table.add_column("behaviour", overflow="fold", min_width=14)
    for right in ("head", "share", "beyond", "95 % interval", "rows"):
        table.add_column(right, justify="right", no_wrap=True)
    for name, heads in found.items():
        table.add_section()
        for place, head in enumerate(heads):
            table.add_row(
                Text(visible(name) if place == 0 else "", style="bold"),
                head["head"],
                percent(head["share"]),
                signed(100 * head["excess"], 0),
                Text(interval(100 * head["low"], 100 * head["high"], 0), style="dim"),
                str(head["rows"]),
            )
    print_whole(table, Console())


def print_head(
    head: HeadId,
    scores: Sequence[Score],
    labels: Sequence[str],
    matrices: Mapping[str, Attention],
    console: Console | None = None,
    *,
    card: str = "",
) -> None:
    """Print what a head does, titled matrices of one text, then how well each pattern fits it."""
    out = console or Console()
    if card:
        out.print(Text(card), soft_wrap=True)
    for title, matrix in matrices.items():
        out.print(Text(f"\n{visible(title)}", style="bold"))
        out.print(Text(matrix_text(labels, matrix, width=out.width)), soft_wrap=True)
    out.print()
    print_whole(head_table(head, scores), out)


def print_whole(table: Table, console: Console) -> None:
    """Print a table whole: names fold where a terminal is narrow, and no number is ever cut.

    In a file or a pipe every row is one line, as wide as it needs.
    """
    title, caption = table.title, table.caption
    table.title = table.caption = None  # of the terminal's width, however narrow the table
    needed = _least(table, console) if console.is_terminal else _whole(table, console)
    if title:
        console.print(title)
    width = console.width
    console.width = max(width, needed)
    try:
        console.print(table)
    finally:
        console.width = width
    if caption:
        console.print(caption, end="\n\n")


def _whole(table: Table, console: Console) -> int:
    """The width at which nothing folds."""
    return Measurement.get(console, console.options.update(max_width=_WIDEST), table).maximum


def _least(table: Table, console: Console) -> int:
    """The width at which no number is cut: names take the least that they may."""
    widths = [column.max_width for column in table.columns]
    for column in table.columns:
        if column.overflow == "fold":
            column.max_width = column.min_width
    needed = _whole(table, console)
    for column, width in zip(table.columns, widths, strict=True):
        column.max_width = width
    return needed


def print_layers(rows: Sequence[dict[str, Any]]) -> None:
    """Print how close patterns come to each layer: rows of the table `layers`, raw view."""
    table = plain_table(
        "How close the best pattern of each head comes, mean by layer",
        "Jensen–Shannon distance, pattern chosen on other texts, lower is closer · what is close "
        "explains a head only with a gain",
    )
    for name in ("layer", "distance", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        if row["view"] == "raw" and row["metric"] == "jsd":
            layer = "all" if row["layer"] is None else str(row["layer"])
            table.add_row(layer, number(row["score"]), interval(row["low"], row["high"]))
    print_whole(table, Console())


def print_relations(lines: Sequence[HalfAccuracy]) -> None:
    """Print for every dependency relation the head that follows it."""
    print_whole(relations_table(lines), Console())


def relations_table(lines: Sequence[HalfAccuracy]) -> Table:
    """Accuracy of each relation's best head beside its best fixed offset: two halves, two lines.

    Relations that are rare in both halves are counted alone: their intervals say nothing.
    """
    often = {(line.relation, line.direction) for line in lines if not line.few}
    shown = [line for line in lines if (line.relation, line.direction) in often] or list(lines)
    rare = len({(line.relation, line.direction) for line in lines} - often) if often else 0
    left_out = f" · {rare} rarer relations left out here, not from --json" if rare else ""
    table = plain_table(
        "The head that follows each dependency relation",
        "right: how often the strongest content key of a word is the word of the relation · "
        "offset: the same for the word always so far away · chosen on one half of the texts and "
        "counted on the other: a line a half · brackets: 95 % intervals · * fewer than 30 cases"
        f"{left_out}",
    )
    table.add_column("relation", overflow="fold", min_width=12)
    for name in ("head", "right", "offset", "gain", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    last = None
    for line in shown:
        what = f"{visible(line.relation)} {line.direction.replace('_', ' ')}"
        if what != last and last is not None:
            table.add_section()
        table.add_row(
            Text(what if what != last else ""),
            line.head,
            with_ends(number(line.accuracy, 2), line.accuracy_low, line.accuracy_high, 2),
            f"{line.offset:+d}: {number(line.offset_accuracy, 2)}".replace("-", "−"),
            with_ends(signed(line.gain, 2), line.gain_low, line.gain_high, 2),
            f"{line.instances}{'*' if line.few else ''}",
        )
        last = what
    return table


def top_table(scores: Sequence[Score]) -> Table:
    """The best heads of each pattern; starred are those whose gain is above 0.

    Patterns that explain some head come first, with the heads that they explain; the others are
    named below, each with its closest head. Patterns that say the same of the same heads stand
    together, as most of the baselines do under a causal mask.
    """
    by: dict[str, list[Score]] = {}
    for score in sorted(scores, key=lambda one: not one.better):
        by.setdefault(score.pattern, []).append(score)
    groups = together(by, lambda listed: tuple((s.head, *_said(s)) for s in listed))
    telling = [names for names in groups if by[names[0]][0].better]
    title = (
        f"{len(telling)} of {len(groups)} patterns say more of some head than its baselines do"
        if len(groups) > 1
        else "The heads of one pattern"
    )
    more = ["★ gain above 0 with its interval, ranked by gain; the others closest first"]
    others = [names for names in groups if names not in telling] if telling else []
    if others:
        closest = (f"{_names(names)} (closest {by[names[0]][0].head})" for names in others)
        more = ["ranked by gain, whose interval lies above 0", "no more than the baselines of any "
                f"head: {', '.join(closest)}; --pattern NAME shows one"]  # fmt: skip
    table = _table(title, scores, *more)
    _score_columns(table, scores, "pattern", "head")
    for names in telling or groups:
        table.add_section()
        shown = [one for one in by[names[0]] if one.better or not others]
        for place, score in enumerate(shown):
            star = "★ " if score.better else ""
            name = Text(_names(names) if place == 0 else "", style="bold")
            table.add_row(name, Text(f"{star}{score.head}"), *_score_cells(score))
    return table


def head_table(head: HeadId, scores: Sequence[Score]) -> Table:
    """All patterns' scores for one head, ranked; those that cover hardly any row are last."""
    by = {score.pattern: score for score in scores}
    groups = together(by, _said)
    better = sum(by[names[0]].better for names in groups)
    title = f"{better} of {len(groups)} patterns say more of {head.prose} than its baselines do"
    table = _table(title, scores, "★ gain above 0 with its interval; the others closest first")
    _score_columns(table, scores, "pattern")
    few = False
    for names in groups:
        score = by[names[0]]
        if score.coverage < MIN_COVERAGE and not few:
            table.add_section()
            few = True
        star = "★ " if score.better else ""
        name = Text(f"{star}{_names(names)}", style="bold" if score.better else "")
        table.add_row(name, *_score_cells(score))
    return table


def together(by: Mapping[str, T], said: Callable[[T], Hashable]) -> list[list[str]]:
    """Names of which the same is said, in order; the first of each group speaks for all."""
    groups: dict[Hashable, list[str]] = {}
    for name, value in by.items():
        groups.setdefault(said(value), []).append(name)
    return list(groups.values())


def _said(score: Score) -> tuple[float | None, ...]:
    """What a pattern says of a head, to the last digit that could be meant."""
    ends = (score.score, score.low, score.high, score.coverage)
    return tuple(None if end is None else round(end, 7) for end in ends)


def _names(names: Sequence[str]) -> str:
    return " = ".join(map(visible, names))


def plain_table(title: str, caption: str = "") -> Table:
    """An empty table in the one style of all; a caption says what the columns mean."""
    return Table(
        title=Text(title, style="bold"), caption=Text(caption, style="dim") if caption else None,
        box=box.SIMPLE_HEAD, title_justify="left", caption_justify="left", pad_edge=False,
        padding=(0, 1, 0, 0),
    )  # fmt: skip


def _table(title: str, scores: Sequence[Score], *more: str) -> Table:
    """An empty table that says which metric, view and split it shows."""
    if not scores:
        return plain_table(title)
    first = scores[0]
    better = "higher" if metric_named(first.metric).higher_is_better else "lower"
    name = METRIC_TITLES.get(first.metric, first.metric)
    split = "split all (descriptive)" if first.split == "all" else f"split {first.split}"
    caption = (
        f"{name}, {better} is better", f"view {first.view}", split, plural(first.texts, "text"),
        "gain: over the named baseline on the same rows, positive is better",
        "rows: share that the pattern speaks of", *more,
    )  # fmt: skip
    sampled = {s.pattern: s.scored for s in scores if s.scored is not None and s.scored < 1}
    rows = [f"{visible(name)} {percent(share)}" for name, share in sampled.items()]
    said = [f"scored on a sample of its rows, as it points at most keys: {', '.join(rows)}"]
    return plain_table(title, " · ".join([*caption, *(said if rows else [])]))


def _score_columns(table: Table, scores: Sequence[Score], name: str, *more: str) -> None:
    table.add_column(name, overflow="fold", min_width=14)
    for right in (*more, scores[0].metric if scores else "score", "95 % interval", "gain"):
        table.add_column(right, justify="right", no_wrap=True)
    table.add_column("over", no_wrap=True)
    table.add_column("rows", justify="right", no_wrap=True)


def _score_cells(score: Score) -> list[Text]:
    return [
        Text(number(score.score)),
        Text(interval(score.low, score.high), style="dim"),
        Text(signed(score.margin.gain), style="green" if score.better else ""),
        Text(visible(score.margin.over or "")),
        Text(percent(score.coverage)),
    ]
