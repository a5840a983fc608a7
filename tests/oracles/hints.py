"""The comparison under hints, slow and obvious, in float64."""

import numpy as np
from scipy.spatial.distance import jensenshannon


def aligned(plain_text, altered_text, start, end, plain, altered):
    """Pairs of shared tokens, by looking at every pair of tokens.

    `plain` and `altered` are lists of (id, first character, last character); the altered text is
    the plain one with the characters `start..end` added. A token is shared if it has the same id
    and covers the same characters of the plain text, all of them outside the insertion, and if,
    among the tokens that cover these characters, it comes at the same place.
    """
    assert altered_text[:start] + altered_text[end:] == plain_text

    def home(begin, stop):
        """Where characters of the altered text stand in the plain one; None inside or astride."""
        if begin == stop:
            return None
        if stop <= start:
            return begin, stop
        if begin >= end:
            return begin - (end - start), stop - (end - start)
        return None

    def astride(begin, stop):
        return begin < start < stop

    pairs = []
    for i, (one, begin, stop) in enumerate(plain):
        if begin == stop or astride(begin, stop):
            continue
        nth = sum(1 for other in plain[:i] if other == (one, begin, stop))
        found = [
            j for j, (id, a, b) in enumerate(altered) if id == one and home(a, b) == (begin, stop)
        ]
        if nth < len(found):
            pairs.append((i, found[nth]))
    return pairs


def measures(plain, altered, rows, keys, inserted):
    """All measures of one head: matrices `(T, T)`, `rows` and `keys` lists of (plain, altered)."""
    distances, counted, last = [], [], np.nan
    total = [np.zeros(len(keys)), np.zeros(len(keys))]
    read = []
    for n, (i, j) in enumerate(rows):
        p = np.array([plain[i, k] for k, _ in keys], np.float64)
        q = np.array([altered[j, k] for _, k in keys], np.float64)
        # A key that either pass cannot see says nothing about what both read.
        both = np.array([k <= i and m <= j for k, m in keys])
        p, q = p * both, q * both
        read.append(sum(float(altered[j, k]) for k in range(*inserted)))
        if p.sum() <= 1e-6 or q.sum() <= 1e-6:
            continue
        p, q = p / p.sum(), q / q.sum()
        distance = jensenshannon(p, q, base=2)
        distances.append(0.0 if np.isnan(distance) else distance)
        counted.append(n)
        total[0] += p
        total[1] += q
        if n == len(rows) - 1:
            last = distances[-1]
    if not distances:
        return {"rows": np.nan, "columns": np.nan, "answer": np.nan, "hint": np.mean(read),
                "hint_answer": read[-1]}  # fmt: skip
    profiles = [one / len(counted) for one in total]
    return {
        "rows": np.mean(distances),
        "columns": np.nan_to_num(jensenshannon(*profiles, base=2)),
        "answer": last,
        "hint": np.mean(read),
        "hint_answer": read[-1],
    }


def slope(y, v, stratum, group):
    """Least squares with a dummy for each stratum; cluster-summed HC3 standard error."""
    names = [] if stratum is None else sorted(set(stratum))
    X = np.array([[v[i], *(float(stratum[i] == s) for s in names)] for i in range(len(y))])
    bread = np.linalg.pinv(X.T @ X)
    beta = bread @ X.T @ y
    hat = X @ bread @ X.T
    meat = np.zeros_like(bread)
    for g in sorted(set(group)):
        score = np.zeros(X.shape[1])
        for i in range(len(y)):
            if group[i] == g:
                score += X[i] * (y[i] - X[i] @ beta) / (1 - hat[i, i])
        meat += np.outer(score, score)
    covariance = bread @ meat @ bread
    return beta[0], np.sqrt(covariance[0, 0])


def poisson_binomial_tail(chances, hits):
    """P(at least so many successes), by adding up every outcome."""
    total = 0.0
    for outcome in range(2 ** len(chances)):
        bits = [(outcome >> n) & 1 for n in range(len(chances))]
        if sum(bits) >= hits:
            total += np.prod([c if b else 1 - c for b, c in zip(bits, chances, strict=True)])
    return total


def blocked(attention, first, last):
    """A head's matrix whose rows after the insertion do not read it."""
    made = np.array(attention, np.float64)
    for i in range(last, len(made)):
        made[i, first:last] = 0
        made[i] /= made[i].sum()
    return made


def restored(plain, altered, rows, keys, first, last):
    """A hinted head's matrix with its unhinted attention in shared rows, blocked in the others."""
    made = blocked(altered, first, last)
    for i, j in rows:
        made[j] = 0
        for k, m in keys:
            made[j, m] = plain[i, k]
        made[j] /= made[j].sum()
    return made
