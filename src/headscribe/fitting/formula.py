"""A formula: a weighted sum of relations through a softmax, as text, as JSON, and as a pattern."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float

from headscribe.core.arrays import Attention
from headscribe.core.errors import UsageError
from headscribe.core.files import lines_of
from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.fitting.classes import WordClass, by_name, spelled_out
from headscribe.patterns.contract import Family
from headscribe.patterns.relational import shared_evaluator
from headscribe.relations import Evaluator, Relation, parse
from headscribe.text.passages import Passage

MAX_TERM_ATOMS = 3
MAX_FORMULA_ATOMS = 36

FIRST, ALL, REST = 64.0, 32.0, 16.0
"""Weights that stand for infinity: a row goes to the related keys, all of it; before what any other
term says; or where no term with `ALL` relates to anything. What is left over is 1 in 10 million."""

_WHOLE = {FIRST: "first all to", ALL: "all to", REST: "else all to"}
_WEIGHT = {words: weight for weight, words in _WHOLE.items()}
_EVENLY = "evenly over every visible key"

_WIDTH = 60
"""Relations are filled up to so many columns, so that costs stand below each other."""

_TERM = re.compile(
    r"\s*([+-]\d+(?:\.\d+)?|(?:first |else )?all to)\s+(\S.*?)(?:\s{3,}([+-]\d+\.\d+))?\s*"
)


@dataclass(frozen=True)
class Term:
    """One weighted relation of a formula.

    Attributes:
        relation: the relation, in its canonical print.
        weight: what a related key gains in the logits, times the relation's value.
        low: lower end of the weight's 95 % interval, None where there is none.
        high: its upper end.
        drop: what dropping the term does to the IoU on unseen texts, the other weights adapted;
            below 0 where the term helps.
    """

    relation: str
    weight: float
    low: float | None = None
    high: float | None = None
    drop: float | None = None

    @cached_property
    def parsed(self) -> Relation:
        """The relation itself."""
        return parse(self.relation)

    @property
    def whole(self) -> bool:
        """Whether the weight stands for infinity."""
        return self.weight in _WHOLE

    @property
    def weighed(self) -> str:
        """The weight as formulas print it; one that stands for infinity in words."""
        return _WHOLE.get(self.weight, f"{self.weight:+.3f}")


@dataclass(frozen=True)
class Formula:
    """`A[i, j] = exp(z_ij) / sum_k exp(z_ik)` over the visible keys, `z = sum_t w_t r_t`.

    A pattern like any other: it covers every row. Bounds: at most 3 atoms a term, 36 a formula.

    Attributes:
        name: unique where it is used as a pattern.
        sentence: where the attention goes, in words.
        source: where the formula comes from.
        classes: word classes that its relations print by name.
    """

    name: str
    terms: tuple[Term, ...]
    sentence: str = "attention that a fitted formula predicts"
    source: str = "fitted by headscribe"
    classes: tuple[WordClass, ...] = ()

    def __post_init__(self) -> None:
        for term in self.terms:
            if term.parsed.atoms > MAX_TERM_ATOMS:
                raise UsageError(
                    f"formula {self.name}: expected at most {MAX_TERM_ATOMS} comparisons a term, "
                    f"got {term.parsed.atoms} in `{term.relation}`"
                )
            if not np.isfinite(term.weight):
                raise UsageError(f"formula {self.name}: expected finite weights, got {term.weight}")
        if self.atoms > MAX_FORMULA_ATOMS:
            raise UsageError(
                f"formula {self.name}: expected at most {MAX_FORMULA_ATOMS} comparisons, "
                f"got {self.atoms}"
            )

    @cached_property
    def atoms(self) -> int:
        """Comparisons of all terms."""
        return sum(term.parsed.atoms for term in self.terms)

    @property
    def family(self) -> Family:
        """`custom`: a formula may read anything."""
        return "custom"

    @cached_property
    def needs(self) -> frozenset[str]:
        """The word fields that its relations read."""
        return frozenset().union(*(term.parsed.needs for term in self.terms))

    @cached_property
    def looks_ahead(self) -> bool:
        """Whether any relation does."""
        return any(term.parsed.looks_ahead for term in self.terms)

    @property
    def needs_later_keys(self) -> bool:
        """Never: a softmax covers whatever is visible."""
        return False

    @property
    def mirror(self) -> str | None:
        """None: formulas have no mirror image."""
        return None

    def predict(self, passage: Passage, visibility: Visibility) -> Rows:
        """Predict every row.

        Raises:
            UsageError: the passage lacks a word field that a relation needs.
        """
        return Rows.from_dense(
            self.attention(shared_evaluator(passage, visibility), len(passage), visibility)
        )

    def attention(self, evaluator: Evaluator, length: int, visibility: Visibility) -> Attention:
        """The predicted matrix, shape `(T, T)`, float64, with an evaluator that may be shared."""
        logits = np.zeros((length, length))
        for term in self.terms:
            cells = evaluator.cells(term.parsed)
            logits[cells.query, cells.key] += term.weight * cells.value
        logits = np.where(visibility.dense(length), logits, -np.inf)
        value = np.exp(logits - logits.max(axis=1, keepdims=True))
        matrix: Float[np.ndarray, "T T"] = value / value.sum(axis=1, keepdims=True)
        return matrix

    def __str__(self) -> str:
        """The formula as a person reads it; `Formula.parse` reads it back, rounded as printed."""
        relations = [by_name(term.relation, self.classes) for term in self.terms]
        width = min(max(map(len, relations), default=0), _WIDTH)
        lines = [self.name] if self.terms else [self.name, f"   {_EVENLY}"]
        widest = max((len(term.weighed) for term in self.terms), default=0)
        for term, relation in zip(self.terms, relations, strict=True):
            cost = "" if term.drop is None else f"   {term.drop:+.3f}"
            shown = relation.ljust(width) if cost else relation
            lines.append(f"   {term.weighed:<{widest}}  {shown}{cost}")
        return "\n".join([*lines, *(f"   {word_class}" for word_class in self.classes)])

    @classmethod
    def parse(cls, text: str, name: str | None = None) -> "Formula":
        """Read a formula as it prints, or as a person has edited it.

        Lines that start with a signed weight or with `all to` are terms; the first other line, up
        to a gap of three blanks, is the name. What stands three blanks behind a relation is its
        cost and is dropped, since an edited formula has to be scored anew.

        Raises:
            UsageError: no term, a relation that is none, or more comparisons than allowed.
        """
        terms: list[Term] = []
        title, evenly = name, False
        word_classes = [WordClass.of_line(line) for line in lines_of(text)]
        classes = tuple(word_class for word_class in word_classes if word_class is not None)
        for number, line in enumerate(lines_of(text), 1):
            if not line.strip() or WordClass.of_line(line):
                continue
            match = _TERM.fullmatch(line)
            if line.strip() == _EVENLY and not terms:
                evenly = True
            elif match is None:
                if terms or title not in (None, name):
                    raise UsageError(
                        f"line {number}: expected a term such as `+1.50  key.is_bos`, "
                        f"got {line.strip()!r}"
                    )
                title = name or line.strip().split("   ")[0]
            else:
                relation = parse(spelled_out(match[2], classes)).source
                terms.append(Term(relation, _WEIGHT.get(match[1]) or float(match[1])))
        if not terms and not evenly:
            raise UsageError("expected at least one term such as `+1.50  key.is_bos`, got none")
        return cls(title or "formula", tuple(terms), classes=classes)

    @classmethod
    def parse_all(cls, text: str) -> "tuple[Formula, ...]":
        """Read several formulas, each under a line with its name.

        Raises:
            UsageError: as in `parse`, a name used twice, or a term above the first name.
        """
        blocks: list[list[str]] = []
        for line in lines_of(text):
            if not line.strip():
                continue
            part = _TERM.fullmatch(line) or WordClass.of_line(line) or line.strip() == _EVENLY
            if not part:
                blocks.append([line])
            elif blocks:
                blocks[-1].append(line)
            else:
                raise UsageError(f"expected a name above the first term, got {line.strip()!r}")
        formulas = [cls.parse("\n".join(block)) for block in blocks]
        names = [formula.name for formula in formulas]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise UsageError(f"expected every formula once, got {twice} twice")
        return tuple(formulas)

    def to_json(self) -> dict[str, object]:
        """Everything that is known of it, weights in full precision."""
        stored: dict[str, object] = {
            "name": self.name,
            "terms": [asdict(term) for term in self.terms],
        }
        return stored | ({"classes": [asdict(c) for c in self.classes]} if self.classes else {})

    @classmethod
    def from_json(cls, stored: dict[str, object]) -> "Formula":
        """Read what `to_json` gave.

        Raises:
            UsageError: a field is missing or unknown.
        """
        terms = stored.get("terms")
        if not isinstance(stored.get("name"), str) or not isinstance(terms, list):
            raise UsageError(f"expected a formula with name and terms, got {sorted(stored)}")
        try:
            classes = [
                WordClass(**one | {"words": tuple(one["words"])})
                for one in stored.get("classes", ())  # type: ignore[attr-defined]
            ]
            return cls(
                str(stored["name"]),
                tuple(Term(**term) for term in terms),
                classes=tuple(classes),
            )
        except (TypeError, KeyError) as error:
            raise UsageError(
                f"expected terms with relation and weight, got {json.dumps(terms)[:200]}"
            ) from error

    def with_weights(self, weights: Sequence[float] | Iterable[float]) -> "Formula":
        """The same relations with other weights; intervals and costs no longer apply."""
        fresh = [Term(t.relation, float(w)) for t, w in zip(self.terms, weights, strict=True)]
        return replace(self, terms=tuple(fresh))


def are_formulas(text: str) -> bool:
    """Whether a file's text holds formulas: some line is a signed weight and a relation."""
    return any(_TERM.fullmatch(line) for line in lines_of(text))
