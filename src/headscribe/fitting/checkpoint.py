"""What a killed fit goes on from: the formulas of every finished stage, as JSON."""

import json
import os
from collections.abc import Callable, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np

from headscribe.core.errors import RunError
from headscribe.fitting.features import Sample
from headscribe.fitting.grown import Compound
from headscribe.fitting.selection import Budget
from headscribe.fitting.stages import Fitted


class Checkpoint:
    """Keeps the formulas of each stage in a folder; without a folder it keeps nothing.

    A stage's file is written under a temporary name and renamed, and carries a fingerprint of the
    sample, the budget and the seed: stages of another fit are computed anew. Weights are written
    in full, so that an interrupted fit ends with the same numbers.
    """

    def __init__(self, folder: Path | None, sample: Sample, budget: Budget, seed: int) -> None:
        self._folder = folder
        digest = blake2b(repr((sample.pool, sample.groups, budget, seed)).encode(), digest_size=16)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            digest.update(np.ascontiguousarray(sample.attention).tobytes())
            digest.update(np.ascontiguousarray(sample.row_token).tobytes())
        self._fingerprint = digest.hexdigest()

    def stage(self, name: str, compute: Callable[[], Sequence[Fitted]]) -> list[Fitted]:
        """Return the formulas of a stage: those kept from before, else computed and kept.

        Raises:
            RunError: the stage's file is damaged; names it.
        """
        if self._folder is None:
            return list(compute())
        path = self._folder / f"{name}.json"
        if path.exists():
            try:
                kept = json.loads(path.read_text(encoding="utf-8"))
                if kept["fingerprint"] == self._fingerprint:
                    return [_read(one) for one in kept["formulas"]]
            except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
                raise RunError(
                    f"{path}: expected a finished stage, got {error}; remove it"
                ) from error
        found = list(compute())
        document = {"fingerprint": self._fingerprint, "formulas": [_write(one) for one in found]}
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(document), encoding="utf-8")
        os.replace(temporary, path)
        return found


def _write(one: Fitted) -> dict[str, object]:
    terms = [{"gate": term.gate, "sets": term.sets} for term in one.terms]
    return {"terms": terms, "weights": one.weights.tolist()}


def _read(stored: dict[str, list[object]]) -> Fitted:
    terms = []
    for term in stored["terms"]:
        if not isinstance(term, dict):
            raise TypeError("a term that is no object")
        sets = tuple((str(name), tuple(values)) for name, values in term["sets"])
        terms.append(Compound(str(term["gate"]), sets))
    return Fitted(tuple(terms), np.array(stored["weights"], np.float64))
