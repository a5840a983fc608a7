"""What a discovery run leaves behind: the library, tables, and pictures as data."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headscribe.core.errors import RunError, UsageError
from headscribe.core.files import write_whole
from headscribe.core.heads import HeadId, absent
from headscribe.discovery.evidence import evidence
from headscribe.discovery.library import Entry, Library, entry_name
from headscribe.discovery.material import Items, Material
from headscribe.discovery.neutral import neutral
from headscribe.discovery.outcomes import Outcome, Tally, read_outcome
from headscribe.discovery.pictures import pictures, predicted_matrix
from headscribe.discovery.study import HeadTask
from headscribe.results.examples import table_of
from headscribe.results.run import Run
from headscribe.sandbox import Runner

MERGE_TEXTS = 20
"""Texts on which programs are compared before they join the library."""


@dataclass(frozen=True)
class Discovery:
    """What a run found.

    Attributes:
        outcomes: one a head, in the order asked.
        tally: one table that counts everything.
        library: the library, with what was accepted.
        left_out: programs of the library that could not be run on these texts.
        run: the directory with all of it.
    """

    outcomes: tuple[Outcome, ...]
    tally: Tally
    library: Library = field(repr=False)
    left_out: tuple[str, ...] = ()
    run: Run | None = field(default=None, repr=False, compare=False)

    @classmethod
    def open(cls, folder: str | Path) -> "Discovery":
        """Read a finished run from its directory.

        Raises:
            UsageError: there is none.
            RunError: a file in it is damaged.
        """
        run = Run.open(folder)
        if run.manifest["kind"] != "discover" or not run.complete:
            kind = "an unfinished run" if run.manifest["kind"] == "discover" else "another kind"
            raise UsageError(f"expected a finished run of discover in {folder}, got {kind}")
        facts = run.manifest
        try:
            tally = Tally(**facts["tally"])
            examined = [HeadId.parse(head) for head in facts["examined"]]
            left_out = tuple(facts["left_out"])
        except (KeyError, TypeError, AttributeError, UsageError) as error:
            raise RunError(f"{run.folder / 'run.json'}: damaged ({error})") from error
        outcomes = [read_outcome(run.folder / "heads" / f"{head}.json") for head in examined]
        found = tuple(outcome for outcome in outcomes if outcome is not None)
        if len(found) < len(examined):
            raise RunError(f"{run.folder / 'heads'}: outcomes of examined heads are missing")
        return cls(found, tally, Library.read(run.folder / "library.jsonl"), left_out, run)

    def __getitem__(self, head: HeadId | str) -> Outcome:
        wanted = HeadId.of(head)
        for outcome in self.outcomes:
            if outcome.head_id == wanted:
                return outcome
        raise absent(wanted, (outcome.head_id for outcome in self.outcomes), "what was examined")

    def to_json(self) -> dict[str, Any]:
        """The document of `discover --json`."""
        return {
            "tally": asdict(self.tally),
            "by_head": [outcome.to_json() for outcome in self.outcomes],
            "left_out": list(self.left_out),
        } | ({} if self.run is None else {"run": str(self.run.folder)})

    def __str__(self) -> str:
        """Heads with what was found, then the table."""
        lines = []
        for outcome in self.outcomes:
            if outcome.status == "accepted":
                mean, low, high = outcome.gains["formula"]
                score = outcome.scores["test"]
                lines.append(
                    f"{outcome.head:>6}  IoU {score['formula']:.3f} -> {score['program']:.3f} on "
                    f"test, gain {mean:+.3f} ({low:+.3f} to {high:+.3f})"
                    + ("" if outcome.confirmed else "; not surely better there: not in the library")
                )
            else:
                lines.append(f"{outcome.head:>6}  {outcome.status}: {outcome.reason}")
        return "\n".join([*lines, "", str(self.tally)])


def join_library(
    library: Library,
    outcomes: Sequence[Outcome],
    material: Material,
    who: str,
    runner: Runner | None,
) -> Library:
    """The library with what was accepted and is better on `test`, too, near-duplicates merged.

    The given one stays as it is.
    """
    grown = Library(list(library.entries))
    passages = material.some(MERGE_TEXTS)
    for outcome in outcomes:
        if outcome.program is None or not outcome.confirmed:
            continue
        last = outcome.attempts[-1]
        provenance = {
            "model": material.model,
            "head": outcome.head,
            "proposer": who,
            "source": last.source,
            "scores": outcome.scores,
            "gains": {name: list(gain) for name, gain in outcome.gains.items()},
        }
        entry = Entry(
            entry_name(material.model, outcome.head),
            outcome.program,
            neutral(last.statement, 300),
            outcome.looks_ahead,
            provenance,
        )
        grown.add(entry, passages, material.visibility, runner)
    return grown


def write_results(
    run: Run,
    discovery: Discovery,
    studies: Sequence[HeadTask],
    items: Items,
    all_heads: Sequence[HeadId],
    runner: Runner | None,
) -> None:
    """Write the tables, the pictures and the library; a run with unfinished heads stays open."""
    discovery.library.write(run.folder / "library.jsonl")
    run.write_table("discoveries", _table(discovery.outcomes))
    run.write_table("attempts", _attempts(discovery.outcomes))
    run.write_table("examples", table_of(pictures(studies, discovery.outcomes, runner)))
    scored = against_all(discovery.outcomes, items, all_heads, studies[0].material, runner)
    if scored:
        run.write_table("all_heads", pa.Table.from_pylist(scored))
    tally = asdict(discovery.tally)
    if discovery.tally.stopped:
        run.manifest |= {"tally": tally, "left_out": list(discovery.left_out)}
        run.save()
    else:
        run.finish(tally=tally, left_out=list(discovery.left_out))


def write_evidence(run: Run, studies: Sequence[HeadTask], tokens: int) -> None:
    """What there is to see of each head, `evidence/7.1.json`, as prompts show it."""
    folder = run.folder / "evidence"
    folder.mkdir(exist_ok=True)
    for study in studies:
        write_whole(folder / f"{study.head}.json", evidence(study, tokens).text + "\n")


def against_all(
    outcomes: Sequence[Outcome],
    items: Items,
    all_heads: Sequence[HeadId],
    material: Material,
    runner: Runner | None,
) -> list[dict[str, object]]:
    """The mean IoU of every accepted program with every head, over the texts of `test`."""
    accepted = [one for one in outcomes if one.program is not None]
    if not accepted:
        return []
    total = np.zeros((len(accepted), len(all_heads)))
    texts = np.zeros(len(accepted), int)
    tested = {material.passages[text].text_id for text in material.texts("test")}
    for passage, attention, _ in items():
        if passage.text_id not in tested:
            continue
        for p, outcome in enumerate(accepted):
            predicted = predicted_matrix(outcome, passage, material, runner)
            if predicted is not None:
                shared = np.minimum(attention, predicted).sum(axis=(1, 2), dtype=np.float64)
                total[p] += shared / (2 * len(passage) - shared)
                texts[p] += 1
    return [
        {
            "program": accepted[p].head,
            "layer": head.layer,
            "head": head.head,
            "iou": float(total[p, h] / texts[p]),
            "texts": int(texts[p]),
        }
        for p in range(len(accepted))
        if texts[p]
        for h, head in enumerate(all_heads)
    ]


def _table(outcomes: Sequence[Outcome]) -> pa.Table:
    rows = []
    for outcome in outcomes:
        gain = outcome.gains.get("formula", (None, None, None))
        scores = outcome.scores["test"]
        rows.append(
            {
                "layer": outcome.head_id.layer,
                "head": outcome.head_id.head,
                "status": outcome.status,
                "reason": outcome.reason,
                "statement": outcome.attempts[-1].statement if outcome.program else "",
                "program": "" if outcome.program is None else json.dumps(outcome.program),
                "iou_formula": scores["formula"],
                "iou_program": scores.get("program"),
                "gain": gain[0],
                "gain_low": gain[1],
                "gain_high": gain[2],
                "rounds": len(outcome.attempts),
                "looks_ahead": outcome.looks_ahead,
                "failed_test_texts": outcome.failed_test_texts,
            }
        )
    numbers = ("iou_formula", "iou_program", "gain", "gain_low", "gain_high")
    schema = pa.schema(
        [("layer", pa.int32()), ("head", pa.int32())]
        + [(name, pa.string()) for name in ("status", "reason", "statement", "program")]
        + [(name, pa.float64()) for name in numbers]
        + [("rounds", pa.int32()), ("looks_ahead", pa.bool_()), ("failed_test_texts", pa.int32())]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def _attempts(outcomes: Sequence[Outcome]) -> pa.Table:
    """A row a proposal."""
    texts = ("source", "fate", "kind", "message", "statement")
    numbers = (
        "fit_iou",
        "fit_gain",
        "select_p",
        "select_level",
        "select_gain",
        "detectable",
        "example_agreement",
    )
    rows = [
        {"layer": outcome.head_id.layer, "head": outcome.head_id.head, "round": attempt.round}
        | {name: getattr(attempt, name) for name in (*texts, *numbers)}
        | {"code": "" if attempt.code is None else json.dumps(attempt.code)}
        for outcome in outcomes
        for attempt in outcome.attempts
    ]
    schema = pa.schema(
        [(name, pa.int32()) for name in ("layer", "head", "round")]
        + [(name, pa.string()) for name in texts]
        + [(name, pa.float64()) for name in numbers]
        + [("code", pa.string())]
    )
    return pa.Table.from_pylist(rows, schema=schema)
