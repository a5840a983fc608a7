"""`headscribe explain`: what it prints."""

import json
import sys
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headscribe.core.heads import HeadId
from headscribe.core.visible import plural

if TYPE_CHECKING:
    from headscribe.api.explain import Explained
    from headscribe.behaviours.card import Card

HeadOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="HEAD", help="Print the cards of these heads in full; may be given again."
    ),
]


HeadsArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="HEAD...", help="Heads such as 7.10 or L7H10, whose cards are printed in full."
    ),
]


def explain_heads(
    heads: list[str] | None = None,
    head: list[str] | None = None,
    **options: Any,  # noqa: ANN401
) -> "tuple[Explained, list[Card]]":
    """The run that is asked for, and the cards that are to be printed in full."""
    from headscribe.api.explain import explain

    # Each once, however it is written.
    wanted = dict.fromkeys(HeadId.parse(one) for one in [*(heads or []), *(head or [])])
    found = explain(**options)
    return found, [found.card(one) for one in wanted]


def show(result: "tuple[Explained, list[Card]]", *, as_json: bool) -> None:
    """Print the answer: the model in a paragraph, then its heads by family; or cards in full."""
    found, chosen = result
    if as_json:
        heads = [card.head for card in chosen] or None
        print(json.dumps(found.to_json(heads), ensure_ascii=False))
        return
    if chosen:
        for number, card in enumerate(chosen):
            print(f"\n{card}" if number else card)
            if (writes := found.writes(card.head)) is not None:
                print("\n".join(fill(line, 79) for line in writes.split("\n")))
            if (formula := found.formula(card.head)) is not None:
                print(formula)
        return
    print_answer(found)
    head = max(found.cards.values(), key=lambda card: card.excess).head
    print(f"\na head's card: headscribe explain {found.folder} {head}\nrun: {found.folder}")


def print_answer(found: "Explained") -> None:
    """Print the model in a paragraph, then its heads by family; notes go to stderr."""
    from headscribe.behaviours.tables import doing

    cards = found.cards.values()  # says first where there are none
    print(fill(found.summary, 79))
    for family, count in found.run.manifest["families"].items():
        print(f"\n{family}, {plural(count, 'head')}: {doing(family, count)}")
        mine = [card for card in cards if card.family == family]
        for card in sorted(mine, key=lambda card: -card.excess):
            print(fill(f"  {card.head!s:<6}{card.name:<35}{_least(card)}", 79))
    for note in found.run.manifest.get("notes", []):
        print(note, file=sys.stderr)


def _least(card: "Card") -> str:
    """The figure that matters most, in a few characters."""
    if card.excess:
        share = card.figures[0].confirmed["share"]
        return f"{share:.0%} ({100 * card.excess:+.0f} beyond position)"
    place = dict(card.budget).get(card.name.removeprefix("the "))
    return f"{card.sink_share:.0%} on sinks" if place is None else f"{place:.0%} of its attention"
