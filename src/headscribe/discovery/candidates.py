"""From a proposal's code to predictions: checked, run in the sandbox, normalised, or refitted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from headscribe.core.arrays import Attention, Matrix
from headscribe.core.rows import Rows as PredictedRows
from headscribe.discovery.code import FailedError, InvalidError
from headscribe.discovery.library import PREFIX_TEXTS
from headscribe.discovery.proposals import Code
from headscribe.discovery.refit import RefittedFormula, refitted
from headscribe.discovery.study import HeadTask
from headscribe.sandbox import Failure, Runner, check, prefix_test
from headscribe.sandbox.static import needed_fields
from headscribe.text.passages import Passage
from headscribe.text.splits import Split


def candidate(study: HeadTask, code: Code, runner: Runner | None) -> "Candidate":
    """Check a proposal's code and make it ready.

    Raises:
        InvalidError: it cannot be tried.
        FailedError: the static check refuses the program.
    """
    if code.kind == "relations":
        return refitted(study, code.relations, [proposed.made for proposed in code.classes])
    return _program(study, code.program, runner)


@dataclass
class ProposedProgram:
    """A whole Python program, run in the sandbox; rows that it says nothing about are uniform.

    Attributes:
        looks_ahead: a row may depend on later tokens; True where that was not tested.
        forgiving: texts on which it fails count as uniform from here on, instead of ending it.
        failed: on how many texts it failed while that was so.
    """

    study: HeadTask
    code: str
    runner: Runner
    looks_ahead: bool
    notes: tuple[str, ...] = ()
    forgiving: bool = False
    failed: int = 0
    _own: dict[int, Matrix] = field(default_factory=dict)

    @property
    def without(self) -> None:
        """Nothing: a program takes the whole formula's place."""

    def iou(self, split: Split) -> Float[np.ndarray, " n"]:
        """IoU on every text of a split; runs the program on those that it has not seen.

        Raises:
            FailedError: the program gave no matrix for one of them.
        """
        material = self.study.material
        texts = material.texts(split)
        self._run([text for text in texts if text not in self._own])
        predicted = np.zeros(len(self.study.real), np.float32)
        bounds = np.searchsorted(
            material.sample.row_text[material.sample.row], np.arange(len(material.passages) + 1)
        )
        for text in texts:
            predicted[bounds[text] : bounds[text + 1]] = material.cells(text, self.matrix(text))
        return self.study.iou(predicted)[list(texts)]

    def matrix(self, text: int) -> Attention:
        """The prediction for a text that was run."""
        return self._filled(self._own[text])

    def predicted_of(self, passages: Sequence[Passage]) -> list[Attention]:
        """The predictions for texts that are in no split; runs the program on them.

        Raises:
            FailedError: the program gave no matrix for one of them.
        """
        results = self.runner.run(self.code, passages).results if passages else ()
        seen, predicted = self.study.material.visibility, []
        for passage, result in zip(passages, results, strict=True):
            if isinstance(result, Failure):
                raise FailedError(passage.text_id, result)
            rows = PredictedRows.from_dense(result).visible(seen)
            predicted.append(self._filled(rows.to_dense()))
        return predicted

    def _filled(self, matrix: Matrix) -> Attention:
        seen = self.study.material.visibility
        return PredictedRows.from_dense(matrix).filled("uniform", seen).to_dense()

    def sketch(self, text: int) -> Attention:
        """What the program returned for a text that was run, visible keys only, normalised."""
        return self._own[text]

    def to_json(self) -> dict[str, object]:
        """The program."""
        return {"kind": "python", "program": self.code}

    def _run(self, texts: Sequence[int]) -> None:
        material = self.study.material
        passages = [material.passages[text] for text in texts]
        results = self.runner.run(self.code, passages).results if passages else ()
        for text, result in zip(texts, results, strict=True):
            if isinstance(result, Failure):
                if not self.forgiving:
                    raise FailedError(material.passages[text].text_id, result)
                self.failed += 1
                length = len(material.passages[text])
                self._own[text] = np.zeros((length, length), np.float32)
                continue
            rows = PredictedRows.from_dense(result).visible(material.visibility)
            self._own[text] = rows.to_dense()


Candidate: TypeAlias = RefittedFormula | ProposedProgram
"""Code of a proposal, ready to be scored."""


def _program(study: HeadTask, code: str, runner: Runner | None) -> ProposedProgram:
    refused = check(code)
    if refused is not None:
        raise FailedError("(none was run)", refused)
    if runner is None:
        raise InvalidError("no_sandbox", "programs cannot be run here; write relations")
    material = study.material
    missing = sorted(needed_fields(code) - material.provides)
    if missing:
        raise InvalidError("needs", f"the words of the texts have no {', '.join(missing)}")
    ahead = True
    if material.visibility.causal:
        tested = prefix_test(code, runner, material.some(PREFIX_TEXTS))
        ahead = tested.looks_ahead
        if ahead and not material.look_ahead:
            raise InvalidError("looks_ahead", f"the program looks ahead: {tested.reason}")
    return ProposedProgram(study, code, runner, ahead)
