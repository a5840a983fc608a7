"""The survey: every head of a model scored against every pattern, in one directory."""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import TYPE_CHECKING

from headscribe.api.choice import LIBRARY, Choice, choose_patterns, named_patterns
from headscribe.api.explain import Explained, held_cards, write_answer
from headscribe.api.library import Programs, library_patterns
from headscribe.api.progress import shown
from headscribe.api.requests import SurveyRequest
from headscribe.api.runs import begin_study, check_resume
from headscribe.core.errors import UsageError, unknown_name
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress
from headscribe.models.inputs import Inputs, open_inputs, sourced
from headscribe.results import queries
from headscribe.results.requests import digest_of, verb
from headscribe.results.run import Run

if TYPE_CHECKING:
    from headscribe.core.visibility import Visibility
    from headscribe.models.model import Model
    from headscribe.models.recorded import Recording
    from headscribe.patterns.contract import Pattern
    from headscribe.results.examples import ExampleRow
    from headscribe.scoring.engine import Engine, Progress


class Survey(Explained):
    """A survey, read from its directory: what every head does, and every pattern's scores."""

    @property
    def patterns(self) -> list[str]:
        """The patterns that were scored."""
        return queries.pattern_names(self.run)

    def top(
        self, pattern: str, k: int = 3, metric: str = "jsd", view: str = "raw", split: str = "all"
    ) -> list[tuple[HeadId, float]]:
        """The `k` heads that a pattern fits best, with their scores: first those that it explains
        better than every baseline, by gain, then the closest.

        Raises:
            UsageError: no such pattern, metric, view or split.
        """
        scores = self.scores(pattern, k, metric, view, split)
        return [(score.head_id, score.score) for score in scores]

    def scores(
        self,
        pattern: str | None = None,
        k: int = 3,
        metric: str = "jsd",
        view: str = "raw",
        split: str = "all",
        coverage: float | None = None,
    ) -> list[queries.Score]:
        """What `headscribe top` lists: the best heads with intervals, coverage and gains.

        Args:
            pattern: its name; None: all patterns of the survey, in its order.
            k: heads a pattern.
            metric: in which gains and distances are; `view` and `split` likewise.
            coverage: leave out patterns that cover a smaller share of the rows; None: 0.05 where
                all patterns are listed, 0 for one that is named.

        Raises:
            UsageError: no such pattern, metric, view or split.
        """
        if pattern is not None and pattern not in self.patterns:
            raise self._unknown(pattern)
        if coverage is None:
            coverage = queries.MIN_COVERAGE if pattern is None else 0.0
        return queries.top(
            self.run, pattern, metric=metric, view=view, split=split, k=k, min_coverage=coverage
        )

    def head(
        self, head: HeadId | str | tuple[int, int], metric: str = "jsd", view: str = "raw"
    ) -> list[queries.Score]:
        """All patterns' scores for one head, best first.

        Raises:
            UsageError: the run has no such head.
        """
        return queries.of_head(self.run, HeadId.of(head), metric=metric, view=view)

    def _unknown(self, pattern: str) -> UsageError:
        """The error for a pattern that this survey has not: a slip, or one that was not scored."""
        from headscribe.patterns.registry import registry

        skipped = self.run.manifest.get("skipped", {})
        if pattern in skipped:
            return UsageError(f"`{pattern}` was not scored in {self.folder}: {skipped[pattern]}")
        if pattern in registry():
            return UsageError(
                f"`{pattern}` was not scored in {self.folder}: survey again with "
                f"--patterns default,{pattern}"
            )
        known = dict.fromkeys([*self.patterns, *registry().names])
        return unknown_name("pattern of this run", pattern, list(known))

    def _said(self) -> Iterable[str]:
        yield from super()._said()
        yield f"{len(self.patterns)} patterns"


@verb(SurveyRequest)
def survey(request: SurveyRequest) -> Survey:
    """Score every head of a model against every pattern on a corpus.

    >>> import headscribe as hs
    >>> texts = ["The cat sat on the mat.", "A dog saw the cat."]
    >>> survey = hs.survey("bundled:stories", texts, patterns="previous_token")
    >>> [(head, score)] = survey.top("previous_token", k=1)
    >>> head.prose, round(score, 2)
    ('L1H2', 0.03)

    Raises:
        UsageError: wrong input; says which and what would work.
        RunError: NaN attention, memory, a disk that is full. What was stored stays.
    """
    if request.engine not in ("local", "ray"):
        raise unknown_name("engine", request.engine, ["local", "ray"])
    check_resume(request)
    asked = _patterns(request)
    use_library = asked is not None and LIBRARY in asked
    if use_library and request.engine == "ray":
        raise UsageError("programs of the library run on this machine only: leave out engine ray")
    source, texts = sourced(request)
    library = library_patterns(request.library, request.trust) if use_library else None
    with shown(request.on_progress) as on_progress, library or nullcontext(Programs()) as programs:
        inputs = open_inputs(
            source, texts, request.annotator, request.limit, request.max_tokens, on_progress,
            later=True,
        )  # fmt: skip
        choice = choose_patterns(asked, inputs.provides, _any_causal(source), programs)
        engine = _engine(request, inputs, choice)
        run = _begun(request, inputs, choice, engine)
        if not run.complete:
            progress = _scored(request, inputs, engine, run, on_progress)
            answer = {} if progress.companion is None else write_answer(progress.companion, run)
            progress.examples += _pictured(inputs, engine, run)
            _write_tables(engine, progress, run)
            run.finish(failures=_failures(engine, progress), **answer)
    return Survey(run)


