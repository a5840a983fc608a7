"""Proof by replacement: a model whose heads their programs replace, measured against controls."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from headscribe.api.progress import shown
from headscribe.api.requests import ReplaceRequest
from headscribe.api.runs import begin_study, check_resume, keep_texts
from headscribe.api.views import View
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress
from headscribe.core.rows import RowPolicy
from headscribe.fitting.stored import stored_formulas, stored_texts
from headscribe.models.inputs import CorpusLike, Inputs, model_inputs
from headscribe.replacement.plan_files import Programs, programs_of
from headscribe.results.requests import digest_of, verb
from headscribe.results.run import Run
from headscribe.text.corpora import corpus

if TYPE_CHECKING:
    from headscribe.models.loading import Source
    from headscribe.models.model import Model
    from headscribe.replacement.curves import Arm
    from headscribe.replacement.plan import Program
    from headscribe.text.passages import Passage

EFFECT = "effect"
"""What is given in place of programs, for formulas that are fitted to stand in heads' places."""

FORMULAS = "formulas.txt"


@dataclass(frozen=True, repr=False)
class Replacement(View):
    """What replacing heads did, read from its directory."""

    @property
    def document(self) -> dict[str, Any]:
        """The shape of `replace --json`: metric, unaltered value, and the curve.

        Raises:
            UsageError: the run is unfinished.
        """
        found: dict[str, Any] = self.fact("replacement")
        return found

    @property
    def findings(self) -> list[str]:
        """What stands above the figures: warnings, the untouched model, and what can be concluded.

        Nothing is concluded from an interval that covers zero, nor on texts that the untouched
        model does not know.
        """
        found: list[str] = self.run.manifest.get("findings", {}).get("lines", [])
        return found

    @property
    def curve(self) -> list[dict[str, Any]]:
        """A point for every program, order and share: `value`, `increase`, `low`, `high`, ..."""
        rows: list[dict[str, Any]] = self.document["curve"]
        return rows

    def alone(self, program: str = "formula", metric: str | None = None) -> dict[HeadId, float]:
        """The increase that replacing each head by itself brings; the headline metric by default.

        Raises:
            UsageError: single heads were not measured for this program.
        """
        wanted = {
            "order": "alone",
            "program": program,
            "tuned": False,
            "metric": metric or self.document["metric"],
        }
        found = {
            HeadId.parse(row["head"]): row["increase"]
            for row in self.run.table("replacement").to_pylist()
            if all(row[name] == value for name, value in wanted.items())
        }
        if not found:
            raise UsageError(f"the effect of single heads was not measured for {program}")
        return found

    def _said(self) -> Iterable[str]:
        yield from super()._said()
        if self.run.complete:
            yield f"{self.document['metric']} {self.document['unaltered']:.4g} untouched"


def opened_model(model: "Model | Source", **options: str | None) -> "Model":
    """The model itself, or loaded."""
    from headscribe.models.loading import load
    from headscribe.models.model import Model

    return model if isinstance(model, Model) else load(model, **options)


@verb(ReplaceRequest)
def replace(request: ReplaceRequest) -> Replacement:
    """Replace ever more heads by their programs, best explained first, and measure the model.

    Beside the programs stand the profile, the best fixed pattern, other heads' programs, silence
    and mean attention, in the programs' order of heads and in the best order of their own, and the
    programs in random orders.

    >>> import headscribe as hs
    >>> texts, others = hs.corpus("bundled:samples", 8), ["The cat sat.", "A dog saw the cat."]
    >>> replaced = hs.replace(
    ...     "bundled:stories", {"1.2": "previous_token"}, texts, others, fractions="1",
    ...     random_orders=0, alone="formula", max_tokens=12, annotator="plain",
    ... )
    >>> print(replaced.findings[0])
    Untouched, the model has a perplexity of 291.5 on these texts: ...

    Raises:
        UsageError: programs that look ahead in a causal model, unknown heads, wrong input.
    """
    from headscribe.replacement.curves import curves
    from headscribe.replacement.findings import findings
    from headscribe.replacement.overlap import origin, warnings
    from headscribe.replacement.record import record
    from headscribe.replacement.study import untuned

    shares, policy, seed = shares_of(request.fractions), policy_of(request.policy), request.seed
    if request.texts is None or request.fit_texts is None:
        raise UsageError(
            "expected texts to measure on (--text PATH) and others for the controls (--fit-text "
            "PATH; fit_texts in Python)"
        )
    check_resume(request)
    used = _texts_of(request.programs)
    given = (
        corpus(request.texts, request.limit, request.column),
        corpus(request.fit_texts, used, request.column),
    )
    model = opened_model(request.model, device=request.device, dtype=request.dtype)
    with ExitStack() as held:
        on_progress = held.enter_context(shown(request.on_progress))
        measured, fitted = (
            model_inputs(
                model, texts, annotator_name=request.annotator, max_tokens=request.max_tokens,
                on_progress=on_progress,
            )
            for texts in given
        )  # fmt: skip
        run = None
        if request.programs == EFFECT:
            # Fitting takes long: the run that keeps the formulas is begun before.
            run = _begun(request, measured, fitted, EFFECT)
            chosen = _effect(model, fitted.passages, seed, run, on_progress)
        else:
            chosen = programs_of(
                request.programs, model, fitted.passages, held, trust=request.trust
            )
        _check(model, chosen, policy, measured.passages, request.tune)
        run = run or _begun(request, measured, fitted, digest_of(_described(chosen)))
        if run.complete:
            return Replacement(run)
        names = request.alone.split(",") if isinstance(request.alone, str) else request.alone
        arms = untuned(
            model, chosen, fitted.passages, seed=seed, random_orders=request.random_orders,
            alone=names, stages=run, on_progress=on_progress,
        )  # fmt: skip
        if request.tune:
            arms += _tuned(model, chosen, fitted.passages, run, on_progress)
        found = curves(
            model, arms, list(chosen), measured.passages, fractions=shares, seed=seed,
            policy=policy, run=run, on_progress=on_progress,
        )  # fmt: skip
        against = warnings(model, origin(request.programs), measured.passages, fitted.passages)
        said = findings(model, found, measured.passages, fitted.passages, against)
        facts = record(
            run, model, arms, list(chosen), measured.passages, policy, shares, on_progress
        )
        run.finish(replacement=found.document(), findings=said.to_json(), **facts)
    return Replacement(run)


