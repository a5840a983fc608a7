"""The results of `benchmarks/fitting.py`: kept as JSON lines, written as a page."""

import json
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE / "results" / "fitting.jsonl"
PAGE = HERE / "fitting.md"

SETS = {
    "bert_sst2_attention": "recorded, 150 texts, five folds (seed 0)",
    "stories260k": "60 train and 60 test stories, no look-ahead",
    "bundled:stories": "60 train and 60 test stories, no look-ahead",
    "bundled:minilm": "60 train and 60 test stories",
}

FOLDED, FOLDS = {"bert_sst2_attention"}, 5

HEAD = """# Formulas for heads: last results

Written by `benchmarks/fitting.py page` from `benchmarks/results/fitting.jsonl`. One thread at low
priority on a shared machine of 2 cores (Intel Xeon), so that seconds are those of the processor:
for choosing and fitting all heads, once for every fold, without evaluating the pool before (given
below each table) and without scoring. Peaks are those of the whole process so far. IoU, JSD and
gains are means over heads, on texts that neither terms nor weights nor the profile were fitted on;
intervals are clustered by text. Patterns count with uncovered rows uniform, the best one of each
head chosen on other folds. Terms, atoms and ink (atoms and a fifth of the members of literal sets)
are means over formulas: `--terms` is a limit, and terms that are not worth their ink are left out.
The weights of all relations are fitted on twelve heads, evenly spaced, and on one fold. Terms pay
0.0006 of the overlap for a unit of ink; rows of 4, 8 and 24 terms, and of the same heads, are of
when they paid 0.0004.
"""

COLUMNS = (
    "rows", "IoU", "JSD", "content IoU", "gain over the profile", "heads above +0.05 (content)",
    "terms", "atoms", "ink", "CPU seconds", "peak MiB",
)  # fmt: skip

Row = dict[str, object]


def kept() -> list[Row]:
    """All results."""
    if not KEPT.is_file():
        return []
    return [json.loads(line) for line in KEPT.read_text(encoding="utf-8").splitlines()]


def keep(row: Row) -> None:
    """Print a result and keep it in the place of an older one of its name."""
    print(json.dumps(row), flush=True)
    name = (row["set"], row["program"])
    others = [one for one in kept() if (one["set"], one["program"]) != name]
    KEPT.write_text("".join(json.dumps(one) + "\n" for one in (*others, row)), encoding="utf-8")


def _cells(row: Row) -> Iterable[str]:
    def number(name: str, digits: int = 3) -> str:
        value = row.get(name)
        return "" if value is None else f"{value:.{digits}f}"

    part = ""
    if "relations" in str(row["program"]) or "same heads" in str(row["program"]):
        part = f" ({row['heads']} heads, profile {number('profile_iou')})"
    elif row["set"] in FOLDED and row.get("folds", FOLDS) < FOLDS:
        part = f" ({row['folds']} of {FOLDS} folds, profile {number('profile_iou')})"
    yield f"{row['program']}{part}"
    yield from (number("formula_iou"), number("formula_jsd"), number("formula_content"))
    if "gain" not in row:
        yield from [""] * 7
        return
    gain, low, high = row["gain"]
    yield f"{gain:+.3f} ({low:.3f} to {high:.3f})"
    yield f"{row['above_raw']} ({row['above_content']})"
    yield from (number("terms", 1), number("atoms", 1), number("ink", 1))
    yield from (number("cpu_seconds", 0), number("peak_mb", 0))


def _order(row: Row) -> tuple[int, int]:
    program = str(row["program"])
    if "gain" not in row:
        return (0, 1 + program.startswith("best pattern")) if "best" in program else (0, 0)
    if "relations" in program or "same heads" in program:
        return 3, 0 if "same" in program else 1
    return 2, int(program.split()[0])


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(name: str, rows: list[Row]) -> Iterable[str]:
    yield f"\n## `{name}`: {SETS[name]}\n"
    yield _line(COLUMNS)
    yield _line("---" for _ in COLUMNS)
    fits = [row for row in rows if "gain" in row]
    first = min(fits, key=_order, default=None)
    for row in sorted(rows, key=_order):
        if row is first:
            names = ("profile_iou", "profile_jsd", "profile_content")
            yield _line(("profile", *(f"{row[one]:.3f}" for one in names), *[""] * 7))
        yield _line(_cells(row))
    if first is not None:
        yield f"\n{first['heads']} heads; {first['pool']} relations in {first['pool_seconds']} s."


def write_page() -> None:
    """Write the page."""
    rows = kept()
    lines = [HEAD.rstrip()]
    for name in SETS:
        mine = [row for row in rows if row["set"] == name]
        if mine:
            lines += _table(name, mine)
    honest = {str(row["program"]): row for row in rows if row["set"] == "statistics"}
    lines.append("\n## Are the statistics honest?\n")
    lines += [says.format(**honest[name]) for name, says in SAYS.items() if name in honest]
    PAGE.write_text("\n".join(lines) + "\n" + TAIL, encoding="utf-8")


SAYS = {
    "null": (
        "Keys of every row permuted: {labelled} of {heads} heads get a label from {patterns} "
        "patterns; as recorded {as_recorded} do.\n"
    ),
    "recovery": (
        "Dirichlet rows around {formulas} known formulas on the recorded texts. Terms chosen on "
        "one half of the texts, {choices} times:\nprecision {precision:.3f}, recall {recall:.3f}, "
        "{exact} times without any error. Weights of these terms, fitted by cross-entropy to\n"
        "{repetitions} draws on the other half: the 95 % intervals cover {coverage:.1%} of "
        "{weights} true weights\n({least:.1%} to {most:.1%} by formula and term).\n"
    ),
}

TAIL = """
## Published programs

`benchmarks/published_programs.py PROGRAMS.py --recorded FOLDER` scores the programs of a file with
the best of each head chosen on `select`. The programs are not part of this project, and no figure
of theirs is given here: only the script is tested, with two small functions of our own.
"""
