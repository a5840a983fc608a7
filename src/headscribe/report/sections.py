"""The sections of a run's page: each says in one sentence how it is to be read."""

from collections.abc import Callable, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from headscribe.core.metrics import metric as metric_named
from headscribe.report.labels import interval, number, percent
from headscribe.report.markup import EMPTY, Html, join, picture, table, tag, text
from headscribe.report.overview import containment_figure, gate_figure, grid_figure, layers_figure
from headscribe.report.reading import (
    METRIC_TITLES,
    Line,
    baselines,
    facts,
    families,
    findings,
    gates,
    lines,
    shape,
)
from headscribe.report.theme import ThemeName
from headscribe.results.queries import best_patterns, top
from headscribe.results.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRIC, VIEW, SPLIT = "jsd", "raw", "all"
"""What the page's tables show; each says so."""

HEADS = 3
"""Heads a pattern in the table of best heads."""


def facts_list(run: Run) -> Html:
    """Model, texts, annotator, version, seed, and which scores the page shows."""
    shown = facts(run) | {
        "Scores": f"{METRIC_TITLES[METRIC]}, view {VIEW}, split {SPLIT} (descriptive)"
    }
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", value)) for name, value in shown.items()),
        class_="facts",
    )


def overview(run: Run) -> Html:
    """The grid of heads under one sentence that sums it up."""
    found = lines(run, metric=METRIC, view=VIEW, split=SPLIT)
    best = findings(found, baselines(run))
    layers, heads = shape(run)
    kinds = [families(run).get(line.pattern, "custom") for line in best.values()]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(sorted(kinds)))
    headline = (
        f"{len(best)} of {layers * heads} heads are explained better by a pattern than by every "
        f"baseline{f' ({counted})' if counted else ''}."
    )
    strongest = max(best.items(), key=lambda item: item[1].worth, default=None)
    if strongest is not None:
        head, line = strongest
        headline += f" The clearest is {head.prose}: {line.pattern}, {_gain_words(line)}."
    return join(
        [
            tag("p", headline, class_="headline"),
            _read(
                "One cell is one head. Its colour is the family of the pattern that explains it "
                "best, its shade how much closer that pattern comes than the best baseline, "
                "counted over all rows; a hatched head is one that no pattern explains better "
                "than its mean attention by position or a fixed rule such as “look at the first "
                "token”."
            ),
            _both(
                lambda theme: grid_figure(run, metric=METRIC, view=VIEW, split=SPLIT, theme=theme),
                f"Grid of {layers} layers by {heads} heads, coloured by the family of the best "
                "pattern and shaded by gain; the tables below hold the same numbers.",
            ),
        ]
    )


def layer_summary(run: Run) -> Html:
    """How well each layer is explained, as figure and table."""
    rows = [row for row in run.table("layers").to_pylist() if row["metric"] == METRIC]
    places = list(dict.fromkeys(row["layer"] for row in rows))
    by = {(row["layer"], row["view"]): row for row in rows}
    body = [
        [
            "all layers" if layer is None else layer,
            *(_estimate(by.get((layer, view))) for view in ("raw", "content")),
        ]
        for layer in places
    ]
    return join(
        [
            _read(
                "For each head the pattern that fits it best, chosen on other texts than it is "
                "scored on; lower is better. The bars are 95 % intervals. “Content” leaves "
                "out the sinks: special tokens and, in causal models, the first position."
            ),
            _both(
                lambda theme: layers_figure(run, metric=METRIC, theme=theme),
                "Distance between heads and their best patterns, layer by layer, with intervals.",
            ),
            _folded(
                "The numbers of the figure",
                table(
                    f"Mean {METRIC_TITLES[METRIC]} of the heads of a layer to their best patterns",
                    [("Layer", ""), ("View raw", "number"), ("View content", "number")],
                    ([row] for row in body),
                    name="Layer summary",
                ),
            ),
        ]
    )


