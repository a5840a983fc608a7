"""A formula for every head: fitted, scored on unseen text, kept in a run directory."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscribe.api.choice import Choice, choose_patterns, named_patterns
from headscribe.api.progress import shown
from headscribe.api.requests import FitRequest
from headscribe.api.runs import begin_study, check_resume, keep_texts
from headscribe.api.subject import read_inputs
from headscribe.api.views import View
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId, absent
from headscribe.core.progress import OnProgress
from headscribe.fitting.stored import stored_formulas, stored_profiles
from headscribe.models.inputs import Inputs, sourced
from headscribe.results.requests import digest_of, verb

if TYPE_CHECKING:
    import torch

    from headscribe.api.trying import Matrix
    from headscribe.fitting.examples import Examples
    from headscribe.fitting.fit import Given
    from headscribe.fitting.heads import Atlas, Estimate, HeadFormula
    from headscribe.models.loading import Source
    from headscribe.models.model import Model
    from headscribe.results.run import Run


@dataclass(frozen=True, repr=False)
class Fit(View):
    """A fit, read from its directory: `fit["7.10"]` is one head, `print` of it its formula."""

    @cached_property
    def heads(self) -> "tuple[HeadFormula, ...]":
        """Every head with its formula, scores with intervals, and labels."""
        from headscribe.fitting.tables import heads_of

        return heads_of(self.run.table("formulas"))

    def __getitem__(self, head: HeadId | str | tuple[int, int]) -> "HeadFormula":
        wanted = HeadId.of(head)
        for head_formula in self.heads:
            if head_formula.head == wanted:
                return head_formula
        raise absent(wanted, (fitted.head for fitted in self.heads), self.folder)

    def function(
        self, head: HeadId | str | tuple[int, int], model: "Model | Source | None" = None
    ) -> "Callable[[str], Matrix]":
        """The formula of a head as a function of a text.

        Args:
            head: whose formula.
            model: whose tokens are meant; None: words are the tokens.
        """
        from headscribe.api.trying import predict

        formula = self[head]

        def predicted(text: str) -> "Matrix":
            return predict(formula, text, model)

        predicted.__name__ = predicted.__qualname__ = formula.formula.name
        predicted.__doc__ = f"The attention that this formula predicts on a text.\n\n{formula}"
        return predicted

    def mean(self, what: str, view: str = "raw", metric: str = "iou") -> "Estimate":
        """The mean over heads of `formula`, `profile` or `gain`, with an interval over texts."""
        return self._estimates(what, view, metric)[None]

    def layers(
        self, what: str = "formula", view: str = "raw", metric: str = "iou"
    ) -> "dict[int, Estimate]":
        """The mean over the heads of every layer, with an interval over texts."""
        estimates = self._estimates(what, view, metric)
        return {layer: estimate for layer, estimate in estimates.items() if layer is not None}

    def mixture(self, head: HeadId | str | tuple[int, int]) -> list[dict[str, Any]]:
        """A head as a mixture of patterns, heaviest part first.

        Returns:
            Its parts: `pattern`, `weight`, and `gain`, `low`, `high` in IoU on unseen texts, None
            where there is none to give.
        """
        return self.mixtures[self[head].head]

    @cached_property
    def mixtures(self) -> dict[HeadId, list[dict[str, Any]]]:
        """Every head as a mixture of patterns, see `mixture`."""
        found: dict[HeadId, list[dict[str, Any]]] = {}
        for row in self.run.table("mixtures").to_pylist():
            found.setdefault(HeadId(row.pop("layer"), row.pop("head")), []).append(row)
        return found

    @cached_property
    def agreement(self) -> tuple[float, float | None]:
        """How far labels of two halves of the texts agree: mean Jaccard index over heads.

        Returns:
            Over all heads, where two without labels agree; and over those that either half labels,
            None if there is none.
        """
        from headscribe.fitting.labels import agreement

        halves: dict[str, dict[HeadId, list[str]]] = {"half 0": {}, "half 1": {}}
        for row in self.run.table("labels").to_pylist():
            if row["corpus"] in halves:
                named = halves[row["corpus"]].setdefault(HeadId(row["layer"], row["head"]), [])
                named.append(row["pattern"])
        one, two = ([half.get(h.head, []) for h in self.heads] for half in halves.values())
        return agreement(one, two)

    def to_json(self) -> dict[str, Any]:
        """The stable document of `fit --json`.

        Raises:
            UsageError: the fit is unfinished.
        """
        found: dict[str, Any] = self.fact("atlas")
        return found

    def _estimates(self, what: str, view: str, metric: str) -> "dict[int | None, Estimate]":
        from headscribe.fitting.heads import Estimate

        wanted = {"score": what, "view": view, "metric": metric}
        estimates = {
            row["layer"]: Estimate(row["mean"], row["low"], row["high"])
            for row in self.run.table("layers").to_pylist()
            if all(row[name] == value for name, value in wanted.items())
        }
        if None not in estimates:
            raise UsageError(f"expected a score, view and metric of a fit, got {wanted}")
        return estimates

    def _said(self) -> Iterable[str]:
        yield from super()._said()
        if self.run.complete:
            yield f"{len(self.heads)} heads, mean IoU {self.mean('formula')} on unseen texts"


@verb(FitRequest)
def fit(request: FitRequest) -> Fit:
    """Fit a readable formula to every head and score it on texts that it was not fitted on.

    >>> import headscribe as hs
    >>> texts, others = hs.corpus("bundled:samples", 4), ["The cat sat.", "A dog saw the cat."]
    >>> fit = hs.fit("bundled:stories", texts, test=others, terms=1, max_tokens=8)
    >>> print(fit["1.2"].formula)
    L1H2
       all to  distance == -1   -0.774

    Raises:
        UsageError: wrong input, or a single text and none to test on.
    """
    from headscribe.fitting.examples import Examples

    if request.formulas is not None and request.test is not None:
        raise UsageError("expected either formulas to score on the texts, or texts to test on")
    where = _device(request.device)
    check_resume(request)
    source, texts = sourced(request)
    with shown(request.on_progress) as on_progress:
        inputs, unseen = read_inputs(request, source, texts, on_progress)
        choice = _choice(request, inputs)
        run = _begun(request, inputs, unseen, choice)
        if not run.complete:
            examples = Examples.of((unseen or inputs).passages)
            atlas = _fitted(request, inputs, unseen, choice, examples, run, where, on_progress)
            _write(run, atlas, examples)
    return Fit(run)


def _choice(request: FitRequest, inputs: Inputs) -> Choice:
    """The patterns that labels and mixtures are made of."""
    asked = request.patterns
    names = named_patterns(asked, []) if asked is None or isinstance(asked, str) else list(asked)
    causal = bool(inputs.model_facts["causal"])
    return choose_patterns(names or ["all"], inputs.provides, causal)


def _begun(request: FitRequest, inputs: Inputs, unseen: Inputs | None, choice: Choice) -> "Run":
    test = None if unseen is None else unseen.fingerprints["texts"]
    given = (
        None
        if request.formulas is None
        else digest_of(
            [formula.to_json() for formula in _given(request.formulas).formulas.values()]
        )
    )
    named = {"test": test, "patterns": digest_of(choice.descriptions), "formulas": given}
    tested = None if unseen is None else unseen.corpus
    run = begin_study(request, "fit", inputs, named, test=tested)
    keep_texts(run, inputs)
    return run


def _fitted(
    request: FitRequest,
    inputs: Inputs,
    others: Inputs | None,
    choice: Choice,
    examples: "Examples",
    run: "Run",
    device: "torch.device",
    on_progress: OnProgress,
) -> "Atlas":
    """The formulas of all heads, and what the heads have in common."""
    from headscribe.fitting.fit import Material, fit_source
    from headscribe.fitting.selection import Budget

    causal = bool(inputs.model_facts["causal"])
    return fit_source(
        Material(inputs.source, inputs.passages),
        choice.patterns,
        Budget(terms=request.terms),
        look_ahead=not causal if request.look_ahead is None else request.look_ahead,
        test=None if others is None else Material(others.source, others.passages),
        given=None if request.formulas is None else _given(request.formulas),
        examples=examples,
        seed=request.seed,
        threshold=request.threshold,
        device=device,
        on_progress=on_progress,
        run=run,
    )


def _given(formulas: "Fit | str | Path") -> "Given":
    """The formulas to score, with the profile of the texts that they were fitted to."""
    from headscribe.fitting.fit import Given

    folder = formulas.folder if isinstance(formulas, Fit) else formulas
    return Given(stored_formulas(folder), stored_profiles(folder))


def _device(name: str | None) -> "torch.device":
    """The device to fit on; a kind without sparse matrices in double precision gives the CPU."""
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"expected a device such as cpu or cuda, got {name!r}") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("expected a CUDA device, this machine has none: leave out --device")
    return found if found.type == "cuda" else torch.device("cpu")


def _write(run: "Run", atlas: "Atlas", examples: "Examples") -> None:
    from headscribe.fitting.tables import run_tables

    assert atlas.findings is not None
    for name, table in run_tables(atlas, atlas.findings).items():
        run.write_table(name, table)
    run.write_table("examples", examples.table(atlas.heads))
    best = sorted(atlas.heads, key=lambda head_formula: -head_formula.iou)
    run.write_text("formulas.txt", "\n\n".join(map(str, best)) + "\n")
    notes = [*run.manifest.get("notes", []), *atlas.notes]
    run.finish(atlas=atlas.to_json(), notes=notes)
