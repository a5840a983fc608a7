"""Questions that test what is said of a head: rows of `test`, with an answer that is known.

*Detection*: of five marked tokens, which one does the head read most from a marked query?
*Fuzzing*: of two sets of arrows from queries to tokens, which one is what the head reads most? Rows
are drawn in proportion to what their most read token gets; sinks are never marked. The other tokens
get less than half as much: a half of them drawn evenly, a half as the head's attention by distance
would choose, so that neither a place alone nor a word alone tells.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float, Num

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.discovery.neutral import neutral
from headscribe.discovery.study import HeadTask
from headscribe.discovery.summaries import Cells
from headscribe.text.passages import Passage

OPTIONS = 5
"""Tokens of a detection question."""

ARROWS = 3
"""Queries of a fuzzing question, at most, and `APART` tokens from the first."""

APART = 15
NEAR = 3
"""Tokens that are shown on both sides of a marked one."""

FAR = 32
"""Distances beyond this count as one."""

Kind = Literal["detection", "fuzzing"]
Arrow = tuple[int, int]


@dataclass(frozen=True)
class Question:
    """One question.

    Attributes:
        head: the head that it is about.
        kind: of two sorts.
        text: the place of its text in the material.
        options: the answers by name, each with its arrows from query to key.
        truth: the right answer.
        shown: the question as a judge reads it.
    """

    head: HeadId
    kind: Kind
    text: int
    options: Mapping[str, tuple[Arrow, ...]]
    truth: str
    shown: Mapping[str, str]

    @property
    def chance(self) -> float:
        """What guessing gets."""
        return 1 / len(self.options)

    def credit(self, matrix: Num[np.ndarray, "T T"]) -> float:
        """What a prediction gets: 1 if the right answer has most, shared among those that tie."""
        score = {
            name: sum(float(matrix[q, k]) for q, k in arrows)
            for name, arrows in self.options.items()
        }
        best = [name for name, one in score.items() if one >= max(score.values()) - 1e-12]
        return 1 / len(best) if self.truth in best else 0.0


def questions(study: HeadTask, number: int) -> tuple[Question, ...]:
    """So many questions about a head, half of each kind; fewer where the texts have no more.

    Raises:
        UsageError: they have none.
    """
    draw = _Draw(study)
    found = (*_detection(draw, number - number // 2), *_fuzzing(draw, number // 2))
    if not found:
        raise UsageError(
            f"expected texts of at least {OPTIONS} tokens in test to ask about head {study.head}"
        )
    return found


@dataclass(frozen=True)
class _Draw:
    study: HeadTask

    @cached_property
    def rng(self) -> np.random.Generator:
        return np.random.default_rng([self.study.material.seed, *self.study.head])

    @cached_property
    def content(self) -> Float[np.ndarray, " N"]:
        """The head's attention; 0 on sinks."""
        sample = self.study.material.sample
        return np.where(sample.sinks[sample.key_token] > 0, 0, self.study.real)

    @cached_property
    def by_distance(self) -> Float[np.ndarray, " D"]:
        """Its mean attention to content by distance on `fit`."""
        cells = Cells.of(self.study)
        place = np.clip(cells.distance[cells.content], -FAR, FAR) + FAR
        total = np.bincount(place, cells.real[cells.content], 2 * FAR + 1)
        return total / np.maximum(np.bincount(place, minlength=2 * FAR + 1), 1)

    @cached_property
    def before(self) -> list[int]:
        """Tokens before each text."""
        sizes = [len(passage) for passage in self.study.material.passages]
        return [0, *np.cumsum(sizes).tolist()]

    def rows(self) -> list[int]:
        """The content rows of `test` in a random order, those with a token that is read much first.

        In proportion to what that token gets, without replacement (Gumbel's trick).
        """
        sample = self.study.material.sample
        top = np.maximum.reduceat(self.content, sample.start)
        usable = self.study.material.rows("test") & (sample.sinks[sample.row_token] == 0)
        rows = np.flatnonzero(usable & (top > 0))
        order = np.log(top[rows]) + self.rng.gumbel(size=len(rows))
        found: list[int] = rows[np.argsort(-order, kind="stable")].tolist()
        return found

    def text(self, row: int) -> int:
        return int(self.study.material.sample.row_text[row])

    def query(self, row: int) -> int:
        return int(self.study.material.sample.row_token[row]) - self.before[self.text(row)]

    def keys(self, row: int, others: int) -> list[int] | None:
        """The token that a row reads most, then so many that it reads less than half as much.

        None where there are not so many.
        """
        sample = self.study.material.sample
        start = int(sample.start[row])
        cells = slice(start, start + int(sample.lengths[row]))
        tokens, real = sample.key_token[cells], self.content[cells]
        top = int(np.argmax(real))
        free = np.flatnonzero((sample.sinks[tokens] == 0) & (real < real[top] / 2))
        if len(free) < others:
            return None
        distance = np.clip(tokens[free] - sample.row_token[row], -FAR, FAR) + FAR
        like = self.by_distance[distance] + 1e-12
        chance = 0.5 / len(free) + 0.5 * like / like.sum()
        chosen = self.rng.choice(free, others, replace=False, p=chance / chance.sum())
        found: list[int] = (tokens[[top, *chosen]] - self.before[self.text(row)]).tolist()
        return found


