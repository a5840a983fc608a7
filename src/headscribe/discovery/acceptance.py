"""When a proposal counts as better: a group-sequential test within one error budget for a run.

The budget `LEVEL` is the chance that a run accepts anything where nothing is better. It is shared
evenly by all tests that the run can make (heads times rounds). Each test looks at the gains by text
on `select`, then, where more can be read, at twice as many texts, and so on. A look spends of the
test's share `a` as much as its texts are of all texts, `a_k = a (n_k - n_{k-1}) / n_K`, on a
one-sided t-test clustered by group, corrected for skewness; only the last look may accept by fewer
than `LEAST_GROUPS` groups. By the union bound all looks together err with at most `a`, however they
depend on each other (alpha spending: Lan and DeMets, Biometrika 70, 1983, with the sum of the
looks' levels instead of their joint law, which doubling makes cheap: the last look keeps at least
half).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy import stats

from headscribe.discovery.candidates import Candidate
from headscribe.discovery.reserve import Reserve
from headscribe.discovery.study import HeadTask
from headscribe.fitting.statistics import mean_interval, one_sided

LEVEL = 0.05
"""Chance that a run without any better program accepts one, over all its heads and rounds."""

SMALLEST = 0.01
"""The smallest gain in IoU that matters, by default."""

OF_CONTENT = 0.05
"""The smallest gain that matters as a share of a head's content mass, where that is less."""

LEAST_GROUPS = 40
"""Groups with which a look that is not the last may accept: with fewer its level is not kept."""

POWER = 0.8

OWN = ("formula", "without")
"""Rivals of the head itself, over which a gain has to be as much as matters."""


@dataclass(frozen=True)
class Plan:
    """How the tests of a run share its error budget.

    Attributes:
        tests: that the run can make: heads times rounds.
        smallest: the smallest gain in IoU that matters.
    """

    tests: int
    smallest: float = SMALLEST

    @property
    def level(self) -> float:
        """What one test may spend over all its looks."""
        return LEVEL / self.tests

    def looks(self, first: int, most: int) -> Iterator[tuple[int, float]]:
        """The texts of each look, doubling from `first` to `most`, and the level it spends."""
        before, texts = 0, min(first, most)
        while before < most:
            yield texts, self.level * (texts - before) / most
            before, texts = texts, min(2 * texts, most)

    def matters(self, study: HeadTask) -> float:
        """The smallest gain of a head that matters: `smallest`, or a share of its content mass."""
        return min(self.smallest, OF_CONTENT * study.content_mass)

    def too_few(self, first: int, most: int) -> str | None:
        """Why texts cannot show a gain that matters, and how many would do; None if they can.

        Kindly reckoned: for a gain whose spread from text to text is no larger than itself.
        """
        *_, (_, level) = self.looks(first, most)
        need = texts_needed(1.0, 1.0, level)
        if most >= need:
            return None
        return (
            f"too few texts to accept anything: {most} are left to decide with (a quarter of all), "
            f"and {self.tests} tests share one error budget of {LEVEL:.0%}; about {4 * need} texts "
            "in all would do, or fewer heads or rounds"
        )


def detectable(spread: float, groups: int, level: float) -> float:
    """The gain that a one-sided t-test finds 80 % of the time."""
    if groups < 2:
        return float("inf")
    quantiles = stats.t.isf(level, groups - 1) + stats.t.ppf(POWER, groups - 1)
    return float(quantiles * spread / np.sqrt(groups))


def texts_needed(spread: float, effect: float, level: float) -> int:
    """Texts, each a group of its own, with which a gain is found 80 % of the time."""
    low, high = 2, 4
    while detectable(spread, high, level) > effect:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if detectable(spread, middle, level) > effect:
            low = middle + 1
        else:
            high = middle
    return high


