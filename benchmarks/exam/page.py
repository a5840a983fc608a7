"""Runs the exam and writes its page, `docs/exam.md`; the sheet as JSON beside other results.

python -m benchmarks.exam.page
"""

import json
import time
from collections import Counter
from pathlib import Path

import headscribe as hs
from headscribe.exam.marking import Mark
from headscribe.exam.material import KINDS, known
from headscribe.exam.peers import PEERS, detected
from headscribe.exam.sheet import OUTCOMES, Sheet

WHAT = {"compiled": "compiled programs", "trained": "trained toys"}

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def table(titles: str, rows: list[str]) -> list[str]:
    """Lines of a table, its rows written already."""
    count = titles.count("|") - 1
    return ["", titles, "|" + "---|" * count, *rows]


def row(one: Mark) -> str:
    """A head that is not recovered."""
    formula = "<br>".join(f"`{' '.join(line.split())}`" for line in one.formula.split("\n")[1:])
    return f"| {one.model} {one.head} | `{one.truth}` | {one.outcome} | {one.reason} | {formula} |"


def by_detect_head(scores: dict[str, dict[str, list[float]]]) -> int:
    """Heads of which the answer of `detect_head` is the truth."""
    return sum(
        detected(model, truth, {name: one[h] for name, one in scores[model.name].items()})
        for kind in KINDS
        for model in known(kind)
        for h, truth in enumerate(model.truths)
        if truth is not None
    )


def page(sheet: Sheet, seconds: float) -> str:
    """The page."""
    heads, recovered = len(sheet.marks), len(sheet.of("recovered"))
    rest = [one for one in sheet.marks if one.outcome != "recovered"]
    idle = sum(bool(one.idle) for one in sheet.marks)
    formulas = sum(one.true for one in sheet.marks) - recovered
    alone = f", {formulas} more the formula alone" * bool(formulas)
    partly = ", ".join(
        f"{one.model} {one.head}: {' and '.join(one.partial)}" for one in sheet.partial
    )
    wrong = Counter(name for one in sheet.marks for name in one.wrong)
    told = " and ".join(
        f"{done} of {count} heads of {WHAT[kind]} ({done / count:.0%})"
        for kind, (done, count) in sheet.kinds.items()
    )
    toys = [one for one in sheet.marks if one.kind == "trained"]
    lens = json.loads((RESULTS / "exam_detect_head.json").read_text())
    others = {"TransformerLens `detect_head`": by_detect_head(lens["models"])}
    others |= {peer: sheet.right(peer) for peer in PEERS}
    kinds = dict.fromkeys(kind for kind, _ in sheet.negatives)
    lines = [
        "# The exam",
        "",
        f"**{told} get a formula that is the truth and a name that says the same{alone}; "
        f"{idle or 'none'} has a term that says nothing. "
        f"{sheet.labelled} of {len(sheet.negatives)} heads of which nothing is to be said "
        f"({sheet.labelled / len(sheet.negatives):.1%}) get a name.**",
        "",
        "The heads are those of programs that Tracr compiled to transformers, and of toys trained "
        f"on tasks that leave each head one thing to do, {sheet.models} models in all. A "
        "head is *recovered* if on texts that no formula was fitted to the rows of its formula and "
        "those of the truth agree (IoU 0.98), no term could go, no label beside it says something "
        "else, and the name on its card says what the truth does: no key more, none less (the rows "
        "that it means, too, agree by 0.98); *misnamed* if only the name does not, or there is "
        "none; *clumsy* if only the rows agree; *close* with an IoU of 0.9. "
        "[How it is marked, and why](decisions/exam.md). Written by `benchmarks/exam/page.py`, in "
        f"{seconds:.0f} s of processor time; `headscribe bench` does the same.",
        *table("| outcome | heads |", [f"| {one} | {len(sheet.of(one))} |" for one in OUTCOMES]),
        "",
        "## Not recovered",
        *table("| head | truth | outcome | why | formula |", list(map(row, rest))),
        "",
        "Names that the truth does not bear out: "
        + (", ".join(f"{name} ({n})" for name, n in wrong.items()) or "none")
        + ".",
        "",
        f"{len(sheet.partial)} recovered heads have a label beside their name that says a part of "
        f"the truth alone: {partly or 'none'}.",
        "",
        "## What they are called",
        *table(
            "| head | truth | its name: it reads … |",
            [
                f"| {one.model} {one.head} | `{one.truth}` | {one.name or 'no name'} |"
                for one in sheet.marks
                if one.kind == "compiled"
            ],
        ),
        "",
        "## Trained toys",
        "",
        "Small transformers whose heads point at the answer. The shortcut was trained where blocks "
        "of five letters repeat, so that four tokens back stands what induction reads; blocks of "
        "six and seven give it away. The last toy reads one of two things by the token: the shares "
        "are those of its attention, in truth and by the formula.",
        *table(
            "| head | truth | outcome | its name: it reads … | labels | shares |",
            [
                f"| {one.model} {one.head} | `{one.truth}` | {one.outcome} | "
                f"{one.name or 'no name'} | {', '.join(one.labels) or 'none'} | "
                + "; ".join(f"{true:.2f}, {said:.2f}" for _, true, said in one.shares)
                + " |"
                for one in toys
            ],
        ),
        "",
        "## Heads of which nothing is to be said",
        "",
        "Random weights, known heads with the keys of every row permuted, and heads that read "
        "tokens, on another text of the same length. Of these names that ask for no word (places, "
        "“the same from everywhere”) are true, and do not count. “Spreads evenly” may be true of "
        "any, and does not count either.",
    ]
    counted = []
    for kind in kinds:
        called = [names for one, names in sheet.negatives if one == kind]
        what = Counter(name for names in called for name in names)
        said = ", ".join(f"{name} ({n})" for name, n in what.most_common()) or "nothing"
        counted.append(f"| {kind} | {len(called)} | {sum(map(bool, called))} | {said} |")
    lines += table("| kind | heads | called something | what |", counted)
    lines += [
        "",
        "## The others on the same sheet",
        "",
        "Heads of which the answer of others is the truth, by the same IoU on the same texts, with "
        "rows that they say nothing of on the start, as the truth has it. The raw metrics "
        "(previous, first, itself, duplicate, induction, entropy) are of the kind that HeadVis and "
        "TransformerLens list, in definitions of our own; HeadVis was not run. `detect_head` of "
        f"TransformerLens {lens['transformer_lens']} was, with its three named patterns, on the "
        "same attention (`benchmarks/exam/detect_heads.py`): the pattern that it scores highest, "
        "if at least 0.5, is its answer.",
        *table(
            "| | heads | |",
            [f"| {peer} | {right} | {right / heads:.0%} |" for peer, right in others.items()],
        ),
        "",
    ]  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Run it all."""
    before = time.process_time()
    sheet = hs.bench()
    seconds = time.process_time() - before
    (RESULTS / "exam.json").write_text(json.dumps(sheet.to_json(), indent=1) + "\n")
    (ROOT / "docs" / "exam.md").write_text(page(sheet, seconds))
    print(sheet)


if __name__ == "__main__":
    main()