def _detection(draw: _Draw, number: int) -> list[Question]:
    material, rows = draw.study.material, draw.rows()
    found: list[Question] = []
    used: Counter[int] = Counter()
    most = -(-number // max(len({draw.text(row) for row in rows}), 1))
    for row in rows:
        text, query = draw.text(row), draw.query(row)
        keys = draw.keys(row, OPTIONS - 1) if used[text] < most else None
        if len(found) == number or keys is None:
            continue
        used[text] += 1
        names = {key: str(name) for name, key in enumerate(sorted(keys), 1)}
        marks = {query: ("{", "}")} | {key: (f"[{name} ", "]") for key, name in names.items()}
        if query in names:
            marks[query] = f"{{[{names[query]} ", "]}"
        shown = {"text": marked(material.passages[text], marks)}
        options = {name: ((query, key),) for key, name in names.items()}
        truth = names[keys[0]]
        found.append(Question(draw.study.head, "detection", text, options, truth, shown))
    return found


def _fuzzing(draw: _Draw, number: int) -> list[Question]:
    material, rows = draw.study.material, draw.rows()
    by_text: dict[int, list[int]] = {}
    for row in rows:
        by_text.setdefault(draw.text(row), []).append(row)
    found: list[Question] = []
    used: Counter[int] = Counter()
    most = -(-number // max(len(by_text), 1))
    for row in rows:
        text = draw.text(row)
        if len(found) == number or used[text] == most:
            continue
        close = [
            one
            for one in by_text[text]
            if one != row and abs(draw.query(one) - draw.query(row)) <= APART
        ]
        real: list[Arrow] = []
        other: list[Arrow] = []
        for one in (row, *close[: ARROWS - 1]):
            keys = draw.keys(one, 1)
            if keys is not None:
                real.append((draw.query(one), keys[0]))
                other.append((draw.query(one), keys[1]))
        if len(real) < 2:
            continue
        used[text] += 1
        numbers = sorted({token for arrow in real + other for token in arrow})
        name = {token: place for place, token in enumerate(numbers, 1)}
        truth = "AB"[int(draw.rng.integers(2))]
        options = {
            letter: tuple(sorted(real if letter == truth else other)) for letter in ("A", "B")
        }
        marks = {token: (f"[{place} ", "]") for token, place in name.items()}
        shown = {"text": marked(material.passages[text], marks)}
        for letter, arrows in options.items():
            shown[letter] = ", ".join(f"{name[q]}>{name[k]}" for q, k in arrows)
        found.append(Question(draw.study.head, "fuzzing", text, options, truth, shown))
    return found


def marked(passage: Passage, marks: Mapping[int, tuple[str, str]]) -> str:
    """A text around some tokens, what stands before and after each of these written beside it."""
    near = {i for token in marks for i in range(token - NEAR, token + NEAR + 1)}
    parts: list[str] = []
    last, end = -1, 0
    for i in sorted(near & set(range(len(passage)))):
        start, stop = passage.spans[i].tolist()
        start = max(start, end)
        if i > last + 1:
            parts.append("... " if last < 0 else " ... ")
        elif last >= 0:
            parts.append(passage.text[end:start])
        piece = passage.text[start:stop]
        if i in marks:
            before = piece[: len(piece) - len(piece.lstrip())] if piece.strip() else ""
            parts += [before, marks[i][0], passage.label(i), marks[i][1]]
        else:
            parts.append(piece)
        last, end = i, max(end, stop)
    return neutral("".join(parts).strip(), 2000)
