"""What heads write and whether it matters, kept in a run directory."""

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscribe.api.progress import shown
from headscribe.api.replace import opened_model
from headscribe.api.requests import EffectsRequest
from headscribe.api.runs import begin_study, check_resume
from headscribe.api.views import View
from headscribe.core.errors import UsageError
from headscribe.core.progress import OnProgress
from headscribe.models.inputs import model_inputs
from headscribe.results.requests import verb
from headscribe.text.corpora import corpus

if TYPE_CHECKING:
    from headscribe.core.heads import HeadId
    from headscribe.influence.ways import Ways
    from headscribe.models.inputs import Inputs
    from headscribe.relations.language import Relation
    from headscribe.results.run import Run


class Effects(View):
    """What heads write, read from a run directory."""

    @property
    def summary(self) -> str:
        """What the heads of the model write, in a few sentences."""
        return str(self.fact("summary"))

    def named(self, name: str) -> list[str]:
        """The heads with a name (`copies`, `suppresses`, `helps`, `hurts`), the strongest first.

        Raises:
            UsageError: the run is unfinished.
        """
        rows = [row for row in self._rows["effects"] if row["named"] == name]
        rows.sort(key=lambda row: -abs(row["effect"]))
        return [f"{row['layer']}.{row['head']}" for row in rows]

    @cached_property
    def _rows(self) -> "dict[str, list[dict[str, Any]]]":
        self.fact("summary")
        return {name: self.run.table(name).to_pylist() for name in self.tables}

    def line(self, head: "HeadId | str | tuple[int, int]") -> str:
        """What a head writes, what the loss is without it, and whom it reads from, in a line.

        Raises:
            UsageError: the run is unfinished, or the model has no such head.
        """
        from headscribe.core.heads import HeadId, absent
        from headscribe.influence.tables import line_of

        wanted = HeadId.of(head)
        found = {
            name: [row for row in rows if (row["layer"], row["head"]) == wanted]
            for name, rows in self._rows.items()
        }
        if not found["effects"]:
            every = ((row["layer"], row["head"]) for row in self._rows["effects"])
            raise absent(wanted, every, self.folder)
        return line_of(*(found.get(name, []) for name in ("effects", "matters", "reads_from")))

    def to_json(self) -> list[dict[str, Any]]:
        """The stable document of `effects --json`: an entry for every head.

        Raises:
            UsageError: the run is unfinished.
        """
        from headscribe.influence.tables import document

        return document(self._rows["effects"], self._rows.get("matters", []))

    def _said(self) -> Iterable[str]:
        yield from super()._said()
        if self.run.complete:
            copies, suppresses = (len(self.named(name)) for name in ("copies", "suppresses"))
            yield f"{copies} heads copy, {suppresses} suppress"


@verb(EffectsRequest)
def effects(request: EffectsRequest) -> Effects:
    """Measure what every head writes, and if asked whether it matters and from whom it reads.

    >>> import headscribe as hs
    >>> texts = hs.corpus("bundled:samples", 12)
    >>> found = hs.effects("bundled:stories", texts, max_tokens=64, annotator="plain")
    >>> {"3.3", "3.5"} <= set(found.named("copies"))
    True

    Raises:
        UsageError: wrong input, or a model without a language-model head.
    """
    from headscribe.influence.statistics import GROUPS
    from headscribe.influence.tables import also, summary_of, written_tables
    from headscribe.influence.ways import ways_of
    from headscribe.influence.writes import writes

    if request.texts is None:
        raise UsageError("expected --text PATH: texts that the model reads")
    for name in ("matters", "reads"):
        if 0 < getattr(request, name) < GROUPS:
            raise UsageError(
                f"expected --{name} 0, or at least {GROUPS}: of fewer texts no change is called "
                f"clear; got {getattr(request, name)}"
            )
    if request.explained is not None and not request.reads:
        raise UsageError("expected --reads N with --explained: it asks for what that run named")
    check_resume(request)
    texts = corpus(request.texts, request.limit, request.column)
    model = opened_model(request.model, device=request.device, dtype=request.dtype)
    ways = ways_of(model)
    with shown(request.on_progress) as on_progress:
        inputs = model_inputs(model, texts, request.annotator, request.max_tokens, on_progress)
        most = max(request.matters, request.reads)
        if most > len(inputs.passages):
            raise UsageError(
                f"expected at least {most} texts to take heads out on, got {len(inputs.passages)}"
            )
        asked = None if request.explained is None else _named_in(request.explained, inputs)
        run = begin_study(request, "effects", inputs)
        if run.complete:
            return Effects(run)
        if "effects" not in run.manifest["tables"]:
            for name, table in written_tables(
                writes(ways, inputs.passages, on_progress=on_progress)
            ).items():
                run.write_table(name, table)
        _taken_out(request, ways, inputs, asked, run, on_progress)
        tables = {
            name: run.table(name).to_pylist() if name in run.manifest["tables"] else []
            for name in ("effects", "matters", "reads_from")
        }
        summary = summary_of(tables["effects"], model.name, len(inputs.passages))
        run.finish(summary=summary + also(tables["matters"], tables["reads_from"]))
    return Effects(run)


def _taken_out(
    request: EffectsRequest,
    ways: "Ways",
    inputs: "Inputs",
    asked: "dict[HeadId, tuple[str, Relation]] | None",
    run: "Run",
    on_progress: OnProgress,
) -> None:
    """Take heads out of the model, and out of the inputs of later ones, where that is asked."""
    from headscribe.influence.matters import matters
    from headscribe.influence.reads import reads_from, seen_behaviours
    from headscribe.influence.tables import feeding_table, mattered_tables

    done = run.manifest["tables"]
    if request.matters and "suffers" not in done:
        mattered = matters(
            ways, inputs.passages, request.matters, seed=request.seed, stages=run,
            on_progress=on_progress,
        )  # fmt: skip
        for name, table in mattered_tables(mattered).items():
            run.write_table(name, table)
    if request.reads and "reads_from" not in done:
        texts = inputs.passages[: request.reads]
        behaviours = seen_behaviours(ways, texts) if asked is None else asked
        feedings = reads_from(ways, texts, behaviours, on_progress=on_progress)
        if feedings:
            run.write_table("reads_from", feeding_table(feedings))


def _named_in(run: str | Path, inputs: "Inputs") -> "dict[HeadId, tuple[str, Relation]]":
    """The behaviour that each head is named by in a run of explain.

    Raises:
        UsageError: it is none, or one of another model.
    """
    from headscribe.api.explain import Explained
    from headscribe.relations.language import parse

    explained = Explained.open(run)
    theirs = explained.run.manifest["model"]
    if theirs["fingerprint"] != inputs.source.fingerprint:
        raise UsageError(
            f"{run} explains {theirs['name']}, not {inputs.source.name}: give a run of the same "
            "model"
        )
    found = {}
    for head, card in explained.cards.items():
        if card.figures and card.figures[0].listed:
            relation = parse(card.figures[0].relation)
            if relation.needs <= inputs.provides:
                found[head] = card.figures[0].behaviour, relation
    return found
