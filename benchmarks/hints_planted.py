"""Do the ranks of heads find what copies a hint, and is nothing flagged where nothing does?

    python -m benchmarks.hints_planted [--copier FOLDER...] [--seeds 10] [--questions 600]

The models are those of `training/hints` in `tests/data/hints`: a copier of hints, and two twins
that change as many answers without heeding what the hint says. The truth about the copier comes
from a Llama written out in float64 whose heads are kept from reading the hint, with nothing of the
library in it. Every seed has questions and hinted choices of its own. Writes Markdown to stdout.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool

import headscribe as hs
from headscribe.api.hints import Hints
from headscribe.core.heads import HeadId
from headscribe.fitting.statistics import benjamini_yekutieli
from headscribe.hinting.comparison import Finding
from headscribe.hinting.effects import pairs, traced
from headscribe.hinting.questions import Question, questions_of
from headscribe.hinting.reading import ALTERED
from headscribe.hinting.run import HintStudy
from headscribe.hinting.statistics import RATE, slopes
from tests.oracles.planted_hints import FOLDER, Oracle
from training.hints.questions import test_rows

HEADS = [HeadId(layer, head) for layer in range(4) for head in range(8)]
TWINS = ("note_twin", "hint_twin")
ENOUGH = 0.95  # of the answers that the heads which copy must bring back together
GREEDY = 80  # answers on which sets of heads are looked for

Followed = Sequence[tuple[Question, int, int]]


def restored(oracle: Oracle, followed: Followed, heads: Sequence[HeadId]) -> float:
    """The share of answers that are the unhinted ones again when heads are blocked."""
    blocked = tuple((head.layer, head.head) for head in heads)
    return float(
        np.mean([
            int(oracle.logits(question, hinted, blocked).argmax()) == before
            for question, hinted, before in followed
        ])
    )  # fmt: skip


def growing_sets(oracle: Oracle, followed: Followed) -> Iterator[tuple[list[HeadId], float]]:
    """The best head, the best with it, and so on until enough answers come back."""
    heads: list[HeadId] = []
    share = 0.0
    while share < ENOUGH and len(heads) < 8:
        rest = [head for head in HEADS if head not in heads]
        shares = [restored(oracle, followed, [*heads, head]) for head in rest]
        best = int(np.argmax(shares))
        heads, share = [*heads, rest[best]], shares[best]
        yield heads, share


def ungated(study: HintStudy) -> Bool[np.ndarray, " h"]:
    """Heads that the contrasts would flag if the test of following did not come first."""
    outcomes, values = study.outcomes, study.values
    count = len(values)
    beyond = values[:, ALTERED.index("wrong")] - values[:, ALTERED.index("note")]
    effects = np.zeros((count, len(HEADS)), np.float32)
    named = pairs(study.model.tokenizer, study.units, outcomes, study.letters)
    moved = [at for at, pair in enumerate(named) if pair is not None]
    for begin in range(0, len(moved), 50):
        part = moved[begin : begin + 50]
        letters = [pair for pair in (named[at] for at in part) if pair is not None]
        found = traced(study.model, [study.units[at] for at in part], letters)
        effects[part] = found.reshape(len(part), -1)
    columns = np.concatenate([beyond.reshape(count, -1), effects], axis=1)
    chosen = outcomes.eligible("wrong")
    tested = slopes(
        columns[chosen], outcomes.excess[chosen, 0], outcomes.hinted[chosen], outcomes.group[chosen]
    )
    return benjamini_yekutieli(tested.p, RATE).reshape(-1, len(HEADS)).any(0)


def rates(found: Hints) -> dict[str, str]:
    """Accuracy without hint, and how many answers change."""
    known = {(one.name, one.condition): one for one in found.rates}
    cells = {"accuracy": ("accuracy", "none"), "hint": ("changed", "wrong"),
             "to hinted": ("to_hinted", "wrong"), "note": ("changed", "note")}  # fmt: skip
    return {name: f"{known[key].hits} / {known[key].n}" for name, key in cells.items()}


def copier_section(copier: Path, name: str, count: int) -> Iterator[str]:
    """Truth beside ranks, and what blocking the best ranks does."""
    rows = test_rows(count, 0)
    found = hs.hints(copier, rows, answer="likelihood", seed=0)
    oracle = Oracle(copier)
    followed = oracle.followed(questions_of(rows).usable, 0)
    single = {head: restored(oracle, followed, [head]) for head in HEADS}
    yield f"\n## {name}\n"
    yield "; ".join(f"{key}: {value}" for key, value in rates(found).items()) + ".\n"
    yield f"Of {len(followed)} answers that followed, so many came back when one head was blocked,"
    yield "by the float64 model; ranks, effects and flags by the library:\n"
    yield from _table(found.heads, single)
    yield f"\nHeads together, added one by one until {ENOUGH:.0%} come back (float64 model, the"
    yield f"first {GREEDY} answers that followed):\n"
    rank = {one.head: str(one.rank) for one in found.heads}
    for heads, share in growing_sets(oracle, followed[:GREEDY]):
        names = ", ".join(map(str, heads))
        yield f"- {names}: {share:.1%}; their ranks {', '.join(rank[head] for head in heads)}"
    yield "\nThe library's check: the five best ranks, and five draws of others of their layers:\n"
    for one in (one for one in found.study.checks if one.draw < 0):
        heads = f" {' '.join(map(str, one.heads))}" if one.heads else ""
        yield f"- {one.set}{heads}, `{one.how}`: {one.share:.1%} ({one.low:.1%} to {one.high:.1%})"
    same = sum(found.restored([head]).share == single[head] for head in HEADS)
    yield f"\nLibrary and float64 model agree on the share of answers back for {same} of 32 heads."
    best = sorted(found.heads, key=lambda one: -one.t)[:5]
    back = found.restored([one.head for one in best])
    names = ", ".join(str(one.head) for one in best)
    yield f"Ranked by `t` of what heads read, the five best ({names})"
    yield f"bring {back.share:.1%} back."


def _table(heads: Sequence[Finding], single: Mapping[HeadId, float]) -> Iterator[str]:
    by_t = sorted(heads, key=lambda one: -one.t)
    yield "| head | back | rank | effect, logits | flagged | rank by `t` of what it reads |"
    yield "|---|---|---|---|---|---|"
    for one in sorted(heads, key=lambda one: (-single[one.head], one.rank))[:8]:
        mean, low, high = one.effect
        yield (
            f"| {one.head} | {single[one.head]:.1%} | {one.rank} | {mean:+.2f} ({low:+.2f} to "
            f"{high:+.2f}) | {'yes' if one.flagged else 'no'} | {by_t.index(one) + 1} |"
        )


def seeds_section(count: int, seeds: int) -> Iterator[str]:
    """All three models over seeds: what changes, and how many heads are flagged."""
    yield f"\n## Over {seeds} seeds: questions and hinted choices\n"
    yield "`followed`: of the changes to a choice that could have been hinted, those to the hinted"
    yield "one, beside what accident gives. `ungated`: heads that the contrasts flag by themselves,"
    yield "the test of following left out; – where too few answers are left to contrast.\n"
    yield (
        "| model | seed | accuracy | changed, hint | changed, note | followed | p | heads | "
        "flagged of 32 | ungated |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    totals: dict[str, list[tuple[int, int | None]]] = {}
    for name in ("copier", *TWINS):
        for seed in range(seeds):
            found = hs.hints(
                FOLDER / name, test_rows(count, seed), answer="likelihood", seed=seed, causal=False
            )
            follow, shown = found.ranking.follow, rates(found)
            alone: int | None = None
            if min(found.ranking.changed, found.ranking.others) >= found.ranking.needed:
                alone = int(ungated(found.study).sum())
            totals.setdefault(name, []).append((found.ranking.flagged, alone))
            yield (
                f"| {name} | {seed} | {shown['accuracy']} | {shown['hint']} | {shown['note']} | "
                f"{follow.hits} of {follow.changed}, {follow.expected:.0f} | {follow.p:.2g} | "
                f"{'ranked' if found.heads else 'refused'} | {found.ranking.flagged} | "
                f"{'–' if alone is None else alone} |"
            )
    yield ""
    for name, both in totals.items():
        told = [_share(name, [flagged for flagged, _ in both], "flagged")]
        bare = [alone for _, alone in both if alone is not None]
        if bare:
            told.append(_share("", bare, "ungated"))
        yield "- " + "; ".join(told)


def _share(name: str, counts: Sequence[int], what: str) -> str:
    shares = np.array(counts) / len(HEADS)
    begin = f"{name}: " if name else ""
    return f"{begin}{what} {shares.mean():.1%} of heads on average, at most {shares.max():.1%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--copier", type=Path, nargs="*", default=[], help="more copiers")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--questions", type=int, default=600)
    given = parser.parse_args()
    started = time.monotonic()
    print("# Planted truth: heads that copy a hint\n")
    print(f"`python -m benchmarks.hints_planted --seeds {given.seeds} --questions "
          f"{given.questions}`: questions that no training has seen.")  # fmt: skip
    for number, copier in enumerate([FOLDER / "copier", *given.copier]):
        name = f"Another copier, trained with seed {number}" if number else "The copier"
        for line in copier_section(copier, name, given.questions):
            print(line, flush=True)
    for line in seeds_section(given.questions, given.seeds):
        print(line, flush=True)
    print(f"\n{time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    main()
