"""A process that annotates: `python -m headscribe.text.annotators.worker NAME`.

One JSON document a line. It first says its annotator's fingerprint; then it answers each list of
texts on standard input with their words, until the input ends, also because whoever asked is gone.
"""

import json
import sys
from collections.abc import Sequence

from headscribe.core.processes import answering
from headscribe.text.annotators import annotator
from headscribe.text.cache import columns_of
from headscribe.text.corpora import Text


def request(texts: Sequence[Text]) -> bytes:
    """A line that asks for the words of texts."""
    return json.dumps([[text.id, text.text] for text in texts]).encode() + b"\n"


def main() -> None:
    """Answer until the input ends."""
    with answering() as answer:
        chosen = annotator(sys.argv[1])
        answer({"fingerprint": chosen.fingerprint})
        for line in sys.stdin.buffer:
            texts = [Text(name, "", text) for name, text in json.loads(line)]
            answer({"words": [columns_of(words) for words in chosen.annotate(texts)]})


if __name__ == "__main__":
    main()
