"""Formulas for heads: how good, how many terms, how long, and whether the statistics are honest.

    python benchmarks/fitting.py rows SET [--data FOLDER] [--terms 4 8 12 24] [--folds 0 1]
    python benchmarks/fitting.py patterns SET
    python benchmarks/fitting.py all SET
    python benchmarks/fitting.py null | recovery | page

SET is `bert_sst2_attention` (recorded; five folds of texts, seed 0) or a model (`stories260k`,
`bundled:stories`, `bundled:minilm`), which is fitted on train stories and scored on test stories
cut to 160 tokens, without relations that look ahead where it is causal. `rows` scores the profile
and formulas, whose terms are chosen and weighed without the texts that score them; `patterns` the
fixed baselines and the catalogue, uncovered rows uniform; `all` the weights of the whole pool on a
few heads. `null` permutes the keys of every row and counts the heads that get a label all the same;
`recovery` draws attention around known formulas and asks whether the terms come back and how often
intervals cover the true weights. Every result is kept in `benchmarks/results/fitting.jsonl`;
`page` writes `benchmarks/fitting.md` from it.
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from fitting_page import keep, write_page
from fitting_recovery import null, recovery
from jaxtyping import Float

from headscribe.core.heads import HeadId
from headscribe.fitting.atlas import Item, collect
from headscribe.fitting.features import Sample
from headscribe.fitting.growth import Compound
from headscribe.fitting.heads import METRICS, Estimate, series
from headscribe.fitting.pruning import ink
from headscribe.fitting.scores import best_pattern, pattern_iou, profile_of
from headscribe.fitting.selection import Budget
from headscribe.fitting.solver import Rows, fit_weights
from headscribe.fitting.sources import attention_items, head_ids
from headscribe.fitting.stages import Fitted, choose_all, features_of, score_all
from headscribe.fitting.statistics import number_groups
from headscribe.models.loading import load
from headscribe.models.model import Model
from headscribe.models.recorded import Recording
from headscribe.patterns.registry import baselines, registry
from headscribe.relations import parse
from headscribe.text.alignment import align
from headscribe.text.annotators import Plain
from headscribe.text.corpora import read
from headscribe.text.passages import Passage
from headscribe.text.splits import bucket_of, fold_of

CPU = torch.device("cpu")
RECORDED = "bert_sst2_attention"
FOLDS = 5
STORIES = 60
MAX_TOKENS = 160
ALL_HEADS = 12
"""Heads on which the whole pool is weighed, evenly spaced."""


@dataclass(frozen=True)
class Data:
    """What to fit and what to score: pairs of disjoint samples, numbered by fold."""

    heads: tuple[HeadId, ...]
    whole: Sample
    parts: tuple[tuple[Sample, Sample], ...]
    seconds: float


def passages_of(model: Model, path: Path, limit: int) -> list[Passage]:
    """The first texts of a file, cut."""
    texts = list(read([str(path)], limit=limit))
    encodings = model.encode([text.text for text in texts], MAX_TOKENS)
    words = Plain().annotate(texts)
    return [align(*one) for one in zip(texts, encodings, words, strict=True)]


def opened(name: str, data: Path) -> tuple[Recording | Model, list[Iterable[Item]]]:
    """The source of a set, and its texts with attention: one corpus, or train and test."""
    if name == RECORDED:
        recording = Recording(data / name)
        return recording, [attention_items(recording, recording.passages)]
    model = load(name if ":" in name else str(data / name))
    files = [data / "tinystories" / f"{split}.jsonl.gz" for split in ("train", "test")]
    items = [attention_items(model, passages_of(model, file, STORIES)) for file in files]
    return model, list(items)


def data_of(name: str, data: Path, folds: Sequence[int]) -> Data:
    """Evaluate the pool."""
    start = time.process_time()
    source, items = opened(name, data)
    samples = [collect(one, look_ahead=name == RECORDED) for one in items]
    if len(samples) == 2:
        parts = ((samples[0], samples[1]),)
    else:
        (sample,) = samples
        text = np.array([fold_of(bucket_of(group, 0), FOLDS) for group in sample.groups])
        fold = text[sample.row_text]
        parts = tuple((sample.only(fold != f), sample.only(fold == f)) for f in folds)
    seconds = time.process_time() - start
    print(f"{name}: {len(samples[0].pool)} relations in {seconds:.0f} s", file=sys.stderr)
    return Data(head_ids(source), samples[0], parts, seconds)


def tables(scored: Float[np.ndarray, "H 2 2 2 texts"], test: Sample) -> dict[str, object]:
    """What a row says of scores by text."""
    group = number_groups(test.groups)

    def mean(what: str, view: str, metric: str) -> Estimate:
        return Estimate.of(series(scored, what, view, metric).mean(axis=0), group)

    found: dict[str, object] = {}
    for what in ("formula", "profile"):
        found |= {f"{what}_{m}": round(mean(what, "raw", m).mean, 4) for m in METRICS}
        found[f"{what}_content"] = round(mean(what, "content", "iou").mean, 4)
    gain = mean("gain", "raw", "iou")
    found["gain"] = [round(value, 4) for value in (gain.mean, gain.low, gain.high)]
    for view in ("raw", "content"):
        by_head = np.nanmean(series(scored, "gain", view, "iou"), axis=1)
        found[f"above_{view}"] = int((by_head > 0.05).sum())
    return found


def measured(
    name: str, program: str, data: Data, fits: list[list[Fitted]], seconds: float
) -> dict[str, object]:
    """One row of the table."""
    texts = len(data.parts[0][1].groups)
    scored = np.full((len(fits[0]), 2, 2, 2, texts), np.nan)
    for (train, test), fitted in zip(data.parts, fits, strict=True):
        profile = profile_of(train, np.zeros(len(train.lengths), np.int64), 1).table()
        part = score_all(fitted, profile, test, CPU)
        mine = np.unique(test.row_text)
        scored[..., mine] = part[..., mine]
    every = [one for fitted in fits for one in fitted]
    return {
        "set": name, "program": program, "heads": len(fits[0]), "folds": len(fits),
        **tables(scored, data.parts[0][1]),
        "terms": round(float(np.mean([len(one.terms) for one in every])), 1),
        "atoms": round(float(np.mean([sum(map(_atoms, one.terms)) for one in every])), 1),
        "ink": round(float(np.mean([sum(map(ink, one.terms)) for one in every])), 1),
        "cpu_seconds": round(seconds), "pool_seconds": round(data.seconds),
        "pool": len(data.whole.pool),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }  # fmt: skip


def _atoms(term: Compound) -> int:
    return parse(term.source).atoms


def rows(name: str, data: Path, terms: Sequence[int], folds: Sequence[int]) -> None:
    """Formulas of several sizes."""
    read_in = data_of(name, data, folds)
    for size in terms:
        start = time.process_time()
        fits = [choose_all(train, Budget(terms=size), 0, CPU) for train, _ in read_in.parts]
        seconds = time.process_time() - start
        keep(measured(name, f"{size} terms", read_in, fits, seconds))


def all_relations(name: str, data: Path) -> None:
    """Weigh the whole pool on a few heads, dense, on the rows of one fold."""
    read_in = data_of(name, data, [0])
    every = np.linspace(0, len(read_in.heads) - 1, ALL_HEADS).round().astype(int)
    few = replace(
        read_in,
        parts=tuple(
            (
                replace(train, attention=train.attention[every]),
                replace(test, attention=test.attention[every]),
            )
            for train, test in read_in.parts
        ),
    )
    start = time.process_time()
    ((train, _),) = few.parts
    terms = tuple(Compound(gate) for gate in train.pool)
    features, layout = features_of(terms, train, CPU), Rows.of(train.lengths, CPU)
    fits = []
    for real in train.attention:
        fit = None
        for objective, steps in (("cross_entropy", 8), ("overlap", 8)):
            fit = fit_weights(
                layout, features, torch.from_numpy(real), objective,
                start=None if fit is None else fit.weights, steps=steps, tolerance=1e-5,
            )  # fmt: skip
        fits.append(Fitted(terms, fit.weights.numpy()))
        print(f"{name} {len(fits)} of {len(every)}", file=sys.stderr, flush=True)
    seconds = time.process_time() - start
    keep(measured(name, "all relations", few, [fits], seconds))
    chosen = choose_all(train, Budget(), 0, CPU)
    keep(measured(name, "12 terms, same heads", few, [chosen], 0.0) | {"cpu_seconds": None})


def patterns(name: str, data: Path) -> None:
    """Score the fixed baselines and the catalogue, the best of each chosen on other folds."""
    every = tuple(registry().select(["all"]))
    items = opened(name, data)[1][-1]
    sample = collect(items, look_ahead=False, pool=("key.is_special",), patterns=every)
    iou = pattern_iou(sample)
    fixed = [p.name for p in baselines() if p.name in sample.patterns]
    places = [sample.patterns.index(one) for one in fixed]

    def told(program: str, value: float) -> None:
        keep({"set": name, "program": program, "formula_iou": round(value, 4)})

    for one, place in zip(fixed, places, strict=True):
        told(one, float(np.nanmean(iou[place])))
    fold = np.array([fold_of(bucket_of(group, 0), FOLDS) for group in sample.groups])
    for title, of in (("best fixed baseline", places), ("best pattern", range(len(iou)))):
        _, unseen = best_pattern(iou[list(of)], [sample.patterns[p] for p in of], fold)
        told(f"{title} of {len(of)}", float(np.nanmean(unseen)))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind in ("rows", "patterns", "all"):
        one = kinds.add_parser(kind)
        one.add_argument("set")
        if kind == "rows":
            one.add_argument("--terms", type=int, nargs="+", default=[12, 8, 4, 24])
            one.add_argument("--folds", type=int, nargs="+", default=list(range(FOLDS)))
    kinds.add_parser("null")
    kinds.add_parser("recovery").add_argument("--repetitions", type=int, default=500)
    kinds.add_parser("page")
    given = parser.parse_args()
    match given.kind:
        case "rows":
            rows(given.set, given.data, given.terms, given.folds)
        case "patterns":
            patterns(given.set, given.data)
        case "all":
            all_relations(given.set, given.data)
        case "null":
            null(given.data / RECORDED)
        case "recovery":
            recovery(given.data / RECORDED, given.repetitions)
        case _:
            write_page()


if __name__ == "__main__":
    main()
