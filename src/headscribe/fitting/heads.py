"""What is known of every head after a fit: its formula, scores with intervals, labels."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from headscribe.core.heads import HeadId, absent
from headscribe.fitting.findings import Findings
from headscribe.fitting.formula import Formula
from headscribe.fitting.headline import Headline
from headscribe.fitting.labels import Label
from headscribe.fitting.stages import Fitted
from headscribe.fitting.statistics import mean_interval

METRICS = ("iou", "jsd")

ALL_METRICS = (*METRICS, "overlap", "sae")
"""The mean overlap `m` and `SAE = 2 (1 - m)` of a row follow from a text's IoU, `m / (2 - m)`."""


@dataclass(frozen=True)
class Estimate:
    """A mean over texts with its 95 % interval, clustered by group."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(
        cls, values: Float[np.ndarray, " texts"], group: Int[np.ndarray, " texts"]
    ) -> "Estimate":
        """Estimate the mean; NaN values do not count."""
        mean, low, high = mean_interval(values, group)
        return cls(float(mean), float(low), float(high))

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class HeadFormula:
    """What is known of one head.

    Attributes:
        formula: its formula, named after the head.
        scores: estimates by (`formula` or `profile` or `gain`, view, metric); a gain is positive
            where the formula is better than the profile.
        labels: the patterns that it follows.
        pattern: the best pattern of the catalogue and its IoU; None where none was asked for.
        folds: folds by whose formulas, chosen and fitted without the texts that they were scored
            on, the scores were measured; 0 where the formula that is shown was scored itself.
    """

    head: HeadId
    formula: Formula
    scores: dict[tuple[str, str, str], Estimate]
    labels: tuple[Label, ...] = ()
    pattern: tuple[str, Estimate] | None = None
    folds: int = 0

    @property
    def iou(self) -> float:
        """Mean IoU of the formula on unseen texts."""
        return self.scores["formula", "raw", "iou"].mean

    @property
    def headline(self) -> Headline | None:
        """The formula in plain words, where it is all that there is to say."""
        return Headline.of(self.formula, self.iou)

    @property
    def follows(self) -> str:
        """What the head follows, in words; `unexplained` only where its formula gains nothing."""
        if self.labels:
            return ", ".join(label.pattern for label in self.labels)
        if self.scores["gain", "raw", "iou"].low > 0:
            return "no pattern alone; its formula is better than its profile"
        return "unexplained: neither a pattern nor its formula is surely better than its profile"

    def __str__(self) -> str:
        own, profile = self.scores["formula", "raw", "iou"], self.scores["profile", "raw", "iou"]
        gain = self.scores["gain", "raw", "iou"]
        whose = "on unseen texts, by fold" if self.folds else "on the test texts"
        lines = str(self.formula).split("\n")
        lines[0] = (
            f"{self.head.prose}   IoU {own} {whose}   profile {profile.mean:.2f}, "
            f"gain {gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})"
        )
        return "\n".join(lines)

    __repr__ = __str__


@dataclass(frozen=True)
class Atlas:
    """A formula for every head.

    Attributes:
        heads: the heads, in the order of the attention.
        folds: number of folds; 0 where texts of their own were scored.
        by_text: scores by text, `(H, formula/profile, view, metric, texts)`.
        group: the number of each text's group.
        by_fold: the formulas that were scored, by fold.
        fitted: the formulas that are shown, as the stages hand them on.
        findings: what the heads have in common; None where nobody looked.
        profile: mean attention of every head by cell class, from all texts that were fitted to.
        notes: what a reader of the scores should know.
    """

    heads: tuple[HeadFormula, ...]
    terms: int
    folds: int
    by_text: Float[np.ndarray, "H 2 2 2 texts"]
    group: Int[np.ndarray, " texts"]
    by_fold: tuple[tuple[Fitted, ...], ...] = field(repr=False, default=())
    fitted: tuple[Fitted, ...] = field(repr=False, default=())
    findings: Findings | None = field(repr=False, default=None)
    profile: Float[np.ndarray, "H C"] | None = field(repr=False, default=None)
    notes: tuple[str, ...] = ()

    @property
    def scored(self) -> str:
        """Whose scores these are: a sentence."""
        if not self.folds:
            return "Scores are of the formulas shown, on texts that they were not fitted on."
        return (
            f"Scores are by fold: of formulas that were chosen and fitted in the same way without "
            f"the texts that they are scored on ({self.folds} folds); the formula shown is fitted "
            "to all texts."
        )

    def mean(self, what: str, view: str = "raw", metric: str = "iou") -> Estimate:
        """The mean over heads, with an interval over texts."""
        return Estimate.of(series(self.by_text, what, view, metric).mean(axis=0), self.group)

    def __getitem__(self, head: HeadId | str) -> HeadFormula:
        wanted = HeadId.of(head)
        for head_formula in self.heads:
            if head_formula.head == wanted:
                return head_formula
        raise absent(wanted, (fitted.head for fitted in self.heads), "the fit")

    def to_json(self) -> dict[str, object]:
        """The stable document of `fit --json`."""
        gains = [head.scores["gain", "raw", "iou"].mean for head in self.heads]
        return {
            "terms": self.terms,
            "heads": len(self.heads),
            "folds": self.folds,
            "scored": self.scored,
            "test": {metric: _summary(self, "formula", metric) for metric in METRICS}
            | {
                "gain": _summary(self, "gain", "iou") | {"above_0.05": sum(g > 0.05 for g in gains)}
            },
            "by_head": [
                {
                    "head": str(head_formula.head),
                    "formula": head_formula.formula.to_json(),
                    "in_words": None
                    if head_formula.headline is None
                    else str(head_formula.headline),
                    "iou": head_formula.iou,
                    "jsd": head_formula.scores["formula", "raw", "jsd"].mean,
                    "gain": head_formula.scores["gain", "raw", "iou"].mean,
                    "labels": [label.pattern for label in head_formula.labels],
                }
                for head_formula in self.heads
            ],
        }


def series(
    by_text: Float[np.ndarray, "H 2 2 2 texts"], what: str, view: str, metric: str
) -> Float[np.ndarray, "H texts"]:
    """The scores of every head by text: of its `formula`, of its `profile`, or the `gain`."""
    v = ("raw", "content").index(view)
    if what == "gain":
        one, two = (series(by_text, each, view, metric) for each in ("formula", "profile"))
        return one - two if metric in ("iou", "overlap") else two - one
    own = by_text[:, ("formula", "profile").index(what), v]
    if metric in METRICS:
        return own[:, METRICS.index(metric)]
    overlap: Float[np.ndarray, "H texts"] = 2 * own[:, 0] / (1 + own[:, 0])
    return overlap if metric == "overlap" else 2 - 2 * overlap


def _summary(atlas: Atlas, what: str, metric: str) -> dict[str, float]:
    estimate = atlas.mean(what, "raw", metric)
    each = [head.scores[what, "raw", metric].mean for head in atlas.heads]
    return {
        "mean": estimate.mean,
        "median": float(np.median(each)),
        "low": estimate.low,
        "high": estimate.high,
    }
