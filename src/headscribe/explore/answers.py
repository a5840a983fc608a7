"""What a page asks, and the answers: numbers of one text, beside what the runs say of the heads.

An answer is what JSON holds: matrices are base64 of float32, row by row; heads are `7.10`.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headscribe.behaviours.budget import PARTS
from headscribe.behaviours.catalogue import applicable
from headscribe.core.errors import UsageError, unknown_name
from headscribe.core.heads import HeadId, absent, every_head
from headscribe.core.visible import visible_lines
from headscribe.explore.texts import Going, Reading, Texts
from headscribe.fitting.formula import Formula
from headscribe.models.model import Model
from headscribe.models.recorded import Recording
from headscribe.patterns.registry import pattern_of
from headscribe.scoring.examples import facts_of

if TYPE_CHECKING:
    from headscribe.behaviours.card import Card
    from headscribe.patterns.contract import Pattern
    from headscribe.results.run import Run

RANKED = 24
"""Heads of a ranked list."""

_PLACES = (
    ("the previous token", "distance == -1"),
    ("the token itself", "distance == 0"),
    ("the next token", "distance == 1"),
)

_NEXT_TO = {-1: "previous token", 0: "itself", 1: "next token"}
"""Parts of a card's budget by the distance of the key."""

FEWEST_ROWS = 2
"""Rows of the text on which a behaviour must apply to be listed."""

RUN_TEXTS = 12
"""Example texts of a run on which a relation is measured."""

Written = Annotated[str, Field(max_length=200_000)]
Short = Annotated[str, Field(max_length=8_000)]
Heads = Annotated[list[Annotated[str, Field(max_length=20)]], Field(max_length=4_096)]


class Asked(BaseModel):
    """What every question has."""

    model_config = ConfigDict(extra="forbid", strict=True)
    text: Written


class Words(Asked):
    """Which heads look from one token, and to where; or, `read`, from where to it."""

    at: int
    to: int | None = None
    toward: Annotated[str, Field(pattern="reads|read")] = "reads"


class OneHead(Asked):
    """One head's attention on the text, and what a formula predicts; None: that of the run."""

    head: Short
    formula: Short | None = None


class Follows(Asked):
    """Which behaviours of the catalogue one head follows on the text."""

    head: Short


class OfRelation(Asked):
    """Which heads follow a relation; on texts of the runs if `on_run`."""

    relation: Short
    on_run: bool = False


class Change(Asked):
    """Heads off, formulas in the place of heads; `tokens`: how far to go on with the text."""

    off: Heads = []
    formulas: Annotated[dict[str, Short], Field(max_length=4_096)] = {}
    tokens: Annotated[int, Field(ge=0, le=32)] = 0


class Compare(Asked):
    """The text beside another."""

    other: Written


