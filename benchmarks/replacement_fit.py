"""What a plain `fit` is worth inside the model, beside `effect` and controls in two orders.

    python benchmarks/replacement_fit.py MODEL --fit TEXTS --test TEXTS --out FOLDER [--effect]

Runs `headscribe fit` and `headscribe replace` as a user would, with their defaults, and prints the
rows of `benchmarks/replacement.md`. An interrupted run goes on when the command is given again.
"""

import argparse
from pathlib import Path

import headscribe as hs
from headscribe.api.replace import Replacement
from headscribe.core.errors import UsageError

ORDERS = {"best_first": "the programs' order", "own_best_first": "own order"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--fit", required=True, type=Path)
    parser.add_argument("--test", required=True, type=Path)
    parser.add_argument("--fit-texts", type=int, default=320)
    parser.add_argument("--test-texts", type=int, default=200)
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--effect", action="store_true", help="measure --programs effect too")
    parser.add_argument("--out", required=True, type=Path)
    return parser.parse_args()


def rows(found: Replacement) -> list[str]:
    """A line for every program and order, increases in % at every share of heads."""
    groups: dict[tuple[str, str], list[str]] = {}
    for point in found.curve:
        cell = f"{100 * point['increase']:+.1f}"
        if point["low"] is not None:
            cell += f" ({100 * point['low']:.1f} to {100 * point['high']:.1f})"
        groups.setdefault((point["program"], point["order"]), []).append(cell)
    return [
        f"| {program}, {ORDERS[order]} | {' | '.join(cells)} |"
        for (program, order), cells in groups.items()
    ]


def main() -> None:
    given = arguments()
    model = hs.load(given.model)
    try:
        fitted = hs.open(given.out / "fit")
    except UsageError:
        fitted = hs.fit(
            model,
            given.fit,
            limit=given.fit_texts,
            max_tokens=given.max_tokens,
            annotator="plain",
            out=given.out / "fit",
        )
    programs = {"plain fit": fitted.folder} | ({"effect": "effect"} if given.effect else {})
    for name, one in programs.items():
        folder = given.out / name.replace(" ", "-")
        found = hs.replace(
            model,
            one,
            given.test,
            given.fit,
            fractions=(0.25, 0.5, 1.0),
            random_orders=0,
            alone=(),
            limit=given.test_texts,
            max_tokens=given.max_tokens,
            annotator="plain",
            out=folder,
            resume=folder.exists(),
        )
        print(f"\n{name}\n", *found.findings, "", *rows(found), sep="\n")


if __name__ == "__main__":
    main()
