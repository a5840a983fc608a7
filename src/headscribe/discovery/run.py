"""A discovery run: many heads, one directory, one table; a killed run goes on where it was."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from headscribe.core.errors import RunError, UsageError
from headscribe.core.heads import HeadId
from headscribe.discovery.clients import Client
from headscribe.discovery.evidence import TOKENS
from headscribe.discovery.ledger import Ledger, Spending, Spent
from headscribe.discovery.library import Library, library_scores
from headscribe.discovery.loop import examine
from headscribe.discovery.material import Items, Material, gather
from headscribe.discovery.offline import Offline
from headscribe.discovery.outcomes import Outcome, Tally
from headscribe.discovery.prompting import VERSION
from headscribe.discovery.proposers import LanguageModel, Proposer
from headscribe.discovery.results import Discovery, join_library, write_results
from headscribe.discovery.study import Study, study_heads
from headscribe.fitting.selection import Budget
from headscribe.fitting.stages import one_torch_thread
from headscribe.patterns.contract import Pattern
from headscribe.results.run import Run
from headscribe.sandbox import Runner

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much is done, how much there is."""


@dataclass(frozen=True)
class Settings:
    """What a run is asked to do; kept in `run.json`.

    Attributes:
        rounds: proposals a head, at most.
        terms: terms a formula may have.
        look_ahead: whether code may read tokens after the query in a causal model.
        evidence_tokens: what the evidence of a head may take.
        seed: deals groups to splits, chooses rows.
        workers: heads at a time; more than one where answers take long.
    """

    rounds: int = 3
    terms: int = 12
    look_ahead: bool = True
    evidence_tokens: int = TOKENS
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        for name in ("rounds", "terms", "workers"):
            if getattr(self, name) < 1:
                raise UsageError(f"expected at least 1 for {name}, got {getattr(self, name)}")


