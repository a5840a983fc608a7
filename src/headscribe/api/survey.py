"""The survey: every head of a model scored against every pattern, in one directory."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscribe.api.checkpoint import restored, run_stored
from headscribe.api.choice import LIBRARY, Choice, choose_patterns
from headscribe.api.cluster import run_on_ray
from headscribe.api.inputs import CorpusLike, Inputs, Reporter, new_folder, open_inputs, silent
from headscribe.api.library import Programs, library_patterns
from headscribe.core.errors import UsageError, unknown_name
from headscribe.core.heads import HeadId
from headscribe.results import queries
from headscribe.results.run import Run

if TYPE_CHECKING:
    from headscribe.models.loading import Source
    from headscribe.models.model import Model
    from headscribe.models.recorded import Recording
    from headscribe.patterns.contract import Pattern
    from headscribe.scoring.engine import Engine, Progress

_VERSIONS = ("headscribe", "torch", "transformers", "numpy", "spacy")


@dataclass(frozen=True)
class Survey:
    """A finished survey, read from its directory.

    Attributes:
        run: the directory with all tables.
    """

    run: Run

    @classmethod
    def open(cls, folder: str | Path) -> "Survey":
        """Read a survey from its directory.

        Raises:
            UsageError: there is none.
        """
        return cls(Run.open(folder))

    @property
    def patterns(self) -> list[str]:
        """The patterns that were scored."""
        return queries.pattern_names(self.run)

    def top(
        self, pattern: str, k: int = 3, metric: str = "jsd", view: str = "raw", split: str = "all"
    ) -> list[tuple[HeadId, float]]:
        """The `k` heads that a pattern fits best, with their scores, best first.

        Raises:
            UsageError: no such pattern, metric, view or split.
        """
        found = queries.top(
            self.run, pattern, metric=metric, view=view, split=split, k=k, min_coverage=0.0
        )
        return [(score.head_id, score.score) for score in found]

    def head(self, head: HeadId | str, metric: str = "jsd", view: str = "raw") -> list[
        queries.Score
    ]:  # fmt: skip
        """All patterns' scores for one head, best first."""
        identity = HeadId.parse(head) if isinstance(head, str) else HeadId(*head)
        return queries.of_head(self.run, identity, metric=metric, view=view)

    def report(self, path: str | Path) -> Path:
        """Write the survey as one HTML page that needs no network."""
        from headscribe.report.page import write_page

        target = Path(path)
        write_page([self.run], target)
        return target

    def _repr_html_(self) -> str:
        """The report of the survey, as a notebook shows it."""
        from headscribe.report.notebook import frame

        return frame([self.run])

    def __repr__(self) -> str:
        model, texts = self.run.manifest["model"], self.run.manifest["corpus"]
        return (
            f"Survey({model['name']!r}, {model['layers']} layers x {model['heads']} heads, "
            f"{texts['texts']} texts of {texts['name']!r}, {len(self.patterns)} patterns, "
            f"in {str(self.run.folder)!r})"
        )


