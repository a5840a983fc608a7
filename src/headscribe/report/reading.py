"""What figures and pages read from a run: score lines with their gains, findings, provenance."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from headscribe.core.errors import RunError
from headscribe.core.heads import HeadId
from headscribe.core.visible import visible
from headscribe.report.labels import number, percent, signed, with_ends
from headscribe.report.schema import rows
from headscribe.results.queries import MIN_COVERAGE, Score
from headscribe.results.run import Run

FIXED_BASELINES = frozenset({"uniform", "first_token", "last_token", "self", "previous", "next"})
"""The fixed baselines of the catalogue."""

METRIC_TITLES = {
    "jsd": "Jensen–Shannon distance",
    "sae": "sum of absolute errors",
    "iou": "IoU",
    "overlap": "overlap",
}


def findings(scores: Sequence[Score], excluded: frozenset[str]) -> dict[HeadId, Score]:
    """The pattern that is worth most on each head; heads without any such pattern are absent.

    Patterns that are `excluded` or cover almost nothing are no findings.
    """
    best: dict[HeadId, Score] = {}
    for score in scores:
        if score.pattern in excluded or score.coverage < MIN_COVERAGE or score.worth <= 0:
            continue
        if score.head_id not in best or score.worth > best[score.head_id].worth:
            best[score.head_id] = score
    return best


def worth_showing(run: Run, scores: Sequence[Score]) -> str:
    """The pattern to show beside a head: what explains it best, else what is closest to it."""
    excluded = baselines(run)
    candidates = [s for s in scores if s.coverage >= MIN_COVERAGE] or list(scores)
    found = [s for s in candidates if s.pattern not in excluded and s.worth > 0]
    return max(found, key=lambda s: s.worth).pattern if found else candidates[0].pattern


def scored(score: Score) -> str:
    """A score in words: metric, interval, gain, what it was over, rows."""
    name = METRIC_TITLES.get(score.metric, score.metric)
    said = f"{name} {with_ends(number(score.score), score.low, score.high)}"
    gain, low, high, over = score.margin
    if gain is not None:
        said += f", gain {with_ends(signed(gain), low, high)} over {over}"
    return f"{said}, on {percent(score.coverage)} of the rows"


def baselines(run: Run) -> frozenset[str]:
    """The patterns of the run that others are compared with, and that are never a finding."""
    described = run.manifest.get("patterns", [])
    return FIXED_BASELINES | {p["name"] for p in described if p.get("group") == "baseline"}


def families(run: Run) -> dict[str, str]:
    """The family of every pattern of the run."""
    described = run.manifest.get("patterns", [])
    return {pattern["name"]: pattern.get("family", "custom") for pattern in described}


MAX_HEADS = 65_536
"""Heads of the largest model that a run may be of; more would be a damaged run."""


def shape(run: Run) -> tuple[int, int]:
    """Layers, and heads of a layer.

    Raises:
        RunError: the run does not say, or says something impossible.
    """
    model = run.manifest.get("model")
    found = [model.get(part) for part in ("layers", "heads")] if isinstance(model, dict) else []
    layers, heads = (n if isinstance(n, int) and n > 0 else 0 for n in found or (0, 0))
    if not 0 < layers * heads <= MAX_HEADS:
        raise RunError(f"{run.folder}: expected layers and heads of a model, got {found}")
    return layers, heads


def facts(run: Run) -> dict[str, str]:
    """What a reader must know of every number of the run: model, data, annotator, version, seed."""
    model, corpus, config, versions = (
        found if isinstance(found := run.manifest.get(part), dict) else {}
        for part in ("model", "corpus", "config", "versions")
    )
    size = " × ".join(f"{model[part]} {part}" for part in ("layers", "heads") if part in model)
    stored = f"dequantised from {model['quantisation']}" if "quantisation" in model else ""
    counts = [
        f"{corpus[part]:,} {part}"
        for part in ("texts", "tokens")
        if isinstance(corpus.get(part), int)
    ]
    counted = ", ".join(counts)
    known = {
        "Model": " · ".join(filter(None, [str(model.get("name", "")), size, stored])),
        "Texts": " · ".join(filter(None, [str(corpus.get("name", "")), counted])),
        "Annotator": _annotator(config.get("annotator")),
        "Version": f"headscribe {versions['headscribe']}" if "headscribe" in versions else "",
        "Seed": str(config.get("seed", "")),
    }
    return {name: visible(value) or "not recorded" for name, value in known.items()}


def provenance(run: Run, *scope: str) -> str:
    """One line under a figure: model, texts, what is shown, version, seed."""
    manifest = run.manifest
    parts = [
        str(manifest.get("model", {}).get("name", "model not recorded")),
        str(manifest.get("corpus", {}).get("name", "texts not recorded")),
        *scope,
        facts(run)["Version"],
        f"seed {facts(run)['Seed']}",
    ]
    return visible(" · ".join(parts))


def _annotator(value: Any) -> str:  # noqa: ANN401
    """The annotator's name, however the run describes it."""
    if isinstance(value, dict):
        return str(value.get("name", ""))
    return "" if value is None else str(value)


@dataclass(frozen=True)
class Gate:
    """Attention of a head on a place where a pattern applies to the row (`on`) and not (`off`)."""

    pattern: str
    head: HeadId
    place: str
    on: float
    on_low: float | None
    on_high: float | None
    off: float
    off_low: float | None
    off_high: float | None
    on_rows: int
    off_rows: int

    @property
    def difference(self) -> float:
        """`on` minus `off`."""
        return self.on - self.off

    @property
    def clear(self) -> bool:
        """Whether the intervals of `on` and `off` lie apart."""
        if None in (self.on_low, self.on_high, self.off_low, self.off_high):
            return False
        return bool(self.on_low > self.off_high or self.off_low > self.on_high)  # type: ignore[operator]


GATES = 12
"""Gates that a figure and a table show."""

MEASURED = tuple(field.name for field in fields(Gate))[3:]
"""What was measured of a gate, as the table of gates has it."""

_PLACES = {"sink": "sinks", "last": "last token"}


def gates_of_heads(run: Run) -> dict[HeadId, list[Gate]]:
    """Every head's gates, those whose two intervals lie apart first, by size of the difference.

    Raises:
        UsageError: the run has no table of gates.
        RunError: the table is damaged.
    """
    found: dict[HeadId, list[Gate]] = {}
    for row in rows(run, "gate", ("head", "pattern", "read", *MEASURED)):
        if row["on"] is not None and row["off"] is not None:
            place = _PLACES.get(row["read"], row["read"])
            head = HeadId.parse(row["head"])
            found.setdefault(head, []).append(
                Gate(row["pattern"], head, place, **{name: row[name] for name in MEASURED})
            )
    return {
        head: sorted(gates, key=lambda gate: (not gate.clear, -abs(gate.difference)))
        for head, gates in found.items()
    }


def gates(run: Run, k: int = GATES) -> list[Gate]:
    """The `k` clearest gates of all heads, one a head and place; raises as `gates_of_heads`."""
    first: dict[tuple[HeadId, str], Gate] = {}
    for found in gates_of_heads(run).values():
        for gate in found:
            if gate.clear:
                first.setdefault((gate.head, gate.place), gate)
    return sorted(first.values(), key=lambda gate: -abs(gate.difference))[:k]
