"""The offline proposer: a search of the relation grammar for what the residual asks for.

For the residual `e = p - a` of a head's formula on the `fit` rows, a relation with the column `x`
has the score statistic `(sum e x)^2 / (2 sum_rows Var_p(x))`, as in the choice of a formula's
terms. The formula's pool offers single relations; here pairs of them are tried: conjunctions of
two conditions, products of a condition and a number, and gates by what the query is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from headscribe.core.files import lines_of
from headscribe.discovery.neutral import neutral
from headscribe.discovery.prompting import Attempt
from headscribe.discovery.proposals import Code, ExampleMatrix, Hypothesis, Proposal, ProposedClass
from headscribe.discovery.proposers import Answer
from headscribe.discovery.study import HeadTask
from headscribe.discovery.summaries import fields_by_token
from headscribe.discovery.wordclasses import halves, word_classes
from headscribe.fitting.classes import WordClass, by_name
from headscribe.fitting.formula import MAX_TERM_ATOMS
from headscribe.fitting.pool import token_classes
from headscribe.relations import Evaluator, Relation, parse

BEAM = 32
"""Single relations that pairs are made of, the best by score."""

PROPOSED = 3
"""Relations of a proposal."""

SEARCH_ROWS = 1500
_ALIKE = 0.8
_LEAST_SPREAD = 1e-4
_PER_ATOM = 0.04
_PER_CLASS = 0.2
"""What a word class costs, as a share of its score: as much as five comparisons."""


@dataclass(frozen=True)
class _Found:
    relation: Relation
    score: float
    column: Float[np.ndarray, " n"]
    word_class: WordClass | None = None

    @property
    def shown(self) -> str:
        """The relation, its word class by name."""
        classes = () if self.word_class is None else (self.word_class,)
        return by_name(self.relation.source, classes)


class Offline:
    """Proposes the relations that the residual asks for most; needs no language model."""

    name = "offline"

    def propose(
        self, study: HeadTask, attempts: Sequence[Attempt], *, python: bool, rounds_left: int
    ) -> Answer | None:
        """Propose the best relations that were not proposed before."""
        before = {line for attempt in attempts for line in lines_of(attempt.answer)}
        chosen = _apart(
            candidate for candidate in search(study) if candidate.relation.source not in before
        )
        if not chosen:
            return None
        proposal = _proposal(study, chosen)
        said = "\n".join(candidate.relation.source for candidate in chosen)
        return Answer(said, proposal, "offline:pairs-2")


def search(study: HeadTask) -> list[_Found]:
    """Score single relations and pairs on `fit`, best first."""
    material = study.material
    rows = material.rows("fit")
    few = np.flatnonzero(rows)
    if len(few) > SEARCH_ROWS:
        few = np.random.default_rng(material.seed).choice(few, SEARCH_ROWS, replace=False)
    keep = np.isin(material.sample.row, few)
    row = np.unique(material.sample.row[keep], return_inverse=True)[1]
    predicted = study.predicted[keep].astype(np.float64)
    residual = predicted - study.real[keep]
    score = _Score(row, predicted, residual)
    known = {term.relation for term in study.formula.terms}
    singles = _singles(study, keep, score)
    gates = _gates(study, keep)
    partners = [(single.relation, single.column) for single in singles] + gates
    classes = _classes(study, keep, row, predicted, residual)
    candidates = {single.relation.source: single for single in (*singles, *classes)}
    for i, single in enumerate(singles):
        for other, column in partners[i + 1 :]:
            pair = _pair(single.relation, other)
            if pair is None or pair.source in candidates:
                continue
            product = single.column * column
            value = score(product) * (1 - _PER_ATOM * (pair.atoms - 1))
            if value > 0:
                candidates[pair.source] = _Found(pair, value, product)
    fresh = [candidate for source, candidate in candidates.items() if source not in known]
    return sorted(fresh, key=lambda candidate: (-candidate.score, candidate.relation.source))


class _Score:
    """The score statistic of a column, a mean over rows."""

    def __init__(
        self, row: np.ndarray, predicted: Float[np.ndarray, " n"], residual: Float[np.ndarray, " n"]
    ) -> None:
        self._row, self._predicted, self._residual = row, predicted, residual
        self._rows = int(row.max()) + 1

    def __call__(self, column: Float[np.ndarray, " n"]) -> float:
        weighted = self._predicted * column
        mean = np.bincount(self._row, weighted, self._rows)
        spread = float(weighted @ column - mean @ mean) / self._rows
        if spread < _LEAST_SPREAD:
            return 0.0
        return float((self._residual @ column / self._rows) ** 2 / (2 * spread))


def _singles(study: HeadTask, keep: np.ndarray, score: _Score) -> list[_Found]:
    """The best relations of the formula's pool, the formula's own among them."""
    sample = study.material.sample
    known = {term.relation for term in study.formula.terms}
    scored = []
    for k, source in enumerate(sample.pool):
        column = sample.features.column(k, len(sample.key_token))[keep].astype(np.float64)
        relation = parse(source)
        scored.append(_Found(relation, score(column), column))
    scored.sort(key=lambda candidate: (-candidate.score, candidate.relation.source))
    own = [candidate for candidate in scored if candidate.relation.source in known]
    best = [
        candidate
        for candidate in scored
        if candidate.relation.source not in known and candidate.score > 0
    ]
    return own + best[:BEAM]


def _gates(study: HeadTask, keep: np.ndarray) -> list[tuple[Relation, Float[np.ndarray, " n"]]]:
    """Conditions on the query alone, which say nothing by themselves."""
    material = study.material
    sources = [*token_classes("query", wide=True).values(), "query.is_special"]
    gates = []
    for source in sources:
        relation = parse(source)
        ahead = relation.looks_ahead and material.visibility.causal and not material.look_ahead
        if relation.needs <= material.provides and not ahead:
            gates.append(relation)
    columns = material.columns([gate.source for gate in gates])[keep].astype(np.float64)
    return [(gate, columns[:, k]) for k, gate in enumerate(gates) if columns[:, k].any()]


def _classes(
    study: HeadTask,
    keep: np.ndarray,
    row: np.ndarray,
    predicted: Float[np.ndarray, " n"],
    residual: Float[np.ndarray, " n"],
) -> list[_Found]:
    """The best word classes, scored on the half of the rows where their words were not chosen."""
    sample = study.material.sample
    lower = fields_by_token(study)["lower"][sample.key_token[keep]].astype(str)
    other = ~halves(study)[sample.row_text[sample.row[keep]]]
    if not other.any():
        return []
    score = _Score(np.unique(row[other], return_inverse=True)[1], predicted[other], residual[other])
    candidates = []
    for word_class in word_classes(study):
        column = np.isin(lower, word_class.words).astype(np.float64)
        value = score(column[other]) * (1 - _PER_CLASS)
        if value > 0 and residual[other] @ column[other] < 0:  # read above what is predicted
            candidates.append(
                _Found(parse(f"key.lower in {word_class.members}"), value, column, word_class)
            )
    return _apart(
        iter(
            sorted(candidates, key=lambda candidate: (-candidate.score, candidate.relation.source))
        )
    )


def _pair(relation: Relation, other: Relation) -> Relation | None:
    """Both at once: a conjunction, or a product where one is a number; None if too long."""
    if relation.atoms + other.atoms > MAX_TERM_ATOMS:
        return None
    if relation.is_boolean and other.is_boolean:
        return parse(f"({relation.source}) and ({other.source})")
    if relation.is_boolean or other.is_boolean:
        return parse(f"({relation.source}) * ({other.source})")
    return None


def _apart(candidates: Iterator[_Found]) -> list[_Found]:
    """The best few whose columns are not much alike."""
    chosen: list[_Found] = []
    for candidate in candidates:
        if len(chosen) == PROPOSED or candidate.score <= 0:
            break
        if all(_cosine(candidate.column, other.column) < _ALIKE for other in chosen):
            chosen.append(candidate)
    return chosen


def _cosine(one: Float[np.ndarray, " n"], other: Float[np.ndarray, " n"]) -> float:
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size else 0.0


def _proposal(study: HeadTask, chosen: Sequence[_Found]) -> Proposal:
    """The search's result in the shape of any proposal."""
    hypotheses = tuple(
        Hypothesis(
            statement=f"attention depends on `{candidate.shown}`"
            + ("" if candidate.word_class is None else f", {candidate.word_class.rule}"),
            evidence=(f"score of the residual {candidate.score:.5f} on fit",),
        )
        for candidate in (*chosen, *[chosen[-1]] * 2)
    )[:3]
    return Proposal(
        hypotheses=hypotheses,
        chosen=0,
        validation="the largest score statistics of the residual among pairs of relations",
        example=_example(study, [candidate.relation for candidate in chosen]),
        code=Code(
            kind="relations",
            classes=tuple(
                ProposedClass(name=c.name, rule=c.rule, words=c.words)
                for c in (candidate.word_class for candidate in chosen)
                if c is not None
            ),
            relations=tuple(candidate.shown for candidate in chosen),
        ),
    )


def _example(study: HeadTask, relations: Sequence[Relation]) -> ExampleMatrix:
    """The related pairs of the first `fit` text that has any."""
    material = study.material
    texts = material.texts("fit")
    for text in texts:
        passage = material.passages[text]
        evaluator = Evaluator(passage, material.visibility)
        total = sum(
            np.maximum(evaluator.dense(relation).astype(np.float64), 0) for relation in relations
        )
        query, key = np.nonzero(np.broadcast_to(total, (len(passage), len(passage))))
        if len(query):
            values = np.asarray(total)[query, key]
            share = values / np.bincount(query, values, len(passage))[query]
            cells = zip(query.tolist(), key.tolist(), share.tolist(), strict=True)
            shown = tuple((q, k, min(float(w), 1.0)) for q, k, w in cells)[:4096]
            return ExampleMatrix(text=neutral(passage.text_id), cells=shown)
    return ExampleMatrix(text=neutral(material.passages[texts[0]].text_id), cells=((0, 0, 1.0),))
