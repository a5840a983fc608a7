"""A discovery run: many heads, one directory, one table; a killed run goes on where it was."""

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float

from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.discovery.acceptance import Plan
from headscribe.discovery.beginning import Settings, gathered, opened, same_texts
from headscribe.discovery.clients import Client
from headscribe.discovery.ledger import Ledger, Spending, Spent
from headscribe.discovery.library import Library, library_scores
from headscribe.discovery.loop import examine
from headscribe.discovery.material import Items
from headscribe.discovery.offline import Offline
from headscribe.discovery.outcomes import Outcome, Tally, keep_outcome, read_outcome
from headscribe.discovery.proposers import LanguageModel, Proposer
from headscribe.discovery.reserve import Reserve
from headscribe.discovery.results import Discovery, join_library, write_evidence, write_results
from headscribe.discovery.study import HeadTask, study_heads
from headscribe.fitting.atlas import Item
from headscribe.fitting.selection import Budget
from headscribe.fitting.stages import one_torch_thread
from headscribe.patterns.contract import Pattern
from headscribe.results.run import Run
from headscribe.sandbox import Runner

T = TypeVar("T")
U = TypeVar("U")

Reserved = tuple[int, Callable[[int, int], Iterable[Item]]]
"""Further texts of `select`: how many, and what reads those from one place to another."""


def discover(
    items: Items,
    all_heads: Sequence[HeadId],
    heads: Sequence[HeadId] | str,
    folder: str | Path,
    *,
    model: str,
    client: Client | None = None,
    spending: Spending = Spending(),  # noqa: B008  (frozen)
    settings: Settings = Settings(),  # noqa: B008
    runner: Runner | None = None,
    patterns: Sequence[Pattern] = (),
    library: Library | None = None,
    pool: Sequence[str] | None = None,
    config: Mapping[str, Any] | None = None,
    about: Mapping[str, Any] | None = None,
    join: Path | None = None,
    reserve: Reserved | None = None,
    testing: Collection[str] = (),
    embeddings: Float[np.ndarray, "V d"] | None = None,
    on_progress: OnProgress = silent,
) -> Discovery:
    """Look for programs of heads that beat their formulas, the catalogue and the library.

    The folder holds `run.json`, `exchanges.jsonl` (what `replay:` reads), `evidence/*.json` (what
    was shown), `heads/*.json` (what came of it), `known.jsonl` (the library that had to be beaten),
    `library.jsonl` (the same with what was accepted), `discoveries.parquet` and `attempts.parquet`
    (the same as tables), `all_heads.parquet` (accepted programs against every head) and
    `examples.parquet` (a `test` text a head, real and predicted attention). A folder with the same
    configuration is gone on from: finished heads are read, stored answers used.

    Args:
        items: reads all texts with the attention of all heads; may be called three times.
        heads: those to examine, or `worst:N` for the N whose formulas explain least on `fit`.
        client: a language model; None: the offline search.
        runner: a `Sandbox` (or `Trusted`) for Python programs; None: relations only.
        library: programs found before, which proposals have to beat; a run that goes on keeps to
            those that it began with.
        config: further facts that a resumed run must share (corpus, annotator).
        about: facts for the record, noted when the run begins.
        join: a library file which accepted programs join at the end.
        reserve: further texts of `select`: how many, and what reads them.
        testing: the ids of the texts to test on; none: a quarter of all.
        embeddings: the model's, by token id; the search groups words with them.

    Raises:
        UsageError: unknown heads, too few texts, a budget in money without prices, or a folder with
            another run.
        RunError: the sandbox or a file failed.
    """
    started = time.monotonic()
    budget = Budget(terms=settings.terms)
    who = client.name if client is not None else Offline.name
    given = library or Library()
    run, known = opened(
        folder, heads, model, who, settings, given, runner, dict(config or {}), dict(about or {})
    )
    proposer: Proposer = Offline()
    ledger: Ledger | None = None
    if client is not None:
        ledger = Ledger(client, run.folder / "exchanges.jsonl", spending)
        proposer = LanguageModel(ledger, client.name, settings.evidence_tokens)
    material = gathered(
        items, all_heads, heads, run, settings, budget, on_progress,
        model=model, pool=pool, testing=testing, patterns=patterns, embeddings=embeddings,
    )  # fmt: skip
    same_texts(run, material)
    if run.complete:
        return Discovery.open(run.folder)
    scores, left_out = library_scores(known, material, runner)
    on_progress("formulas", 0, 1)
    studies = study_heads(material, budget, scores)
    on_progress("formulas", 1, 1)
    write_evidence(run, studies, settings.evidence_tokens)
    stop = ledger.stop if ledger is not None else _nothing
    plan = Plan(len(studies) * settings.rounds, settings.smallest)
    drawn = None
    if reserve is not None:
        rivals = {pattern.name: pattern for pattern in (*patterns, *known.patterns(runner))}
        places = [list(all_heads).index(study.head) for study in studies]
        drawn = Reserve(reserve[0], reserve[1], places, rivals, settings.seed)
    decisive = len(material.texts("select"))
    too_few = plan.too_few(decisive, decisive + (0 if drawn is None else len(drawn)))
    if too_few and too_few not in run.manifest.setdefault("notes", []):
        run.manifest["notes"].append(too_few)
        run.save()
    outcomes = _all_heads(
        run,
        studies,
        lambda study: examine(study, proposer, runner, settings.rounds, plan, drawn),
        settings.workers,
        on_progress,
        stop,
    )
    if differing := getattr(client, "differing", 0):  # of a replay
        said = f"{differing} answers were replayed for other prompts than they were given to"
        if said not in run.manifest.setdefault("notes", []):
            run.manifest["notes"].append(said)
    tally = Tally.of(outcomes, ledger.spent if ledger is not None else Spent())
    grown = join_library(known, outcomes, material, proposer.name, runner)
    discovery = Discovery(outcomes, tally, grown, left_out, run)
    spent = run.manifest.get("seconds", 0.0) + time.monotonic() - started
    run.manifest["seconds"] = round(spent, 2)
    if join is not None and any(outcome.confirmed for outcome in outcomes):
        now = Library.read(join) if join.is_file() else Library()
        join_library(now, outcomes, material, proposer.name, runner).write(join)
    write_results(run, discovery, studies, items, all_heads, runner)
    return discovery