def survey(
    model: "Model | Recording | Source",
    texts: CorpusLike | None = None,
    *,
    patterns: "Sequence[str | Pattern] | None" = None,
    annotator: str | None = None,
    limit: int | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
    token_budget: int = 1024,
    library: str | Path | None = None,
    trust: bool = False,
    out: str | Path | None = None,
    resume: bool = False,
    layers: Sequence[int] | None = None,
    engine: str = "local",
    workers: int | None = None,
    report: Reporter = silent,
) -> Survey:
    """Score every head of a model against every pattern on a corpus.

    Args:
        model: what `headscribe.load` takes or gives, or a `Recording`.
        texts: what `headscribe.corpus` takes; None for a recording, which has its own.
        patterns: names of the catalogue, relations, or patterns; `library` for the programs that
            `discover` found; None: the default set.
        annotator: `plain`, `conllu`, `bundled:en`, or a spaCy pipeline; None: gold words where
            the corpus has them, else `bundled:en`.
        limit: at most so many texts.
        max_tokens: cut every text to so many tokens.
        seed: decides splits, folds and buckets.
        token_budget: padded tokens a batch.
        library: the file of the program library; None: the user's own.
        trust: run the library's Python programs in this process, without a sandbox.
        out: directory of the run; None: a new one under `runs/`.
        resume: go on with the unfinished run in `out`.
        layers: the layers to score, counted from 0; None: all.
        engine: `local`, or `ray` for the machines of a Ray cluster (extra `ray`).
        workers: processes that annotate while the model works, with Ray workers that do both;
            None: what the work is worth, with Ray as many as the cluster holds.
        report: hears of the progress.

    Raises:
        UsageError: wrong input; says which and what would work.
        RunError: NaN attention, memory, a disk that is full. What was stored stays.
    """
    started = time.monotonic()
    if engine not in ("local", "ray"):
        raise unknown_name("engine", engine, ["local", "ray"])
    inputs = open_inputs(model, texts, annotator, limit, max_tokens, report, later=True)
    causal = _any_causal(inputs.source)
    asked = patterns is not None and LIBRARY in patterns
    if asked and engine == "ray":
        raise UsageError("programs of the library run on this machine only: leave out engine ray")
    with library_patterns(library, trust) if asked else nullcontext(Programs()) as programs:
        choice = choose_patterns(patterns, inputs.provides, causal, programs)
        made = _engine(inputs, choice, seed, token_budget, layers)
        run, progress = _opened(inputs, choice, made, engine, out, resume)
        if run.complete:
            return Survey(run)
        if engine == "ray":
            progress = run_on_ray(made, inputs, run, workers, report)
        else:
            with inputs.completing(made.order(progress), workers, report) as made.complete:
                run_stored(made, progress, run, report)
    _write_tables(made, progress, run)
    run.finish(
        failures=_failures(made, progress),
        seconds=round(time.monotonic() - started, 2),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return Survey(run)


def _any_causal(source: "Model | Recording") -> bool:
    return any(source.visibility(layer).causal for layer in range(source.layers))


def _engine(
    inputs: Inputs,
    choice: Choice,
    seed: int,
    token_budget: int,
    layers: Sequence[int] | None,
) -> "Engine":
    from headscribe.scoring.engine import Engine

    source, passages = inputs.source, inputs.passages
    return Engine(source, passages, choice.patterns, seed, token_budget, layers=layers)


def _config(inputs: Inputs, choice: Choice, engine: "Engine", kind: str) -> dict[str, Any]:
    """Everything that the numbers depend on; a run resumes only where all of it is equal."""
    return {
        "seed": engine.seed,
        "token_budget": engine.token_budget,
        "model": inputs.source.fingerprint,
        "corpus": inputs.corpus["fingerprint"],
        "texts": inputs.corpus["texts"],
        "tokens": inputs.corpus["tokens"],
        "annotator": inputs.annotator,
        "patterns": choice.descriptions,
        "layers": list(engine.chosen),
        "engine": kind,
    }


def _opened(
    inputs: Inputs,
    choice: Choice,
    engine: "Engine",
    kind: str,
    out: str | Path | None,
    resume: bool,
) -> "tuple[Run, Progress]":
    """A new run, or the one to go on with."""
    config = _config(inputs, choice, engine, kind)
    if resume:
        if out is None:
            raise UsageError("expected the directory of the run to resume (--out RUN)")
        run = Run.open(out)
        run.check_config(config)
        return run, restored(engine, run)
    folder = (
        Path(out) if out is not None else new_folder(inputs.source.name, str(inputs.corpus["name"]))
    )
    run = Run.create(folder, "survey", config)
    run.manifest |= {
        "model": {
            "name": inputs.source.name,
            "layers": inputs.source.layers,
            "heads": inputs.source.heads,
            "causal": _any_causal(inputs.source),
            "surveyed": list(engine.chosen),
        },
        "corpus": inputs.corpus,
        "patterns": choice.descriptions,
        "skipped": choice.skipped,
        "notes": list(inputs.notes),
        "cross_fitted": engine.cross,
        "versions": {name: version(name) for name in _VERSIONS},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    run.save()
    return run, engine.start()


def _write_tables(engine: "Engine", progress: "Progress", run: Run) -> None:
    from headscribe.results.examples import table_of
    from headscribe.scoring.summary import Summary

    summary = Summary.of(engine, progress)
    run.write_table("scores", summary.scores())
    run.write_table("layers", summary.layers())
    run.write_table("gate", summary.gate())
    run.write_table("containment", summary.containment())
    run.write_table("examples", table_of(progress.examples))
    if progress.relations.instances:
        run.write_table("relations", progress.relations.table(engine.source.heads))


def _failures(engine: "Engine", progress: "Progress") -> dict[str, int]:
    return {
        pattern.name: int(count)
        for pattern, count in zip(engine.patterns, progress.sums.failures, strict=True)
        if count
    }