def _patterns(request: SurveyRequest) -> "list[str | Pattern] | None":
    """What the three options for patterns ask for together."""
    one = request.pattern
    chosen = named_patterns(request.patterns, [one] if isinstance(one, str) else one or [])
    if request.pattern_file is not None:
        from headscribe.fitting.stored import patterns_of_file

        own = patterns_of_file(request.pattern_file, trust=request.trust)
        chosen = [*(chosen or ["default"]), *own]
    return chosen


def _any_causal(source: "Model | Recording") -> bool:
    return any(source.visibility(layer).causal for layer in range(source.layers))


def _engine(request: SurveyRequest, inputs: Inputs, choice: Choice) -> "Engine":
    """What runs the survey, with the question what every head does where there are enough texts."""
    from headscribe.behaviours.answer import Answer, too_few
    from headscribe.behaviours.catalogue import own_behaviours
    from headscribe.scoring.engine import Engine

    layers = layers_of(request.layers) if isinstance(request.layers, str) else request.layers
    engine = Engine(
        inputs.source, inputs.passages, choice.patterns, request.seed, request.token_budget,
        layers=layers,
    )  # fmt: skip
    if request.cards and too_few(inputs.passages) is None:
        engine.companion = Answer(
            inputs.source, inputs.passages, inputs.provides, seed=request.seed,
            own=own_behaviours(choice.patterns), layers=engine.chosen,
        )  # fmt: skip
    return engine


def _begun(request: SurveyRequest, inputs: Inputs, choice: Choice, engine: "Engine") -> Run:
    """A new run, or the one to go on with."""
    chosen = list(engine.chosen)
    return begin_study(
        request, "survey", inputs,
        {"patterns": digest_of(choice.descriptions), "layers": chosen}, end=(),
        model=inputs.model_facts | {"surveyed": chosen}, patterns=choice.descriptions,
        skipped=choice.skipped, notes=_notes(request, inputs, engine),
        cross_fitted=engine.cross and len(engine.buckets) > 1,
    )  # fmt: skip


def _notes(request: SurveyRequest, inputs: Inputs, engine: "Engine") -> list[str]:
    """What a reader should know, each thing once."""
    from headscribe.behaviours.answer import Answer, too_few
    from headscribe.models.recorded import Recording

    # A corpus says itself that its texts are few.
    few = engine.notes if isinstance(inputs.source, Recording) else []
    reason = None
    if isinstance(engine.companion, Answer):
        few = [*few, *engine.companion.notes]
    elif request.cards:
        reason = too_few(inputs.passages)
    return [*inputs.notes, *few, *([f"heads have no names: {reason}"] if reason else [])]


def _scored(
    request: SurveyRequest, inputs: Inputs, engine: "Engine", run: Run, on_progress: OnProgress
) -> "Progress":
    """All sums, going on from what the run kept of them."""
    if request.engine == "ray":
        from headscribe.scoring.sharding.cluster import run_on_ray

        return run_on_ray(engine, inputs.later, run, request.workers, on_progress)
    from headscribe.scoring.checkpoint import run_stored

    return run_stored(
        engine, lambda order: inputs.completing(order, request.workers, on_progress), run,
        on_progress,
    )  # fmt: skip


def _write_tables(engine: "Engine", progress: "Progress", run: Run) -> None:
    from headscribe.results.examples import table_of
    from headscribe.scoring.summary import Summary

    summary = Summary.of(engine, progress)
    run.write_table("scores", summary.scores())
    run.write_table("layers", summary.layers())
    run.write_table("gate", summary.gate())
    run.write_table("containment", summary.containment())
    run.write_table("examples", table_of(progress.examples))
    if len(relations := progress.relations.table(engine.source.heads)):
        run.write_table("relations", relations)


def _pictured(inputs: Inputs, engine: "Engine", run: Run) -> "list[ExampleRow]":
    """What the names of heads predict on the example texts, to be drawn beside their attention."""
    from headscribe.core.progress import silent
    from headscribe.patterns.registry import pattern_of
    from headscribe.results.examples import ExampleRow

    found: dict[tuple[str, str], Visibility] = {}
    for card in held_cards(run).values():
        if card.pictured is not None:
            found.setdefault(card.pictured, inputs.source.visibility(card.head.layer))
    chosen = [one for one in inputs.passages if one.text_id in engine.examples]
    with inputs.completing([one.text_id for one in chosen], 0, silent) as complete:
        return [
            ExampleRow.of_matrix(
                passage.text_id, "behaviour", name,
                pattern_of(relation).predict(passage, sight).to_dense(),
            )
            for passage in complete(chosen)
            for (name, relation), sight in found.items()
        ]  # fmt: skip


def _failures(engine: "Engine", progress: "Progress") -> dict[str, int]:
    return {
        pattern.name: int(count)
        for pattern, count in zip(engine.patterns, progress.sums.failures, strict=True)
        if count
    }


def layers_of(text: str) -> list[int]:
    """The layers of `0,5,11` or `0-3,11`.

    Raises:
        UsageError: something else.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        numbers = [first, last] if dash else [first]
        if not all(number.isdecimal() and len(number) <= 4 for number in numbers):
            raise UsageError(f"expected layers such as 0,5,11 or 0-3, got {text[:40]!r}")
        found += range(int(first), int(last or first) + 1)
    return found
