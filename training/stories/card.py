"""Write the model card from the figures that `evaluate.py` measured.

python -m training.stories.card FIGURES.json [--to src/headscribe/assets/stories/MODEL_CARD.md]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

TEMPLATE = Path(__file__).with_name("card_template.md")


def head(best: dict[str, Any]) -> str:
    """A head and its mean attention, like `0.61 (3.0)`."""
    return f"{best['attention']:.2f} ({best['layer']}.{best['head']})"


def render(figures: dict[str, Any], peer: dict[str, Any]) -> str:
    """The card's text."""
    return TEMPLATE.read_text(encoding="utf-8").format(
        parameters=figures["parameters"],
        megabytes=figures["bytes"] / 1e6,
        word=figures["perplexity"]["per_word"],
        token=figures["perplexity"]["per_token"],
        peer_word=peer["perplexity"]["per_word"],
        peer_token=peer["perplexity"]["per_token"],
        previous=head(figures["previous_token"]),
        peer_previous=head(peer["previous_token"]),
        induction=head(figures["induction"]),
        peer_induction=head(peer["induction"]),
        samples="\n\n".join("> " + " ".join(text.split()) for text in figures["samples"]),
    )


def main() -> None:
    """Read the command line and write the card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", type=Path)
    parser.add_argument(
        "--to", type=Path, default=Path("src/headscribe/assets/stories/MODEL_CARD.md")
    )
    arguments = parser.parse_args()
    measured = json.loads(arguments.figures.read_text(encoding="utf-8"))
    text = render(measured["stories"], measured["stories260k"])
    arguments.to.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