def p_value(gains: Float[np.ndarray, " n"], group: Int[np.ndarray, " n"]) -> float:
    """The p-value of "the mean gain is at most 0", clustered by group, kept honest under skewness.

    The larger of Student's t and Hall's transformation of it for skewed values (Journal of the
    Royal Statistical Society B 54, 1992): with `S = mean / sd` over `n` groups of skewness `g` the
    statistic is `sqrt(n) (S + g S^2 / 3 + g^2 S^3 / 27 + g / (6 n))`. Gains of a rule that seldom
    hurts, but then much, are skewed to the left: at levels of 0.001 Student's t alone accepts 6 to
    22 times too often.
    """
    plain = float(one_sided(gains, group, 0.0))
    total, texts = np.bincount(group, gains), np.bincount(group)
    n, mean = len(texts), float(gains.mean())
    residual = (total - mean * texts) * n / len(gains)
    spread = float(np.sqrt((residual**2).mean()))
    if n < 2 or spread < 1e-12:
        return plain
    skewness = float((residual**3).mean()) / spread**3
    size = mean / spread
    hall = size + skewness * size**2 / 3 + skewness**2 * size**3 / 27 + skewness / (6 * n)
    return max(plain, float(stats.t.sf(np.sqrt(n - 1) * hall, n - 1)))


@dataclass(frozen=True)
class Verdict:
    """What the test said of a candidate.

    Attributes:
        better: surely, and by as much as matters.
        p: the largest p-value over the rivals at the last look; `level`: what it had to be below.
        gain: the mean gain over the formula there; `texts`: of how many texts.
        detectable: the gain over the formula that so many texts find 80 % of the time.
    """

    better: bool
    p: float
    level: float
    gain: float
    texts: int
    detectable: float


GainsOf = Callable[[int], tuple[Mapping[str, Float[np.ndarray, " n"]], Shaped[np.ndarray, " n"]]]
"""Gains over every rival by text, and the group of each, of the first so many texts."""


def verdict(gains_of: GainsOf, first: int, most: int, plan: Plan, matters: float) -> Verdict:
    """Look at gains, at twice as many, and so on, until it is decided or there are no more.

    Decided is also what cannot matter: where the upper end of the 95 % interval of a gain lies
    below the smallest that matters. Giving up early accepts nothing, and costs no level.

    Args:
        gains_of: gains over every rival by text (`formula` among them) with the group of each, of
            the first so many texts.
        first: texts of the first look; `most`: all that there are.
        matters: the smallest gain that matters over the formula, and over what is left of the
            candidate without what is new.
    """
    for texts, level in plan.looks(first, most):
        gains, group = gains_of(texts)
        group = np.unique(group, return_inverse=True)[1]
        p = max(p_value(gain, group) for gain in gains.values())
        mean, low, high = (float(end) for end in mean_interval(gains["formula"], group))
        groups = int(group.max()) + 1
        spread = 0.0
        if groups > 1:
            spread = (high - low) / 2 / float(stats.t.ppf(0.975, groups - 1)) * groups**0.5
        enough = groups >= LEAST_GROUPS or texts == most
        asked = {name: matters if name in OWN else 0.0 for name in gains}
        much = all(float(np.mean(gain)) >= asked[name] for name, gain in gains.items())
        better = p < level and much and enough
        found = Verdict(better, p, level, mean, len(group), detectable(spread, groups, level))
        hopeless = any(
            float(mean_interval(gain, group)[2]) < asked[name] for name, gain in gains.items()
        )
        if better or hopeless:
            break
    return found


def decided(study: HeadTask, made: Candidate, plan: Plan, reserve: Reserve | None) -> Verdict:
    """Test a candidate on `select`, and on as many further texts as it takes.

    It has to beat every rival, and what is left of it without what is new, so that terms which made
    room, and were right on `fit` alone, are no merit of what took their place. The largest p-value
    decides without a correction (an intersection-union test, Berger 1982).

    Raises:
        FailedError: a program gave no matrix for a text.
    """
    texts = list(study.material.texts("select"))
    own = made.iou("select")
    known = {name: own - rival[texts] for name, rival in study.rivals.items()}
    if made.without is not None:
        known["without"] = own - made.without.iou("select")
    group: list[str] = [study.material.passages[text].group for text in texts]

    def gains_of(number: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
        nonlocal known
        if reserve is not None and number > len(group):
            drawn, names = reserve.gains(study, made, len(group) - len(texts), number - len(texts))
            known = {name: np.append(gain, drawn[name]) for name, gain in known.items()}
            group.extend(names)
        return known, np.array(group)

    most = len(texts) + (0 if reserve is None else len(reserve))
    return verdict(gains_of, len(texts), most, plan, plan.matters(study))
