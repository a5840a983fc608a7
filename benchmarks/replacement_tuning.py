"""What tuning adds: `benchmarks/replacement.py --tune 1 0.5 0.25 --tune-controls`."""

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from narrowing import Narrowing, narrowed

from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress
from headscribe.fitting.formula import Formula, Term
from headscribe.models.model import Model
from headscribe.replacement.curves import Arm
from headscribe.replacement.study import beginnings
from headscribe.replacement.tuning import Schedule, tune
from headscribe.text.passages import Passage


def write(path: Path, formulas: Mapping[HeadId, Formula]) -> None:
    save(path, {str(head): one.to_json() for head, one in formulas.items()})


def save(path: Path, document: object) -> None:
    text = json.dumps(document)
    partial = path.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def stored(path: Path) -> dict[HeadId, Formula]:
    held = json.loads(path.read_text(encoding="utf-8"))
    return {HeadId.parse(head): Formula.from_json(one) for head, one in held.items()}


@dataclass(frozen=True)
class Tuning:
    """Formulas and controls that are tuned with some heads replaced.

    Attributes:
        model: the model.
        formulas: untuned, of every head.
        terms: the candidates of every head.
        heads: those that are replaced.
        fit: the texts that the candidates were chosen on.
        texts: the texts to tune on.
        given: the arguments.
    """

    model: Model
    formulas: Mapping[HeadId, Formula]
    terms: Mapping[HeadId, Sequence[Term]]
    heads: Sequence[HeadId]
    fit: Sequence[Passage]
    texts: Sequence[Passage]
    given: argparse.Namespace

    @property
    def suffix(self) -> str:
        """Of file names, by the number of heads."""
        return "" if len(self.heads) == len(self.formulas) else f"-{len(self.heads)}-heads"

    def starts(self) -> dict[str, Mapping[HeadId, Formula]]:
        """The formulas, and terms chosen in the altered model."""
        own = {head: self.formulas[head] for head in self.heads}
        return {"formula": own, "narrowed": self._narrowed()}

    def controls(self) -> dict[str, Mapping[HeadId, Formula]]:
        """As many random terms, as many offsets."""
        found = beginnings(self.model, self.starts()["formula"], self.texts, Schedule().seed)
        return {name: start for name, start in found.items() if name != "formula"}

    def _narrowed(self) -> dict[HeadId, Formula]:
        path = self.given.out / f"narrowed{self.suffix}.json"
        if not path.is_file():
            terms = {head: self.terms[head] for head in self.heads}
            texts, turns = self.fit[: self.given.narrow_texts], Narrowing(terms=self.given.terms)
            write(path, narrowed(self.model, terms, texts, turns, on_progress=told("terms")))
        return stored(path)

    def arms(self, starts: Mapping[str, Mapping[HeadId, Formula]], fraction: float) -> list[Arm]:
        """Tune all, or read those of an earlier run."""
        schedule, found = Schedule(steps=self.given.steps), []
        for name, start in starts.items():
            path = self.given.out / f"tuned-{name}{self.suffix}.json"
            if not path.is_file():
                progress = told(f"tuning {name}{self.suffix}")
                write(path, tune(self.model, start, self.texts, schedule, progress))
            every = {**self.formulas, **stored(path)}
            found.append(Arm(name, every, tuned=True, fractions=(fraction,)))
        return found


def told(name: str) -> OnProgress:
    """Says how far a tuning is."""
    began = time.monotonic()

    def say(_: str, step: int, steps: int) -> None:
        if step % 20 == 0 or step == steps:
            at = f"{time.monotonic() - began:.0f} s"
            print(name, step, "of", steps, at, file=sys.stderr, flush=True)

    return say
