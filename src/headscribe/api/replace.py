"""Proof by replacement: a model whose heads their formulas replace, measured against controls."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscribe.api.fit import stored_formulas
from headscribe.api.inputs import CorpusLike, Reporter, corpus, model_inputs, silent
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.results.run import Run

if TYPE_CHECKING:
    from headscribe.fitting.formula import Formula
    from headscribe.models.loading import Source
    from headscribe.models.model import Model
    from headscribe.replacement.curves import Curves

FRACTIONS = (0.05, 0.10, 0.25, 0.50, 0.75, 1.00)


@dataclass(frozen=True)
class Replacement:
    """What replacing heads did.

    Attributes:
        document: the shape of `replace --json`: metric, unaltered value, and the curve.
        curves: everything measured, single heads included.
    """

    document: dict[str, Any]
    curves: "Curves"


def opened_model(model: "Model | Source") -> "Model":
    """The model itself, or loaded."""
    from headscribe.models.loading import load
    from headscribe.models.model import Model

    return model if isinstance(model, Model) else load(model)


def replace(
    model: "Model | Source",
    programs: "str | Path | dict[HeadId, Formula]",
    texts: CorpusLike,
    fit_texts: CorpusLike,
    *,
    fractions: Sequence[float] = FRACTIONS,
    tune: bool = False,
    annotator: str | None = None,
    limit: int | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    report: Reporter = silent,
) -> Replacement:
    """Replace ever more heads by their formulas, best explained first, and measure the model.

    Beside the formulas stand the profile, the best fixed pattern, other heads' formulas, silence
    and mean attention, in the same order of heads, and the formulas in random orders.

    Args:
        model: what `headscribe.load` takes or gives.
        programs: the run of a fit, or formulas by head, best explained first.
        texts: texts to measure on, none of which the formulas were fitted on.
        fit_texts: texts that the controls are estimated on, and that tuning reads; as many as the
            fit itself used.
        fractions: the shares of the heads to replace.
        tune: also tune the weights, and controls likewise, by the altered model's own loss.
        annotator: as in `survey`.
        limit: at most so many texts to measure on.
        max_tokens: cut every text to so many tokens.
        seed: shuffles and draws the controls.
        out: directory of the run; None keeps nothing on disk.
        resume: go on with the unfinished run in `out`.
        report: hears of the progress.

    Raises:
        UsageError: programs that look ahead in a causal model, unknown heads, wrong input.
    """
    from headscribe.replacement.curves import curves
    from headscribe.replacement.study import tuned, untuned

    if not fractions or not all(0 < fraction <= 1 for fraction in fractions):
        raise UsageError(f"expected fractions above 0 and up to 1, got {list(fractions)}")
    formulas = programs if isinstance(programs, dict) else stored_formulas(programs)
    used = None if isinstance(programs, dict) else Run.open(programs).manifest["corpus"]["texts"]
    loaded = opened_model(model)
    measured = model_inputs(
        loaded, corpus(texts, limit), annotator_name=annotator, max_tokens=max_tokens,
        report=report,
    )  # fmt: skip
    fitted = model_inputs(
        loaded, corpus(fit_texts, used), annotator_name=annotator, max_tokens=max_tokens,
        report=report,
    )  # fmt: skip
    config = {
        "model": loaded.fingerprint,
        "corpus": measured.corpus["fingerprint"],
        "fit_corpus": fitted.corpus["fingerprint"],
        "max_tokens": max_tokens,
        "fractions": list(fractions),
        "tune": tune,
        "seed": seed,
    }
    run = None if out is None else _run(out, config, resume)
    contenders = untuned(loaded, formulas, fitted.passages, seed=seed)
    if tune:
        contenders += tuned(loaded, formulas, fitted.passages, told=report)
    found = curves(
        loaded, contenders, list(formulas), measured.passages, fractions=fractions, seed=seed,
        run=run,
    )  # fmt: skip
    document = found.document()
    if run is not None:
        run.finish(replacement=document, model={"name": loaded.name}, corpus=measured.corpus)
    return Replacement(document, found)


def _run(out: str | Path, config: dict[str, object], resume: bool) -> Run:
    if not resume:
        return Run.create(out, "replacement", config)
    run = Run.open(out)
    run.check_config(config)
    return run


def talk(
    model: "Model | Source",
    programs: "str | Path | dict[HeadId, Formula]",
    prompt: str,
    *,
    fraction: float = 1.0,
    max_new_tokens: int = 64,
) -> tuple[str, str]:
    """Go on with a text, by the model as it is and with its best explained heads replaced.

    Raises:
        UsageError: the model is not causal, or the prompt leaves no room.
    """
    from headscribe.replacement.apply import generate
    from headscribe.replacement.curves import count_of
    from headscribe.replacement.plan import Plan

    loaded = opened_model(model)
    formulas = programs if isinstance(programs, dict) else stored_formulas(programs)
    count = count_of(fraction, len(formulas))
    chosen = dict(list(formulas.items())[:count])
    return (
        generate(loaded, Plan({}), prompt, max_new_tokens),
        generate(loaded, Plan(chosen), prompt, max_new_tokens),
    )
