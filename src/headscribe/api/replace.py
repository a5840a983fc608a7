"""Proof by replacement: a model whose heads their programs replace, measured against controls."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscribe.api.effect import EFFECT, TEXTS, effect_formulas
from headscribe.api.formulas import stored_formulas, stored_texts
from headscribe.api.inputs import CorpusLike, corpus, model_inputs
from headscribe.api.plans import Programs, programs_of
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.core.rows import RowPolicy
from headscribe.results.run import Run

if TYPE_CHECKING:
    from headscribe.models.loading import Source
    from headscribe.models.model import Model
    from headscribe.replacement.curves import Contender, Curves
    from headscribe.replacement.plan import Program
    from headscribe.text.passages import Passage

FRACTIONS = (0.05, 0.10, 0.25, 0.50, 0.75, 1.00)
FORMULAS = "formulas.txt"
ALONE = ("formula", "profile", "zero", "mean")


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
    programs: Programs,
    texts: CorpusLike,
    fit_texts: CorpusLike,
    *,
    fractions: Sequence[float] = FRACTIONS,
    policy: RowPolicy = "exclude",
    tune: bool = False,
    random_orders: int = 3,
    alone: Sequence[str] = ALONE,
    trust: bool = False,
    annotator: str | None = None,
    limit: int | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    report: OnProgress = silent,
) -> Replacement:
    """Replace ever more heads by their programs, best explained first, and measure the model.

    Beside the programs stand the profile, the best fixed pattern, other heads' programs, silence
    and mean attention, in the same order of heads, and the programs in random orders.

    Args:
        model: what `headscribe.load` takes or gives.
        programs: the run of a fit, a plan file (see `headscribe.api.plans`), or programs by head,
            best explained first; or `effect`: formulas that are fitted to stand in the heads'
            places, see `headscribe.api.effect`. A run keeps them as `formulas.txt`.
        texts: texts to measure on, none of which the programs were fitted on.
        fit_texts: texts that the controls are estimated on, and that tuning reads; as many as the
            fit itself used.
        fractions: the shares of the programs' heads to replace.
        policy: what becomes of rows that a program says nothing about: `exclude` keeps the head's
            own, `sink`, `self` and `uniform` put a fixed one there.
        tune: also tune the weights, and controls likewise, by the altered model's own loss.
        random_orders: measure the programs in so many random orders of heads besides.
        alone: the programs whose effect on each single head is measured too.
        trust: run Python programs of a plan in this process instead of the sandbox.
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
    from headscribe.replacement.record import record
    from headscribe.replacement.study import untuned

    started = time.monotonic()
    if not fractions or not all(0 < fraction <= 1 for fraction in fractions):
        raise UsageError(f"expected fractions above 0 and up to 1, got {list(fractions)}")
    used = _texts_of(programs)
    loaded = opened_model(model)
    measured, fitted = (
        model_inputs(
            loaded, given, annotator_name=annotator, max_tokens=max_tokens, report=report
        )
        for given in (corpus(texts, limit), corpus(fit_texts, used))
    )  # fmt: skip
    config: dict[str, object] = {
        "model": loaded.fingerprint,
        "corpus": measured.corpus["fingerprint"],
        "fit_corpus": fitted.corpus["fingerprint"],
        "max_tokens": max_tokens,
        "fractions": list(fractions),
        "policy": policy,
        "tune": tune,
        "random_orders": random_orders,
        "alone": list(alone),
        "seed": seed,
    }
    if programs == EFFECT:
        config["programs"] = EFFECT
    with ExitStack() as held:
        run = None
        if programs == EFFECT:
            # Fitting takes long: the run that keeps the formulas is begun before.
            run = None if out is None else _run(out, config, resume)
            chosen = _effect(loaded, fitted.passages, seed, run, report)
        else:
            chosen = programs_of(programs, loaded, fitted.passages, held, trust=trust)
        _check(loaded, chosen, policy, measured.passages, tune)
        if run is None and out is not None:
            run = _run(out, config, resume)
        contenders = untuned(
            loaded, chosen, fitted.passages, seed=seed, random_orders=random_orders, alone=alone
        )
        if tune:
            contenders += _tuned(loaded, chosen, fitted.passages, run, report)
        found = curves(
            loaded, contenders, list(chosen), measured.passages, fractions=fractions, seed=seed,
            policy=policy, run=run, told=lambda *at: report("replacing", *at),
        )  # fmt: skip
        document = found.document()
        if run is not None:
            report("recording", 0, 1)
            facts = record(run, loaded, contenders, list(chosen), measured.passages, policy,
                           fractions)  # fmt: skip
            run.finish(
                replacement=document,
                corpus=measured.corpus,
                versions={name: version(name) for name in ("headscribe", "torch", "numpy")},
                seconds=round(time.monotonic() - started, 2),
                **facts,
            )
            report("recording", 1, 1)
    return Replacement(document, found)


