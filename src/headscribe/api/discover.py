"""Discovery: a language model, or a search, proposes programs of heads; unseen text judges them."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from jaxtyping import Float

from headscribe.api.choice import choose_patterns
from headscribe.api.library import known_programs, library_file, opened_runner
from headscribe.api.progress import shown
from headscribe.api.requests import DiscoverRequest
from headscribe.api.runs import check_resume
from headscribe.api.views import View
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.models.inputs import Inputs, model_inputs, open_inputs, sourced
from headscribe.results.requests import config_of, verb
from headscribe.results.run import new_folder
from headscribe.text.corpora import Corpus, corpus

if TYPE_CHECKING:
    from headscribe.discovery.library import Library
    from headscribe.discovery.outcomes import Outcome, Tally
    from headscribe.discovery.results import Discovery as Found
    from headscribe.models.model import Model
    from headscribe.models.recorded import Recording

OFFLINE = "offline"
"""The specification of the search that needs no language model."""


@dataclass(frozen=True, repr=False)
class Discovery(View):
    """What a discovery found, read from its directory: `discovery["4.0"]` is one head."""

    @cached_property
    def found(self) -> "Found":
        """Everything that was found.

        Raises:
            UsageError: the run is unfinished.
        """
        from headscribe.discovery.results import Discovery as Found

        return Found.open(self.folder)

    @property
    def outcomes(self) -> "tuple[Outcome, ...]":
        """One a head, in the order asked."""
        return self.found.outcomes

    @property
    def tally(self) -> "Tally":
        """One table that counts everything."""
        return self.found.tally

    @property
    def library(self) -> "Library":
        """The library, with what was accepted."""
        return self.found.library

    @property
    def left_out(self) -> tuple[str, ...]:
        """Programs of the library that could not be run on these texts."""
        return self.found.left_out

    def __getitem__(self, head: HeadId | str | tuple[int, int]) -> "Outcome":
        return self.found[HeadId.of(head)]

    def to_json(self) -> dict[str, Any]:
        """The document of `discover --json`."""
        return self.found.to_json()

    def __str__(self) -> str:
        """Heads with what was found, then the table."""
        return str(self.found)

    def _said(self) -> Iterable[str]:
        yield from super()._said()
        if self.run.complete:
            yield f"{self.tally.accepted} programs for {len(self.outcomes)} heads"


@verb(DiscoverRequest)
def discover(request: DiscoverRequest) -> Discovery:
    """Look for programs of heads that beat their formulas, the catalogue and the library.

    A proposer reads evidence from a part of the texts and writes relations or a Python program;
    what beats all three significantly on a second part is accepted and scored on a third, and joins
    the library.

    >>> import headscribe as hs
    >>> found = hs.discover(
    ...     "bundled:stories", hs.corpus("bundled:samples", 9), heads="1.2", rounds=1, terms=1,
    ...     max_tokens=6, annotator="plain", library="runs/library.jsonl",
    ... )
    >>> found.outcomes[0].head, found.tally.proposals
    ('1.2', 1)

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

    check_resume(request)
    if not request.heads:
        raise UsageError("expected at least one head to examine, got none")
    tell = request.tell or to_stderr
    spending = Spending(request.budget_usd, request.budget_tokens)
    asked = request.heads
    wanted = parse_heads(asked) if isinstance(asked, str) else [HeadId.of(one) for one in asked]
    client = None
    if request.llm != OFFLINE:
        client = client_of(request.llm, tell) if isinstance(request.llm, str) else request.llm
        spending.check(client)
    model, texts = sourced(request)
    further = _further(request)
    with shown(request.on_progress) as on_progress:
        inputs = open_inputs(
            model, texts, request.annotator, request.limit, request.max_tokens, on_progress
        )
        dealt(inputs.passages, request.seed)
        source, ids = inputs.source, head_ids(inputs.source)
        for head in wanted if isinstance(wanted, list) else ():
            if head not in ids:
                raise UsageError(f"head {head} is not among the {len(ids)} heads of {source.name}")
        causal = bool(inputs.model_facts["causal"])
        ahead = not causal if request.look_ahead is None else request.look_ahead
        settings = Settings(
            request.rounds, request.terms, request.smallest, ahead, request.evidence_tokens,
            request.seed, request.workers,
        )  # fmt: skip
        facts = dict(inputs.fingerprints)
        if further is not None:
            facts["further"] = further.fingerprint
        file = library_file(request.library)
        known = known_programs(file)

        def items() -> Any:  # noqa: ANN401
            for done, item in enumerate(attention_items(source, inputs.passages), 1):
                yield item
                on_progress("reading", done, len(inputs.passages))

        def read_further(start: int, stop: int) -> Any:  # noqa: ANN401
            assert further is not None
            part = replace(further, texts=further.texts[start:stop])
            read = model_inputs(cast("Model", model), part, request.annotator, request.max_tokens)
            return attention_items(source, read.passages)

        python = client is not None or any(p.program["kind"] == "python" for p in known.entries)
        with opened_runner(python, request.trust) as (runner, reason):
            notes = [*inputs.notes]
            if python and runner is None:
                notes.append(f"no Python programs: {reason}")
                tell(notes[-1])
            found = discover_heads(
                items,
                ids,
                wanted if isinstance(wanted, list) else f"worst:{wanted}",
                _folder(request, inputs),
                model=source.name,
                client=client,
                spending=spending,
                settings=settings,
                runner=runner,
                patterns=choose_patterns(None, inputs.provides, causal).patterns,
                library=known,
                config=inputs.fingerprints
                | ({} if further is None else {"further": further.fingerprint}),
                about=_about(request, inputs, notes),
                join=file,
                reserve=None if further is None else (len(further), read_further),
                embeddings=_embeddings(model) if client is None else None,
                on_progress=on_progress,
            )
    assert found.run is not None
    view = Discovery(found.run)
    view.__dict__["found"] = found  # also of a run that waits for answers, which does not open yet
    return view


