"""The program library: accepted programs with their provenance, without near-duplicates.

A library is a file of JSON lines, one program each, rewritten as a whole under a temporary name.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from headscribe.core.arrays import Matrix
from headscribe.core.errors import RunError, UsageError
from headscribe.core.files import lines_of, write_whole
from headscribe.core.visibility import Visibility
from headscribe.discovery.material import Material
from headscribe.fitting.formula import Formula
from headscribe.patterns.contract import Pattern
from headscribe.patterns.relational import check_name
from headscribe.sandbox import ProgramFailureError, Runner, SandboxedProgram, prefix_test
from headscribe.text.passages import Passage

PREFIX_TEXTS = 4
"""Texts on which a program is tried for looking ahead."""

SAME = 0.98
"""Programs whose rows overlap by at least so much on average are the same."""


@dataclass(frozen=True)
class Entry:
    """One program.

    Attributes:
        name: its name as a pattern.
        program: `kind` is `formula` (with the formula and its new relations) or `python`.
        sentence: the hypothesis that it was written for.
        looks_ahead: a row may depend on later tokens in a causal model, as found when it was
            accepted; a file may say anything, so nobody believes it (see `looks_ahead`).
        provenance: where it was found: model, head, prompt and exchange, who answered, scores.
        merged: the provenance of programs that turned out to be the same.
    """

    name: str
    program: Mapping[str, Any]
    sentence: str
    looks_ahead: bool
    provenance: Mapping[str, Any]
    merged: tuple[Mapping[str, Any], ...] = ()

    def check(self) -> None:
        """Whether the entry can be used; its program is not run.

        Raises:
            UsageError, ValueError, TypeError, KeyError, AttributeError: it cannot.
        """
        check_name(self.name)
        self._source  # noqa: B018
        kind = self.program["kind"]
        if kind == "formula":
            Formula.from_json(self.program["formula"])
        elif kind != "python" or not isinstance(self.program["program"], str):
            raise ValueError(f"expected a formula or a Python program, got {str(kind)[:40]!r}")

    @property
    def _source(self) -> str:
        return "{model} {head}".format_map(dict(self.provenance))

    def pattern(self, runner: Runner | None) -> Pattern | None:
        """The program as a pattern; None for Python where there is no runner.

        One in Python counts as looking ahead: it was tested elsewhere.

        Raises:
            UsageError: the static check refuses it.
        """
        if self.program["kind"] == "formula":
            stored = Formula.from_json(self.program["formula"])
            return replace(stored, name=self.name, sentence=self.sentence, source=self._source)
        if runner is None:
            return None
        return SandboxedProgram(
            self.name,
            self.program["program"],
            runner,
            source=self._source,
            sentence=self.sentence,
        )


@dataclass
class Library:
    """Programs by name, in the order in which they came."""

    entries: list[Entry] = field(default_factory=list)

    @classmethod
    def read(cls, path: str | Path) -> "Library":
        """Read a library.

        Raises:
            UsageError: no such file.
            RunError: a damaged line; names it.
        """
        file = Path(path)
        if not file.is_file():
            raise UsageError(f"expected a file of programs, {file} is none")
        entries = []
        for number, line in enumerate(lines_of(file.read_text(encoding="utf-8")), 1):
            try:
                stored = json.loads(line)
                entry = Entry(**stored | {"merged": tuple(stored["merged"])})
                entry.check()
            except (ValueError, TypeError, KeyError, AttributeError, UsageError) as error:
                raise RunError(f"{file}, line {number}: expected a program, got {error}") from error
            entries.append(entry)
        return cls(entries)

    def write(self, path: str | Path) -> None:
        """Write the library as a whole under a temporary name, then rename it."""
        write_whole(
            path,
            "".join(json.dumps(asdict(entry), ensure_ascii=False) + "\n" for entry in self.entries),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The programs' names."""
        return tuple(entry.name for entry in self.entries)

    def patterns(self, runner: Runner | None = None) -> tuple[Pattern, ...]:
        """All programs as patterns; Python programs only with a runner."""
        made = [entry.pattern(runner) for entry in self.entries]
        return tuple(pattern for pattern in made if pattern is not None)

    def add(
        self,
        entry: Entry,
        passages: Sequence[Passage],
        visibility: Visibility,
        runner: Runner | None = None,
    ) -> str:
        """Add a program, or merge it with one that predicts the same; the name it is known by.

        Args:
            entry: the program; a taken name gets a number.
        """
        for other in self.entries:
            same = entry.provenance == other.provenance and entry.program == other.program
            if same or entry.provenance in other.merged:
                return other.name  # it joined before
        own = _matrices(entry, passages, visibility, runner)
        for i, other in enumerate(self.entries):
            known = _matrices(other, passages, visibility, runner)
            if own is not None and known is not None and overlap(own, known) >= SAME:
                merged = (*other.merged, entry.provenance, *entry.merged)
                self.entries[i] = replace(other, merged=merged)
                return other.name
        name, number = entry.name, 1
        while name in self.names:
            number += 1
            name = f"{entry.name}-{number}"
        self.entries.append(replace(entry, name=name))
        return name