def _texts_of(programs: Programs) -> int | None:
    """How many texts the fit used, or is to use; None for other plans."""
    if programs == EFFECT:
        return TEXTS
    if not isinstance(programs, str | Path) or Path(programs).is_file():
        return None
    return stored_texts(programs)


def _effect(
    model: "Model", fit: "Sequence[Passage]", seed: int, run: Run | None, report: OnProgress
) -> "dict[HeadId, Program]":
    """Formulas fitted to the heads' effect, as the run's file has them, with weights as written."""
    if run is None:
        return dict(effect_formulas(model, fit, seed=seed, report=report))
    path = run.folder / FORMULAS
    if not path.is_file():
        found = effect_formulas(model, fit, seed=seed, report=report)
        run.write_text(FORMULAS, "\n\n".join(map(str, found.values())) + "\n")
    return dict(stored_formulas(path))


def _check(
    model: "Model",
    programs: "dict[HeadId, Program]",
    policy: RowPolicy,
    passages: "Sequence[Passage]",
    tune: bool,
) -> None:
    """Refuse what cannot be replaced before a run is begun.

    Raises:
        UsageError: what `Plan.check` and `check_causal` raise; programs without weights to tune.
    """
    from headscribe.fitting.formula import Formula
    from headscribe.replacement.cache import RowCache
    from headscribe.replacement.plan import Plan

    plan = Plan(programs, policy)
    plan.check(model)
    fixed = [head for head, one in programs.items() if not isinstance(one, Formula)]
    if tune and fixed:
        raise UsageError(
            f"head {fixed[0]}: expected a formula to tune, got {programs[fixed[0]].name}; leave "
            "out --tune"
        )
    cache, longest = RowCache(), max(passages[:8], key=len)
    for head, program in programs.items():
        cache.rows(program, policy, head, longest, model.visibility(head.layer))


def _tuned(
    model: "Model",
    programs: "dict[HeadId, Program]",
    fit: "Sequence[Passage]",
    run: Run | None,
    report: OnProgress,
) -> "list[Contender]":
    """The tuned formulas and their controls, those of an interrupted run where it has them."""
    from headscribe.fitting.formula import Formula
    from headscribe.replacement.record import stored_tuned, tuned_table
    from headscribe.replacement.study import tuned

    if run is not None and "tuned" in run.manifest["tables"]:
        return stored_tuned(run.table("tuned"))
    formulas = {head: one for head, one in programs.items() if isinstance(one, Formula)}
    found = tuned(model, formulas, fit, told=report)
    if run is not None:
        run.write_table("tuned", tuned_table(found))
    return found


def _run(out: str | Path, config: dict[str, object], resume: bool) -> Run:
    if not resume:
        run = Run.create(out, "replacement", config)
        run.manifest |= {"started": datetime.now(UTC).isoformat(timespec="seconds")}
        run.save()
        return run
    run = Run.open(out)
    run.check_config(config)
    return run


def talk(
    model: "Model | Source",
    programs: Programs,
    prompt: str,
    *,
    fraction: float = 1.0,
    policy: RowPolicy = "exclude",
    trust: bool = False,
    fit_texts: CorpusLike | None = None,
    max_new_tokens: int = 64,
) -> tuple[str, str]:
    """Go on with a text, by the model as it is and with its best explained heads replaced.

    Args:
        model: what `headscribe.load` takes or gives.
        programs: as in `replace`.
        prompt: how the text begins.
        fraction: the share of the programs' heads to replace, in their order.
        policy: as in `replace`.
        trust: as in `replace`.
        fit_texts: texts that the programs `profile` and `mean` of a plan are estimated on.
        max_new_tokens: how much to write.

    Raises:
        UsageError: the model is not causal, or the prompt leaves no room.
    """
    from headscribe.replacement.apply import generate
    from headscribe.replacement.curves import count_of
    from headscribe.replacement.plan import Plan

    if programs == EFFECT:
        raise UsageError(
            f"expected programs to talk with, got {EFFECT}: replace with them first, then give "
            f"RUN/{FORMULAS}"
        )
    loaded = opened_model(model)
    fit = None if fit_texts is None else model_inputs(loaded, corpus(fit_texts)).passages
    with ExitStack() as held:
        found = programs_of(programs, loaded, fit, held, trust=trust)
        heads = list(found)[: count_of(fraction, len(found))]
        plan = Plan(found, policy).only(heads)
        plan.check(loaded)
        return (
            generate(loaded, Plan({}), prompt, max_new_tokens),
            generate(loaded, plan, prompt, max_new_tokens),
        )
