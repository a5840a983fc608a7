"""`headscribe fit`: what it prints."""

import json
import math
from collections.abc import Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from headscribe.core.visible import plural

if TYPE_CHECKING:
    from headscribe.api.fit import Fit
    from headscribe.fitting.heads import HeadFormula

BEST = 3
"""Formulas that are printed; `formulas.txt` in the run has all."""


def show(fit: "Fit", *, as_json: bool) -> None:
    """Print what was found of all heads, the best formulas, and a line each on more."""
    if as_json:
        print(json.dumps(fit.to_json(), ensure_ascii=False))
        return
    print(fill(finding(fit), 79) + "\n")
    for head_formula in surest_first(fit.heads)[:BEST]:
        words = "" if head_formula.headline is None else f"   in words: {head_formula.headline}\n"
        print(f"{head_formula}\n{words}   labels: {head_formula.follows}\n")
    if len(fit.heads) > BEST:
        print(f"these {BEST} gain most, even at the lower ends of their intervals")
        print(f"all {len(fit.heads)} heads, highest IoU first: {fit.folder / 'formulas.txt'}")
    print(fit.to_json()["scored"])
    for note in fit.run.manifest["notes"]:
        print(f"note: {note}")
    for line in findings(fit):
        print(line)
    print(f"run: {fit.folder}")


def finding(fit: "Fit") -> str:
    """How well formulas do beside profiles, over all heads, in a sentence."""
    gain, heads = fit.mean("gain"), fit.heads
    better = sum(head_formula.scores["gain", "raw", "iou"].low > 0 for head_formula in heads)
    return (
        f"On unseen texts formulas share {fit.mean('formula').mean:.1%} of the attention with "
        f"{plural(len(heads), 'head')} (mean IoU), the heads' mean attention by position "
        f"{fit.mean('profile').mean:.1%}: {100 * gain.mean:+.1f} points ({100 * gain.low:+.1f} to "
        f"{100 * gain.high:+.1f}). {better} of {len(heads)} formulas are surely better than that."
    )


def surest_first(heads: "Sequence[HeadFormula]") -> "list[HeadFormula]":
    """Heads by the lower end of the gain over their profile; last those without an interval."""

    def place(head_formula: "HeadFormula") -> tuple[float, float]:
        gain = head_formula.scores["gain", "raw", "iou"]
        return (math.inf if math.isnan(gain.low) else -gain.low), -gain.mean

    return sorted(heads, key=place)


def findings(fit: "Fit") -> list[str]:
    """A line each on layers, labels, kinds of head, likeness and mixtures."""
    from headscribe.core.heads import HeadId
    from headscribe.fitting.mixture import REST

    count = len(fit.heads)
    layers = "  ".join(f"{layer} {estimate.mean:.2f}" for layer, estimate in fit.layers().items())
    every, labelled = fit.agreement
    own = "" if labelled is None else f", {labelled:.0%} of labelled ones"
    servers: dict[float, set[HeadId]] = {}
    for row in fit.run.table("covers").to_pylist():
        servers.setdefault(row["loss"], set()).add(HeadId(row["by_layer"], row["by_head"]))
    kinds = ", ".join(f"{len(heads)} at {loss:.2f}" for loss, heads in servers.items())
    lines = [
        f"IoU by layer: {layers}",
        f"labels: {sum(bool(head.labels) for head in fit.heads)} of {count} heads; "
        f"two halves of the texts agree on {every:.0%} of heads{own}",
        f"kinds of head: formulas that serve all {count}, by IoU lost: {kinds}",
    ]
    if count > 1:
        row = min(fit.run.table("similarity").to_pylist(), key=lambda row: row["jsd"])
        one, other = (HeadId(row[f"layer_{x}"], row[f"head_{x}"]).prose for x in "ab")
        lines.append(f"most alike: {one} and {other}, Jensen-Shannon distance {row['jsd']:.3f}")
    mixtures = fit.mixtures.values()
    main = [next((p["pattern"] for p in parts if p["pattern"] != REST), REST) for parts in mixtures]
    ranked = sorted({name: main.count(name) for name in main}.items(), key=lambda x: (-x[1], x[0]))
    return [*lines, "heaviest part: " + ", ".join(f"{name} {n}" for name, n in ranked[:5])]
