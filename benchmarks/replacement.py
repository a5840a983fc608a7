"""What the programs are worth inside the model: replacement curves beside every control.

    python benchmarks/replacement.py MODEL --fit TEXTS --test TEXTS [--tune 1 0.5 0.25] --out FOLDER

Candidate terms of every head are chosen on the first texts of `--fit` by its attention
(`headscribe.replacement.standins`); at most 12 of them stay and are weighed by the effect of the
head's rows, each head alone in the untouched model (`headscribe.replacement.effect`). With `--tune`
the weights are tuned with all heads replaced, and, as a arm of its own, the candidates are
narrowed down in the altered model and then tuned (`narrowing.py`). Heads are
ordered by IoU on the texts that follow those of the fit; losses are measured on `--test`: formulas
and profiles on all of it, the other controls on the first `--control-texts`, single heads on the
first `--alone-texts`. Prints the tables, writes them and the runs into the folder; an interrupted
run goes on when the command is given again.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from replacement_tuning import Tuning, save, stored, write
from scipy.stats import spearmanr

from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.selection import Breadth
from headscribe.models.loading import load
from headscribe.models.model import Model
from headscribe.replacement.agreement import agreements
from headscribe.replacement.controls import Profile
from headscribe.replacement.curves import Arm, Curves, count_of, curves
from headscribe.replacement.effect import fitted_to_effect
from headscribe.replacement.standins import candidate_terms
from headscribe.replacement.study import untuned
from headscribe.replacement.tuning import Schedule
from headscribe.results.run import Run
from headscribe.text.alignment import align
from headscribe.text.annotators import annotator
from headscribe.text.corpora import Text, read
from headscribe.text.passages import Passage


def passages(model: Model, texts: Sequence[Text], tokens: int, tags: str) -> list[Passage]:
    encodings = model.encode([text.text for text in texts], tokens)
    words = annotator(tags).annotate(texts)
    return [align(*three) for three in zip(texts, encodings, words, strict=True)]


def candidates_of(
    model: Model, fit: Sequence[Passage], given: argparse.Namespace
) -> dict[HeadId, tuple[Term, ...]]:
    """Choose candidate terms by the heads' attention, or read those of an earlier run."""
    path = given.out / "candidates.json"
    if not path.is_file():
        found = candidate_terms(
            model, fit, Breadth(terms=given.candidates), rows_per_text=given.rows
        )
        text = {str(h): [(t.relation, t.weight) for t in terms] for h, terms in found.items()}
        save(path, text)
    held = json.loads(path.read_text(encoding="utf-8"))
    return {HeadId.parse(head): tuple(Term(*one) for one in terms) for head, terms in held.items()}


def formulas_of(
    model: Model,
    terms: dict[HeadId, tuple[Term, ...]],
    fit: Sequence[Passage],
    given: argparse.Namespace,
) -> dict[HeadId, Formula]:
    """Fit formulas to the effect of the heads' rows, or read those of an earlier run."""
    path = given.out / "formulas.json"
    if not path.is_file():
        texts = fit[: given.effect_texts]
        found = fitted_to_effect(
            model, terms, texts, terms=given.terms, rows_per_text=given.effect_rows
        )
        write(path, found)
    return stored(path)


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


def alone(result: Curves, program: str) -> dict[HeadId, float]:
    """The increase that replacing each head by itself brings."""
    return {
        point.heads[0]: result.readings.estimate(result.row[index]).increase
        for index, point in enumerate(result.points)
        if point.order == "alone" and point.program == program and not point.tuned
    }


def spearman(one: dict[HeadId, float], other: dict[HeadId, float]) -> float:
    """Of what is known of the same heads: below 0 where a score tells which may be replaced."""
    heads = [head for head in one if head in other]
    return float(spearmanr([one[h] for h in heads], [other[h] for h in heads]).statistic)


