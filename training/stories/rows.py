"""Mix the rows of tokens that the model is trained on.

A row is a list of token ids and, for each, whether its prediction counts. Nothing here looks at
attention: heads that copy form because copying predicts the repeated tokens.

=========== ======================================================== =================
kind        tokens                                                   counted
=========== ======================================================== =================
story       a window of TinyStories                                  every token
generated   a window of the project's own stories                    every token
random      random tokens in a cycle that is read piece by piece,    what came after
            or in units that are each repeated two to four times     the same token
sentences   sentences of a story in random order, each 2-3 times     every token
=========== ======================================================== =================

`random` and `sentences` are the repeated rows, at least a quarter of all; the generated rows repeat
as well, but are not counted towards it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from training.stories.curriculum import Shares
from training.stories.generator import write_story

SENTENCE = re.compile(r"[^.!?]+[.!?]+[\"']?\s*")
SPECIAL_TOKENS = 2  # <s> and </s> are the first two ids


@dataclass(frozen=True)
class Row:
    """Token ids and, for each of them, whether the model is asked to predict it."""

    ids: list[int]
    counted: list[bool]

    def cut(self, length: int) -> Row:
        """The first `length` tokens."""
        return Row(self.ids[:length], self.counted[:length])


class RowSource:
    """Rows of every kind from one tokenizer and one set of stories."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        stories: Sequence[str],
        runs: Sequence[str],
        seed: int,
        generated: int = 4000,
    ) -> None:
        """Encode the texts; `stories` end with `</s>`, `runs` do not."""
        rng = random.Random(seed)
        self._tokenizer = tokenizer
        self._alphabet = list(range(SPECIAL_TOKENS, len(tokenizer)))
        random.Random(seed).shuffle(self._alphabet)
        self._stories = list(stories)
        self._tiny = [self._encode(text, end=True) for text in stories]
        self._tiny += [self._encode(text, end=False) for text in runs]
        rng.shuffle(self._tiny)
        self._own = [self._encode(write_story(rng), end=True) for _ in range(generated)]

    def _encode(self, text: str, *, end: bool) -> list[int]:
        ids: list[int] = self._tokenizer(text, verbose=False)["input_ids"]
        return [*ids, self._tokenizer.eos_token_id] if end else ids

    @property
    def story_tokens(self) -> int:
        """The number of tokens of TinyStories."""
        return sum(map(len, self._tiny))

    def batch(self, rng: random.Random, shares: Shares, count: int, length: int) -> list[Row]:
        """`count` rows of `length` tokens, kinds in the given shares."""
        random_rows = round(shares.random * count)
        sentence_rows = round(shares.sentences * count)
        generated_rows = round(shares.generated * count)
        story_rows = count - random_rows - sentence_rows - generated_rows
        rows = [self.random_row(rng, length, shares) for _ in range(random_rows)]
        rows += [self.sentence_row(rng, length) for _ in range(sentence_rows)]
        rows += [window(rng, self._own, length) for _ in range(generated_rows)]
        rows += [window(rng, self._tiny, length) for _ in range(story_rows)]
        return rows

    def random_row(self, rng: random.Random, length: int, shares: Shares) -> Row:
        """A chain, or units of random tokens, each repeated two to four times.

        Some of the units have up to six other tokens between the copies. Every token is counted
        that follows its predecessor for the second time or later.
        """
        vocabulary = sorted(self._alphabet[: shares.alphabet])
        if rng.random() < shares.chains:
            return self._chain_row(rng, length, vocabulary, shares.longest_unit)
        ids, counted = [self._tokenizer.bos_token_id], [False]
        while len(ids) < length:
            unit = rng.choices(vocabulary, k=rng.randint(2, shares.longest_unit))
            copies = rng.choice((2, 2, 3, 4))
            apart = rng.random() < 0.3
            for copy in range(copies):
                between = rng.randint(1, 6) if apart else 0
                ids += rng.choices(vocabulary, k=between) + unit
                counted += [False] * (between + 1) + [copy > 0] * (len(unit) - 1)
        return Row(ids, counted).cut(length)

    def _chain_row(
        self, rng: random.Random, length: int, vocabulary: list[int], longest: int
    ) -> Row:
        """A cycle of random tokens, read for three to nine tokens, then again from another place.

        Neither the distance to the last occurrence nor how recent a token is tells what follows.
        """
        cycle = rng.sample(vocabulary, rng.randint(4, longest))
        ids, counted = [self._tokenizer.bos_token_id], [False]
        seen: set[int] = set()
        while len(ids) < length:
            start = rng.randrange(len(cycle))
            for place in range(start, start + rng.randint(3, 9)):
                ids.append(cycle[place % len(cycle)])
                counted.append(place > start and place % len(cycle) in seen)
                if place > start:
                    seen.add(place % len(cycle))
        return Row(ids, counted).cut(length)

    def sentence_row(self, rng: random.Random, length: int) -> Row:
        """Three to five sentences of one story at a time, each two or three times, shuffled."""
        ids: list[int] = []
        while len(ids) < length:
            sentences = [part.strip() for part in SENTENCE.findall(rng.choice(self._stories))]
            chosen = rng.sample(sentences, min(len(sentences), rng.randint(3, 5)))
            repeated = [sentence for sentence in chosen for _ in range(rng.randint(2, 3))]
            rng.shuffle(repeated)
            ids += self._encode(" ".join(repeated), end=True)
        return Row(ids, [True] * len(ids)).cut(length)


def window(rng: random.Random, texts: Sequence[list[int]], length: int) -> Row:
    """`length` tokens of consecutive texts: every second time from a text's start, else inside."""
    index = rng.randrange(len(texts))
    first = texts[index]
    start = 0 if rng.random() < 0.5 else rng.randrange(len(first))
    ids = first[start:]
    while len(ids) < length:
        index = (index + 1) % len(texts)
        ids = ids + texts[index]
    return Row(ids, [True] * len(ids)).cut(length)