def shares_of(given: str | Sequence[float]) -> tuple[float, ...]:
    """The shares of heads that are asked for.

    Raises:
        UsageError: something else than numbers above 0 and up to 1.
    """
    parts = given.split(",") if isinstance(given, str) else given
    try:
        found = tuple(float(part) for part in parts)
    except (TypeError, ValueError) as error:
        raise UsageError(f"expected numbers between commas, got {given!r}") from error
    if not found or not all(0 < share <= 1 for share in found):
        raise UsageError(f"expected fractions above 0 and up to 1, got {given!r}")
    return found


def policy_of(text: str) -> RowPolicy:
    """The row policy of a name.

    Raises:
        UsageError: there is none.
    """
    if text not in get_args(RowPolicy):
        raise UsageError(
            f"expected a row policy of {', '.join(get_args(RowPolicy))} (--rows), got {text!r}"
        )
    return cast("RowPolicy", text)


def _begun(request: ReplaceRequest, measured: Inputs, fitted: Inputs, programs: str) -> Run:
    named = {"fit_texts": fitted.fingerprints["texts"], "programs": programs}
    run = begin_study(
        request, "replacement", measured, named, end=("replaced",), fit_corpus=fitted.corpus
    )
    keep_texts(run, fitted)
    return run


def _described(programs: "Mapping[HeadId, Program]") -> list[list[Any]]:
    """What each program says, in the order of the heads."""
    from headscribe.fitting.formula import Formula

    found = []
    for head, program in programs.items():
        said = program.to_json() if isinstance(program, Formula) else getattr(program, "code", None)
        found.append([str(head), program.name, said or str(getattr(program, "relation", ""))])
    return found


def _texts_of(programs: Programs) -> int | None:
    """How many texts the fit used, or is to use; None for other plans."""
    if programs == EFFECT:
        from headscribe.replacement.standins import MOST_TEXTS

        return MOST_TEXTS
    if not isinstance(programs, str | Path) or Path(programs).is_file():
        return None
    return stored_texts(programs)


def _effect(
    model: "Model", fit: "Sequence[Passage]", seed: int, run: Run, on_progress: OnProgress
) -> "dict[HeadId, Program]":
    """Formulas fitted to the heads' effect, as the run's file has them, with weights as written."""
    from headscribe.replacement.standins import effect_formulas

    path = run.folder / FORMULAS
    if not path.is_file():
        formulas = effect_formulas(model, fit, seed=seed, on_progress=on_progress)
        run.write_text(FORMULAS, "\n\n".join(map(str, formulas.values())) + "\n")
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
        UsageError: what `Plan.check` and `causal_rows` raise; programs without weights to tune.
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
    run: Run,
    on_progress: OnProgress,
) -> "list[Arm]":
    """The tuned formulas and their controls, those of an interrupted run where it has them."""
    from headscribe.fitting.formula import Formula
    from headscribe.replacement.record import tuned_table
    from headscribe.replacement.study import tuned

    formulas = {head: program for head, program in programs.items() if isinstance(program, Formula)}
    arms = tuned(model, formulas, fit, stages=run, on_progress=on_progress)
    run.write_table("tuned", tuned_table(arms))
    return arms


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

    >>> import headscribe as hs
    >>> hs.talk("bundled:stories", {"1.2": "zero"}, "Once upon a time", max_new_tokens=5)
    ('Once upon a time, there was a little', 'Once upon a time, there was a little')

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