@dataclass(frozen=True)
class Explorer:
    """One model, or recording, and what its runs say.

    Attributes:
        texts: the texts that were asked about.
        cards: what each head does; empty without a run that says so.
        formulas: of each head; empty without a fit.
        runs: the runs.
    """

    texts: Texts
    cards: "Mapping[HeadId, Card]"
    formulas: Mapping[HeadId, Formula]
    runs: "tuple[Run, ...]"

    QUESTIONS: ClassVar[Mapping[str, type[Asked]]] = {
        "read": Asked, "words": Words, "head": OneHead, "follows": Follows, "relation": OfRelation,
        "change": Change, "compare": Compare,
    }  # fmt: skip

    @property
    def source(self) -> "Model | Recording":
        """What gives the attention."""
        return self.texts.source

    def answer(self, name: str, body: Any, going: Going) -> dict[str, Any]:  # noqa: ANN401
        """The answer to one question, by its name.

        Args:
            name: one of `QUESTIONS`.
            body: its fields.
            going: see `texts.Going`.

        Raises:
            UsageError: what is wrong with the question, in one line.
            StaleError: nobody waits any more.
        """
        if name not in self.QUESTIONS:
            raise unknown_name("question", name, list(self.QUESTIONS))
        try:
            asked = self.QUESTIONS[name].model_validate(body)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"])) or "the question"
            message = first["msg"].replace("Input should be", "expected")
            raise UsageError(f"{place}: {message}") from None
        answer: Callable[..., dict[str, Any]] = getattr(self, f"_{name}")
        return answer(asked, going)

    def _read(self, asked: Asked, going: Going) -> dict[str, Any]:
        reading = self.texts.read(asked.text)
        parts: list[Float[np.ndarray, "H P"]] = []

        def see(layer: int, attention: Float[np.ndarray, "H T T"]) -> None:
            parts.append(_parts(attention, reading.sinks(layer)))

        self.texts.each(asked.text, see, going)
        facts = facts_of(reading.passage)
        sinks = [reading.sinks(layer) for layer in (0, self.source.layers - 1)]
        return {
            name: facts[name] for name in ("labels", "special", "word_of_token", "words")
        } | {
            "cut": reading.passage.encoding.cut,
            "sinks": (sinks[0] | sinks[1]).tolist(),
            "parts": list(PARTS),
            "heads": np.concatenate(parts).round(5).tolist(),
        }  # fmt: skip

    def _words(self, asked: Words, going: Going) -> dict[str, Any]:
        reading = self.texts.read(asked.text)
        for place in (asked.at, asked.to):
            if place is not None and not 0 <= place < len(reading):
                raise UsageError(f"expected a token from 0 to {len(reading) - 1}, got {place}")
        rows: list[Float[np.ndarray, "H T"]] = []
        shown: list[Float[np.ndarray, "H T"]] = []

        def see(layer: int, attention: Float[np.ndarray, "H T T"]) -> None:
            row = attention[:, asked.at] if asked.toward == "reads" else attention[:, :, asked.at]
            rows.append(row)
            content = ~reading.sinks(layer)
            content[asked.at] = False
            shown.append(np.where(content, row, -1.0))

        self.texts.each(asked.text, see, going)
        row, others = np.concatenate(rows), np.concatenate(shown)
        where = np.full(len(row), asked.to) if asked.to is not None else others.argmax(axis=1)
        share = row[np.arange(len(row)), where]
        if asked.to is None:
            share = np.where(others.max(axis=1) < 0, 0.0, share)
        order = np.argsort(-share, kind="stable")[:RANKED]
        heads = []
        for number in order.tolist():
            going()
            head, other = HeadId(*divmod(number, self.source.heads)), int(where[number])
            pair = (asked.at, other) if asked.toward == "reads" else (other, asked.at)
            heads.append(
                {"head": str(head), "share": float(share[number]), "to": other}
                | self._usual(asked.text, head, *pair)
            )
        return {"heads": heads, "strongest": row.max(axis=0).tolist()}

    def _usual(self, text: str, head: HeadId, query: int, key: int) -> dict[str, Any]:
        """What a head usually does, by its card: the behaviour, or the place, that this pair is."""
        card = self.cards.get(head)
        if card is None:
            return {"name": None, "behaviour": None, "usual": None}
        behaviour, usual = None, None
        for figure in (one for one in card.figures if one.listed):
            pairs = self.texts.related(text, figure.relation, head.layer)
            if pairs is not None and pairs[query, key]:
                behaviour, usual = figure.behaviour, figure.confirmed["share"]
                break
        else:
            sink = self.texts.read(text).sinks(head.layer)[key]
            part = "sinks" if sink else _NEXT_TO.get(key - query)
            if part is not None:
                behaviour, usual = part, dict(card.budget).get(part)
        return {"name": card.name, "behaviour": behaviour, "usual": usual}

    def _head(self, asked: OneHead, going: Going) -> dict[str, Any]:
        reading, head = self.texts.read(asked.text), self._known(asked.head)
        formula = self._formula(head, asked.formula)
        real = self._rows(asked.text, head, going)
        predicted = None if formula is None else self._predicted(formula, reading, head.layer)
        fitted = self.formulas.get(head)
        return {
            "attention": _packed(real),
            "predicted": None if predicted is None else _packed(predicted),
            "iou": None if predicted is None else _iou(real, predicted),
            "formula": None if formula is None else _terms(formula),
            "fitted": None if fitted is None else _terms(fitted),
        }

    def _follows(self, asked: Follows, going: Going) -> dict[str, Any]:
        reading, head = self.texts.read(asked.text), self._known(asked.head)
        real = self._rows(asked.text, head, going)
        sight = self.source.visibility(head.layer)
        content, sees = ~reading.sinks(head.layer), sight.dense(len(reading))
        found = []
        known = applicable(reading.passage.words.provides, sight)
        for name, relation in (
            *_PLACES,
            *((behaviour.name, behaviour.relation.source) for behaviour in known),
        ):
            going()
            pairs = self.texts.related(asked.text, relation, head.layer)
            rows = 0 if pairs is None else int((pairs & content)[content].any(axis=1).sum())
            if pairs is None or rows < FEWEST_ROWS:
                continue
            predicted = pairs.astype(np.float32)
            mass, shared, expected, *_ = _following(real[None], predicted, content, sees)[:, 0]
            if mass > 0 and shared > expected:
                share, chance = float(shared / mass), float(expected / mass)
                found.append((share, chance, rows, name, relation))
        # By how far above chance, and on how many rows: two rows are easily all alike.
        found.sort(key=lambda one: (one[1] - one[0]) * one[2] ** 0.5)
        return {
            "behaviours": [
                {"behaviour": name, "relation": relation, "share": share, "chance": chance,
                 "rows": rows}
                for share, chance, rows, name, relation in found[:RANKED]
            ]
        }  # fmt: skip

    def _rows(self, text: str, head: HeadId, going: Going) -> Float[np.ndarray, "T T"]:
        """One head's attention."""
        found: list[Float[np.ndarray, "T T"]] = []

        def see(layer: int, attention: Float[np.ndarray, "H T T"]) -> None:
            if layer == head.layer:
                found.append(attention[head.head])

        self.texts.each(text, see, going)
        return found[0]

    def _relation(self, asked: OfRelation, going: Going) -> dict[str, Any]:
        pattern = pattern_of(asked.relation)
        texts = self._run_texts if asked.on_run else (asked.text,)
        if not texts:
            raise UsageError("expected a run that keeps example texts (--runs RUN), got none")
        sums = np.zeros((5, self.source.layers * self.source.heads))
        rows = 0
        first: Float[np.ndarray, "T T"] | None = None
        for text in texts:
            reading = self.texts.read(text)
            predicted = self._by_layer(pattern, reading)
            first = predicted[0] if first is None else first
            rows += int((predicted[0] > 0).any(axis=1).sum())
            found: list[Float[np.ndarray, "5 H"]] = []

            def see(
                layer: int,
                attention: Float[np.ndarray, "H T T"],
                reading: Reading = reading,
                predicted: list[Float[np.ndarray, "T T"]] = predicted,
                found: list[Float[np.ndarray, "5 H"]] = found,
            ) -> None:
                sees = self.source.visibility(layer).dense(len(reading))
                found.append(_following(attention, predicted[layer], ~reading.sinks(layer), sees))

            self.texts.each(text, see, going)
            sums += np.concatenate(found, axis=1)
        content, shared, expected, overlap, union = sums
        with np.errstate(invalid="ignore", divide="ignore"):
            share, chance, iou = shared / content, expected / content, overlap / union
        order = np.argsort(-np.nan_to_num(share - chance, nan=-2.0), kind="stable")[:RANKED]
        heads = [
            {
                "head": str(head := HeadId(*divmod(number, self.source.heads))),
                "share": _number(share[number]),
                "chance": _number(chance[number]),
                "iou": _number(iou[number]),
                "name": None if head not in self.cards else self.cards[head].name,
            }
            for number in order.tolist()
        ]
        own = {} if asked.on_run or first is None else {"matrix": _packed(first)}
        return own | {"heads": heads, "rows": rows, "texts": len(texts), "name": pattern.name}

    def _change(self, asked: Change, going: Going) -> dict[str, Any]:
        from headscribe.explore.changes import changed

        if isinstance(self.source, Recording):
            raise UsageError("recorded attention cannot be changed: give the model itself")
        formulas = {
            head: self._formula(head, written or None)
            for head, written in ((self._known(one), said) for one, said in asked.formulas.items())
        }
        missing = next((head for head, formula in formulas.items() if formula is None), None)
        if missing is not None:
            raise UsageError(f"expected a formula for {missing}: no fit is among the runs")
        off = [self._known(one) for one in asked.off]
        reading = self.texts.read(asked.text)
        return changed(self.source, reading.passage, off, formulas, asked.tokens, going)

    def _compare(self, asked: Compare, going: Going) -> dict[str, Any]:
        one, other = self.texts.read(asked.text), self.texts.read(asked.other)
        pairs = _aligned(one.passage.ids.tolist(), other.passage.ids.tolist())
        if len(pairs) < 2:
            raise UsageError("expected two texts with words in common, got none")
        left, right = pairs.T
        before, after = (self.texts.whole(text, going) for text in (asked.text, asked.other))
        heads = []
        for layer, (real, altered) in enumerate(zip(before, after, strict=True)):
            a, b = (
                part[:, at][:, :, at].astype(np.float64)
                for part, at in ((real, left), (altered, right))
            )
            shared, rows = np.minimum(a, b).sum(axis=2), ~one.sinks(layer)[left]
            rows = rows if rows.any() else ~rows
            change = np.abs(a - b)
            for head in range(len(a)):
                query, key = divmod(int(change[head].argmax()), len(left))
                heads.append(
                    {
                        "head": f"{layer}.{head}",
                        "change": float(1 - shared[head][rows].mean()),
                        "query": int(left[query]), "key": int(left[key]),
                        "from": float(a[head, query, key]), "to": float(b[head, query, key]),
                    }
                )  # fmt: skip
        labels = [facts_of(reading.passage)["labels"] for reading in (one, other)]
        return {"heads": heads, "labels": labels, "pairs": pairs.tolist()}

    @cached_property
    def _run_texts(self) -> tuple[str, ...]:
        """Example texts of the runs, the first ones; of a recording its own."""
        from headscribe.results.examples import read_examples

        if isinstance(self.source, Recording):
            return tuple(self.texts.recorded)[:RUN_TEXTS]
        found: dict[str, None] = {}
        for run in self.runs:
            if "examples" in run.manifest.get("tables", []):
                found |= dict.fromkeys(
                    example.facts["text"] for example in read_examples(run).values()
                )
        return tuple(found)[:RUN_TEXTS]

    def _known(self, head: str) -> HeadId:
        found = HeadId.parse(head)
        if not (0 <= found.layer < self.source.layers and 0 <= found.head < self.source.heads):
            every = every_head(self.source.layers, self.source.heads)
            raise absent(found, every, self.source.name)
        return found

    def _formula(self, head: HeadId, written: str | None) -> Formula | None:
        return self.formulas.get(head) if written is None else Formula.parse(written, str(head))

    def _by_layer(self, pattern: "Pattern", reading: Reading) -> list[Float[np.ndarray, "T T"]]:
        """What a pattern predicts in every layer; layers that see the same share it."""
        sights = [self.source.visibility(layer) for layer in range(self.source.layers)]
        made = {
            sight: self._predicted(pattern, reading, sights.index(sight)) for sight in set(sights)
        }
        return [made[sight] for sight in sights]

    def _predicted(
        self, pattern: "Pattern", reading: Reading, layer: int
    ) -> Float[np.ndarray, "T T"]:
        missing = sorted(pattern.needs - reading.passage.words.provides)
        if missing:
            raise UsageError(
                f"{', '.join(missing)} of every word is not known here: no annotator gives it"
            )
        return pattern.predict(reading.passage, self.source.visibility(layer)).to_dense()


