"""Example texts: the best head of each pattern, its real attention, the prediction, both's gap."""

from collections.abc import Mapping, Sequence

import numpy as np

from headscribe.core.arrays import Attention
from headscribe.report.figures import DIFFERENCE
from headscribe.report.labels import number
from headscribe.report.markup import LINE, Html, join, tag, text
from headscribe.report.matrices import panels
from headscribe.report.reading import baselines
from headscribe.report.sections import METRIC, SPLIT, VIEW
from headscribe.results.examples import Example, read_examples
from headscribe.results.queries import Score, top
from headscribe.results.run import Run

SHORT = 32
"""Texts of up to so many tokens are preferred: three matrices of them fit a screen."""

OPEN = 2
"""So many examples are unfolded at first."""

_SCALE = Html(
    '<p class="scale"><span>attention 0 <i style="background:var(--attention)"></i> 1, by its '
    'square root</span><span>only predicted <i style="background:var(--difference)"></i> only '
    'real</span><span><i class="hatched"></i> rows that the pattern says nothing about</span></p>'
)


def examples(run: Run) -> Html:
    """For each pattern its best head on the short text of which the pattern speaks most."""
    texts = read_examples(run)
    excluded = baselines(run)
    drawn: list[Html] = []
    for score in top(run, metric=METRIC, view=VIEW, split=SPLIT, k=1):
        if score.pattern in excluded:
            continue
        example = _fitting(list(texts.values()), score)
        if example is not None:
            drawn.append(_drawn(score, example, opened=len(drawn) < OPEN, first=not drawn))
    if not drawn:
        return tag("p", "No example text was kept of which a pattern speaks.", class_="note")
    return join(
        [
            tag(
                "p",
                "Rows are queries, the tokens that attend; columns are keys, the tokens attended "
                "to; every row sums to 1. A pattern is right where the first two pictures agree "
                "and the third is empty.",
                class_="read",
            ),
            _SCALE,
            *drawn,
        ],
        LINE,
    )


def _fitting(texts: Sequence[Example], score: Score) -> Example | None:
    """The short text with the greatest share of rows covered; the first of equals."""
    found = [
        (len(example.labels) <= SHORT, float(np.mean(_covered(example, score.pattern))), example)
        for example in texts
        if score.head in example.heads and score.pattern in example.patterns
    ]
    found = [entry for entry in found if entry[1] > 0]
    return max(found, key=lambda entry: entry[:2])[2] if found else None


def _covered(example: Example, pattern: str) -> Attention:
    return np.asarray(example.patterns[pattern].matrix().any(axis=1))


def _drawn(score: Score, example: Example, *, opened: bool, first: bool) -> Html:
    real = example.heads[score.head].matrix()
    predicted = example.patterns[score.pattern].matrix()
    covered = predicted.any(axis=1, keepdims=True)
    head = score.head_id.prose
    matrices: Mapping[str, Attention] = {
        f"{head}, real": real,
        "predicted": predicted,
        DIFFERENCE: np.where(covered, real - predicted, 0.0),
    }
    summary = tag(
        "summary",
        tag("span", score.pattern, class_="name"),
        tag("span", f" ★ {head}, distance {number(score.score)} over all texts", class_="small"),
    )
    return tag(
        "details",
        summary,
        tag("blockquote", tag("bdi", " ".join(str(example.facts.get("text", "")).split()))),
        tag("p", text(f"Text {example.text_id}"), class_="small"),
        panels(example.labels, matrices, f"{head} and {score.pattern}"),
        open=opened,
        class_="top" if first else None,
    )