def best_heads(run: Run) -> Html:
    """The best heads of every pattern."""
    known = {
        (line.pattern, line.head): line
        for line in lines(run, metric=METRIC, view=VIEW, split=SPLIT)
    }
    sentences = {p["name"]: p.get("sentence", "") for p in run.manifest.get("patterns", [])}
    found = top(run, metric=METRIC, view=VIEW, split=SPLIT, k=HEADS)
    excluded, groups = baselines(run), []
    for pattern, scores in groupby(found, key=lambda score: score.pattern):
        rows = [
            [score.head, *_line_cells(known[pattern, score.head_id], pattern not in excluded)]
            for score in scores
        ]
        rows[0][0] = tag("strong", f"★ {rows[0][0]}")
        sentence = sentences.get(pattern, "")
        sentence = f"Baseline. {sentence}" if pattern in excluded else sentence
        rows[0].insert(0, _pattern_name(pattern, sentence))
        groups.append(rows)
    better = "higher" if metric_named(METRIC).higher_is_better else "lower"
    return join(
        [
            _read(
                f"The {HEADS} heads that each pattern fits best; {better} scores are better, and "
                "the starred head is drawn under “Examples”. Look at the gain before the score: "
                "it says how much closer the pattern comes than the named baseline on the same "
                "rows, and a pattern without gain has found nothing."
            ),
            table(
                f"Best heads of each pattern: {METRIC_TITLES[METRIC]}, view {VIEW}, "
                f"split {SPLIT}, with 95 % intervals",
                [("Pattern", "words"), ("Head", "number"), *_LINE_COLUMNS],
                groups,
                name="Best heads of each pattern",
            ),
        ]
    )


def best_of_each_head(run: Run) -> Html:
    """The best pattern of every head, folded away: it may be a thousand rows."""
    known = {
        (line.pattern, line.head): line
        for line in lines(run, metric=METRIC, view=VIEW, split=SPLIT)
    }
    excluded = baselines(run)
    found = best_patterns(run, metric=METRIC, view=VIEW, split=SPLIT)
    rows = [
        [
            score.head,
            _pattern_name(score.pattern),
            *_line_cells(known[score.pattern, score.head_id], score.pattern not in excluded),
        ]
        for score in found
    ]
    return join(
        [
            _read(
                "For every head the pattern with the best score among those that speak about at "
                "least 90 % of the rows, baselines included: what the head looks like, whether "
                "or not that is a discovery."
            ),
            _folded(
                f"All {len(rows)} heads",
                table(
                    f"Best pattern of each head: {METRIC_TITLES[METRIC]}, view {VIEW}, "
                    f"split {SPLIT}",
                    [("Head", ""), ("Pattern", "words"), *_LINE_COLUMNS],
                    ([row] for row in rows),
                    name="Best pattern of each head",
                ),
            ),
        ]
    )


def gate(run: Run) -> Html:
    """Heads that look away from the sinks where a pattern applies."""
    found = gates(run)
    read = _read(
        "A gated head rests on a sink (or the last token) and leaves it only where its pattern "
        "applies: mean attention on that place in rows to which the pattern applies, against the "
        "other rows of the same texts. Only pairs whose intervals lie apart, the largest "
        "difference of each head first."
    )
    if not found:
        return join([read, tag("p", "No head shows a clear difference.", class_="note")])
    rows = [
        [
            gate.head,
            _pattern_name(gate.pattern),
            gate.place,
            _with_range(gate.on, gate.on_low, gate.on_high),
            _with_range(gate.off, gate.off_low, gate.off_high),
            number(gate.difference),
            f"{gate.on_rows:,} / {gate.off_rows:,}",
        ]
        for gate in found
    ]
    columns = [
        ("Head", ""), ("Pattern", "words"), ("Attention on", ""), ("Applies", "number"),
        ("Does not", "number"), ("Difference", "number"), ("Rows", "number"),
    ]  # fmt: skip
    return join(
        [
            read,
            _both(
                lambda theme: gate_figure(run, theme=theme),
                "Attention on sinks and the last token where a pattern applies and where not; "
                "the table below holds the same numbers.",
            ),
            _folded(
                "The numbers of the figure",
                table("Gates with 95 % intervals", columns, ([row] for row in rows), name="Gates"),
            ),
        ]
    )


