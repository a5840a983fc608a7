"""The battery of probes, kept in a run directory."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from headscribe.api.progress import shown
from headscribe.api.replace import opened_model
from headscribe.api.requests import ProbeRequest
from headscribe.api.runs import begin, check_resume
from headscribe.api.views import View
from headscribe.core.errors import unknown_name
from headscribe.models.inputs import facts_of
from headscribe.results.requests import verb

if TYPE_CHECKING:
    from headscribe.core.heads import HeadId


class Probed(View):
    """What probes showed of every head, read from a run directory."""

    @property
    def summary(self) -> str:
        """Which probes heads answer, in a sentence."""
        return str(self.fact("summary"))

    def top(self, probe: str, k: int | None = 5) -> list[dict[str, Any]]:
        """The heads that do most beyond the control of a probe: the rows of the table `probes`.

        Args:
            probe: its name.
            k: at most so many; None: all.

        Raises:
            UsageError: the run is unfinished, or has no such probe.
        """
        self.fact("summary")
        rows = self.run.table("probes").to_pylist()
        known = list(dict.fromkeys(row["probe"] for row in rows))
        if probe not in known:
            raise unknown_name("probe of this run", probe, known)
        mine = [row for row in rows if row["probe"] == probe]
        return sorted(mine, key=lambda row: -row["difference"])[:k]

    def line(self, head: "HeadId | str | tuple[int, int]") -> str:
        """The probes that a head answers, in a line.

        Raises:
            UsageError: the run is unfinished, or the model has no such head.
        """
        from headscribe.core.heads import HeadId, absent
        from headscribe.influence.tables import probed_line

        wanted = HeadId.of(head)
        self.fact("summary")
        rows = self.run.table("probes").to_pylist()
        mine = [row for row in rows if (row["layer"], row["head"]) == wanted]
        if not mine:
            raise absent(wanted, ((row["layer"], row["head"]) for row in rows), self.folder)
        return probed_line(mine)

    def to_json(self) -> list[dict[str, Any]]:
        """The stable document of `probe --json`: an entry for every probe and head.

        Raises:
            UsageError: the run is unfinished.
        """
        self.fact("summary")
        numbers = ("value", "control", "difference", "low", "high")
        return [
            {"probe": row["probe"], "head": f"{row['layer']}.{row['head']}"}
            | {name: round(row[name], 4) for name in numbers}
            | {"flagged": row["flagged"]}
            for row in self.run.table("probes").to_pylist()
        ]

    def _said(self) -> Iterable[str]:
        yield from super()._said()
        if self.run.complete:
            yield f"{self.run.manifest['flagged']} heads answer a probe"


@verb(ProbeRequest)
def probe(request: ProbeRequest) -> Probed:
    """Ask every head the probes: texts of the model's own vocabulary, each with a control.

    >>> import headscribe as hs
    >>> found = hs.probe("bundled:stories", probes="induction", pairs=8)
    >>> found.top("induction", 1)[0]["flagged"]
    True

    Raises:
        UsageError: no such model or probe, or none that its vocabulary allows.
    """
    from headscribe.influence.probes import chosen
    from headscribe.influence.probes import probe as ask
    from headscribe.influence.tables import probed_summary, probed_table

    names = request.probes.split(",") if isinstance(request.probes, str) else request.probes
    wanted = chosen(None if names is None else [name.strip() for name in names])
    check_resume(request)
    model = opened_model(request.model, device=request.device, dtype=request.dtype)
    run = begin(
        request, "probe", (model.name, "probe"), {"model": model.fingerprint}, model=facts_of(model)
    )
    if not run.complete:
        with shown(request.on_progress) as on_progress:
            probed = ask(
                model, wanted, pairs=request.pairs, seed=request.seed, on_progress=on_progress
            )
        run.write_table("probes", probed_table(probed, model.heads))
        rows = run.table("probes").to_pylist()
        run.finish(
            summary=probed_summary(rows, model.name), notes=list(probed.notes),
            flagged=int(probed.flagged.any(0).sum()),
            asks={one.name: {"asks": one.asks, "control": one.control} for one in probed.probes},
        )  # fmt: skip
    return Probed(run)
