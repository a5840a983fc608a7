"""What is to replace which head: formulas of a fit, a plan file, or programs given by head.

Formulas are those of a run, or of a file such as its `formulas.txt`, edited perhaps.

A plan file names one program a line, by head, in the order in which the heads are replaced:

    # layer.head: a catalogue pattern, a relation, a Python file, `zero`, `profile` or `mean`
    2.0: next_token
    3.5: key.prev.id == query.id
    1.7: programs/quotes.py
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from headscribe.core.errors import UsageError
from headscribe.core.files import lines_of
from headscribe.core.heads import HeadId
from headscribe.fitting.stored import holds_formulas, stored_formulas
from headscribe.models.model import Model
from headscribe.patterns.contract import Pattern
from headscribe.patterns.registry import baselines, pattern_of
from headscribe.replacement.controls import estimate
from headscribe.replacement.plan import ZERO, Program
from headscribe.replacement.transcripts import Transcript
from headscribe.sandbox import (
    ProgramFailureError,
    Runner,
    Sandbox,
    SandboxedProgram,
    Trusted,
    prefix_test,
)
from headscribe.text.passages import Passage

Programs = str | Path | Mapping[Any, Any]
"""The run of a fit, a plan file, or programs (patterns, or texts as in a plan file) by head."""

ESTIMATED = ("profile", "mean")
"""Programs that are estimated on the fit texts."""

_TRIAL = "Once there was a cat. The cat saw a dog, and the dog saw the cat. They went home."


def programs_of(
    given: Programs,
    model: Model,
    fit: Sequence[Passage] | None,
    held: ExitStack,
    *,
    trust: bool = False,
) -> dict[HeadId, Program]:
    """The programs of a plan, by head, in their order.

    Args:
        given: see `Programs`.
        model: the model that they are for; Python programs are tried on what it reads.
        fit: texts that `profile` and `mean` are estimated on; None where there are none.
        held: closes the sandbox that Python programs run in.
        trust: run Python programs in this process instead of the sandbox.

    Raises:
        UsageError: no such plan, a malformed line (named by number), an unknown head, a head that
            occurs twice, a program that is none, or the sandbox is not in force.
    """
    if isinstance(given, str | Path):
        path = Path(given)
        if not path.is_file() or holds_formulas(path):
            return dict(stored_formulas(path))
        listed = [(f"{path}, line {number}: ", head, said) for number, head, said in _lines(path)]
        folder = path.parent
    else:
        listed = [("", head, said) for head, said in given.items()]
        folder = Path()
    maker = _Maker(model, fit, folder, held, trust)
    found: dict[HeadId, Program] = {}
    for where, head, said in listed:
        try:
            known = head if isinstance(head, HeadId) else HeadId.parse(str(head))
        except UsageError as error:
            raise UsageError(f"{where}{error}") from error
        if known in found:
            raise UsageError(f"{where}head {known}: expected one program, the plan has two")
        try:
            found[known] = maker.program(known, said)
        except (UsageError, ProgramFailureError) as error:
            raise UsageError(f"{where}head {known}: {error}") from error
    if not found:
        raise UsageError("expected a plan with at least one head, got none")
    return found


def _lines(path: Path) -> list[tuple[int, str, str]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a plan in UTF-8 text: {error}") from None
    found = []
    for number, line in enumerate(lines_of(text), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        head, colon, said = line.partition(":")
        if not colon or not said.strip():
            raise UsageError(
                f"{path}, line {number}: expected `LAYER.HEAD: PROGRAM`, got {line[:60]!r}"
            )
        found.append((number, head.strip(), said.strip()))
    return found


class _Maker:
    """Makes programs of what a plan says; what is costly is made once."""

    def __init__(
        self,
        model: Model,
        fit: Sequence[Passage] | None,
        folder: Path,
        held: ExitStack,
        trust: bool,
    ) -> None:
        self._model, self._fit, self._folder = model, fit, folder
        self._held, self._trust = held, trust
        self._python: dict[Path, Program] = {}
        self._runner: Runner | None = None
        self._controls: dict[str, Mapping[HeadId, Pattern]] = {}

    def program(self, head: HeadId, said: object) -> Program:
        if hasattr(said, "predict") or said is ZERO:
            return cast("Program", said)
        if not isinstance(said, str):
            raise UsageError(f"expected a pattern or its text, got {type(said).__name__}")
        if said == ZERO.name:
            return ZERO
        if said in ESTIMATED:
            return self._estimated(head, said)
        if said.endswith(".py"):
            return self._from_file(head, self._folder / said)
        try:
            return pattern_of(said)
        except UsageError as error:
            raise UsageError(
                f"expected a pattern's name, a relation, a .py file, zero, profile "
                f"or mean, got {said[:60]!r}: {error}"
            ) from error

    def _estimated(self, head: HeadId, said: str) -> Program:
        if self._fit is None:
            raise UsageError(f"expected texts to estimate its {said} on (--fit-text)")
        if not self._controls:
            controls = estimate(self._model, self._fit, baselines())
            self._controls = {"profile": controls.profile, "mean": controls.mean}
        if head not in self._controls[said]:
            raise UsageError(f"the model has heads 0.0 to {max(self._controls[said])}")
        return self._controls[said][head]

    def _from_file(self, head: HeadId, path: Path) -> Program:
        """A Python program behind walls, tried on a text: does it run, does it look ahead?"""
        if path not in self._python:
            try:
                code = path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise UsageError(f"expected a Python program in {path}: {error}") from error
            runner = self._behind_walls()
            made = SandboxedProgram(path.stem, code, runner, source=str(path))
            texts = self._trial()
            if not made.needs:
                made.predict(texts[0], self._model.visibility(head.layer))
                made.looks_ahead = prefix_test(code, runner, texts).looks_ahead
            self._python[path] = made
        return self._python[path]

    def _behind_walls(self) -> Runner:
        if self._runner is None:
            self._runner = Trusted() if self._trust else self._held.enter_context(Sandbox())
        return self._runner

    def _trial(self) -> list[Passage]:
        """Two texts to fit to, or a made-up one."""
        if self._fit:
            return list(self._fit[:2])
        ids = [int(one) for one in self._model.encode([_TRIAL])[0].ids]
        return [Transcript(self._model.tokenizer, "trial").passage(ids)]
