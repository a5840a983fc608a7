"""What the programs are worth inside the model: replacement curves beside every control.

    python benchmarks/replacement.py MODEL --fit TEXTS --test TEXTS [--tune] --out FOLDER

Formulas of at most 12 terms are fitted on the first texts of `--fit`, their weights then to the
effect of each head's rows (`headscribe.replacement.effect`); heads are ordered by IoU on the texts
that follow them; losses are measured on `--test`: formulas and profiles on all of it, the other
controls on the first `--control-texts`, single heads on the first `--alone-texts`. Prints the
tables, writes them and the runs into the folder; an interrupted run goes on when the command is
given again.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from headscribe.core.heads import HeadId
from headscribe.fitting import stages
from headscribe.fitting.atlas import Item, collect
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.selection import Budget
from headscribe.fitting.stages import Fitted
from headscribe.models.calls import AttentionCall
from headscribe.models.loading import load
from headscribe.models.model import Model
from headscribe.replacement.agreement import agreement
from headscribe.replacement.controls import Profile
from headscribe.replacement.curves import Contender, Curves, curves
from headscribe.replacement.effect import fitted_to_effect
from headscribe.replacement.study import beginnings, untuned
from headscribe.replacement.tuning import Schedule, tune
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
    model: Model, fit: Sequence[Passage], given: argparse.Namespace
) -> dict[HeadId, Formula]:
    """Fit the formulas to the overlap, or read those of an earlier run."""
    path = given.out / "formulas.json"
    if not path.is_file():
        heads = [
            HeadId(layer, head) for layer in range(model.layers) for head in range(model.heads)
        ]
        sample = collect(
            items(model, fit), look_ahead=not model.is_causal, rows_per_text=given.rows
        )
        budget = Budget(terms=given.terms, extra=6, price=0.0, grow_at=(2, 4, 6, 8, 10, 12, 14, 16))
        stages.SELECTION_ROWS = given.selection_rows
        chosen = stages.choose_all(sample, budget, 0, torch.device("cpu"))
        found = {
            head: Formula(head.prose, tuple(map(Term, sources(one), one.weights.tolist())))
            for head, one in zip(heads, chosen, strict=True)
        }
        write(path, found)
    return stored(path)


def sources(fitted: Fitted) -> list[str]:
    return [term.source for term in fitted.terms]


def weighed(
    model: Model, formulas: dict[HeadId, Formula], fit: Sequence[Passage], given: argparse.Namespace
) -> dict[HeadId, Formula]:
    """Fit the weights to the effect of the heads' rows, or read those of an earlier run."""
    path = given.out / "formulas-effect.json"
    if not path.is_file():
        write(path, fitted_to_effect(model, formulas, fit[: given.effect_texts]))
    return stored(path)


def bettered(
    model: Model,
    formulas: dict[HeadId, Formula],
    texts: Sequence[Passage],
    given: argparse.Namespace,
) -> list[Contender]:
    """Tune formulas and controls, or read those of an earlier run."""
    schedule, found = Schedule(steps=given.steps), []
    for name, start in beginnings(model, formulas, texts, schedule.seed).items():
        path = given.out / f"tuned-{name}.json"
        if not path.is_file():
            began = time.monotonic()

            def told(*at: object, name: str = name, began: float = began) -> None:
                print("tuning", name, *at, f"{time.monotonic() - began:.0f} s", file=sys.stderr)

            write(path, tune(model, start, texts, schedule, told))
        found.append(Contender(name, stored(path), tuned=True, fractions=(1.0,)))
    return found


def write(path: Path, formulas: dict[HeadId, Formula]) -> None:
    text = json.dumps({str(head): one.to_json() for head, one in formulas.items()})
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def stored(path: Path) -> dict[HeadId, Formula]:
    held = json.loads(path.read_text(encoding="utf-8"))
    return {HeadId.parse(head): Formula.from_json(one) for head, one in held.items()}


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


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--fit", required=True, type=Path)
    parser.add_argument("--test", required=True, type=Path)
    parser.add_argument("--fit-texts", type=int, default=200)
    parser.add_argument("--rows", type=int, default=24, help="rows of each text to fit on")
    parser.add_argument("--selection-rows", type=int, default=2400, help="to choose terms on")
    parser.add_argument("--effect-texts", type=int, default=100)
    parser.add_argument("--select-texts", type=int, default=30)
    parser.add_argument("--test-texts", type=int, default=200)
    parser.add_argument("--control-texts", type=int, default=60)
    parser.add_argument("--alone-texts", type=int, default=14)
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--terms", type=int, default=12)
    parser.add_argument("--annotator", default="plain")
    parser.add_argument("--tune", action="store_true")
    parser.add_argument("--tune-texts", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=Schedule().steps)
    parser.add_argument("--out", required=True, type=Path)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    started = time.monotonic()
    model = load(given.model)
    more = max(0, given.tune_texts - given.fit_texts) if given.tune else 0
    start = given.fit_texts + given.select_texts
    train = list(read(given.fit, limit=start + more))
    read_all = passages(model, train, given.max_tokens, given.annotator)
    fit, select, further = (
        read_all[: given.fit_texts], read_all[given.fit_texts : start], read_all[start:]
    )  # fmt: skip
    test = passages(
        model, list(read(given.test, limit=given.test_texts)), given.max_tokens, given.annotator
    )
    given.out.mkdir(parents=True, exist_ok=True)
    overlapping = formulas_of(model, fit, given)
    formulas = weighed(model, overlapping, fit, given)
    iou = agreement(model, formulas, select)
    order = sorted(iou, key=lambda head: -iou[head])
    contenders = untuned(model, formulas, fit[:60], random_orders=2)
    profiles = {h: p for h, p in contenders[1].programs.items() if isinstance(p, Profile)}
    profile_iou = agreement(model, profiles, select)
    before = agreement(model, overlapping, select)
    print(f"mean IoU on select: {mean(iou):.3f}, weights fitted to the overlap alone "
          f"{mean(before):.3f}, profile {mean(profile_iou):.3f}", flush=True)  # fmt: skip
    documents = []

    def measure(name: str, chosen: Sequence[Contender], texts: Sequence[Passage]) -> Curves:
        result = measured(model, chosen, order, texts, given.out / name)
        documents.append({"part": name, "texts": len(texts)} | result.document())
        print(f"\n{name}, {len(texts)} texts", *table(result), sep="\n", flush=True)
        return result

    bare = [replace(one, alone=False, random_orders=0) for one in contenders]
    measure("main", bare[:2], test)
    others = [replace(one, alone=False) for one in contenders]
    measure("controls", others, test[: given.control_texts])
    alone = [replace(one, random_orders=0, fractions=()) for one in contenders if one.alone]
    single = measure("alone", alone, test[: given.alone_texts])
    print(*correlations(single, iou, profile_iou), sep="\n", flush=True)
    if given.tune:
        better = bettered(model, formulas, fit + further, given)
        measure("tuned", better, test)
        for one in better:
            after = agreement(model, one.programs, select)
            print(f"{one.program} tuned: mean IoU {mean(after):.3f}")
    print(f"{time.monotonic() - started:.0f} seconds")
    (given.out / "replacement.json").write_text(json.dumps(documents, indent=1), encoding="utf-8")


def mean(values: dict[HeadId, float]) -> float:
    return float(np.mean(list(values.values())))


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