def containment(run: Run) -> Html:
    """Which patterns are special cases of which."""
    return join(
        [
            _read(
                "Patterns against each other, no head involved: the share of the row pattern's "
                "attention that lies on keys of the column pattern. 1 means that the column "
                "contains the row, so a head that fits the row will seem to fit the column too."
            ),
            _both(
                lambda theme: containment_figure(run, theme=theme),
                "Heat map: share of each pattern's attention on the keys of every other.",
            ),
        ]
    )


def left_out(run: Run) -> Html:
    """What the run did not score, and why."""
    manifest = run.manifest
    parts = []
    for title, entries in (
        ("Patterns that were not scored", _reasons(manifest.get("skipped", {}))),
        ("Patterns that failed on some texts", _failures(manifest.get("failures", {}))),
        ("Texts that were left out", _reasons(manifest.get("corpus", {}).get("skipped", {}))),
        ("Notes", [text(note) for note in manifest.get("notes", [])]),
    ):
        if entries:
            parts += [tag("p", tag("strong", title)), tag("ul", *(tag("li", e) for e in entries))]
    return join(parts or [tag("p", "Nothing: every pattern was scored on every text.")])


_LINE_COLUMNS = [
    ("Score", "number"), ("Gain", "number"), ("over", ""), ("Coverage", "number"),
    ("Texts", "number"),
]  # fmt: skip


def _line_cells(line: Line, a_finding: bool) -> list[object]:
    good = a_finding and line.worth > 0
    gain = _with_range(line.gain, line.gain_low, line.gain_high, sign=True)
    return [
        _with_range(line.score, line.low, line.high),
        tag("span", gain, class_="good" if good else None),
        line.baseline or "–",
        percent(line.coverage),
        f"{line.texts:,}",
    ]


def _both(draw: "Callable[[ThemeName], Figure]", description: str) -> Html:
    """A figure in both themes."""
    return tag("div", picture(draw("light"), draw("dark"), description), class_="chart")


def _read(sentence: str) -> Html:
    return tag("p", sentence, class_="read")


def _folded(title: str, content: Html) -> Html:
    return tag("details", tag("summary", title), content)


def _pattern_name(name: str, sentence: str = "") -> Html:
    extra = tag("span", sentence, class_="small") if sentence else EMPTY
    return join([tag("span", name, class_="name"), extra])


def _with_range(
    value: float | None, low: float | None, high: float | None, *, sign: bool = False
) -> Html:
    plus = "+" if sign and value is not None and value > 0 else ""
    between = interval(low, high)
    extra = tag("span", between, class_="range") if between else EMPTY
    return join([plus + number(value), extra])


def _estimate(row: Mapping[str, Any] | None) -> Html:
    return text("–") if row is None else _with_range(row["score"], row["low"], row["high"])


def _gain_words(line: Line) -> str:
    between = interval(line.gain_low, line.gain_high)
    return (
        f"gain {number(line.gain)}{f' ({between})' if between else ''} over {line.baseline}, "
        f"on {percent(line.coverage)} of the rows"
    )


def _reasons(entries: Mapping[str, object]) -> list[Html]:
    return [join([tag("span", name, class_="name"), f": {why}"]) for name, why in entries.items()]


def _failures(entries: Mapping[str, int]) -> list[Html]:
    return [
        join([tag("span", name, class_="name"), f": {count:,} text{'s' * (count != 1)}"])
        for name, count in entries.items()
    ]