def _further(request: DiscoverRequest) -> Corpus | None:
    """Texts behind the limit for tests; None for a recording, or texts that are read only once."""
    from headscribe.discovery.reserve import further_texts

    source, limit = request.texts, request.limit
    piped = [source] if isinstance(source, str) else source if isinstance(source, list) else []
    if limit is None or source is None or isinstance(source, Iterator) or "-" in piped:
        return None
    whole = corpus(source, limit + 4 * request.draw, request.column)
    return further_texts(whole, limit, request.draw, request.seed)


def _embeddings(model: "Model | Recording") -> Float[np.ndarray, "V d"] | None:
    """A vector for every token id, with which the search groups words; None for a recording."""
    from headscribe.models.recorded import Recording

    if isinstance(model, Recording):
        return None
    table: Float[np.ndarray, "V d"] = (
        model.hf.get_input_embeddings().weight.detach().float().cpu().numpy()
    )
    return table


def to_stderr(note: str) -> None:
    """Tell a note where no callback was given."""
    print(note, file=sys.stderr, flush=True)


def _folder(request: DiscoverRequest, inputs: Inputs) -> Path:
    """The run's directory: a new or empty one, or one with a run to go on with.

    Raises:
        UsageError: there is a run and nobody said to resume.
    """
    if request.out is None:
        return new_folder(inputs.source.name, str(inputs.corpus["name"]), "discover")
    folder = Path(request.out)
    if (folder / "run.json").is_file() and not request.resume:
        raise UsageError(
            f"{folder} is not empty: give another --out, or --resume to go on with its run"
        )
    return folder


def _about(request: DiscoverRequest, inputs: Inputs, notes: Sequence[str]) -> dict[str, Any]:
    """What `run.json` says of the run."""
    return {
        "config": config_of(request),
        "model": inputs.model_facts,
        "corpus": inputs.corpus,
        "annotator": inputs.annotator,
        "notes": list(notes),
    }