def _nothing() -> None:
    """The offline search waits for nobody."""


def _all_heads(
    run: Run,
    studies: Sequence[HeadTask],
    outcome_of: Callable[[HeadTask], Outcome],
    workers: int,
    on_progress: OnProgress,
    stop: Callable[[], None],
) -> tuple[Outcome, ...]:
    def work(study: HeadTask) -> Outcome:
        path = run.folder / "heads" / f"{study.head}.json"
        outcome = read_outcome(path)
        if outcome is None:
            outcome = outcome_of(study)
            if outcome.status != "stopped":
                keep_outcome(path, outcome)
        return outcome

    return tuple(in_parallel(studies, work, workers, "heads", on_progress, stop))


def in_parallel(
    tasks: Sequence[T],
    work: Callable[[T], U],
    workers: int,
    stage: str,
    on_progress: OnProgress,
    stop: Callable[[], None],
) -> list[U]:
    """Do tasks, so many at a time; an interrupt ends the waits of all, by `stop`."""
    lock, done = threading.Lock(), 0

    def counted(task: T) -> U:
        nonlocal done
        found = work(task)
        with lock:
            done += 1
            on_progress(stage, done, len(tasks))
        return found

    with one_torch_thread():
        if workers == 1:  # in this thread, so that Ctrl-C ends a wait for an answer
            return [counted(task) for task in tasks]
        with ThreadPoolExecutor(workers) as executor:
            futures = [executor.submit(counted, task) for task in tasks]
            try:
                return [future.result() for future in futures]
            except BaseException:
                stop()
                executor.shutdown(wait=False, cancel_futures=True)
                raise
