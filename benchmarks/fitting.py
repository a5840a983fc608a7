"""Formulas for heads: how good, how many terms, how long, and whether the statistics are honest.

    python benchmarks/fitting.py recorded FOLDER [--terms 4 8 12 24] [--heads 2.0 7.10]
    python benchmarks/fitting.py live MODEL --fit FILE --test FILE [--stories 60] [--terms 12]
    python benchmarks/fitting.py patterns FOLDER
    python benchmarks/fitting.py patterns MODEL --test FILE [--stories 60]
    python benchmarks/fitting.py null FOLDER
    python benchmarks/fitting.py recovery

`recorded` cross-fits over five folds of texts (seed 0); `live` fits stories of one file and scores
those of another, cut to 160 tokens, without relations that look ahead; `patterns` scores the fixed
baselines and the catalogue, uncovered rows uniform, on the same texts; `null` permutes the keys of
every row and counts the heads that get a label all the same; `recovery` draws attention around
known formulas and asks whether terms come back, and how often intervals cover the true weights.
"""

import argparse
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from headscribe.core.heads import HeadId
from headscribe.fitting.atlas import Atlas, collect, fit_heads
from headscribe.fitting.catalogue import best_pattern, pattern_iou
from headscribe.fitting.features import Sample
from headscribe.fitting.labels import label_heads
from headscribe.fitting.selection import Budget
from headscribe.fitting.solver import Rows, fit_weights
from headscribe.fitting.sources import attention_items, head_ids
from headscribe.fitting.statistics import sandwich, weight_intervals
from headscribe.models.loading import load
from headscribe.models.model import Model
from headscribe.models.recorded import Recording
from headscribe.patterns.registry import baselines, registry
from headscribe.text.alignment import align
from headscribe.text.annotators import Plain
from headscribe.text.corpora import read
from headscribe.text.passages import Passage
from headscribe.text.splits import bucket_of, fold_of

KNOWN = ("2.0", "3.0", "3.5", "7.10")
MAX_TOKENS = 160


