"""The page of the real run: what a language model adds to the search, and what its words are worth.

    python benchmarks/discovery_run.py --model RUN OFFLINE BLINDED DESCRIBED [--model ...]
        [--out docs/discovery-run.md]

For each model the directories of `headscribe discover` with a language model, of its two controls
(`benchmarks/discovery_controls.py`), and of `headscribe describe` on the same heads; `-` for one
that there is not. The page is made of the directories alone; what a proposer wrote stands in code
spans.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headscribe.core.errors import UsageError
from headscribe.core.visible import plural
from headscribe.discovery.acceptance import Plan
from headscribe.discovery.acceptance import detectable as found_by_test
from headscribe.discovery.clients import read_exchanges
from headscribe.discovery.describe import COMPARED, points
from headscribe.discovery.loop import CLASS_PENALTY
from headscribe.discovery.neutral import neutral
from headscribe.discovery.outcomes import Outcome
from headscribe.discovery.results import Discovery
from headscribe.fitting.statistics import mean_interval
from headscribe.results.run import Run

LONGEST_PAGE = 300
"""Lines of the page, at most."""

PROPOSERS = {"model": "language model", "offline": "offline search", "blinded": "blinded model"}

COUNTS = ("proposals", "invalid", "failed", "rejected", "accepted", "calls")


@dataclass(frozen=True)
class Runs:
    """The runs of one model on one corpus.

    Attributes:
        found: what discovery found, by proposer; empty where heads were described alone.
        described: the run of descriptions; None: there is none.
    """

    found: dict[str, Discovery]
    described: Run | None

    @classmethod
    def open(cls, folders: Sequence[str]) -> "Runs":
        """Open them; all of discovery have to be of the same heads and texts.

        Raises:
            UsageError: they are not.
        """
        kinds = zip(PROPOSERS, folders, strict=False)
        found = {kind: Discovery.open(folder) for kind, folder in kinds if folder != "-"}
        if "model" not in found and (found or folders[3] == "-"):
            raise UsageError("expected the run of a language model first, got -")
        for kind, one in found.items():
            for name in ("examined", "texts"):
                if facts(one)[name] != facts(found["model"])[name]:
                    raise UsageError(f"expected runs of the same heads and texts, {kind}: {name}")
        return cls(found, None if folders[3] == "-" else Run.open(folders[3]))

    @property
    def name(self) -> str:
        corpus, texts = self.about["corpus"]["name"], self.about["config"].get("texts")
        if corpus in ("train", "dev", "test") and isinstance(texts, list):
            corpus = f"{Path(texts[0]).parent.name} {corpus}"
        return f"{self.about['model']['name']} on {corpus}"

    @property
    def about(self) -> dict[str, Any]:
        """What the first run recorded about itself."""
        if self.found:
            return facts(self.found["model"])
        assert self.described is not None
        return self.described.manifest

    def overall(self, who: str, against: str, kind: str = "both") -> dict[str, Any] | None:
        """A row of the table `overall` of the descriptions."""
        rows = [] if self.described is None else self.described.table("overall").to_pylist()
        asked = (who, against, kind)
        return next((r for r in rows if (r["who"], r["against"], r["kind"]) == asked), None)


def facts(found: Discovery) -> dict[str, Any]:
    """What a run recorded about itself."""
    assert found.run is not None
    return found.run.manifest


def page(runs: Sequence[Runs]) -> str:
    """The page in Markdown.

    Raises:
        UsageError: it would be longer than `LONGEST_PAGE`.
    """
    lines = ["# What a language model adds: a real run", "", *findings(runs), ""]
    lines += ["## How it was got", ""]
    for one in runs:
        lines += introduction(one)
    for one in (one for one in runs if one.found):
        lines += [f"## Programs of {one.name}", "", *gains(one), ""]
    for one in runs:
        if one.described is not None:
            lines += [f"## Descriptions of {one.name}", "", *descriptions(one), ""]
    if len(lines) > LONGEST_PAGE:
        raise UsageError(f"expected a page of {LONGEST_PAGE} lines, got {len(lines)}")
    return "\n".join(lines).rstrip() + "\n"


def findings(runs: Sequence[Runs]) -> list[str]:
    """What came of it, in words."""
    lines = []
    for kind, name in PROPOSERS.items():
        outcomes = [o for one in runs if kind in one.found for o in one.found[kind].outcomes]
        if not outcomes:
            continue
        good = [one for one in outcomes if matters(one)]
        mean = np.mean([gain(one)[0] for one in good]) if good else 0.0
        lines.append(
            f"- **{name.capitalize()}**: {len(good)} of {len(outcomes)} heads "
            f"({len(good) / len(outcomes):.0%}) have an accepted program whose gain on `test` is "
            "at least the smallest effect, its interval above 0"
            + (f"; mean gain there {mean:+.3f} IoU" if good else "")
            + f". Over all heads, 0 where nothing was accepted: {mean_gain(outcomes)}."
        )
    for one in (one for one in runs if one.found):
        lines += power(one)
    for who, control, name in (
        ("description", "control", "Descriptions by the language model"),
        ("template", "template control", "Templates"),
    ):
        lines += pooled(runs, who, control, name)
    lines += pooled(runs, "description", "template", "Descriptions, beside templates")
    return lines


def matters(one: Outcome) -> bool:
    """Whether a program was accepted, and gains on `test` what matters, surely above 0."""
    return one.confirmed and gain(one)[0] >= smallest(one)


def smallest(one: Outcome) -> float:
    """The smallest gain of a head that matters; 0.01 in records that lack it."""
    return 0.01 if one.matters is None else one.matters


def gain(one: Outcome) -> tuple[float, float, float]:
    """Over the formula on `test`; 0 where nothing was accepted."""
    return one.gains.get("formula", (0.0, 0.0, 0.0))


def mean_gain(outcomes: Sequence[Outcome]) -> str:
    """Over all heads, the head being the unit."""
    values = np.array([gain(one)[0] for one in outcomes])
    mean, low, high = mean_interval(values, np.arange(len(values)))
    return f"{mean:+.4f} IoU ({low:+.4f} to {high:+.4f})"


def detectable(one: Outcome) -> float | None:
    """The least gain that a head's tests would have found 80 % of the time."""
    known = [a.detectable for a in one.attempts if a.detectable is not None]
    return min(known, default=None)


