"""`headscribe explain`: what it prints."""

import json
import sys
from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any

import typer

from headscribe.core.heads import HeadId, absent
from headscribe.core.visible import plural

if TYPE_CHECKING:
    from headscribe.api.explain import Explained
    from headscribe.behaviours.card import Card

SCREEN = 40
"""Heads that a survey lists a line each; of more it says the names, and `explain` the heads."""

NAMES = 5
"""Names of a family that are listed then."""

SUREST = 3
"""Heads of a name that are listed then, the surest first."""

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
) -> "tuple[Explained, list[HeadId]]":
    """The run that is asked for, and the heads whose cards are to be printed in full."""
    from headscribe.api.explain import explain

    # Each once, however it is written.
    wanted = dict.fromkeys(HeadId.parse(one) for one in [*(heads or []), *(head or [])])
    found = explain(**options)
    return found, list(wanted)


def show(result: "tuple[Explained, list[HeadId]]", *, as_json: bool) -> None:
    """Print the answer: the model in a paragraph, then its heads by family; or cards in full.

    Raises:
        UsageError: a head is not there; raised after the cards of the others are printed.
    """
    found, wanted = result
    chosen = [found.cards[one] for one in wanted if one in found.cards]
    lacking = [one for one in wanted if one not in found.cards]
    if as_json and (chosen or not lacking):
        heads = [card.head for card in chosen] or None
        print(json.dumps(found.to_json(heads), ensure_ascii=False))
    elif chosen:
        for number, card in enumerate(chosen):
            print(f"\n{card}" if number else card)
            if (writes := found.writes(card.head)) is not None:
                print("\n".join(fill(line, 79) for line in writes.split("\n")))
            if (formula := found.formula(card.head)) is not None:
                print(formula)
    elif not lacking:
        print_answer(found)
        head = max(found.cards.values(), key=lambda card: card.excess).head
        print(f"\na head's card: headscribe explain {found.folder} {head}\nrun: {found.folder}")
    if lacking:
        raise absent(lacking[0], found.cards, found.folder)


def print_answer(found: "Explained", *, short: bool = False) -> None:
    """Print the model in a paragraph, then its heads by family; notes go to stderr.

    Args:
        found: the cards.
        short: a line a name, not a line a head, where there are more heads than a screen holds.
    """
    from headscribe.behaviours.card import UNNAMED
    from headscribe.behaviours.tables import doing

    cards = found.cards.values()  # says first where there are none
    print(fill(found.summary, 79))
    for family, count in found.run.manifest["families"].items():
        print(f"\n{family}, {plural(count, 'head')}: {doing(family, count)}")
        mine = [card for card in cards if card.family == family]
        mine.sort(key=lambda card: (-card.excess, -(_share(card) or 0)))
        if short and len(cards) > SCREEN:
            print("\n".join(_by_name(mine)))
        else:
            for card in mine:
                print(fill(f"  {card.head!s:<6}{card.name:<35}{_least(card)}", 79))
    if unnamed := [str(card.head) for card in cards if not card.family]:
        print("\n" + fill(f"{UNNAMED}, {plural(len(unnamed), 'head')}: {', '.join(unnamed)}", 79))
    if short and len(cards) > SCREEN:
        print(
            "\nEach line: how many heads, their name, the surest of them, and the share of their "
            f"attention\nthat the name is about. A line a head: headscribe explain {found.folder}"
        )
    for note in found.run.manifest.get("notes", []):
        print(note, file=sys.stderr)


def _by_name(cards: "Sequence[Card]") -> Iterator[str]:
    """A line for each of the commonest names: how many heads have it, and the surest of them."""
    names: dict[str, list[Card]] = {}
    for card in cards:
        names.setdefault(card.name, []).append(card)
    ordered = sorted(names.items(), key=lambda item: -len(item[1]))
    for name, mine in ordered[:NAMES]:
        surest = ", ".join(
            str(card.head) if (share := _share(card)) is None else f"{card.head} {share:.0%}"
            for card in mine[:SUREST]
        )
        more = ", ..." if len(mine) > SUREST else ""
        yield f"  {len(mine):>3}  {name:<36}{surest}{more}"
    if rest := [card for _, mine in ordered[NAMES:] for card in mine]:
        yield f"  {len(rest):>3}  {plural(len(ordered) - NAMES, 'other name')}"


def _share(card: "Card") -> float | None:
    """The share that goes to what the head is named for; None where that is no one thing."""
    if card.excess:
        return float(card.figures[0].confirmed["share"])
    rests = card.sink_share if card.family == "sinks" else None
    return dict(card.budget).get(card.name.removeprefix("the "), rests)


def _least(card: "Card") -> str:
    """The figure that matters most, in a few characters."""
    share = _share(card)
    if share is None:
        return f"besides {card.sink_share:.0%} on sinks"
    if card.excess:
        return f"{share:.0%} ({100 * card.excess:+.0f} beyond position)"
    return f"{share:.0%} {'on sinks' if card.family == 'sinks' else 'of its attention'}"
