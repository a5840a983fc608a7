"""Discovery: a language model, or a search, proposes programs of heads; unseen text judges them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscribe.api.choice import choose_patterns
from headscribe.api.library import known_programs, library_file, opened_runner
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.models.inputs import CorpusLike, Inputs, open_inputs
from headscribe.results.run import new_folder

if TYPE_CHECKING:
    from headscribe.discovery.clients import Client
    from headscribe.discovery.results import Discovery
    from headscribe.models.loading import Source
    from headscribe.models.model import Model
    from headscribe.models.recorded import Recording

OFFLINE = "offline"
"""The specification of the search that needs no language model."""

_VERSIONS = ("headscribe", "torch", "transformers", "numpy", "spacy")


def discover(
    model: "Model | Recording | Source",
    texts: CorpusLike | None = None,
    *,
    llm: "str | Client" = OFFLINE,
    heads: str | Sequence[HeadId | str] = "worst:10",
    rounds: int = 3,
    budget_usd: float | None = None,
    budget_tokens: int | None = None,
    terms: int = 12,
    workers: int = 1,
    evidence_tokens: int = 12_000,
    library: str | Path | None = None,
    trust: bool = False,
    look_ahead: bool | None = None,
    annotator: str | None = None,
    limit: int | None = None,
    max_tokens: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    report: OnProgress = silent,
    tell: Callable[[str], None] | None = None,
) -> "Discovery":
    """Look for programs of heads that beat their formulas, the catalogue and the library.

    A proposer reads evidence from a part of the texts and writes relations or a Python program;
    what beats all three significantly on a second part is accepted and scored on a third, and joins
    the library.

    Args:
        model: what `headscribe.load` takes or gives, or a `Recording`.
        texts: what `headscribe.corpus` takes; None for a recording, which has its own.
        llm: who proposes: `offline` (a search), `exchange:FOLDER` (by hand, through files),
            `replay:FILE` (a recorded run), `anthropic:MODEL`, `openai:MODEL`, `google:MODEL`,
            `compatible:URL#MODEL`, or a client.
        heads: heads to examine, or `worst:N` for the N whose formulas explain least.
        rounds: proposals a head, at most.
        budget_usd: what the language model may cost, in US dollars.
        budget_tokens: the same in tokens, prompts and answers together.
        terms: a formula has at most so many.
        workers: heads at a time; more than one where answers take long.
        evidence_tokens: what a head's evidence may take in a prompt.
        library: the file of the program library; None: the user's own.
        trust: run Python programs in this process, without a sandbox.
        look_ahead: programs may read tokens after the query where the layer is causal; None: not
            in causal models.
        annotator, limit, max_tokens, seed: as in `survey`.
        out: directory of the run; None: a new one under `runs/`.
        resume: go on with the unfinished run in `out`.
        report: hears of the progress.
        tell: hears notes: what cannot be done here, which file waits for an answer.

    Raises:
        UsageError: wrong input; says which and what would work.
        RunError: no answer, or a damaged file. What was answered stays in the run.
    """
    from headscribe.discovery.beginning import Settings, parse_heads
    from headscribe.discovery.clients import client_of
    from headscribe.discovery.ledger import Spending
    from headscribe.discovery.material import dealt
    from headscribe.discovery.run import discover as discover_heads
    from headscribe.fitting.sources import attention_items, head_ids

    if resume and out is None:
        raise UsageError("expected the directory of the run to resume (--out RUN)")
    if not heads:
        raise UsageError("expected at least one head to examine, got none")
    spending = Spending(budget_usd, budget_tokens)
    asked = heads if isinstance(heads, str) else [_head(one) for one in heads]
    wanted = parse_heads(asked) if isinstance(asked, str) else asked
    client = None
    if llm != OFFLINE:
        client = client_of(llm, tell) if isinstance(llm, str) else llm
        spending.check(client)
    inputs = open_inputs(model, texts, annotator, limit, max_tokens, report)
    dealt(inputs.passages, seed)
    source, ids = inputs.source, head_ids(inputs.source)
    for head in wanted if isinstance(wanted, list) else ():
        if head not in ids:
            raise UsageError(f"head {head} is not among the {len(ids)} heads of {source.name}")
    causal = any(source.visibility(layer).causal for layer in range(source.layers))
    ahead = not causal if look_ahead is None else look_ahead
    settings = Settings(rounds, terms, ahead, evidence_tokens, seed, workers)
    file = library_file(library)
    known = known_programs(file)
    folder = _folder(inputs, out, resume)

    def items() -> Any:  # noqa: ANN401
        for done, item in enumerate(attention_items(source, inputs.passages), 1):
            yield item
            report("reading", done, len(inputs.passages))

    python = client is not None or any(one.program["kind"] == "python" for one in known.entries)
    with opened_runner(python, trust) as (runner, reason):
        notes = [*inputs.notes]
        if python and runner is None:
            notes.append(f"no Python programs: {reason}")
            if tell is not None:
                tell(notes[-1])
        return discover_heads(
            items,
            ids,
            wanted if isinstance(wanted, list) else f"worst:{wanted}",
            folder,
            model=source.name,
            client=client,
            spending=spending,
            settings=settings,
            runner=runner,
            patterns=choose_patterns(None, inputs.provides, causal).patterns,
            library=known,
            config=_config(inputs),
            about=_about(inputs, causal, notes),
            join=file,
            progress=report,
        )


def _head(head: HeadId | str) -> HeadId:
    return HeadId.parse(head) if isinstance(head, str) else HeadId(*head)


def _folder(inputs: Inputs, out: str | Path | None, resume: bool) -> Path:
    """The run's directory: a new or empty one, or one with a run to go on with.

    Raises:
        UsageError: there is a run and nobody said to resume, or the reverse.
    """
    if out is None:
        return new_folder(inputs.source.name, f"{inputs.corpus['name']}--discover")
    folder = Path(out)
    begun = (folder / "run.json").is_file()
    if resume and not begun:
        raise UsageError(f"expected a run to resume in {folder}, found none")
    if begun and not resume:
        raise UsageError(
            f"{folder} is not empty: give another --out, or --resume to go on with its run"
        )
    return folder


def _config(inputs: Inputs) -> dict[str, Any]:
    """What a resumed run must share."""
    return {
        "fingerprint": inputs.source.fingerprint,
        "corpus": inputs.corpus["fingerprint"],
        "texts": inputs.corpus["texts"],
        "tokens": inputs.corpus["tokens"],
        "annotator": inputs.annotator,
    }


def _about(inputs: Inputs, causal: bool, notes: list[str]) -> dict[str, Any]:
    """Facts for the record."""
    return {
        "model": {
            "name": inputs.source.name,
            "layers": inputs.source.layers,
            "heads": inputs.source.heads,
            "causal": causal,
        },
        "corpus": inputs.corpus,
        "notes": notes,
        "versions": {name: version(name) for name in _VERSIONS},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