def entry_name(model: str, head: str) -> str:
    """The name of what was found in a head of a model, fit for the registry."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", model).strip("-")[-50:]
    return f"found:{plain}:{head.replace('.', '-')}"


def looks_ahead(entry: Entry, passages: Sequence[Passage], runner: Runner | None) -> bool:
    """Whether a program looks ahead: what a formula reads, what Python does on these texts."""
    if entry.program["kind"] == "formula":
        return Formula.from_json(entry.program["formula"]).looks_ahead
    return runner is None or prefix_test(entry.program["program"], runner, passages).looks_ahead


def overlap(one: Sequence[Matrix], other: Sequence[Matrix]) -> float:
    """The mean overlap of rows, in [0, 1]; rows that neither covers overlap fully."""
    total, rows = 0.0, 0
    for a, b in zip(one, other, strict=True):
        neither = (a.sum(axis=1) == 0) & (b.sum(axis=1) == 0)
        total += float(np.minimum(a, b).sum()) + int(neither.sum())
        rows += len(a)
    return total / max(rows, 1)


def _matrices(
    entry: Entry, passages: Sequence[Passage], visibility: Visibility, runner: Runner | None
) -> list[Matrix] | None:
    """What a program predicts; None where it cannot: no runner, a failure, missing fields."""
    try:
        pattern = entry.pattern(runner)
    except UsageError:
        return None
    if pattern is None or any(not pattern.needs <= passage.words.provides for passage in passages):
        return None
    if isinstance(pattern, SandboxedProgram):
        pattern.prepare(passages)
    try:
        return [pattern.predict(passage, visibility).to_dense() for passage in passages]
    except ProgramFailureError:
        return None


def library_scores(
    library: Library, material: Material, runner: Runner | None
) -> tuple[dict[str, Float[np.ndarray, "H texts"]], tuple[str, ...]]:
    """IoU of every program with every examined head, and the names of those that could not run.

    Rows that a program does not cover are uniform.
    """
    scores, left_out = {}, []
    for entry in library.entries:
        ahead = (
            material.visibility.causal
            and not material.look_ahead
            and looks_ahead(entry, material.some(PREFIX_TEXTS), runner)
        )
        own = None if ahead else _matrices(entry, material.passages, material.visibility, runner)
        if own is None:
            left_out.append(entry.name)
            continue
        scores[entry.name] = _iou(own, material)
    return scores, tuple(left_out)


def _iou(matrices: Sequence[Matrix], material: Material) -> Float[np.ndarray, "H texts"]:
    seen = material.visibility

    def filled(text: int) -> Matrix:
        matrix = matrices[text]
        flat = seen.dense(len(matrix)) / seen.dense(len(matrix)).sum(axis=1, keepdims=True)
        return np.where(matrix.sum(axis=1, keepdims=True) > 0, matrix, flat)

    predicted = material.laid_out(filled)
    return np.stack([material.scorer.iou(predicted, real) for real in material.sample.attention])