def discover(
    items: Items,
    all_heads: Sequence[HeadId],
    heads: Sequence[HeadId] | str,
    folder: str | Path,
    *,
    model: str,
    client: Client | None = None,
    spending: Spending = Spending(),  # noqa: B008  (frozen)
    settings: Settings = Settings(),
    runner: Runner | None = None,
    patterns: Sequence[Pattern] = (),
    library: Library | None = None,
    pool: Sequence[str] | None = None,
    config: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Discovery:
    """Look for programs of heads that beat their formulas, the catalogue and the library.

    The folder holds `run.json`, `exchanges.jsonl` (what `replay:` reads), `heads/*.json`,
    `library.jsonl` (the library with what was accepted), `discoveries.parquet` and
    `examples.parquet` (a `test` text a head, real and predicted attention). A folder with the same
    configuration is gone on from: finished heads are read, stored answers used.

    Args:
        items: reads all texts with the attention of all heads; may be called twice.
        all_heads: the heads in the order of that attention.
        heads: those to examine, or `worst:N` for the N whose formulas explain least on `fit`.
        folder: the run's directory.
        model: the model's name.
        client: a language model; None: the offline search.
        spending: what the language model may cost.
        settings: what to do.
        runner: a `Sandbox` (or `Trusted`) for Python programs; None: relations only.
        patterns: the catalogue.
        library: programs found before, which proposals have to beat.
        pool: the relations of formulas; generated from the grammar by default.
        config: further facts that a resumed run must share (corpus, annotator).
        progress: told of every head.

    Raises:
        UsageError: unknown heads, too few texts, or a folder with another run.
        RunError: the sandbox or a file failed.
    """
    told = progress or (lambda task, done, total: None)
    budget = Budget(terms=settings.terms)
    known = library or Library()
    who = client.name if client is not None else Offline.name
    run = _opened(folder, heads, model, who, settings, known, runner, dict(config or {}))
    examined = _chosen(items, all_heads, heads, model, settings, pool, budget, run)
    material = gather(
        items,
        all_heads,
        examined,
        model=model,
        look_ahead=settings.look_ahead,
        patterns=patterns,
        pool=pool,
        seed=settings.seed,
    )
    _same_texts(run, material)
    scores, left_out = library_scores(known, material, runner)
    told("formulas", 0, 1)
    studies = study_heads(material, budget, scores)
    told("formulas", 1, 1)
    proposer: Proposer = Offline()
    ledger: Ledger | None = None
    if client is not None:
        ledger = Ledger(client, run.folder / "exchanges.jsonl", spending)
        proposer = LanguageModel(ledger, client.name, settings.evidence_tokens)
    stop = client.stop if client is not None else _nothing
    outcomes = _all_heads(run, studies, proposer, runner, settings, told, stop)
    tally = Tally.of(outcomes, ledger.spent if ledger is not None else Spent())
    grown = join_library(known, outcomes, material, proposer.name, runner)
    found = Discovery(outcomes, tally, grown, left_out)
    write_results(run, found, studies, items, all_heads, runner)
    return found


def _opened(
    folder: str | Path,
    heads: Sequence[HeadId] | str,
    model: str,
    who: str,
    settings: Settings,
    library: Library,
    runner: Runner | None,
    config: dict[str, Any],
) -> Run:
    """Start a run, or go on with one of the same configuration.

    Raises:
        UsageError: the folder holds another run; names what differs.
    """
    asked = asdict(settings)
    del asked["workers"]  # changes no result
    wanted = {
        "model": model,
        "heads": heads if isinstance(heads, str) else [str(head) for head in heads],
        "proposer": who,
        "prompt": VERSION,
        "python": runner is not None,
        "library": [entry.name for entry in library.entries],
        **asked,
        **config,
    }
    if not (Path(folder) / "run.json").is_file():
        run = Run.create(folder, "discover", wanted)
    else:
        run = Run.open(folder)
        before = run.manifest.get("config", {})
        differing = sorted(name for name in wanted | before if wanted.get(name) != before.get(name))
        if run.manifest["kind"] != "discover" or differing:
            raise UsageError(
                f"{folder} holds another run (differs in {', '.join(differing) or 'kind'}): give "
                "another --out"
            )
    (run.folder / "heads").mkdir(exist_ok=True)
    return run


def _same_texts(run: Run, material: Material) -> None:
    """Note the texts in `run.json`, or compare them with those that stand there.

    Raises:
        UsageError: the run was started on other texts.
    """
    digest = blake2b(digest_size=16)
    for passage in material.passages:
        fields = (passage.text_id, passage.group, passage.text, passage.tokens)
        digest.update(repr(fields).encode("utf-8", "surrogatepass"))
    fingerprint = digest.hexdigest()
    if run.manifest.setdefault("texts", fingerprint) != fingerprint:
        raise UsageError(f"{run.folder} holds a run on other texts: give another --out")
    run.save()


def _chosen(
    items: Items,
    all_heads: Sequence[HeadId],
    heads: Sequence[HeadId] | str,
    model: str,
    settings: Settings,
    pool: Sequence[str] | None,
    budget: Budget,
    run: Run,
) -> list[HeadId]:
    """The heads to examine; `worst:N` is worked out once and kept."""
    if not isinstance(heads, str):
        if not heads:
            raise UsageError("expected at least one head to examine, got none")
        return list(dict.fromkeys(heads))
    kind, _, number = heads.partition(":")
    if kind != "worst" or not number.isdigit() or int(number) < 1:
        return [HeadId.parse(part) for part in heads.split(",")]
    if "examined" not in run.manifest:
        material = gather(
            items,
            all_heads,
            all_heads,
            model=model,
            look_ahead=settings.look_ahead,
            pool=pool,
            seed=settings.seed,
            whole=False,
        )
        run.manifest["examined"] = [
            str(head) for head in least_explained(study_heads(material, budget), int(number))
        ]
        run.save()
    return [HeadId.parse(head) for head in run.manifest["examined"]]


def least_explained(studies: Sequence[Study], number: int) -> list[HeadId]:
    """The heads whose formulas have the lowest mean IoU on `fit`, worst first."""
    order = sorted(studies, key=lambda one: (one.mean(one.rivals["formula"], "fit"), one.head))
    return [one.head for one in order[:number]]


def _nothing() -> None:
    """The offline search waits for nobody."""


def _all_heads(
    run: Run,
    studies: Sequence[Study],
    proposer: Proposer,
    runner: Runner | None,
    settings: Settings,
    told: Progress,
    stop: Callable[[], None],
) -> tuple[Outcome, ...]:
    lock, done = threading.Lock(), 0

    def work(study: Study) -> Outcome:
        nonlocal done
        path = run.folder / "heads" / f"{study.head}.json"
        outcome = _read(path)
        if outcome is None:
            outcome = examine(study, proposer, runner, settings.rounds)
            if outcome.status != "stopped":
                _keep(path, outcome)
        with lock:
            done += 1
            told("heads", done, len(studies))
        return outcome

    with one_torch_thread():
        if settings.workers == 1:  # in this thread, so that Ctrl-C ends a wait for an answer
            return tuple(work(study) for study in studies)
        with ThreadPoolExecutor(settings.workers) as executor:
            futures = [executor.submit(work, study) for study in studies]
            try:
                return tuple(future.result() for future in futures)
            except BaseException:
                stop()
                executor.shutdown(wait=False, cancel_futures=True)
                raise


def _read(path: Path) -> Outcome | None:
    """The outcome of a head that was finished before.

    Raises:
        RunError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        return Outcome.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RunError) as error:
        raise RunError(f"{path} is damaged ({error}): remove it and resume") from error


def _keep(path: Path, outcome: Outcome) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(outcome.to_json(), indent=1), encoding="utf-8")
    partial.replace(path)
