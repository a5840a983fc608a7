"""What replacement does to a model: loss, divergence and likeness, text by text, paired."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from headscribe.core.errors import UsageError, unknown_name
from headscribe.core.progress import OnProgress, silent
from headscribe.models.batching import batches
from headscribe.models.model import Model
from headscribe.models.resuming import resumable
from headscribe.replacement.apply import Substituted
from headscribe.replacement.cache import RowCache
from headscribe.replacement.passes import TextReading, copies, readings_of
from headscribe.replacement.plan import Plan
from headscribe.scoring.statistics import ratio
from headscribe.text.passages import Passage

Metric = Literal[
    "loss", "perplexity", "word_perplexity", "pseudo_perplexity", "word_pseudo_perplexity",
    "kl", "cosine",
]  # fmt: skip

METRICS: dict[str, tuple[Metric, ...]] = {
    "causal": ("perplexity", "word_perplexity", "loss", "kl"),
    "masked": ("pseudo_perplexity", "word_pseudo_perplexity", "loss", "kl"),
    "encoder": ("cosine",),
}
"""What can be measured of each kind of model, the headline first.

loss                     mean negative log-likelihood of a token, nats
perplexity               its exponential; word_perplexity: per word instead of per token
pseudo_perplexity        the same with every token masked in turn (Salazar et al., ACL 2020)
kl                       mean divergence of the altered predictions from the unaltered, nats
cosine                   mean cosine of the last hidden states, altered and unaltered, by token
"""


_WIDTH = 1e-12
"""An interval of less holds nothing but rounding: there is nothing to tell it by."""


@dataclass(frozen=True)
class Estimate:
    """A metric of an altered model beside the unaltered one, on the same texts.

    Attributes:
        unaltered: the metric without replacement (0 for `kl`, 1 for `cosine`).
        increase: `value / unaltered - 1`; for `kl` the value itself.
        low: lower end of the increase's 95 % interval, paired over texts and clustered by group;
            NaN where there is one group only, or every group has the same.
        high: upper end.
    """

    unaltered: float
    value: float
    increase: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Readings:
    """Sums over the scored tokens of every text, for the unaltered model and each plan.

    Attributes:
        kind: of the model: `causal`, `masked`, `encoder`.
        tokens: scored tokens, shape `(N,)`.
        words: words that these touch, shape `(N,)`.
        unaltered: sums of the untouched model's losses, shape `(N,)`; 0 for encoders.
        loss: the same under each plan, shape `(P, N)`.
        shift: under each plan, divergences, or cosines for encoders, shape `(P, N)`.
    """

    kind: str
    groups: tuple[str, ...]
    tokens: Float[np.ndarray, " N"]
    words: Float[np.ndarray, " N"]
    unaltered: Float[np.ndarray, " N"]
    loss: Float[np.ndarray, "P N"]
    shift: Float[np.ndarray, "P N"]

    @property
    def headline(self) -> Metric:
        """The metric that matters most for this kind of model."""
        return METRICS[self.kind][0]

    def estimate(
        self, plan: int | Sequence[int], metric: Metric | None = None, against: int | None = None
    ) -> Estimate:
        """A metric under a plan; under several, the mean over them (random orders).

        A perplexity's interval is that of the mean difference of log-likelihood per token (or
        word), exponentiated.

        Args:
            metric: the headline by default.
            against: another plan that takes the place of the untouched model, text by text.

        Raises:
            UsageError: this kind of model has no such metric, or no text has a scored token.
        """
        name = self.headline if metric is None else metric
        if name not in METRICS[self.kind]:
            known = [str(one) for one in METRICS[self.kind]]
            raise unknown_name(f"metric of a {self.kind} model", name, known)
        if not self.tokens.sum():
            raise UsageError("expected texts of at least two tokens, got nothing to predict")
        chosen = [plan] if isinstance(plan, int) else list(plan)
        loss, shift = self.loss[chosen].mean(axis=0), self.shift[chosen].mean(axis=0)
        first = self.unaltered if against is None else self.loss[against]
        change = loss - first
        if name in ("kl", "cosine"):
            none = np.zeros_like(self.tokens) if name == "kl" else self.tokens
            start = none if against is None else self.shift[against]
            before = float(start.sum() / self.tokens.sum())
            mean = self._ratio(shift - start, self.tokens if name == "kl" else start)
            return Estimate(before, float(shift.sum() / self.tokens.sum()), *mean)
        if name == "loss":
            before = float(first.sum() / self.tokens.sum())
            mean = self._ratio(change, first)
            return Estimate(before, before * (1 + mean[0]), *mean)
        count = self.words if name.startswith("word") else self.tokens
        before = np.exp(first.sum() / count.sum())
        mean = self._ratio(change, count)
        low, middle, high = np.expm1([mean[1], mean[0], mean[2]])
        value = np.exp(loss.sum() / count.sum())
        return Estimate(float(before), float(value), float(middle), float(low), float(high))

    def _ratio(
        self, total: Float[np.ndarray, " N"], count: Float[np.ndarray, " N"]
    ) -> tuple[float, float, float]:
        """Mean of `total / count` with its interval, clustered by group."""
        _, group = np.unique(np.array(self.groups), return_inverse=True)
        mean, low, high = ratio(np.bincount(group, total), np.bincount(group, count))
        if high - low < _WIDTH:
            return float(mean), np.nan, np.nan
        return float(mean), float(low), float(high)


def measure(
    model: Model,
    plans: Sequence[Plan],
    passages: Sequence[Passage],
    *,
    token_budget: int = 2048,
    positions: int | None = None,
    done: Mapping[int, TextReading] | None = None,
    on_progress: OnProgress = silent,
) -> Iterator[tuple[int, TextReading]]:
    """Read the model, unaltered and under every plan, one batch of texts after the other.

    All plans are read on a batch before the next, so that each program predicts each text once.

    Args:
        token_budget: tokens a batch; for masked models, of masked copies.
        positions: masked models: mask so many tokens a text, chosen by hash; None for all.
        done: readings of texts that an interrupted run has had already.
        on_progress: called after every plan, with the forward passes of single texts.

    Yields:
        The position of a text and its reading; those of `done` are not repeated.

    Raises:
        UsageError: before the first pass: what `Plan.check` raises, and what the model cannot be
            measured for; later: a program that fails or looks ahead on a text.
    """
    begins = {Substituted(plan, model).first for plan in plans} - {0}
    layers = resumable(model, sorted(begins)) if begins else None
    left = [index for index in range(len(passages)) if index not in (done or {})]
    passes = [copies(model, passage, positions) * (len(plans) + 1) for passage in passages]
    made, total = sum(passes) - sum(passes[index] for index in left), sum(passes)

    def passed(number: int) -> None:
        nonlocal made
        made += number
        on_progress("replacing", made, total)

    for batch in batches([passages[index] for index in left], token_budget):
        chosen = [left[position] for position in batch]
        cache = RowCache()
        substitutions = [Substituted(plan, model, cache) for plan in plans]
        texts = [passages[index] for index in chosen]
        readings = readings_of(model, texts, substitutions, token_budget, positions, passed, layers)
        yield from zip(chosen, readings, strict=True)


def collect(
    model: Model, passages: Sequence[Passage], readings: Mapping[int, TextReading], plans: int
) -> Readings:
    """Put the readings of all texts together.

    Raises:
        UsageError: a text has not been read.
    """
    missing = [index for index in range(len(passages)) if index not in readings]
    if missing:
        raise UsageError(f"text {passages[missing[0]].text_id} has not been read")
    ordered = [readings[index] for index in range(len(passages))]
    return Readings(
        model.kind,
        tuple(passage.group for passage in passages),
        np.array([reading.tokens for reading in ordered]),
        np.array([reading.words for reading in ordered]),
        np.array([reading.unaltered for reading in ordered]),
        np.array([reading.loss for reading in ordered]).reshape(-1, plans).T,
        np.array([reading.shift for reading in ordered]).reshape(-1, plans).T,
    )
