"""The answer: a card for every head, kept in a run directory."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from headscribe.api.progress import shown
from headscribe.api.requests import ExplainRequest
from headscribe.api.runs import begin_study, check_resume
from headscribe.api.views import V, View, open_run
from headscribe.core.errors import HeadscribeError, UsageError
from headscribe.core.heads import HeadId, absent
from headscribe.models.inputs import Inputs, open_inputs, sourced
from headscribe.results.requests import verb

if TYPE_CHECKING:
    from headscribe.api.effects import Effects
    from headscribe.api.fit import Fit
    from headscribe.api.probe import Probed
    from headscribe.behaviours.card import Card
    from headscribe.fitting.heads import HeadFormula
    from headscribe.patterns.contract import Pattern
    from headscribe.results.run import Run
    from headscribe.scoring.observer import Companion


class Explained(View):
    """What every head does, read from a run directory."""

    @property
    def answered(self) -> bool:
        """Whether the run says what every head does."""
        return "named" in self.run.manifest

    @cached_property
    def cards(self) -> "dict[HeadId, Card]":
        """A card for every head, in the order of layers and heads.

        Where the formula of `fit` is all that there is to say of a head, it is the name.

        Raises:
            UsageError: the run is unfinished, or has no cards.
        """
        from headscribe.behaviours.card import told

        if self.run.complete and not self.answered:
            raise UsageError(
                f"{self.folder} holds no cards: survey texts of at least 20 documents, without "
                "--no-cards (sentences of one document, and texts that are equal, count once)"
            )
        self.fact("named")  # tables of an unfinished run may lack their others
        return told(held_cards(self.run), () if self.fit is None else self.fit.heads)

    def card(self, head: HeadId | str | tuple[int, int]) -> "Card":
        """The card of one head.

        Raises:
            UsageError: the run has no such head, or no cards.
        """
        wanted = HeadId.of(head)
        if wanted not in self.cards:
            raise absent(wanted, self.cards, self.folder)
        return self.cards[wanted]

    @property
    def summary(self) -> str:
        """The model in one paragraph: its sinks, its named heads by family, what is left."""
        return str(self.fact("summary"))

    @cached_property
    def fit(self) -> "Fit | None":
        """The newest finished fit of the same model in a folder beside this run, if there is one.

        Raises:
            UsageError: the run is unfinished.
        """
        from headscribe.api.fit import Fit

        return self._beside(Fit)

    @cached_property
    def effects(self) -> "Effects | None":
        """The newest finished run of `effects` of the same model beside this one, if there is one.

        Raises:
            UsageError: the run is unfinished.
        """
        from headscribe.api.effects import Effects

        return self._beside(Effects)

    @cached_property
    def probed(self) -> "Probed | None":
        """The newest finished run of `probe` of the same model beside this one, if there is one.

        Raises:
            UsageError: the run is unfinished.
        """
        from headscribe.api.probe import Probed

        return self._beside(Probed)

    def _beside(self, kind: type[V]) -> V | None:
        self.fact("named")
        mine = self.run.manifest["model"].get("fingerprint")
        found: list[V] = []
        for path in sorted(self.folder.resolve().parent.glob("*/run.json")):
            try:
                view = open_run(path.parent)
            except HeadscribeError:
                continue  # not ours to judge
            theirs = view.run.manifest.get("model", {}).get("fingerprint")
            if isinstance(view, kind) and view.run.complete and mine and theirs == mine:
                found.append(view)
        return max(found, key=lambda one: str(one.run.manifest.get("finished")), default=None)

    def writes(self, head: HeadId) -> str | None:
        """What a head writes, whether it matters, from whom it reads, which probes it answers; of
        the runs of `effects` and `probe` that there are, a line each."""
        said = [one.line(head) for one in (self.effects, self.probed) if one is not None]
        return "\n".join(said) or None

    def formula(self, head: HeadId) -> "HeadFormula | None":
        """The formula of a head in `fit`; None where there is none."""
        every = () if self.fit is None else self.fit.heads
        return next((head_formula for head_formula in every if head_formula.head == head), None)

    def to_json(self, heads: Iterable[HeadId] | None = None) -> list[dict[str, Any]]:
        """The stable document of `explain --json`: an entry for every head, or for some.

        Raises:
            UsageError: the run is unfinished.
        """
        entries = []
        for head in self.cards if heads is None else heads:
            head_formula = self.formula(head)
            iou, profile_iou, gain = (
                None
                if head_formula is None
                else round(head_formula.scores[what, "raw", "iou"].mean, 4)
                for what in ("formula", "profile", "gain")
            )
            entries.append(
                self.card(head).to_json()
                | {
                    "formula": None
                    if head_formula is None
                    else head_formula.formula.to_json()["terms"],
                    "iou": iou,
                    "profile_iou": profile_iou,
                    "gain": gain,
                    "writes": self.writes(head),
                }
            )
        return entries

    def _said(self) -> Iterable[str]:
        yield from super()._said()
        if self.answered:
            yield f"{self.run.manifest['named']} of {len(self.cards)} heads named"


@verb(ExplainRequest)
def explain(request: ExplainRequest) -> Explained:
    """Say what every head does: behaviours named on one half of the texts, confirmed on the other.

    Given the folder of a run of this kind, it opens that run.

    >>> import headscribe as hs
    >>> texts = hs.corpus("bundled:samples", 24)
    >>> print(hs.explain("bundled:stories", texts, max_tokens=16).card("1.2").name)
    the previous token

    Raises:
        UsageError: wrong input, or fewer than 20 texts.
    """
    from headscribe.behaviours.answer import Answer
    from headscribe.behaviours.catalogue import own_behaviours
    from headscribe.behaviours.rereading import Rereading
    from headscribe.scoring.checkpoint import run_stored
    from headscribe.scoring.engine import Engine

    model = request.model
    if isinstance(model, str | Path) and (Path(model) / "run.json").is_file():
        opened = open_run(model)
        if not isinstance(opened, Explained):
            raise UsageError(
                f"expected a run of survey or explain in {model}, got one of {opened.run.kind}; "
                "give the model and --text to make one"
            )
        return opened
    check_resume(request)
    if isinstance(model, str | Path) and request.texts is None and request.recorded is None:
        raise UsageError(
            f"expected the folder of a run, or a model with texts (--text PATH); {model} holds no "
            "run, and no texts were given"
        )
    source, texts = sourced(request)
    with shown(request.on_progress) as on_progress, TemporaryFile() as file:
        inputs = open_inputs(
            source, texts, request.annotator, request.limit, request.max_tokens, on_progress,
            later=True,
        )  # fmt: skip
        own = own_behaviours(_own_patterns(request, inputs))
        answer = Answer(inputs.source, inputs.passages, inputs.provides, own=own, seed=request.seed)
        named = {"own": [behaviour.relation.source for behaviour in own]} if own else {}
        notes = [*inputs.notes, *answer.notes]
        run = begin_study(request, "explain", inputs, named, notes=notes)
        if not run.complete:
            engine = Engine(
                Rereading(inputs.source, file), inputs.passages, (), request.seed,
                companion=answer,
            )  # fmt: skip
            progress = run_stored(
                engine, lambda order: inputs.completing(order, None, on_progress), run, on_progress
            )
            assert progress.companion is not None
            run.finish(**write_answer(progress.companion, run))
    return Explained(run)


def _own_patterns(request: ExplainRequest, inputs: Inputs) -> "tuple[Pattern, ...]":
    """The user's relations, where the texts have what they ask for; raises what they lack."""
    from headscribe.api.choice import choose_patterns, named_patterns
    from headscribe.api.library import Programs

    one = request.pattern
    asked = named_patterns([], [one] if isinstance(one, str) else one or [])
    if asked is None:
        return ()
    causal = bool(inputs.model_facts["causal"])
    return choose_patterns(asked, inputs.provides, causal, Programs()).patterns


def held_cards(run: "Run") -> "dict[HeadId, Card]":
    """The cards in a run's tables as they were written; none where it has none."""
    from headscribe.behaviours.tables import TABLES, cards_of

    held = [name for name in TABLES if name in run.manifest["tables"]]
    return cards_of({name: run.table(name).to_pylist() for name in held}) if held else {}


def write_answer(answer: "Companion", run: "Run") -> dict[str, Any]:
    """Write the tables of an answer; what `run.json` says of them."""
    from headscribe.behaviours.answer import Answer
    from headscribe.behaviours.card import UNNAMED
    from headscribe.behaviours.tables import families_of, run_tables, summary_of

    assert isinstance(answer, Answer)
    cards = answer.cards()
    for name, table in run_tables(cards).items():
        run.write_table(name, table)
    return {
        "named": sum(card.name != UNNAMED for card in cards),
        "asked": answer.asked,
        "families": families_of(cards),
        "summary": summary_of(cards, run.manifest),
    }