def best(one: Outcome) -> float:
    """The best gain of a head's proposals on `fit`."""
    return max((a.fit_gain for a in one.attempts if a.fit_gain is not None), default=0.0)


def power(one: Runs) -> list[str]:
    """What would have been found in the heads without such a program."""
    found = one.found["model"]
    rest = [outcome for outcome in found.outcomes if not matters(outcome)]
    if not rest:
        return []
    known = [(value, o) for o in rest if (value := detectable(o)) is not None]
    said = (
        f"- **Power, {one.name}**: of {plural(len(rest), 'head')} without, "
        f"{len(known) or 'none'} had a proposal that gained enough on `fit` to be tested"
    )
    if known:
        values = sorted(value for value, _ in known)
        enough = sum(value <= smallest(outcome) for value, outcome in known)
        said += (
            f"; their tests would have found a gain of {values[0]:.4f} to {values[-1]:.4f} IoU "
            f"({np.median(values):.4f} at the median) 80 % of the time, no more than the smallest "
            f"effect for {enough} of them"
        )
    others = [best(outcome) for outcome in rest if detectable(outcome) is None]
    if others:
        which = f"for the other {len(others)}" if known else "for them"
        said += (
            f". The proposals {which} gain {np.median(others):+.4f} IoU at the "
            f"median on the very texts that they were made from, {max(others):+.4f} at most: less "
            "than is asked for a test (the smallest effect, and "
            f"{CLASS_PENALTY:g} more for a word class): it was the proposals that fell short, "
            "not the texts to test them on"
        )
    asked, texts = facts(found)["fingerprints"], facts(found)["splits"]["select"]
    tests = len(found.outcomes) * asked["rounds"]
    texts = max([texts, *(a.select_texts or 0 for o in found.outcomes for a in o.attempts)])
    least = found_by_test(1.0, texts, Plan(tests).level)
    return [
        f"{said}. {tests} tests share the error budget; on {texts} texts one finds a gain of "
        f"{least:.2f} times its spread from text to text 80 % of the time."
    ]


