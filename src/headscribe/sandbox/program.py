"""A Python program as a pattern, and the test whether it looks ahead."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from headscribe.core.errors import RunError, UsageError
from headscribe.core.rows import Rows
from headscribe.core.visibility import CAUSAL, Visibility
from headscribe.patterns.contract import Family
from headscribe.sandbox.inside.failures import Failure
from headscribe.sandbox.runner import PATIENT, Apart, Runner, Trusted
from headscribe.sandbox.sandbox import Sandbox
from headscribe.sandbox.static import check, needed_fields, sentence_of
from headscribe.text.passages import Passage
from headscribe.text.prefixes import changed_row, prefix


class ProgramFailureError(RunError):
    """A program gave no matrix for a passage; `failure` says why."""

    def __init__(self, name: str, text_id: str, failure: Failure) -> None:
        super().__init__(f"program {name} failed on text {text_id}: {failure}")
        self.failure = failure


class SandboxedProgram:
    """A program `def attention(p) -> array (T, T)`, run by a runner, as a pattern.

    `p` is a `sandbox.inside.view.Passage`. The array holds finite weights of at least 0; each row
    is normalised, a row of zeros stays uncovered. `needs` are the annotator's fields that the
    program names.

    Args:
        runner: a `Sandbox`, or `Trusted` for code of one's own.
        sentence: where the attention goes; default: the docstring of `attention`.
        looks_ahead: True unless `prefix_test` found otherwise.

    Raises:
        UsageError: the static check refuses the code.
    """

    family: Family = "custom"
    needs_later_keys = False
    mirror: str | None = None

    def __init__(
        self,
        name: str,
        code: str,
        runner: Runner,
        *,
        source: str,
        sentence: str | None = None,
        looks_ahead: bool = True,
    ) -> None:
        refused = check(code)
        if refused is not None:
            raise UsageError(f"program {name}: {refused.message}")
        self.name, self.code, self.source = name, code, source
        self.sentence = sentence or sentence_of(code) or f"What the program {name} computes."
        self.needs = needed_fields(code)
        self.looks_ahead = looks_ahead
        self._runner = runner
        self._known: dict[tuple[str, tuple[str, ...]], Rows | Failure] = {}

    def prepare(self, passages: Sequence[Passage]) -> None:
        """Run the program on many passages in one go; `predict` then answers from memory.

        Replaces what an earlier call prepared.
        """
        asked = [passage for passage in passages if self.needs <= passage.words.provides]
        results = self._runner.run(self.code, asked).results
        self._known = {
            (passage.text_id, passage.tokens): r if isinstance(r, Failure) else Rows.from_dense(r)
            for passage, r in zip(asked, results, strict=True)
        }

    def predict(self, passage: Passage, visibility: Visibility) -> Rows:
        """Predict the attention of every row, restricted to visible keys.

        Raises:
            UsageError: the passage lacks a word field that the program names.
            ProgramFailureError: the program gave no matrix.
        """
        missing = self.needs - passage.words.provides
        if missing:
            raise UsageError(
                f"program {self.name} reads {', '.join(sorted(missing))}, which the words of text "
                f"{passage.text_id} do not have; use an annotator that provides it"
            )
        rows = self._known.get((passage.text_id, passage.tokens))
        if rows is None:
            (result,) = self._runner.run(self.code, [passage]).results
            rows = result if isinstance(result, Failure) else Rows.from_dense(result)
        if isinstance(rows, Failure):
            raise ProgramFailureError(self.name, passage.text_id, rows)
        return rows.visible(visibility)


@dataclass(frozen=True, slots=True)
class PrefixTest:
    """Whether a program looked ahead on some texts.

    Attributes:
        looks_ahead: a row changed with later tokens, or the test could not tell.
        reason: one line.
        compared: the prefixes that were compared.
    """

    looks_ahead: bool
    reason: str
    compared: int


def prefix_test(
    code: str, runner: Runner, passages: Sequence[Passage], prefixes: int = 4
) -> PrefixTest:
    """Compare a program's rows for prefixes of texts with the first rows for the whole texts.

    A causal model's row i may depend on tokens up to i only. For each passage at most `prefixes`
    lengths, evenly spread, are cut; the rows of both, restricted to keys up to the query, must be
    equal. A program that names an annotator's field looks ahead without a test, since annotators
    read whole sentences. Passing is evidence from these texts, no proof.

    No memory helps: every call is a fresh process, that of a trusted program too, and what does not
    name a field is never shown it.
    """
    refused = check(code)
    if refused is not None:
        return PrefixTest(True, f"the static check refuses it: {refused.message}", 0)
    needs = needed_fields(code)
    if needs:
        said = f"it reads {', '.join(sorted(needs))}, and annotators read the whole sentence"
        return PrefixTest(True, said, 0)
    cut = [
        (passage, int(n))
        for passage in passages
        for n in np.unique(np.linspace(1, len(passage) - 1, prefixes).astype(int))
        if 0 < n < len(passage)
    ]
    parts = [prefix(passage, n) for passage, n in cut]
    with _fresh(runner) as fresh:
        results = fresh.run(code, [*parts, *passages]).results
    whole = dict(zip(map(id, passages), results[len(parts) :], strict=True))
    for (passage, n), part in zip(cut, results, strict=False):
        full = whole[id(passage)]
        if isinstance(full, Failure) or isinstance(part, Failure):
            failure = full if isinstance(full, Failure) else part
            return PrefixTest(True, f"it failed on text {passage.text_id}: {failure}", len(cut))
        a = Rows.from_dense(full).visible(CAUSAL).prefix(n).to_dense()
        b = Rows.from_dense(part).visible(CAUSAL).to_dense()
        changed = changed_row(a, b)
        if changed is not None:
            said = f"row {changed} of text {passage.text_id} changes with tokens from {n} on"
            return PrefixTest(True, said, len(cut))
    if not cut:
        return PrefixTest(True, "no text has a prefix to compare", 0)
    return PrefixTest(False, f"{len(cut)} prefixes gave the rows of the whole", len(cut))


@contextmanager
def _fresh(runner: Runner) -> Iterator[Runner]:
    """A runner that gives every call a process of its own, within walls if there are any here."""
    if not isinstance(runner, Trusted):
        yield runner
        return
    try:
        apart = Sandbox(PATIENT)
    except RunError:
        yield Apart()
        return
    with apart:
        yield apart
