"""Descriptions of heads, and what they are worth, kept in a run directory."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from headscribe.api.discover import OFFLINE, to_stderr
from headscribe.api.progress import shown
from headscribe.api.requests import DescribeRequest
from headscribe.api.runs import begin, check_resume
from headscribe.api.subject import Subject, asked_heads
from headscribe.api.views import View
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId, absent
from headscribe.core.progress import OnProgress
from headscribe.models.inputs import Inputs, sourced
from headscribe.results.requests import verb

if TYPE_CHECKING:
    from headscribe.behaviours.card import Card
    from headscribe.discovery.clients import Client
    from headscribe.results.run import Run


class Descriptions(View):
    """What heads are said to do, and what that is worth to somebody who knows nothing else."""

    @property
    def summary(self) -> str:
        """The finding: how often descriptions beat those of another head, and by how much."""
        return str(self.fact("summary"))

    def __getitem__(self, head: HeadId | str | tuple[int, int]) -> dict[str, Any]:
        """One head, as in `to_json`.

        Raises:
            UsageError: the run is unfinished, or has no such head.
        """
        wanted = HeadId.of(head)
        described = {HeadId.parse(entry["head"]): entry for entry in self.to_json()}
        if wanted not in described:
            raise absent(wanted, described, self.folder)
        return described[wanted]

    def to_json(self) -> list[dict[str, Any]]:
        """The stable document of `describe --json`: an entry for every head.

        `description` is the language model's, or without one the template's; `right` the share of
        questions that each answers rightly, and what chance would.

        Raises:
            UsageError: the run is unfinished.
        """
        self.fact("summary")
        found: dict[str, dict[str, Any]] = {}
        for row in self.run.table("descriptions").to_pylist():
            head = f"{row['layer']}.{row['head']}"
            said = {name: row[name] for name in ("description", "writer", "relations", "classes")}
            found.setdefault(head, {"head": head, **said, "right": {}})
        for row in self.run.table("simulation").to_pylist():
            if row["kind"] == "both" and row["against"] == "chance":
                right = found[f"{row['layer']}.{row['head']}"]["right"]
                right[row["who"]] = round(row["accuracy"], 4)
                right["chance"] = round(row["accuracy"] - row["beyond"], 4)
        return list(found.values())

    def _said(self) -> Iterable[str]:
        yield from super()._said()
        if self.run.complete:
            yield f"{len(self.to_json())} heads described"


@verb(DescribeRequest)
def describe(request: DescribeRequest) -> Descriptions:
    """Describe heads in at most 40 words, and test what the descriptions are worth.

    A description is made from a half of the texts, by a language model or as a template of what
    `explain` finds there. On texts that took no part somebody who has nothing but the description
    says which tokens the head reads: a language model, or the program that the description's
    relations make. Beside it stand the description of another head, and the head's formula.

    >>> import headscribe as hs
    >>> found = hs.describe(
    ...     "bundled:stories", hs.corpus("bundled:samples", 60), heads=["1.2"], terms=1,
    ...     max_tokens=12, annotator="plain", questions=8,
    ... )
    >>> found["1.2"]["description"]
    'Reads the previous token.'

    Raises:
        UsageError: wrong input; says which and what would work.
        RunError: a damaged file. What was answered stays in the run.
    """
    from headscribe.discovery.beginning import Settings
    from headscribe.discovery.clients import client_of
    from headscribe.discovery.describe import WriterAndJudge
    from headscribe.discovery.describe import describe as describe_heads
    from headscribe.discovery.describing import DESCRIBE
    from headscribe.discovery.ledger import Spending
    from headscribe.discovery.simulation import JUDGE

    check_resume(request)
    tell = request.tell or to_stderr

    def client(spec: "str | Client") -> "Client | None":
        if spec == OFFLINE:
            return None
        return client_of(spec, tell) if isinstance(spec, str) else spec

    wanted = asked_heads(request.heads)
    spending = Spending(request.budget_usd, request.budget_tokens)
    writer, judge = client(request.llm), client(request.judge)
    if writer is not None or judge is not None:
        spending.check(WriterAndJudge(writer, judge))
    source, texts = sourced(request)
    with shown(request.on_progress) as on_progress:
        subject = Subject.of(request, wanted, source, texts, on_progress)
        inputs, heads = subject.inputs, subject.named
        names = {
            "llm": OFFLINE if writer is None else writer.name,
            "judge": OFFLINE if judge is None else judge.name,
            "heads": heads if isinstance(heads, str) else [str(head) for head in heads],
            "prompts": [DESCRIBE, JUDGE],
        }
        run = begin(
            request,
            "describe",
            (inputs.source.name, str(inputs.corpus["name"]), "describe"),
            subject.fingerprints | names,
            **subject.facts,
        )
        if run.complete:
            return Descriptions(run)
        describe_heads(
            subject.items,
            subject.ids,
            heads,
            run,
            model=inputs.source.name,
            cards_of=lambda chosen, layers: _cards(
                inputs, chosen, layers, request.seed, run, on_progress
            ),
            writer=writer,
            judge=judge,
            spending=spending,
            settings=Settings(
                terms=request.terms,
                look_ahead=subject.look_ahead,
                evidence_tokens=request.evidence_tokens,
                seed=request.seed,
                workers=request.workers,
            ),
            number=request.questions,
            testing=subject.testing,
            on_progress=on_progress,
        )
    return Descriptions(run)


def _cards(
    inputs: Inputs,
    chosen: Sequence[str],
    layers: Sequence[int],
    seed: int,
    run: "Run",
    on_progress: OnProgress,
) -> "Mapping[HeadId, Card]":
    """The cards of all heads of some layers, of what some texts tell.

    Raises:
        UsageError: too few texts.
    """
    from headscribe.behaviours.answer import Answer
    from headscribe.behaviours.tables import cards_of, run_tables
    from headscribe.scoring.engine import Engine

    ids = set(chosen)
    passages = [passage for passage in inputs.passages if passage.text_id in ids]
    try:
        answer = Answer(inputs.source, passages, inputs.provides, seed=seed, layers=layers)
    except UsageError as error:
        raise UsageError(f"{error} in the half of the texts that heads are described on") from None

    def compute(unfinished: object) -> dict[str, list[dict[str, Any]]]:
        engine = Engine(inputs.source, passages, (), seed, layers=layers, companion=answer)
        progress, total = engine.start(), engine.total_texts()
        engine.run(progress, lambda now, done: on_progress("cards", done, total))
        assert isinstance(progress.companion, Answer)
        tables = run_tables(progress.companion.cards())
        return {name: table.to_pylist() for name, table in tables.items()}

    return cards_of(run.stage("cards", compute, pack=lambda found: found))