def pooled(runs: Sequence[Runs], who: str, control: str, name: str) -> list[str]:
    """How often one beats the other over the heads of all models."""
    rows = [
        row
        for one in runs
        if one.described is not None
        for row in one.described.table("simulation").to_pylist()
        if (row["who"], row["against"], row["kind"]) == (who, control, "both")
    ]
    if not rows:
        return []
    beyond = np.array([row["beyond"] for row in rows])
    mean, low, high = mean_interval(beyond, np.arange(len(beyond)))
    difference = points({"beyond": mean, "low": low, "high": high})
    sure = sum(row["low"] > 0 for row in rows)
    right = np.mean([row["accuracy"] for row in rows])
    against = "those of another head" if "control" in control else "them"
    return [
        f"- **{name}** beat {against} on unseen rows for {sum(beyond > 0)} of {len(rows)} heads "
        f"({sum(beyond > 0) / len(rows):.0%}; surely for {sure}): {right:.0%} of the questions "
        f"right against {right - mean:.0%}, {difference} over heads."
    ]


def introduction(one: Runs) -> list[str]:
    """What was run, on what, who answered, and everything counted."""
    run = one.about
    corpus, asked, test = run["corpus"], run["config"] | run["fingerprints"], run.get("test")
    heads = run["model"]["layers"] * run["model"]["heads"]
    lines = [
        f"**{one.name}**: {len(run['examined'])} of {heads} heads, {corpus['texts']} texts of "
        f"`{corpus['name']}` ({corpus['tokens']:,} tokens)"
        + (f" and {test['texts']} of `{test['name']}` to test on" if test else "")
        + f", annotated by `{run['annotator']['name']}`"
    ]
    if one.found:
        splits = ", ".join(f"{split} {count}" for split, count in run["splits"].items())
        lines[0] += (
            f" ({splits}); at most {asked['rounds']} rounds a head, {asked['terms']} terms a "
            f"formula, smallest effect {asked['smallest']:g} IoU or 5 % of a head's content mass."
        )
    else:
        lines[0] += "; descriptions alone."
    if one.described is not None and asked_offline(one.described):
        lines[0] += " The program of a description's relations answers in place of a judge."
    kept = one.found["model"].run if one.found else None
    for folder, what in ((kept, "programs"), (one.described, "descriptions and answers")):
        path = None if folder is None else folder.folder / "exchanges.jsonl"
        if path is not None and path.is_file():
            sizes = [len(record["prompt"]) for record in read_exchanges(path)]
            lines[0] += (
                f" {len(sizes)} prompts for {what}, {min(sizes):,} to {max(sizes):,} characters, "
                "answered through files by a language model that was given nothing else."
            )
    lines += [*(f"Note: {note}." for note in run.get("notes", [])), ""]
    if not one.found:
        return lines
    kinds = [kind for kind in PROPOSERS if kind in one.found]
    lines += [
        f"| | {' | '.join(PROPOSERS[kind] for kind in kinds)} |",
        "|---" * (len(kinds) + 1) + "|",
    ]
    for name in COUNTS:
        values = [getattr(one.found[kind].tally, name) for kind in kinds]
        lines.append(f"| {name} | {' | '.join(map(counted, values))} |")
    return [*lines, ""]


def asked_offline(described: Run) -> bool:
    """Whether no language model answered by the descriptions."""
    return bool(described.manifest["fingerprints"].get("judge") == "offline")


def counted(value: int | dict[str, int]) -> str:
    """A count, with its kinds."""
    if not isinstance(value, dict):
        return str(value)
    kinds = ", ".join(f"{kind} {count}" for kind, count in value.items())
    return f"{sum(value.values())}" + (f" ({kinds})" if kinds else "")


