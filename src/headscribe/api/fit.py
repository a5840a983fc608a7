"""A formula for every head: fitted, scored on unseen text, kept in a run directory."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from headscribe.api.choice import choose_patterns
from headscribe.api.inputs import Inputs, open_inputs, sourced
from headscribe.api.progress import shown
from headscribe.api.requests import FitRequest
from headscribe.api.runs import begin, check_resume
from headscribe.api.views import View
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress
from headscribe.results.requests import verb

if TYPE_CHECKING:
    import torch

    from headscribe.fitting.atlas import Atlas
    from headscribe.fitting.examples import Examples
    from headscribe.fitting.features import Sample
    from headscribe.fitting.heads import Estimate, HeadFormula
    from headscribe.results.run import Run

FOLDS = 5


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
        for one in self.heads:
            if one.head == wanted:
                return one
        raise UsageError(f"head {wanted} is not among the {len(self.heads)} heads of {self.folder}")

    def mean(self, what: str, view: str = "raw", metric: str = "iou") -> "Estimate":
        """The mean over heads of `formula`, `profile` or `gain`, with an interval over texts."""
        return self._estimates(what, view, metric)[None]

    def layers(
        self, what: str = "formula", view: str = "raw", metric: str = "iou"
    ) -> "dict[int, Estimate]":
        """The mean over the heads of every layer, with an interval over texts."""
        found = self._estimates(what, view, metric)
        return {layer: one for layer, one in found.items() if layer is not None}

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
        halves: dict[str, dict[HeadId, set[str]]] = {"half 0": {}, "half 1": {}}
        for row in self.run.table("labels").to_pylist():
            if row["corpus"] in halves:
                of_head = halves[row["corpus"]].setdefault(HeadId(row["layer"], row["head"]), set())
                of_head.add(row["pattern"])
        scores = []
        for one in self.heads:
            first, second = (half.get(one.head, set()) for half in halves.values())
            if first | second:
                scores.append(len(first & second) / len(first | second))
        every = (sum(scores) + len(self.heads) - len(scores)) / len(self.heads)
        return every, sum(scores) / len(scores) if scores else None

    def to_json(self) -> dict[str, Any]:
        """The stable document of `fit --json`.

        Raises:
            UsageError: the fit is unfinished.
        """
        if "atlas" not in self.run.manifest:
            raise UsageError(f"{self.folder} is unfinished: go on with --resume")
        found: dict[str, Any] = self.run.manifest["atlas"]
        return found

    def _estimates(self, what: str, view: str, metric: str) -> "dict[int | None, Estimate]":
        from headscribe.fitting.heads import Estimate

        wanted = {"score": what, "view": view, "metric": metric}
        found = {
            row["layer"]: Estimate(row["mean"], row["low"], row["high"])
            for row in self.run.table("layers").to_pylist()
            if all(row[name] == value for name, value in wanted.items())
        }
        if None not in found:
            raise UsageError(f"expected a score, view and metric of a fit, got {wanted}")
        return found

    def _said(self) -> Iterable[str]:
        yield from super()._said()
        if self.run.complete:
            yield f"{len(self.heads)} heads, mean IoU {self.mean('formula')} on unseen texts"


@verb(FitRequest)
def fit(request: FitRequest) -> Fit:
    """Fit a readable formula to every head and score it on texts that it was not fitted on.

    Raises:
        UsageError: wrong input, or too few texts for five folds.
    """
    from headscribe.fitting.examples import Examples

    where = _device(request.device)
    check_resume(request)
    source, texts = sourced(request)
    with shown(request.on_progress) as on_progress:
        inputs, unseen = _inputs(request, source, texts, on_progress)
        run = _begun(request, inputs, unseen)
        if not run.complete:
            examples = Examples.of((unseen or inputs).passages)
            atlas = _fitted(request, inputs, unseen, examples, run, where, on_progress)
            _write(run, atlas, examples)
    return Fit(run)


def _inputs(
    request: FitRequest,
    source: Any,  # noqa: ANN401
    texts: Any,  # noqa: ANN401
    on_progress: OnProgress,
) -> tuple[Inputs, Inputs | None]:
    """The texts to fit to, and those to score on, if they are others."""
    annotator, most = request.annotator, request.max_tokens
    inputs = open_inputs(source, texts, annotator, request.limit, most, on_progress)
    if request.test is None:
        return inputs, None
    return inputs, open_inputs(source, request.test, annotator, None, most, on_progress)


def _begun(request: FitRequest, inputs: Inputs, unseen: Inputs | None) -> "Run":
    test = None if unseen is None else unseen.fingerprints["texts"]
    return begin(
        request,
        "fit",
        (inputs.source.name, str(inputs.corpus["name"]), "fit"),
        inputs.fingerprints | {"test": test},
        model=inputs.model_facts,
        corpus=inputs.corpus,
        test=None if unseen is None else unseen.corpus,
        annotator=inputs.annotator,
        notes=list(inputs.notes),
    )


def _fitted(
    request: FitRequest,
    inputs: Inputs,
    others: Inputs | None,
    examples: "Examples",
    run: "Run",
    device: "torch.device",
    on_progress: OnProgress,
) -> "Atlas":
    """The formulas of all heads, and what the heads have in common."""
    from headscribe.fitting.atlas import fit_heads
    from headscribe.fitting.findings import find
    from headscribe.fitting.selection import Budget
    from headscribe.fitting.sources import head_ids

    causal = bool(inputs.model_facts["causal"])
    ahead = not causal if request.look_ahead is None else request.look_ahead
    seed, threshold = request.seed, request.threshold
    patterns = choose_patterns(None, inputs.provides, causal).patterns
    sample = _sample(inputs, ahead, seed, patterns, examples, on_progress)
    unseen = None if others is None else _sample(others, ahead, seed, (), examples, on_progress)
    atlas = fit_heads(
        sample,
        head_ids(inputs.source),
        Budget(terms=request.terms),
        folds=FOLDS,
        test=unseen,
        seed=seed,
        threshold=threshold,
        device=device,
        progress=lambda _, done, stages: on_progress("fitting", done, stages),
        run=run,
    )
    on_progress("comparing heads", 0, 1)
    findings = find(atlas.fitted, atlas.by_fold, sample, unseen, seed, threshold)
    on_progress("comparing heads", 1, 1)
    return replace(atlas, findings=findings)


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


def _sample(
    inputs: Inputs,
    look_ahead: bool,
    seed: int,
    patterns: Sequence[Any],
    examples: "Examples",
    on_progress: OnProgress,
) -> "Sample":
    from headscribe.fitting.atlas import collect
    from headscribe.fitting.sources import attention_items

    def items() -> Any:  # noqa: ANN401
        for done, item in enumerate(attention_items(inputs.source, inputs.passages), 1):
            yield item
            on_progress("reading", done, len(inputs.passages))

    return collect(examples.watching(items()), look_ahead=look_ahead, seed=seed, patterns=patterns)


def _write(run: "Run", atlas: "Atlas", examples: "Examples") -> None:
    from headscribe.fitting.tables import run_tables

    assert atlas.findings is not None
    for name, table in run_tables(atlas, atlas.findings).items():
        run.write_table(name, table)
    run.write_table("examples", examples.table(atlas.heads))
    best = sorted(atlas.heads, key=lambda one: -one.scores["formula", "raw", "iou"].mean)
    run.write_text("formulas.txt", "\n\n".join(map(str, best)) + "\n")
    run.finish(atlas=atlas.to_json())
