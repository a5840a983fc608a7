"""False acceptances of `discover` where there is nothing to find: attention permuted within rows.

    python benchmarks/discovery_null.py [--runs 20] [--candidates 200] [--texts 120]

Every run permutes each row of four heads of the bundled storyteller among the keys that the row
sees, anew for every row, so that no rule of tokens predicts it on other texts. The offline search
then proposes three times a head. Few of its proposals are good enough on `fit` to be tested at all,
so that the test itself is tried on candidates that nobody sifted: pairs of relations at random,
refitted, each tested as if it had the whole error budget, and as if any gain mattered. Prints how
many were accepted; a line a run goes to stderr.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from headscribe.core.heads import HeadId
from headscribe.discovery.acceptance import LEVEL, SMALLEST, Plan, Verdict, decided
from headscribe.discovery.code import InvalidError
from headscribe.discovery.material import Items, gather
from headscribe.discovery.refit import refitted
from headscribe.discovery.run import Settings, discover
from headscribe.discovery.study import study_heads
from headscribe.fitting.atlas import Item
from headscribe.fitting.selection import Budget
from headscribe.fitting.sources import attention_items, head_ids
from headscribe.models.inputs import Inputs, model_inputs
from headscribe.models.loading import load
from headscribe.models.model import Model
from headscribe.text.corpora import corpus

TERMS = Budget(terms=4)

PER_STUDY = 40
"""Candidates on one permutation of the heads."""

HEADS = (HeadId(0, 1), HeadId(1, 2), HeadId(3, 2), HeadId(4, 0))


def permuted(items: Items, seed: int) -> Items:
    """The same texts, each row's attention dealt out anew among the keys that it sees."""

    def dealt() -> Iterable[Item]:
        rng = np.random.default_rng(seed)
        for passage, attention, visibility in items():
            seen = visibility.dense(len(passage))
            order = np.where(seen, rng.random((len(attention), *seen.shape)), np.inf).argsort(-1)
            found = np.zeros_like(attention)
            for q in range(len(passage)):
                keys = np.flatnonzero(seen[q])
                own = order[:, q, : len(keys)]
                found[:, q, keys] = np.take_along_axis(attention[:, q], own, axis=-1)
            yield passage, found, visibility

    return dealt


def searched(inputs: Inputs, model: Model, seed: int) -> tuple[int, int, int]:
    """Proposals of a run of the search, those that were tested, those that were accepted."""
    with tempfile.TemporaryDirectory() as folder:
        found = discover(
            permuted(lambda: attention_items(model, inputs.passages), seed),
            head_ids(model),
            HEADS,
            Path(folder) / "run",
            model="permuted",
            settings=Settings(terms=4, look_ahead=False, seed=seed),
        )
    attempts = [attempt for one in found.outcomes for attempt in one.attempts]
    return len(attempts), sum(a.select_p is not None for a in attempts), found.tally.accepted


def unsifted(inputs: Inputs, model: Model, seed: int, number: int) -> list[Verdict]:
    """What the test says of so many pairs of relations, each with the whole budget."""
    material = gather(
        permuted(lambda: attention_items(model, inputs.passages), seed),
        head_ids(model),
        HEADS,
        model="permuted",
        look_ahead=False,
        seed=seed,
        whole=False,
    )
    studies = study_heads(material, TERMS)
    rng = np.random.default_rng(seed)
    found: list[Verdict] = []
    while len(found) < number:
        one, other = (
            material.sample.pool[i] for i in rng.integers(len(material.sample.pool), size=2)
        )
        study = studies[len(found) % len(studies)]
        try:
            made = refitted(study, [f"({one}) * ({other})", f"({one}) and ({other})"])
        except InvalidError:  # too long, or the same for all keys
            continue
        if made.new:
            found.append(decided(study, made, Plan(1, smallest=0.0), None))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--texts", type=int, default=120)
    options = parser.parse_args()
    model = load("bundled:stories")
    texts = corpus("bundled:samples").limit(options.texts)
    inputs = model_inputs(model, texts, annotator_name="plain", max_tokens=24)
    runs = []
    for seed in range(options.runs):
        runs.append(searched(inputs, model, seed))
        print(f"run {seed}: proposals, tested, accepted {runs[-1]}", file=sys.stderr, flush=True)
    verdicts: list[Verdict] = []
    while len(verdicts) < options.candidates:
        left = options.candidates - len(verdicts)
        verdicts += unsifted(inputs, model, len(verdicts), min(PER_STUDY, left))
    proposals, tested, accepted = map(sum, zip(*runs, strict=True))
    false = sum(one.better for one in verdicts)
    much = sum(one.better and one.gain >= SMALLEST for one in verdicts)
    print(
        f"nothing to find: the search had {accepted} of {proposals} proposals accepted in "
        f"{len(runs)} runs ({tested} were good enough on fit to be tested); of {len(verdicts)} "
        f"candidates at random {false} were accepted ({false / len(verdicts):.1%}; the budget is "
        f"{LEVEL:.0%}), {much} of them with a gain that matters in a run"
    )
    p = np.array([one.p for one in verdicts])
    below = ", ".join(
        f"{(p < level).mean():.1%} below {level:g}" for level in (0.01, 0.05, 0.1, 0.5)
    )
    print(f"p-values of the candidates: {below}")


if __name__ == "__main__":
    main()