def gains(one: Runs) -> list[str]:
    """Scores on test text, head by head, the proposers side by side."""
    kinds = [kind for kind in PROPOSERS if kind in one.found]
    lines = [
        "IoU of the formula on `test`, and the gain over it of what was accepted (95 % interval "
        "over groups of texts); in brackets, where nothing was, the best gain on `fit`. *Found*: "
        "the gain that the language model's tests would have found 80 % of the time.",
        "",
        f"| head | formula | {' | '.join(PROPOSERS[kind] for kind in kinds)} | matters | found | "
        "accepted relations |",
        "|---" * (len(kinds) + 5) + "|",
    ]
    for place, first in enumerate(one.found["model"].outcomes):
        cells = [gained(one.found[kind].outcomes[place]) for kind in kinds]
        least = detectable(first)
        kept = [] if first.program is None else first.program.get("relations", ["a program"])
        lines.append(
            f"| {first.head} | {first.scores['test']['formula']:.3f} | {' | '.join(cells)} | "
            f"{smallest(first):.4f} | {'-' if least is None else f'{least:.4f}'} | "
            f"{' '.join(span(relation, 90) for relation in kept)} |"
        )
    return lines


def gained(one: Outcome) -> str:
    """The gain on test; without a program the best on fit."""
    if one.program is not None:
        mean, low, high = gain(one)
        return f"{mean:+.4f} ({low:+.4f} to {high:+.4f})"
    scored = any(attempt.fit_gain is not None for attempt in one.attempts)
    return f"({best(one):+.4f})" if scored else "-"


def descriptions(one: Runs) -> list[str]:
    """What is said of every head, and what it is worth."""
    assert one.described is not None
    share: dict[tuple[int, int], dict[str, float]] = {}
    for row in one.described.table("simulation").to_pylist():
        if (row["against"], row["kind"]) == ("chance", "both"):
            mine = share.setdefault((row["layer"], row["head"]), {})
            mine[row["who"]] = row["accuracy"]
            mine["chance"] = row["accuracy"] - row["beyond"]
    said: dict[tuple[int, int], str] = {}
    for row in one.described.table("descriptions").to_pylist():
        said.setdefault((row["layer"], row["head"]), row["description"])
    known = [who for who in (*COMPARED, "chance") if any(who in mine for mine in share.values())]
    lines = [one.described.manifest["summary"], ""]
    for kind in ("detection", "fuzzing"):
        row = one.overall("description", "control", kind) or one.overall(
            "template", "template control", kind
        )
        if row is not None:
            lines[0] += f" By {kind} alone: {points(row)}."
    lines += [
        f"Share of the questions right, by {', '.join(known)}.",
        "",
        f"| head | {' | '.join(known)} | the description |",
        "|---" * (len(known) + 2) + "|",
    ]
    for (layer, head), text in said.items():
        mine = share.get((layer, head), {})
        cells = " | ".join(f"{mine[who]:.0%}" if who in mine else "-" for who in known)
        lines.append(f"| {layer}.{head} | {cells} | {span(text, 300)} |")
    return lines


def span(text: str, limit: int) -> str:
    """Untrusted text as a code span of one line that a cell of a table holds."""
    return "`" + neutral(text, limit).replace("`", "'").replace("|", "\\|") + "`"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = ("RUN", "OFFLINE", "BLINDED", "DESCRIBED")
    parser.add_argument("--model", nargs=4, action="append", required=True, metavar=names)
    parser.add_argument("--out", default="docs/discovery-run.md")
    options = parser.parse_args()
    text = page([Runs.open(folders) for folders in options.model])
    Path(options.out).write_text(text, encoding="utf-8")
    print("\n".join(line for line in text.split("\n") if line.startswith("- **")))
    print(f"{options.out}: {len(text.split(chr(10)))} lines")


if __name__ == "__main__":
    main()
