"""False acceptances of `discover` where there is nothing to find: attention permuted within rows.

    python benchmarks/discovery_null.py [--runs 20] [--texts 120]

Every run permutes each row of four heads of the bundled storyteller among the keys that the row
sees, anew for every row, so that no rule of tokens predicts it on other texts. The offline search
then proposes three times a head. Prints a line a run, then how many proposals were accepted.
"""

import argparse
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from headscribe.core.heads import HeadId
from headscribe.discovery.material import Items
from headscribe.discovery.run import Settings, discover
from headscribe.fitting.atlas import Item
from headscribe.fitting.sources import attention_items, head_ids
from headscribe.models.inputs import model_inputs
from headscribe.models.loading import load
from headscribe.text.corpora import corpus

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--texts", type=int, default=120)
    options = parser.parse_args()
    model = load("bundled:stories")
    texts = corpus("bundled:samples").limit(options.texts)
    inputs = model_inputs(model, texts, annotator_name="plain", max_tokens=24)
    accepted = proposals = tested = 0
    for seed in range(options.runs):
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
        accepted += found.tally.accepted
        proposals += len(attempts)
        tested += sum(one.select_p is not None for one in attempts)
        print(f"run {seed}: {found.tally.accepted} of {len(attempts)} proposals accepted")
    print(
        f"{accepted} of {proposals} proposals accepted in {options.runs} runs; {tested} were "
        "better on fit by as much as matters, and so were tested"
    )


if __name__ == "__main__":
    main()