def _parts(
    attention: Float[np.ndarray, "H T T"], sinks: Bool[np.ndarray, " T"]
) -> Float[np.ndarray, "H P"]:
    """Where the attention of the tokens with content goes, in the order of `PARTS`."""
    length = len(sinks)
    rows = np.flatnonzero(~sinks) if not sinks.all() else np.arange(length)
    distance = np.arange(length)[None, :] - rows[:, None]
    kind = np.select(
        [np.broadcast_to(sinks, distance.shape), distance == 0, distance == -1, distance == 1,
         np.abs(distance) <= 4],
        range(5), 5,
    )  # fmt: skip
    own = attention[:, rows]
    shares = [np.where(kind == part, own, 0).sum(axis=(1, 2)) for part in range(len(PARTS))]
    found: Float[np.ndarray, "H P"] = np.stack(shares, axis=1) / len(rows)
    return found


def _following(
    attention: Float[np.ndarray, "H T T"],
    predicted: Float[np.ndarray, "T T"],
    content: Bool[np.ndarray, " T"],
    sees: Bool[np.ndarray, "T T"],
) -> Float[np.ndarray, "5 H"]:
    """Sums over the rows that a relation applies to: content, on its keys, by chance; for the IoU.

    As `share` of a card: of the attention on content, how much lies on the related keys. Of a
    relation that relates sinks alone it is of all attention.
    """
    related = predicted > 0
    if (related & content).any():
        keys, rows = related & content, content & (related & content).any(axis=1)
        admissible = sees & content
    else:
        keys, rows, admissible = related, related.any(axis=1), sees
    mass = np.where(admissible[rows], attention[:, rows], 0).sum(axis=2, dtype=np.float64)
    shared = np.where(keys[rows], attention[:, rows], 0).sum(axis=(1, 2), dtype=np.float64)
    expected = mass @ (keys[rows].sum(axis=1) / np.maximum(admissible[rows].sum(axis=1), 1))
    covered = related.any(axis=1)
    overlap = np.minimum(attention[:, covered], predicted[covered]).sum(
        axis=(1, 2), dtype=np.float64
    )
    union = attention[:, covered].sum(axis=(1, 2), dtype=np.float64) + covered.sum() - overlap
    return np.stack([mass.sum(axis=1), shared, expected, overlap, union])


