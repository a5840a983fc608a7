"""The answer: a card for every head, kept in a run directory."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscribe.api.progress import shown
from headscribe.api.requests import ExplainRequest
from headscribe.api.runs import begin, check_resume
from headscribe.api.views import View, open_run
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.models.inputs import open_inputs, sourced
from headscribe.results.requests import verb

if TYPE_CHECKING:
    from headscribe.behaviours.card import Card


class Explained(View):
    """What every head does, read from a run directory."""

    @cached_property
    def cards(self) -> "dict[HeadId, Card]":
        """A card for every head, in the order of layers and heads.

        Raises:
            UsageError: the run is unfinished.
        """
        from headscribe.behaviours.tables import cards_of

        self.fact("summary")  # tables of an unfinished run may lack their others
        return cards_of({name: self.run.table(name).to_pylist() for name in self.tables})

    def card(self, head: HeadId | str | tuple[int, int]) -> "Card":
        """The card of one head.

        Raises:
            UsageError: the model has no such head.
        """
        wanted = HeadId.of(head)
        if wanted not in self.cards:
            last = list(self.cards)[-1]
            raise UsageError(f"no head {wanted}: heads are 0.0 to {last}")
        return self.cards[wanted]

    @property
    def summary(self) -> str:
        """The model in one paragraph: its sinks, its named heads by family, what is left."""
        return str(self.fact("summary"))

    def to_json(self) -> list[dict[str, Any]]:
        """The stable document of `explain --json`: a list with an entry for every head."""
        return [card.to_json() for card in self.cards.values()]

    def _said(self) -> Iterable[str]:
        yield from super()._said()
        if self.run.complete:
            yield f"{self.run.manifest['named']} of {len(self.cards)} heads named"


@verb(ExplainRequest)
def explain(request: ExplainRequest) -> Explained:
    """Say what every head does: behaviours named on one half of the texts, confirmed on the other.

    Given the folder of a run of this kind, it opens that run.

    Raises:
        UsageError: wrong input, or fewer than 20 texts.
    """
    from headscribe.behaviours.explain import explain as ask
    from headscribe.behaviours.tables import run_tables, summary_of

    model = request.model
    if isinstance(model, str | Path) and (Path(model) / "run.json").is_file():
        opened = open_run(model)
        if not isinstance(opened, Explained):
            raise UsageError(
                f"expected a run of explain in {model}, got one of {opened.run.kind}; give the "
                "model and --text to make one"
            )
        return opened
    check_resume(request)
    source, texts = sourced(request)
    with shown(request.on_progress) as on_progress:
        inputs = open_inputs(
            source, texts, request.annotator, request.limit, request.max_tokens, on_progress
        )
        run = begin(
            request,
            "explain",
            (inputs.source.name, str(inputs.corpus["name"]), "explain"),
            inputs.fingerprints,
            model=inputs.model_facts,
            corpus=inputs.corpus,
            annotator=inputs.annotator,
            notes=list(inputs.notes),
        )
        if not run.complete:
            found = ask(
                inputs.source, inputs.passages, inputs.provides, seed=request.seed,
                on_progress=on_progress,
            )  # fmt: skip
            for name, table in run_tables(found.cards).items():
                run.write_table(name, table)
            summary = summary_of(found.cards, run.manifest)
            run.finish(
                named=found.named, asked=found.asked, families=found.families(), summary=summary
            )
    return Explained(run)
