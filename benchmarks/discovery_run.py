"""The page of a recorded discovery run, beside the offline search on the same heads.

    python benchmarks/discovery_run.py RUN OFFLINE_RUN [--out docs/discovery-run.md]

Both are run directories of `headscribe discover` over the same heads, texts and splits. The page is
made of their tables alone; anything that a proposer wrote stands in code spans or code blocks.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from headscribe.core.errors import UsageError
from headscribe.discovery.clients import read_exchanges
from headscribe.discovery.neutral import neutral
from headscribe.discovery.outcomes import Attempt, Outcome
from headscribe.discovery.results import Discovery

LONGEST = 150
"""Characters of a relation that the page shows."""

WHY = {"fit": "not better on `fit`", "select": "not surely better on `select`"}
COUNTS = ("heads", "proposals", "invalid", "failed", "rejected", "accepted", "calls", "usd")


def page(model: Discovery, offline: Discovery) -> str:
    """The page in Markdown.

    Raises:
        UsageError: the runs are not of the same heads and texts.
    """
    for name in ("examined", "texts"):
        if facts(model)[name] != facts(offline)[name]:
            raise UsageError(f"expected two runs of the same heads and texts, {name} differ")
    parts = [
        *introduction(model, offline),
        *counts(model, offline),
        *gains(model, offline),
        "## Head by head",
        "",
    ]
    for one, other in zip(model.outcomes, offline.outcomes, strict=True):
        parts += story(one, other)
    return "\n".join(parts).rstrip() + "\n"


def facts(found: Discovery) -> dict[str, Any]:
    """What a run recorded about itself."""
    assert found.run is not None
    return found.run.manifest


def introduction(model: Discovery, offline: Discovery) -> list[str]:
    """What was run, on what, and who answered."""
    run, config = facts(model), facts(model)["config"]
    corpus = run["corpus"]
    assert model.run is not None
    exchanges = read_exchanges(model.run.folder / "exchanges.jsonl")
    asked = [len(one["prompt"]) for one in exchanges]
    return [
        "# A recorded discovery run",
        "",
        "Written by `benchmarks/discovery_run.py` from two run directories; nothing is added.",
        "",
        f"{run['model']['layers'] * run['model']['heads']} heads of `{run['model']['name']}`, "
        f"{corpus['texts']} texts, {corpus['tokens']} tokens, annotated by "
        f"`{config['annotator']['name']}`. Examined are the {len(model.outcomes)} heads that their "
        "formulas explain least (mean IoU on `fit`, least first): "
        f"{', '.join(one.head for one in model.outcomes)}. At most {config['rounds']} rounds a "
        f"head; a formula has at most {config['terms']} terms. Texts by split: "
        f"{', '.join(f'{split} {count}' for split, count in run['splits'].items())}.",
        "",
        "```",
        command(model, "exchange:FOLDER"),
        command(offline, "offline"),
        "```",
        "",
        "The first run was answered through files by a large language model from what the prompts "
        f"show: {len(exchanges)} prompts of {min(asked):,} to {max(asked):,} characters, read in "
        "part through a script that condenses them. It knew beforehand that an earlier offline "
        "search had found nothing for these heads. The second is the offline search. Splits, "
        "formulas and rivals are the same.",
        "",
    ]


def command(found: Discovery, llm: str) -> str:
    """The command that began a run."""
    run, config = facts(found), facts(found)["config"]
    heads = config["heads"] if isinstance(config["heads"], str) else ",".join(config["heads"])
    return (
        f"headscribe discover --recorded {run['model']['name']} --annotator "
        f"{config['annotator']['name']} --llm {llm} --heads {heads} --rounds {config['rounds']}"
    )


def counts(model: Discovery, offline: Discovery) -> list[str]:
    """The one table that counts everything."""
    lines = ["## Everything counted", "", "| | language model | offline search |", "|---|---|---|"]
    for name in COUNTS:
        both = [getattr(found.tally, name) for found in (model, offline)]
        if isinstance(both[0], dict):
            kinds = sorted(set(both[0]) | set(both[1]))
            lines.append(f"| {name} | {sum(both[0].values())} | {sum(both[1].values())} |")
            for kind in kinds:
                one, other = (counted.get(kind, 0) for counted in both)
                lines.append(f"| - {WHY.get(kind, kind)} | {one} | {other} |")
        else:
            lines.append(f"| {name} | {both[0]:g} | {both[1]:g} |")
    return [*lines, ""]


def gains(model: Discovery, offline: Discovery) -> list[str]:
    """Scores on test text, head by head, the two proposers side by side."""
    lines = [
        "## Gain on test text",
        "",
        "IoU on `test` of the formula, and the gain over it of what was accepted (95 % interval "
        "over groups of texts). Test text is scored once, and only for what was accepted; `-` is "
        "no program. The best gain on `fit` is what the proposer could see.",
        "",
        "| head | formula | language model: gain on test | best gain on fit | "
        "offline: gain on test | best gain on fit |",
        "|---|---|---|---|---|---|",
    ]
    for one, other in zip(model.outcomes, offline.outcomes, strict=True):
        formula = one.scores["test"]["formula"]
        lines.append(
            f"| {one.head} | {formula:.3f} | {gain(one)} | {best(one)} | {gain(other)} | "
            f"{best(other)} |"
        )
    return [*lines, "", *reading(model, offline), ""]


def reading(model: Discovery, offline: Discovery) -> list[str]:
    """What the table says, in words."""
    said = []
    for name, found in (("language model", model), ("offline search", offline)):
        accepted = [one.gains["formula"] for one in found.outcomes if one.program is not None]
        sure = sum(low > 0 for _, low, _ in accepted)
        mean = sum(one[0] for one in accepted) / len(found.outcomes)
        fit = [
            max((a.fit_gain or 0.0 for a in one.attempts), default=0.0) for one in found.outcomes
        ]
        said.append(
            f"- {name}: {len(accepted)} of {len(found.outcomes)} heads have an accepted program, "
            f"{sure} of them with a gain on test whose interval lies above 0; the mean gain on "
            f"test over all heads, 0 where nothing was accepted, is {mean:+.4f}; the mean of the "
            f"best gains on `fit` is {np.mean(fit):+.4f}."
        )
    return said


def gain(one: Outcome) -> str:
    if one.program is None:
        return "-"
    mean, low, high = one.gains["formula"]
    return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"


def best(one: Outcome) -> str:
    scored = [attempt.fit_gain for attempt in one.attempts if attempt.fit_gain is not None]
    return f"{max(scored):+.4f}" if scored else "-"


def story(one: Outcome, other: Outcome) -> list[str]:
    """One head: what each proposer said, and what came of it."""
    lines = [f"### {one.head}: {one.status}", ""]
    for name, outcome in (("Language model", one), ("Offline search", other)):
        lines += [f"{name}:", ""]
        for attempt in outcome.attempts:
            lines.append(f"{attempt.round}. {verdict(attempt)}")
            if name == "Language model":
                lines.append(f"   {span(attempt.statement, 400)}")
            for relation in relations(attempt):
                lines.append(f"   - {span(relation, LONGEST)}")
        lines.append("")
        if outcome.program is not None:
            kept = outcome.program.get("relations", [])
            lines += [f"Accepted, gain on test {gain(outcome)}; of the proposal stayed:", ""]
            lines += [*(f"- {span(relation, LONGEST)}" for relation in kept), ""]
    return lines


def verdict(attempt: Attempt) -> str:
    """What came of a proposal, in a line."""
    said = attempt.fate + (f" ({attempt.kind})" if attempt.kind else "")
    if attempt.fit_gain is not None:
        said += f", gain on fit {attempt.fit_gain:+.4f}"
    if attempt.select_p is not None:
        said += f", p on select {attempt.select_p:.3f}"
    if attempt.example_agreement is not None:
        said += f", its example agrees by {attempt.example_agreement:.2f}"
    return said


def relations(attempt: Attempt) -> list[str]:
    code = attempt.code
    if code is None:
        return []
    return list(code["relations"]) or [json.dumps(code["program"])]


def span(text: str, limit: int) -> str:
    """Untrusted text as a code span of one line."""
    return "`" + neutral(text, limit).replace("`", "'") + "`"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("offline")
    parser.add_argument("--out", default="docs/discovery-run.md")
    options = parser.parse_args()
    text = page(Discovery.open(options.run), Discovery.open(options.offline))
    Path(options.out).write_text(text, encoding="utf-8")
    print(f"{options.out}: {len(text)} characters")


if __name__ == "__main__":
    main()