def row_of(name: str, atlas: Atlas, seconds: float) -> dict[str, object]:
    """One line of the table."""
    gains = [one.scores["gain", "raw", "iou"].mean for one in atlas.heads]
    content = [one.scores["gain", "content", "iou"].mean for one in atlas.heads]
    gain = atlas.mean("gain")
    return {
        "program": name,
        "iou": round(atlas.mean("formula").mean, 4),
        "jsd": round(atlas.mean("formula", metric="jsd").mean, 4),
        "content_iou": round(atlas.mean("formula", "content").mean, 4),
        "gain": [round(value, 4) for value in (gain.mean, gain.low, gain.high)],
        "heads_above_0.05": sum(value > 0.05 for value in gains),
        "heads_above_0.05_content": sum(value > 0.05 for value in content),
        "atoms": round(float(np.mean([one.formula.atoms for one in atlas.heads])), 1),
        "seconds": round(seconds),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def tell(row: dict[str, object]) -> None:
    """Print one line as JSON."""
    print(json.dumps(row), flush=True)


def fitted(
    sample: Sample, heads: tuple[HeadId, ...], terms: int, test: Sample | None = None
) -> Atlas:
    """Fit, tell the profile and the formulas."""
    start = time.perf_counter()

    def progress(stage: str, done: int, of: int) -> None:
        print(f"{stage} {done}/{of} {time.perf_counter() - start:.0f} s", file=sys.stderr)

    atlas = fit_heads(sample, heads, Budget(terms=terms), test=test, progress=progress)
    tell(row_of(f"{terms} terms", atlas, time.perf_counter() - start))
    return atlas


def tell_profile(atlas: Atlas) -> None:
    """Print the profile, and how many heads have labels."""
    profile = {
        "program": "profile",
        "iou": round(atlas.mean("profile").mean, 4),
        "jsd": round(atlas.mean("profile", metric="jsd").mean, 4),
        "content_iou": round(atlas.mean("profile", "content").mean, 4),
    }
    tell(profile)
    labelled = sum(bool(one.labels) for one in atlas.heads)
    tell({"heads": len(atlas.heads), "labelled": labelled})


def patterns(source: str, test: str | None, stories: int) -> None:
    """Score the fixed baselines and the catalogue, the best of each chosen on other folds."""
    every = tuple(registry().select(["all"]))
    if test is None:
        recording = Recording(Path(source))
        items = attention_items(recording, recording.passages)
    else:
        model = load(source)
        items = attention_items(model, passages_of(model, test, stories))
    sample = collect(items, look_ahead=False, pool=("key.is_special",), patterns=every)
    iou = pattern_iou(sample)
    fixed = [p.name for p in baselines() if p.name in sample.patterns]
    places = [sample.patterns.index(name) for name in fixed]
    for name, place in zip(fixed, places, strict=True):
        tell({"program": name, "iou": round(float(np.nanmean(iou[place])), 4)})
    fold = np.array([fold_of(bucket_of(group, 0), 5) for group in sample.groups])
    for title, of in (("best fixed baseline", places), ("best pattern", range(len(iou)))):
        best = best_pattern(iou[list(of)], [sample.patterns[p] for p in of], fold)
        tell({"program": title, "of": len(of), "iou": round(float(np.nanmean(best.iou)), 4)})


def passages_of(model: Model, path: str, limit: int) -> list[Passage]:
    """The first texts of a file, cut."""
    texts = list(read([path], limit=limit))
    encodings = model.encode([text.text for text in texts], MAX_TOKENS)
    words = Plain().annotate(texts)
    return [align(*one) for one in zip(texts, encodings, words, strict=True)]


def recorded(folder: Path, terms: list[int], chosen: list[str], out: Path | None) -> None:
    """Cross-fit the heads of a recording."""
    recording = Recording(folder)
    every = head_ids(recording)
    places = [i for i, head in enumerate(every) if not chosen or str(head) in chosen]
    start = time.perf_counter()
    items = attention_items(recording, recording.passages)
    sample = collect(
        ((passage, attention[places], seen) for passage, attention, seen in items),
        patterns=tuple(registry().select(["all"])),
    )
    tell({"pool": len(sample.pool), "seconds": round(time.perf_counter() - start)})
    heads = tuple(every[i] for i in places)
    for number, size in enumerate(terms):
        atlas = fitted(sample, heads, size)
        if not number:
            tell_baselines(atlas, sample)
        for one in atlas.heads:
            if str(one.head) in KNOWN:
                print(one, flush=True)
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            (out / f"terms{size}.json").write_text(json.dumps(atlas.to_json()), encoding="utf-8")


def live(model_source: str, fit: str, test: str, stories: int, terms: list[int]) -> None:
    """Fit the heads of a live model on one file, score them on another."""
    model = load(model_source)

    def sample_of(path: str, limit: int) -> Sample:
        return collect(attention_items(model, passages_of(model, path, limit)), look_ahead=False)

    start = time.perf_counter()
    sample, unseen = sample_of(fit, stories), sample_of(test, stories)
    tell({"pool": len(sample.pool), "seconds": round(time.perf_counter() - start)})
    for number, size in enumerate(terms):
        atlas = fitted(sample, head_ids(model), size, unseen)
        if not number:
            tell_baselines(atlas, sample)


def null(folder: Path) -> None:
    """Count the heads that get a label though the keys of every row are permuted."""
    recording = Recording(folder)
    rng = np.random.default_rng(0)
    items = attention_items(recording, recording.passages)
    sample = collect(
        ((passage, rng.permuted(attention, axis=2), seen) for passage, attention, seen in items),
        pool=("key.is_special",),
        patterns=tuple(registry().select(["all"])),
    )
    labels = label_heads(sample)
    tell({"heads": len(labels), "labelled": sum(bool(one) for one in labels)})


def recovery(repetitions: int = 500) -> None:
    """How often 95 % intervals cover the true weights of terms that were given."""
    device, weights = torch.device("cpu"), np.array([1.0, -0.5, 2.0])
    covered = []
    for seed in range(repetitions):
        rng = np.random.default_rng(seed)
        group, features, real = np.repeat(np.arange(40), 5), [], []
        for _ in group:
            x = rng.normal(size=(8, 3))
            value = np.exp(x @ weights)
            features.append(x)
            real.append(rng.dirichlet(10 * value / value.sum() + 1e-9))
        rows = Rows.of(np.full(len(group), 8), device)
        x, a = torch.from_numpy(np.concatenate(features)), torch.from_numpy(np.concatenate(real))
        fit = fit_weights(rows, x, a, "cross_entropy", ridge=0.0)
        covariance = sandwich(rows, x, fit.weights, a, group, "cross_entropy")
        ends = weight_intervals(fit.weights.numpy(), covariance, 40)
        covered.append((ends[:, 0] <= weights) & (weights <= ends[:, 1]))
    tell({"repetitions": repetitions, "coverage": np.mean(covered, axis=0).round(3).tolist()})


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kinds = parser.add_subparsers(dest="kind", required=True)
    one = kinds.add_parser("recorded")
    one.add_argument("folder", type=Path)
    one.add_argument("--terms", type=int, nargs="+", default=[12])
    one.add_argument("--heads", nargs="*", default=[])
    one.add_argument("--out", type=Path)
    two = kinds.add_parser("live")
    two.add_argument("model")
    two.add_argument("--fit", required=True)
    two.add_argument("--test", required=True)
    two.add_argument("--stories", type=int, default=60)
    two.add_argument("--terms", type=int, nargs="+", default=[12])
    three = kinds.add_parser("patterns")
    three.add_argument("source")
    three.add_argument("--test")
    three.add_argument("--stories", type=int, default=60)
    kinds.add_parser("null").add_argument("folder", type=Path)
    kinds.add_parser("recovery")
    given = parser.parse_args()
    match given.kind:
        case "recorded":
            recorded(given.folder, given.terms, given.heads, given.out)
        case "live":
            live(given.model, given.fit, given.test, given.stories, given.terms)
        case "patterns":
            patterns(given.source, given.test, given.stories)
        case "null":
            null(given.folder)
        case _:
            recovery()


if __name__ == "__main__":
    main()
