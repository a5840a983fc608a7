"""Discovery: a language model, or a search, proposes programs of heads; unseen text judges them."""

import sys
from collections.abc import Iterable, Iterator
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
from headscribe.api.subject import Subject, asked_heads
from headscribe.api.views import View
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.models.inputs import Inputs, model_inputs, sourced
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
    from headscribe.discovery.beginning import Settings
    from headscribe.discovery.clients import client_of
    from headscribe.discovery.ledger import Spending
    from headscribe.discovery.run import discover as discover_heads
    from headscribe.fitting.sources import attention_items

    check_resume(request)
    wanted = asked_heads(request.heads)
    tell = request.tell or to_stderr
    spending = Spending(request.budget_usd, request.budget_tokens)
    client = None
    if request.llm != OFFLINE:
        client = client_of(request.llm, tell) if isinstance(request.llm, str) else request.llm
        spending.check(client)
    model, texts = sourced(request)
    with shown(request.on_progress) as on_progress:
        subject = Subject.of(request, wanted, model, texts, on_progress)
        inputs, source = subject.inputs, subject.inputs.source
        further = _further(request, subject)
        settings = Settings(
            request.rounds, request.terms, request.smallest, subject.look_ahead,
            request.evidence_tokens, request.seed, request.workers,
        )  # fmt: skip
        file = library_file(request.library)
        known = known_programs(file)

        def read_further(start: int, stop: int) -> Any:  # noqa: ANN401
            assert further is not None
            part = replace(further, texts=further.texts[start:stop])
            read = model_inputs(cast("Model", model), part, request.annotator, request.max_tokens)
            return attention_items(source, read.passages)

        python = client is not None or any(p.program["kind"] == "python" for p in known.entries)
        with opened_runner(python, request.trust) as (runner, reason):
            facts = subject.facts | {"config": config_of(request)}
            if python and runner is None:
                facts["notes"].append(f"no Python programs: {reason}")
                tell(facts["notes"][-1])
            discovery = discover_heads(
                subject.items,
                subject.ids,
                subject.named,
                _folder(request, inputs),
                model=source.name,
                client=client,
                spending=spending,
                settings=settings,
                runner=runner,
                patterns=choose_patterns(
                    None, subject.provides, bool(inputs.model_facts["causal"])
                ).patterns,
                library=known,
                config=subject.fingerprints
                | ({} if further is None else {"further": further.fingerprint}),
                about=facts,
                join=file,
                reserve=None if further is None else (len(further), read_further),
                testing=subject.testing,
                embeddings=_embeddings(model) if client is None else None,
                on_progress=on_progress,
            )
    assert discovery.run is not None
    view = Discovery(discovery.run)
    # Also of a run that waits for answers, which does not open yet.
    view.__dict__["found"] = discovery
    return view


def _further(request: DiscoverRequest, subject: Subject) -> Corpus | None:
    """Texts behind the limit for tests; None for a recording, or texts that are read only once."""
    from headscribe.discovery.reserve import further_texts

    source, limit = request.texts, request.limit
    piped = [source] if isinstance(source, str) else source if isinstance(source, list) else []
    if limit is None or source is None or isinstance(source, Iterator) or "-" in piped:
        return None
    whole = corpus(source, limit + 4 * request.draw, request.column)
    tested = None if subject.unseen is None else [passage.group for passage in subject.to_test]
    return further_texts(whole, limit, request.draw, request.seed, tested)


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
