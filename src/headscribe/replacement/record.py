"""What a run keeps beside the curves, so that a report needs no model."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.core.rows import RowPolicy
from headscribe.fitting.formula import Formula
from headscribe.models.model import Model
from headscribe.replacement.agreement import agreements
from headscribe.replacement.apply import generate
from headscribe.replacement.curves import Arm, count_of
from headscribe.replacement.plan import Plan
from headscribe.results.run import Run
from headscribe.text.passages import Passage

COMPARED = ("formula", "profile")
"""Untuned arms whose agreement with the heads is kept; of the tuned all are."""

TALKING = (0.25, 0.5, 1.0)
"""Shares of heads at which the altered model goes on with a text, where they were measured."""

PROMPT_TOKENS = 12
NEW_TOKENS = 40


def record(
    run: Run,
    model: Model,
    arms: Sequence[Arm],
    order: Sequence[HeadId],
    passages: Sequence[Passage],
    policy: RowPolicy,
    fractions: Sequence[float],
    on_progress: OnProgress = silent,
) -> dict[str, Any]:
    """Write the table `agreement` into a run; return further facts for its manifest.

    The table has a row for each program and head: its IoU with the untouched head, mean over the
    measured texts. The facts are `agreement` (means over heads) and, for causal models,
    `continuations`.
    """
    compared = [arm for arm in arms if arm.tuned or arm.program in COMPARED]
    found = agreements(model, [arm.programs for arm in compared], passages, on_progress=on_progress)
    rows: list[dict[str, Any]] = [
        {"program": arm.program, "tuned": arm.tuned, "layer": head.layer, "head": head.head,
         "iou": iou}
        for arm, own in zip(compared, found, strict=True)
        for head, iou in own.items()
    ]  # fmt: skip
    run.write_table("agreement", pa.Table.from_pylist(rows))
    means: dict[tuple[str, bool], list[float]] = {}
    for row in rows:
        means.setdefault((row["program"], row["tuned"]), []).append(row["iou"])
    facts: dict[str, Any] = {
        "agreement": [
            {"program": program, "tuned": tuned, "iou": float(np.mean(values))}
            for (program, tuned), values in means.items()
        ]
    }
    if model.kind == "causal" and model.stack.name is None:
        facts["continuations"] = continuations(model, arms, order, passages, policy, fractions)
    return facts


def continuations(
    model: Model,
    arms: Sequence[Arm],
    order: Sequence[HeadId],
    passages: Sequence[Passage],
    policy: RowPolicy,
    fractions: Sequence[float],
) -> list[dict[str, Any]]:
    """How the model goes on with the beginning of the first long enough text, always greedily.

    One entry for each compared program and share of heads: `program`, `tuned`, `fraction`, `heads`,
    `prompt`, and the texts `unaltered` and `altered`, prompt included. Empty where no text is
    longer than the prompt.
    """
    long = next((passage for passage in passages if len(passage) > PROMPT_TOKENS), None)
    if long is None:
        return []
    prompt = long.text[: int(long.spans[PROMPT_TOKENS - 1][1])]
    (given,) = model.encode([prompt])
    limit = NEW_TOKENS if model.max_tokens is None else model.max_tokens - len(given)
    room = min(NEW_TOKENS, limit)
    if room < 1 or not prompt:
        return []
    unaltered = generate(model, Plan({}), prompt, room)
    read: str = model.tokenizer.decode([int(one) for one in given.ids], skip_special_tokens=True)
    rows = []
    for arm in arms:
        if not (arm.tuned or arm.program in COMPARED):
            continue
        for share in fractions if arm.fractions is None else arm.fractions:
            if share not in TALKING:
                continue
            heads = order[: count_of(share, len(order))]
            altered = generate(model, Plan(arm.programs, policy).only(heads), prompt, room)
            rows.append(
                {"program": arm.program, "tuned": arm.tuned, "fraction": share,
                 "heads": len(heads), "prompt": read, "unaltered": unaltered,
                 "altered": altered}
            )  # fmt: skip
    return rows


def tuned_table(arms: Sequence[Arm]) -> pa.Table:
    """Tuned formulas, one a row."""
    rows = []
    for arm in arms:
        for head, program in arm.programs.items():
            assert isinstance(program, Formula)
            rows.append(
                {"program": arm.program, "layer": head.layer, "head": head.head,
                 "formula": json.dumps(program.to_json())}
            )  # fmt: skip
    return pa.Table.from_pylist(rows)
