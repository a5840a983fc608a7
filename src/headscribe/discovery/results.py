"""What a discovery run leaves behind: the library, tables, and pictures as data."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.discovery.library import Entry, Library, entry_name
from headscribe.discovery.material import Items, Material
from headscribe.discovery.neutral import neutral
from headscribe.discovery.outcomes import Outcome, Tally
from headscribe.discovery.study import Study
from headscribe.results.examples import ExampleRow, table_of
from headscribe.results.run import Run
from headscribe.sandbox import ProgramFailureError, Runner
from headscribe.scoring.examples import LEGIBLE, labels_of
from headscribe.text.passages import Passage
from headscribe.text.splits import bucket_of, split_of

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
    """

    outcomes: tuple[Outcome, ...]
    tally: Tally
    library: Library = field(repr=False)
    left_out: tuple[str, ...] = ()

    def __getitem__(self, head: HeadId | str) -> Outcome:
        wanted = str(HeadId.parse(head) if isinstance(head, str) else head)
        for one in self.outcomes:
            if one.head == wanted:
                return one
        raise UsageError(f"head {wanted} is not among the {len(self.outcomes)} examined ones")

    def to_json(self) -> dict[str, Any]:
        """The document of `discover --json`."""
        return {
            "tally": asdict(self.tally),
            "by_head": [one.to_json() for one in self.outcomes],
            "left_out": list(self.left_out),
        }

    def __str__(self) -> str:
        """Heads with what was found, then the table."""
        lines = []
        for one in self.outcomes:
            if one.status == "accepted":
                mean, low, high = one.gains["formula"]
                score = one.scores["test"]
                lines.append(
                    f"{one.head:>6}  IoU {score['formula']:.3f} -> {score['program']:.3f} on test, "
                    f"gain {mean:+.3f} ({low:+.3f} to {high:+.3f})"
                )
            else:
                lines.append(f"{one.head:>6}  {one.status}: {one.reason}")
        return "\n".join([*lines, "", str(self.tally)])


def join_library(
    library: Library,
    outcomes: Sequence[Outcome],
    material: Material,
    who: str,
    runner: Runner | None,
) -> Library:
    """The library with what was accepted, near-duplicates merged; the given one stays as it is."""
    grown = Library(list(library.entries))
    passages = [material.passages[text] for text in material.texts("fit")[:MERGE_TEXTS]]
    for outcome in outcomes:
        if outcome.program is None:
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
    found: Discovery,
    studies: Sequence[Study],
    items: Items,
    all_heads: Sequence[HeadId],
    runner: Runner | None,
) -> None:
    """Write the tables, the pictures and the library; a run with unfinished heads stays open."""
    found.library.write(run.folder / "library.jsonl")
    run.write_table("discoveries", _table(found.outcomes))
    pictures = [
        row
        for outcome, study in zip(found.outcomes, studies, strict=True)
        for row in picture(study, outcome, runner)
    ]
    run.write_table("examples", table_of(_once(pictures)))
    scored = against_all(found.outcomes, items, all_heads, studies[0].material, runner)
    if scored:
        run.write_table("all_heads", pa.Table.from_pylist(scored))
    tally = asdict(found.tally)
    if found.tally.stopped:
        run.manifest["tally"] = tally
        run.save()
    else:
        run.finish(tally=tally)


def picture_text(study: Study) -> int:
    """A text of `test` that can be read and on which the formula does as well as usual."""
    texts = study.material.texts("test")
    legible = [i for i in texts if len(study.material.passages[i]) in LEGIBLE] or list(texts)
    iou = study.rivals["formula"][legible]
    return legible[int(np.argmin(np.abs(iou - np.median(iou))))]


def picture(study: Study, outcome: Outcome, runner: Runner | None) -> list[ExampleRow]:
    """A `test` text with the head's attention, its formula's and, if any, the program's.

    The predictions are called `7.10:formula` and `7.10:program`.
    """
    material = study.material
    text = picture_text(study)
    passage, head = material.passages[text], str(study.head)
    name = passage.text_id
    rows = [
        ExampleRow.of_text(name, len(passage), _facts(passage)),
        ExampleRow.of_matrix(name, "head", head, material.real(study.place, text)),
        ExampleRow.of_matrix(name, "pattern", f"{head}:formula", study.matrix(text)),
    ]
    predicted = _predicted(outcome, passage, material, runner)
    if predicted is not None:
        rows.append(ExampleRow.of_matrix(name, "pattern", f"{head}:program", predicted))
    return rows


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
    for passage, attention, _ in items():
        if split_of(bucket_of(passage.group, material.seed)) != "test":
            continue
        for p, outcome in enumerate(accepted):
            predicted = _predicted(outcome, passage, material, runner)
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


def _predicted(
    outcome: Outcome, passage: Passage, material: Material, runner: Runner | None
) -> np.ndarray | None:
    """What an accepted program predicts, uniform where it says nothing; None if it fails."""
    if outcome.program is None:
        return None
    entry = Entry("program", outcome.program, "", outcome.looks_ahead, {"model": "", "head": ""})
    pattern = entry.pattern(runner)
    if pattern is None:
        return None
    try:
        rows = pattern.predict(passage, material.visibility)
    except ProgramFailureError:
        return None
    return rows.filled("uniform", material.visibility).to_dense()


def _table(outcomes: Sequence[Outcome]) -> pa.Table:
    rows = []
    for one in outcomes:
        gain = one.gains.get("formula", (None, None, None))
        scores = one.scores["test"]
        rows.append(
            {
                "layer": one.head_id.layer,
                "head": one.head_id.head,
                "status": one.status,
                "reason": one.reason,
                "statement": one.attempts[-1].statement if one.program else "",
                "program": "" if one.program is None else json.dumps(one.program),
                "iou_formula": scores["formula"],
                "iou_program": scores.get("program"),
                "gain": gain[0],
                "gain_low": gain[1],
                "gain_high": gain[2],
                "rounds": len(one.attempts),
            }
        )
    numbers = ("iou_formula", "iou_program", "gain", "gain_low", "gain_high")
    schema = pa.schema(
        [("layer", pa.int32()), ("head", pa.int32())]
        + [(name, pa.string()) for name in ("status", "reason", "statement", "program")]
        + [(name, pa.float64()) for name in numbers]
        + [("rounds", pa.int32())]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def _once(rows: Sequence[ExampleRow]) -> list[ExampleRow]:
    """Every row once: heads may share a text."""
    return list({(row.text_id, row.kind, row.name): row for row in rows}.values())


def _facts(passage: Passage) -> dict[str, Any]:
    words = passage.words
    known: dict[str, Any] = {"form": words.form, "upos": words.upos, "dep": words.dep}
    known["head"] = None if words.head is None else words.head.tolist()
    return {
        "text": passage.text,
        "group": passage.group,
        "tokens": passage.tokens,
        "labels": labels_of(passage),
        "special": passage.is_special.tolist(),
        "word_of_token": passage.word.tolist(),
        "words": {name: column for name, column in known.items() if column is not None},
    }
