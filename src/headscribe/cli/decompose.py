"""`headscribe decompose`."""

import json
from typing import Annotated, Any

import typer

from headscribe.cli.options import JsonOption, RunArgument


def decompose(
    run: RunArgument,
    head: Annotated[
        str | None,
        typer.Argument(metavar="HEAD", help="LAYER.HEAD; none: every pattern with its heads."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take a head of a fit apart into simple patterns."""
    from headscribe.api.fit import Fit
    from headscribe.core.heads import HeadId, absent

    mixtures = Fit.open(run).mixtures
    if head is None:
        edges = [
            {"head": str(identity), **part}
            for identity, parts in mixtures.items()
            for part in parts
        ]
        if as_json:
            print(json.dumps(edges, ensure_ascii=False))
        else:
            _print_patterns(edges)
        return
    from headscribe.core.visible import visible

    identity = HeadId.of(head)
    if identity not in mixtures:
        raise absent(identity, mixtures, run)
    parts = mixtures[identity]
    if as_json:
        print(json.dumps({"head": str(identity), "parts": parts}, ensure_ascii=False))
        return
    width = max(len(part["pattern"]) for part in parts)
    print(f"{identity.prose}   weight, and gain in IoU on unseen texts")
    for part in parts:
        print(
            f"   {part['weight']:.2f}  {visible(part['pattern']):<{width}}  {_gain(part)}".rstrip()
        )


def _gain(part: dict[str, Any]) -> str:
    if part["gain"] is None:
        return ""
    if part["low"] is None:
        return f"{part['gain']:+.3f}"
    return f"{part['gain']:+.3f} ({part['low']:+.3f} to {part['high']:+.3f})"


def _print_patterns(edges: list[dict[str, Any]], most: int = 8) -> None:
    """Every pattern with the heads that it is most of."""
    from headscribe.core.visible import plural, visible

    for pattern in sorted({edge["pattern"] for edge in edges}):
        mine = sorted(
            (edge for edge in edges if edge["pattern"] == pattern), key=lambda edge: -edge["weight"]
        )
        first = ", ".join(f"{edge['head']} {edge['weight']:.2f}" for edge in mine[:most])
        print(f"{visible(pattern)}: {plural(len(mine), 'head')}; {first}")
