"""What the programs are worth inside the model: replacement curves beside every control.

    python benchmarks/replacement.py MODEL --fit TEXTS --test TEXTS [--tune] --out FOLDER

Formulas of at most 12 terms are fitted on the first texts of `--fit`; heads are ordered by IoU on
the texts that follow them; losses are measured on `--test`. Prints the table, writes the document
of `headscribe replace --json` and the run into the folder; an interrupted run goes on when the
command is given again.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from headscribe.core.heads import HeadId
from headscribe.fitting.atlas import Item, collect, fit_heads
from headscribe.fitting.formula import Formula
from headscribe.fitting.selection import Budget
from headscribe.models.calls import AttentionCall
from headscribe.models.loading import load
from headscribe.models.model import Model
from headscribe.replacement.agreement import agreement
from headscribe.replacement.controls import Profile
from headscribe.replacement.curves import Contender, Curves, curves
from headscribe.replacement.study import tuned, untuned
from headscribe.results.run import Run
from headscribe.text.alignment import align
from headscribe.text.annotators import annotator
from headscribe.text.corpora import Text, read
from headscribe.text.passages import Passage


class Recorder:
    """Keeps the attention of every head on one text."""

    def __init__(self) -> None:
        self.layers: list[np.ndarray] = []

    def observe(self, call: AttentionCall) -> None:
        self.layers.append(call.probabilities()[0].cpu().numpy().copy())


def passages(model: Model, texts: Sequence[Text], tokens: int, tags: str) -> list[Passage]:
    encodings = model.encode([text.text for text in texts], tokens)
    words = annotator(tags).annotate(texts)
    return [align(*three) for three in zip(texts, encodings, words, strict=True)]


def items(model: Model, texts: Sequence[Passage]) -> Iterator[Item]:
    for passage in texts:
        recorder = Recorder()
        model.run([passage], recorder)
        yield passage, np.concatenate(recorder.layers), model.visibility(0)


def formulas_of(
    model: Model, fit: Sequence[Passage], select: Sequence[Passage], terms: int, path: Path
) -> dict[HeadId, Formula]:
    """Fit the formulas, or read those of an earlier run."""
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        return {HeadId.parse(head): Formula.from_json(one) for head, one in stored.items()}
    heads = [HeadId(layer, head) for layer in range(model.layers) for head in range(model.heads)]
    look_ahead = not model.is_causal
    sample, unseen = (
        collect(items(model, texts), look_ahead=look_ahead) for texts in (fit, select)
    )
    atlas = fit_heads(
        sample, heads, Budget(terms=terms), test=unseen, progress=lambda *at: print(*at)
    )
    found = {one.head: one.formula for one in atlas.heads}
    text = json.dumps({str(head): one.to_json() for head, one in found.items()})
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return found


def table(result: Curves) -> Iterator[str]:
    document = result.document()
    yield f"{document['metric']} untouched: {document['unaltered']:.3f}"
    for row in document["curve"]:
        name = f"{row['program']}{' tuned' if row['tuned'] else ''}"
        span = (
            "" if row["low"] is None else f" ({100 * row['low']:+.1f} to {100 * row['high']:+.1f})"
        )
        yield (
            f"{name:20} {row['order']:10} {100 * row['fraction']:3.0f} % {row['value']:8.3f} "
            f"{100 * row['increase']:+7.1f} % {span}"
        )


def correlations(
    result: Curves, iou: dict[HeadId, float], profile: dict[HeadId, float]
) -> Iterator[str]:
    gain = {head: iou[head] - profile[head] for head in iou}
    for program in ("formula", "zero", "mean"):
        for name, score in (("IoU", iou), ("gain", gain)):
            found = result.rank_correlation(score, program)
            shown = "none" if found is None else f"{found:+.2f}"
            yield f"Spearman of {program}'s effect of single heads with {name}: {shown}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--fit", required=True, type=Path)
    parser.add_argument("--test", required=True, type=Path)
    parser.add_argument("--fit-texts", type=int, default=60)
    parser.add_argument("--select-texts", type=int, default=30)
    parser.add_argument("--test-texts", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--terms", type=int, default=12)
    parser.add_argument("--annotator", default="plain")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--out", required=True, type=Path)
    given = parser.parse_args()
    started = time.monotonic()
    model = load(given.model)
    train = list(read(given.fit, limit=given.fit_texts + given.select_texts))
    read_all = passages(model, train, given.max_tokens, given.annotator)
    fit, select = read_all[: given.fit_texts], read_all[given.fit_texts :]
    test = passages(
        model, list(read(given.test, limit=given.test_texts)), given.max_tokens, given.annotator
    )
    given.out.mkdir(parents=True, exist_ok=True)
    formulas = formulas_of(model, fit, select, given.terms, given.out / "formulas.json")
    iou = agreement(model, formulas, select)
    order = sorted(iou, key=lambda head: -iou[head])
    contenders = untuned(model, formulas, fit)
    profiles = {h: p for h, p in contenders[1].programs.items() if isinstance(p, Profile)}
    profile_iou = agreement(model, profiles, select)
    result = measured(model, contenders, order, test, given.out / "untuned")
    report = [*table(result), *correlations(result, iou, profile_iou)]
    report.append(f"mean IoU on select: {np.mean(list(iou.values())):.3f}, "
                  f"profile {np.mean(list(profile_iou.values())):.3f}")  # fmt: skip
    documents = [result.document()]
    if given.tune:
        better = tuned(model, formulas, fit, told=lambda *at: print(*at, file=sys.stderr, end="\r"))
        result = measured(model, better, order, test, given.out / "tuned")
        report += table(result)
        documents.append(result.document())
        for one in better:
            after = agreement(model, one.programs, select)
            report.append(f"{one.program} tuned: mean IoU {np.mean(list(after.values())):.3f}")
    report.append(f"{time.monotonic() - started:.0f} seconds")
    print("\n".join(report))
    (given.out / "replacement.json").write_text(json.dumps(documents, indent=1), encoding="utf-8")


def measured(
    model: Model,
    contenders: Sequence[Contender],
    order: Sequence[HeadId],
    test: Sequence[Passage],
    folder: Path,
) -> Curves:
    """Measure, or go on with what an earlier run began."""
    if (folder / "run.json").is_file():
        run = Run.open(folder)
    else:
        run = Run.create(folder, "replace", {"heads": len(order)})
    return curves(model, contenders, order, test, run=run)


if __name__ == "__main__":
    main()
