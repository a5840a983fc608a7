"""`headscribe replace`: what it does besides, and what it prints."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from headscribe.api.replace import Replacement

_ORDERS = {
    "best_first": "best first",
    "own_best_first": "own best first",
    "random": "random orders",
}

GenerateOption = Annotated[
    str | None,
    typer.Option(
        metavar="TEXT", help="Instead: go on with this text, the largest of the fractions replaced."
    ),
]


def replace_or_talk(generate: str | None, **options: Any) -> "Replacement | tuple[str, str]":  # noqa: ANN401
    """What the command does: a replacement, or two continuations of a text."""
    from headscribe.api.replace import policy_of, replace, shares_of, talk
    from headscribe.models.loading import load

    if generate is None:
        return replace(**options)
    return talk(
        load(options["model"], device=options["device"], dtype=options["dtype"]),
        options["programs"],
        generate,
        fraction=max(shares_of(options["fractions"])),
        policy=policy_of(options["policy"]),
        trust=options["trust"],
        fit_texts=options["fit_texts"],
    )


def show(found: "Replacement | tuple[str, str]", *, as_json: bool) -> None:
    """Print the curve, or how the model goes on."""
    if isinstance(found, tuple):
        _show_texts(*found, as_json=as_json)
        return
    from headscribe.core.visible import visible_lines

    # The JSON document is as it always was; what has to be known of it is said beside it.
    for line in found.findings:
        print(visible_lines(line), file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps(found.document, ensure_ascii=False))
        return
    print()
    for point in found.curve:
        print(_row(point))
    print(f"run: {found.folder}")


def _row(point: dict[str, Any]) -> str:
    low, high = point["low"], point["high"]
    interval = "" if low is None else f" ({low:+.1%} to {high:+.1%})"
    name = point["program"] + (" tuned" if point["tuned"] else "")
    return (
        f"{name:<18} {_ORDERS[point['order']]:<14} {point['fraction']:>4.0%} "
        f"{point['value']:>8.4g} {point['increase']:>+8.1%}{interval}"
    )


def _show_texts(before: str, after: str, *, as_json: bool) -> None:
    from headscribe.core.visible import visible_lines

    if as_json:
        print(json.dumps({"unaltered": before, "replaced": after}, ensure_ascii=False))
    else:
        print(f"unaltered: {visible_lines(before)}\nreplaced:  {visible_lines(after)}")