def _iou(real: Float[np.ndarray, "T T"], predicted: Float[np.ndarray, "T T"]) -> float:
    """IoU over the rows that the prediction covers."""
    rows = predicted.any(axis=1)
    overlap = np.minimum(real[rows], predicted[rows]).sum(dtype=np.float64)
    union = real[rows].sum(dtype=np.float64) + rows.sum() - overlap
    return float(overlap / max(union, 1e-12))


def _aligned(one: list[int], other: list[int]) -> np.ndarray:
    """Tokens of two texts that correspond: equal ones, and those put in the place of as many."""
    pairs: list[tuple[int, int]] = []
    for kind, start, end, begin, stop in SequenceMatcher(None, one, other, False).get_opcodes():
        if kind == "equal" or (kind == "replace" and end - start == stop - begin):
            pairs += zip(range(start, end), range(begin, stop), strict=True)
    return np.array(pairs, np.int64).reshape(-1, 2)


def _terms(formula: Formula) -> str:
    """A formula as a person edits it: its weights and relations."""
    weights = [t.weighed if t.whole else f"{t.weight:+.4f}" for t in formula.terms]
    return "\n".join(f"{w}  {t.relation}" for w, t in zip(weights, formula.terms, strict=True))


def _packed(matrix: Float[np.ndarray, "T T"]) -> str:
    return b64encode(np.ascontiguousarray(matrix, "<f4").tobytes()).decode()


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def shown(answer: Any) -> Any:  # noqa: ANN401
    """An answer with every text in it made visible, as a page may show it."""
    if isinstance(answer, str):
        return visible_lines(answer)
    if isinstance(answer, Mapping):
        return {key: shown(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [shown(value) for value in answer]
    return answer
