"""What a replacement says in words: the untouched model first, then what its intervals allow."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from headscribe.models.model import Model
from headscribe.replacement.curves import Curves, Point
from headscribe.replacement.measure import Estimate
from headscribe.text.passages import Passage

CONTROLS = {
    "profile": "profiles",
    "fixed": "fixed patterns",
    "shuffled": "other heads' programs",
    "zero": "silence",
    "mean": "mean attention",
}
"""How controls are called in a sentence."""


@dataclass(frozen=True)
class Findings:
    """What stands above the figures.

    Attributes:
        untouched: what the untouched model reaches on these texts, and what that means.
        warnings: why the figures may not mean what they seem to.
        conclusions: what intervals that leave out zero allow to say; none where the texts lie
            outside of what the model knows.
    """

    untouched: str
    warnings: tuple[str, ...]
    conclusions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As `run.json` keeps them."""
        return {**asdict(self), "lines": self.lines}

    @property
    def lines(self) -> list[str]:
        """All of it, in the order in which it is to be read."""
        return [
            *(f"NOTE: {warning}" for warning in self.warnings),
            self.untouched,
            *self.conclusions,
        ]


def findings(
    model: Model,
    found: Curves,
    measured: Sequence[Passage],
    fit: Sequence[Passage],
    warnings: Sequence[str] = (),
) -> Findings:
    """Put a measurement into words.

    Args:
        warnings: what is known already against the figures.
    """
    metric = found.readings.headline
    said = list(warnings)
    if metric == "cosine":
        untouched = (
            "Cosine of the last hidden states with those of the untouched model: 1 is no change."
        )
        return Findings(untouched, tuple(said), tuple(_conclusions(found)))
    name = metric.replace("_", "-")
    reached = found.readings.estimate(found.row[0]).unaltered
    guess = guessing(model, measured, fit)
    untouched = (
        f"Untouched, the model has a {name} of {reached:,.4g} on these texts: as unsure of a token "
        f"as among so many equally likely ones. A guess that reads nothing has {guess:,.4g}."
    )
    if reached >= guess:
        said.append(
            f"the untouched model predicts these texts no better ({name} {reached:,.4g}) than a "
            f"guess that reads nothing ({guess:,.4g}): they lie outside of what it knows. What "
            "replacing heads does to its loss says nothing here about what the heads do; a change "
            "for the better does not either. No conclusion is drawn."
        )
        return Findings(untouched, tuple(said), ())
    return Findings(untouched, tuple(said), tuple(_conclusions(found)))


def guessing(model: Model, measured: Sequence[Passage], fit: Sequence[Passage]) -> float:
    """The perplexity of the best guess without context.

    The lowest of three: every token of the vocabulary alike; as often as tokens occur in the fit
    texts; as often as in the other measured texts. Counts are one more than found, so that what was
    never seen has a chance.
    """
    size = int(model.hf.config.get_text_config().vocab_size)
    own = [_counts(passage, size) for passage in measured]
    elsewhere = sum((_counts(passage, size) for passage in fit), np.zeros(size))
    here = sum(own, np.zeros(size))
    tokens = here.sum()

    def perplexity(counts: Sequence[np.ndarray]) -> float:
        nats = sum(
            float(text @ (np.log(np.sum(known + 1)) - np.log(known + 1)))
            for text, known in zip(own, counts, strict=True)
        )
        return float(np.exp(nats / max(tokens, 1)))

    return min(
        float(size), perplexity([elsewhere] * len(own)), perplexity([here - text for text in own])
    )


def _counts(passage: Passage, size: int) -> np.ndarray:
    """How often each token occurs, those that the tokenizer added left out."""
    ids = np.asarray(passage.ids)[~np.asarray(passage.is_special, bool)]
    return np.bincount(ids[ids < size], minlength=size).astype(float)


def _conclusions(curves: Curves) -> list[str]:
    points = [
        (point, row)
        for point, row in zip(curves.points, curves.row, strict=True)
        if not point.tuned and point.order in ("best_first", "own_best_first")
    ]
    programs = [(point, row) for point, row in points if point.program == "formula"]
    shares = sorted({point.fraction for point, _ in programs})
    quarter = max((share for share in shares if share <= 0.25), default=None)
    chosen = sorted({share for share in (quarter, 0.5, shares[-1]) if share in shares})
    return [
        _conclusion(curves, point, row, [at for at in points if at[0].fraction == point.fraction])
        for point, row in programs
        if point.fraction in chosen
    ]


def _conclusion(curves: Curves, one: Point, row: int, points: Sequence[tuple[Point, int]]) -> str:
    """One share of heads: the change, and the best control if it does differ from the programs."""
    readings = curves.readings
    metric = readings.headline.replace("_", "-")
    heads = f"{len(one.heads)} head{'s' * (len(one.heads) != 1)} ({one.fraction:.0%})"
    begin = f"With {heads} replaced by their programs"
    own = readings.estimate(row)
    if np.isnan(own.low):
        one_group = len(set(readings.groups)) == 1
        why = "one group of texts" if one_group else "the same change in every text"
        return f"{begin}: {why} gives no interval, so that nothing can be concluded."
    if _sure(own):
        said = f"{begin} the {metric} changes by {_change(own)}"
    else:
        said = f"{begin} no change of the {metric} can be told from none ({_interval(own)})"
    worse = -1.0 if readings.headline == "cosine" else 1.0
    others = [(point, at) for point, at in points if point.program in CONTROLS]
    if not others:
        return f"{said}."
    best, at = min(others, key=lambda other: worse * readings.estimate(other[1]).increase)
    name = CONTROLS[best.program] + (
        ", in their own order," if best.order == "own_best_first" and one.fraction < 1 else ""
    )
    control = readings.estimate(at)
    if not _sure(readings.estimate(row, against=at)):
        return f"{said}; the best control ({name} {_change(control)}) cannot be told from that."
    return f"{said}; with the best control ({name.rstrip(',')}) by {_change(control)}."


def _sure(estimate: Estimate) -> bool:
    return estimate.low > 0 or estimate.high < 0


def _change(estimate: Estimate) -> str:
    return f"{estimate.increase:+.1%} ({_interval(estimate)})"


def _interval(estimate: Estimate) -> str:
    return (
        "no interval" if np.isnan(estimate.low) else f"{estimate.low:+.1%} to {estimate.high:+.1%}"
    )
