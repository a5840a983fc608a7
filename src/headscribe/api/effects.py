"""What heads write and whether it matters, kept in a run directory."""

from collections.abc import Iterable
from typing import Any

from headscribe.api.progress import shown
from headscribe.api.replace import opened_model
from headscribe.api.requests import EffectsRequest
from headscribe.api.runs import begin, check_resume
from headscribe.api.views import View
from headscribe.core.errors import UsageError
from headscribe.models.inputs import model_inputs
from headscribe.results.requests import verb
from headscribe.text.corpora import corpus


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
        self.fact("summary")
        rows = [row for row in self.run.table("effects").to_pylist() if row["named"] == name]
        rows.sort(key=lambda row: -abs(row["effect"]))
        return [f"{row['layer']}.{row['head']}" for row in rows]

    def to_json(self) -> list[dict[str, Any]]:
        """The stable document of `effects --json`: an entry for every head.

        Raises:
            UsageError: the run is unfinished.
        """
        from headscribe.influence.tables import document

        self.fact("summary")
        return document(self.run.table("effects").to_pylist())

    def _said(self) -> Iterable[str]:
        yield from super()._said()
        if self.run.complete:
            copies, suppresses = (len(self.named(name)) for name in ("copies", "suppresses"))
            yield f"{copies} heads copy, {suppresses} suppress"


@verb(EffectsRequest)
def effects(request: EffectsRequest) -> Effects:
    """Measure what every head writes: its direct effect on what it reads and on the true token.

    >>> import headscribe as hs
    >>> texts = hs.corpus("bundled:samples", 12)
    >>> found = hs.effects("bundled:stories", texts, max_tokens=64, annotator="plain")
    >>> {"3.3", "3.5"} <= set(found.named("copies"))
    True

    Raises:
        UsageError: wrong input, or a model without a language-model head.
    """
    from headscribe.influence.tables import summary_of, written_tables
    from headscribe.influence.ways import ways_of
    from headscribe.influence.writes import writes

    if request.texts is None:
        raise UsageError("expected --text PATH: texts that the model reads")
    check_resume(request)
    texts = corpus(request.texts, request.limit, request.column)
    model = opened_model(request.model, device=request.device, dtype=request.dtype)
    ways = ways_of(model)
    with shown(request.on_progress) as on_progress:
        inputs = model_inputs(model, texts, request.annotator, request.max_tokens, on_progress)
        run = begin(
            request,
            "effects",
            (model.name, str(inputs.corpus["name"]), "effects"),
            inputs.fingerprints,
            model=inputs.model_facts,
            corpus=inputs.corpus,
            annotator=inputs.annotator,
            notes=list(inputs.notes),
        )
        if run.complete:
            return Effects(run)
        if "effects" not in run.manifest["tables"]:
            for name, table in written_tables(
                writes(ways, inputs.passages, on_progress=on_progress)
            ).items():
                run.write_table(name, table)
        rows = run.table("effects").to_pylist()
        run.finish(summary=summary_of(rows, model.name, len(inputs.passages)))
    return Effects(run)