def correlations(
    result: Curves, iou: dict[HeadId, float], profile: dict[HeadId, float]
) -> Iterator[str]:
    gain = {head: iou[head] - profile[head] for head in iou}
    for program in ("formula", "profile", "mean", "zero"):
        effects = alone(result, program)
        yield f"{program}: a single head costs {100 * mean(effects):+.2f} % on average"
    found = spearman(alone(result, "formula"), alone(result, "zero"))
    yield f"Spearman of formula's effect of single heads with zero's: {found:+.2f}"
    for program in ("formula", "zero", "mean"):
        for name, score in (("IoU", iou), ("gain", gain)):
            found = spearman(alone(result, program), score)
            yield f"Spearman of {program}'s effect of single heads with {name}: {found:+.2f}"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--fit", required=True, type=Path)
    parser.add_argument("--test", required=True, type=Path)
    parser.add_argument("--fit-texts", type=int, default=320)
    parser.add_argument("--rows", type=int, default=16, help="rows of each text to choose terms on")
    parser.add_argument("--candidates", type=int, default=36, help="candidate terms a head")
    parser.add_argument("--effect-texts", type=int, default=100)
    parser.add_argument("--effect-rows", type=int, default=28, help="rows of each of them")
    parser.add_argument("--narrow-texts", type=int, default=160)
    parser.add_argument("--select-texts", type=int, default=100)
    parser.add_argument("--test-texts", type=int, default=200)
    parser.add_argument("--control-texts", type=int, default=60)
    parser.add_argument("--alone-texts", type=int, default=14)
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--terms", type=int, default=12)
    parser.add_argument("--annotator", default="plain")
    parser.add_argument("--tune", type=float, nargs="*", default=[], help="shares of the heads")
    parser.add_argument("--tune-controls", action="store_true")
    parser.add_argument("--tune-texts", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=Schedule().steps)
    parser.add_argument("--out", required=True, type=Path)
    return parser.parse_args()


def main() -> None:
    given = arguments()
    started = time.monotonic()
    model = load(given.model)
    more = max(0, given.tune_texts - given.fit_texts) if given.tune or given.tune_controls else 0
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
    terms = candidates_of(model, fit, given)
    formulas = formulas_of(model, terms, fit, given)
    iou = agreements(model, [formulas], select)[0]
    order = sorted(iou, key=lambda head: -iou[head])
    arms = untuned(model, formulas, fit[:60], random_orders=2)
    profiles = {h: p for h, p in arms[1].programs.items() if isinstance(p, Profile)}
    profile_iou = agreements(model, [profiles], select)[0]
    size = np.mean([[len(one.terms), one.atoms] for one in formulas.values()], axis=0)
    print(f"mean IoU on select: {mean(iou):.3f}, profile {mean(profile_iou):.3f}; "
          f"{size[0]:.1f} terms and {size[1]:.1f} atoms a head", flush=True)  # fmt: skip
    documents = []

    def measure(name: str, chosen: Sequence[Arm], texts: Sequence[Passage]) -> Curves:
        result = measured(model, chosen, order, texts, given.out / name)
        documents.append({"part": name, "texts": len(texts)} | result.document())
        print(f"\n{name}, {len(texts)} texts", *table(result), sep="\n", flush=True)
        return result

    bare = [replace(one, alone=False, random_orders=0) for one in arms]
    measure("main", bare[:2], test)
    others = [replace(one, alone=False) for one in arms]
    measure("controls", others, test[: given.control_texts])
    alone = [replace(one, random_orders=0, fractions=()) for one in arms if one.alone]
    single = measure("alone", alone, test[: given.alone_texts])
    print(*correlations(single, iou, profile_iou), sep="\n", flush=True)

    def tuned(fraction: float, *, controls: bool = False) -> None:
        heads = order[: count_of(fraction, len(order))]
        tuning = Tuning(model, formulas, terms, heads, fit, fit + further, given)
        starts = tuning.controls() if controls else tuning.starts()
        better = tuning.arms(starts, fraction)
        measure(f"tuned{'-controls' * controls}{tuning.suffix}", better, test)
        for one in better:
            before, after = (
                agreements(model, [{head: held[head] for head in heads}], select)[0]
                for held in (starts[one.program], one.programs)
            )
            print(
                f"{one.program}: mean IoU {mean(before):.3f}, tuned {mean(after):.3f}", flush=True
            )

    for fraction in given.tune:
        tuned(fraction)
    if given.tune_controls:
        tuned(1.0, controls=True)
    print(f"{time.monotonic() - started:.0f} seconds")
    (given.out / "replacement.json").write_text(json.dumps(documents, indent=1), encoding="utf-8")


def mean(values: dict[HeadId, float]) -> float:
    return float(np.mean(list(values.values())))


def measured(
    model: Model,
    arms: Sequence[Arm],
    order: Sequence[HeadId],
    test: Sequence[Passage],
    folder: Path,
) -> Curves:
    """Measure, or go on with what an earlier run began."""
    if (folder / "run.json").is_file():
        run = Run.open(folder)
    else:
        run = Run.create(folder, "replace", {"heads": len(order)})
    return curves(model, arms, order, test, run=run)


if __name__ == "__main__":
    main()
