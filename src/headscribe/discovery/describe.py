"""A run of `describe`: every head described, every description tested on unseen rows."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from headscribe.behaviours.card import Card, percent
from headscribe.core.errors import RunError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress
from headscribe.core.visible import plural
from headscribe.discovery import describing, simulation
from headscribe.discovery.beginning import Settings, gathered
from headscribe.discovery.clients import Client, Price, Reply
from headscribe.discovery.describing import TEMPLATE, Description
from headscribe.discovery.ledger import Ledger, Spending, Spent
from headscribe.discovery.material import Items
from headscribe.discovery.prompting import question_of
from headscribe.discovery.questions import Question, questions
from headscribe.discovery.run import in_parallel
from headscribe.discovery.study import HeadTask, study_heads
from headscribe.fitting.selection import Budget
from headscribe.fitting.statistics import mean_interval, number_groups
from headscribe.results.run import Run

DESCRIPTION, CONTROL, FORMULA = "description", "control", "formula"
"""Who answers: a language model's description, that of another head, the head's formula."""

TEMPLATE_CONTROL = "template control"

COMPARED = {
    DESCRIPTION: ("chance", CONTROL, TEMPLATE, FORMULA),
    CONTROL: ("chance",),
    TEMPLATE: ("chance", TEMPLATE_CONTROL, FORMULA),
    TEMPLATE_CONTROL: ("chance",),
    FORMULA: ("chance",),
}
"""What each is compared with."""

KINDS = {"both": ("detection", "fuzzing"), "detection": ("detection",), "fuzzing": ("fuzzing",)}


@dataclass(frozen=True)
class WriterAndJudge:
    """Two clients as one, so that one ledger keeps what both were asked and cost.

    Attributes:
        writer: asked for descriptions; None: nobody is.
        judge: answers by them.
    """

    writer: Client | None
    judge: Client | None

    @property
    def _both(self) -> list[Client]:
        return [client for client in (self.writer, self.judge) if client is not None]

    @property
    def name(self) -> str:
        """Both names."""
        return " and ".join(dict.fromkeys(client.name for client in self._both))

    @property
    def max_output_tokens(self) -> int:
        """The larger of the two."""
        return max(client.max_output_tokens for client in self._both)

    @property
    def price(self) -> Price | None:
        """The larger of the two; None where one is not known."""
        prices = [client.price for client in self._both]
        known = [price for price in prices if price is not None]
        if len(known) < len(prices):
            return None
        return Price(max(price.input for price in known), max(price.output for price in known))

    def ask(self, prompt: str) -> Reply:
        """Ask the one whom the prompt is for."""
        judging = question_of(prompt)[0] == simulation.JUDGE
        client = self.judge if judging else self.writer
        if client is None:
            raise RunError("expected a language model for this prompt, got none")
        return client.ask(prompt)

    def stop(self) -> None:
        """Give up waiting."""
        for client in self._both:
            client.stop()


@dataclass(frozen=True)
class _Told:
    """A description, what it got of each question that it was asked, and what went wrong."""

    description: Description
    credits: tuple[tuple[Question, float | None], ...] = ()
    problems: tuple[str, ...] = ()
    stopped: str = ""


def describe(
    items: Items,
    all_heads: Sequence[HeadId],
    heads: Sequence[HeadId] | str,
    run: Run,
    *,
    model: str,
    cards_of: Callable[[Sequence[str], Sequence[int]], Mapping[HeadId, Card]],
    writer: Client | None = None,
    judge: Client | None = None,
    spending: Spending = Spending(),  # noqa: B008  (frozen)
    settings: Settings = Settings(),  # noqa: B008
    number: int = 20,
    pool: Sequence[str] | None = None,
    testing: Collection[str] = (),
    on_progress: OnProgress,
) -> None:
    """Describe heads on `fit`, and test the descriptions on `test`.

    A run in which every prompt was answered is complete; any other keeps its exchanges and notes
    what is missing.

    Args:
        heads: those to describe, or `worst:N`.
        cards_of: the cards of the heads of some layers, from the texts of these ids alone.
        writer: a language model that describes; None: templates alone.
        judge: a language model that answers by descriptions; None: their relations do.
        testing: the ids of the texts to test on; none: a quarter of all.

    Raises:
        UsageError: unknown heads, too few texts, or a budget in money without prices.
        RunError: a file failed.
    """
    budget = Budget(terms=settings.terms)
    material = gathered(
        items, all_heads, heads, run, settings, budget, on_progress,
        model=model, pool=pool, testing=testing, whole=False,
    )  # fmt: skip
    on_progress("formulas", 0, 1)
    studies = study_heads(material, budget)
    on_progress("formulas", 1, 1)
    fit = [material.passages[text].text_id for text in material.texts("fit")]
    cards = cards_of(fit, sorted({study.head.layer for study in studies}))
    asked = {study.head: questions(study, number) for study in studies}
    ledger = None
    if writer is not None or judge is not None:
        both = WriterAndJudge(writer, judge)
        ledger = Ledger(both, run.folder / "exchanges.jsonl", spending)
    lent = _lent([study.head for study in studies], settings.seed)

    def told(task: tuple[HeadTask, bool]) -> _Told:
        study, by_model = task
        card = cards[study.head]
        try:
            if by_model:
                assert ledger is not None
                assert writer is not None
                made = describing.by_language_model(
                    study, card, ledger, writer.name, settings.evidence_tokens
                )
            else:
                made = describing.by_template(study, card)
        except RunError as error:
            empty = Description(str(study.head), DESCRIPTION, "")
            return _Told(empty, stopped=str(error))
        mine = [*asked[study.head], *(asked[lent[study.head]] if study.head in lent else ())]
        if not made.text:
            return _Told(made)
        if judge is None:
            credits = simulation.by_relations(material, made, mine)
            return _Told(made, tuple(zip(mine, credits, strict=True)))
        assert ledger is not None
        try:
            answers, problems = simulation.by_language_model(material, made, mine, ledger)
        except RunError as error:
            return _Told(made, stopped=str(error))
        return _Told(made, tuple(zip(mine, answers, strict=True)), tuple(problems))

    writers = [False] if writer is None else [True, False]
    tasks = [(study, by_model) for by_model in writers for study in studies]
    stop = (lambda: None) if ledger is None else ledger.stop
    workers = 1 if ledger is None else settings.workers  # more only wait
    tolds = in_parallel(tasks, told, workers, "descriptions", on_progress, stop)
    run.manifest["spent"] = asdict(Spent() if ledger is None else ledger.spent)
    stopped = [one for one in tolds if one.stopped]
    if stopped:
        run.manifest["stopped"] = {"descriptions": len(stopped), "reason": stopped[0].stopped}
        run.save()
        return
    run.manifest.pop("stopped", None)
    rows = _answers(tolds, studies, asked)
    run.write_table("descriptions", _descriptions(tolds))
    run.write_table("answers", pa.Table.from_pylist(rows, schema=_ANSWERS))
    scores, overall = scored(rows)
    run.write_table("simulation", pa.Table.from_pylist(scores, schema=_SCORES))
    run.write_table("overall", pa.Table.from_pylist(overall, schema=_OVERALL))
    run.finish(
        summary=summary_of(overall, len(studies)),
        unread=sum(row["credit"] is None for row in rows),
        undescribed=sum(not one.description.text for one in tolds),
    )


def _lent(heads: Sequence[HeadId], seed: int) -> dict[HeadId, HeadId]:
    """For every head another one whose questions its description answers as a control.

    One cycle through all heads in a random order; empty for a single head.
    """
    if len(heads) < 2:
        return {}
    order = [heads[i] for i in np.random.default_rng(seed).permutation(len(heads))]
    return dict(zip(order, [*order[1:], order[0]], strict=True))


def _answers(
    tolds: Iterable[_Told],
    studies: Sequence[HeadTask],
    asked: Mapping[HeadId, Sequence[Question]],
) -> list[dict[str, Any]]:
    """A row a question and whoever answered it."""
    number = {id(one): n for mine in asked.values() for n, one in enumerate(mine, 1)}
    material = studies[0].material

    def row(question: Question, who: str, credit: float | None) -> dict[str, Any]:
        passage = material.passages[question.text]
        return {
            "layer": question.head.layer,
            "head": question.head.head,
            "question": number[id(question)],
            "kind": question.kind,
            "text_id": passage.text_id,
            "group": passage.group,
            "shown": json.dumps(dict(question.shown), ensure_ascii=False),
            "truth": question.truth,
            "chance": question.chance,
            "who": who,
            "credit": credit,
        }

    rows = []
    for told in tolds:
        mine = told.description.head
        template = told.description.writer == TEMPLATE
        own, other = (TEMPLATE, TEMPLATE_CONTROL) if template else (DESCRIPTION, CONTROL)
        rows += [
            row(question, own if str(question.head) == mine else other, credit)
            for question, credit in told.credits
        ]
    for study in studies:
        credits = simulation.by_formula(study, asked[study.head])
        rows += [
            row(question, FORMULA, credit)
            for question, credit in zip(asked[study.head], credits, strict=True)
        ]
    return sorted(rows, key=lambda row: (row["layer"], row["head"], row["question"]))


def scored(
    rows: Iterable[Mapping[str, Any]],
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Accuracy by head and over all heads, above chance and above each other.

    Of a head the intervals are clustered by group of texts; over all heads, the head is the unit.
    """
    by_head: dict[tuple[int, int], list[Mapping[str, Any]]] = {}
    for row in rows:
        by_head.setdefault((row["layer"], row["head"]), []).append(row)
    scores = [
        {"layer": head[0], "head": head[1]} | one
        for head, mine in sorted(by_head.items())
        for one in _of_head(mine)
    ]
    overall = []
    for who, others in COMPARED.items():
        for against in others:
            for kind in KINDS:
                mine = [
                    row
                    for row in scores
                    if (row["who"], row["against"], row["kind"]) == (who, against, kind)
                ]
                if not mine:
                    continue
                beyond = np.array([row["beyond"] for row in mine])
                mean, low, high = mean_interval(beyond, np.arange(len(beyond)))
                overall.append(
                    {
                        "who": who,
                        "against": against,
                        "kind": kind,
                        "accuracy": float(np.mean([row["accuracy"] for row in mine])),
                        "beyond": float(mean),
                        "low": float(low),
                        "high": float(high),
                        "heads": len(mine),
                        "better": int((beyond > 0).sum()),
                        "worse": int((beyond < 0).sum()),
                    }
                )
    return scores, overall


def _of_head(rows: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    credit: dict[str, dict[int, float]] = {"chance": {}}
    about: dict[int, Mapping[str, Any]] = {}
    for row in rows:
        about[row["question"]] = row
        credit["chance"][row["question"]] = row["chance"]
        if row["credit"] is not None:
            credit.setdefault(row["who"], {})[row["question"]] = row["credit"]
    for who, others in COMPARED.items():
        for against in others:
            both = sorted(credit.get(who, {}).keys() & credit.get(against, {}).keys())
            for kind, kinds in KINDS.items():
                mine = [q for q in both if about[q]["kind"] in kinds]
                if not mine:
                    continue
                own: Float[np.ndarray, " n"] = np.array([credit[who][q] for q in mine])
                other = np.array([credit[against][q] for q in mine])
                group = number_groups([about[q]["group"] for q in mine])
                mean, low, high = mean_interval(own - other, group)
                yield {
                    "who": who,
                    "against": against,
                    "kind": kind,
                    "accuracy": float(own.mean()),
                    "beyond": float(mean),
                    "low": float(low),
                    "high": float(high),
                    "questions": len(mine),
                    "groups": int(group.max()) + 1,
                }


def summary_of(overall: Sequence[Mapping[str, Any]], heads: int) -> str:
    """The finding in words."""
    found = {(row["who"], row["against"]): row for row in overall if row["kind"] == "both"}
    said = []
    for who, control, name in (
        (DESCRIPTION, CONTROL, "Descriptions by the language model"),
        (TEMPLATE, TEMPLATE_CONTROL, "Templates"),
    ):
        own, against = found.get((who, "chance")), found.get((who, control))
        if own is None:
            continue
        chance = percent(own["accuracy"] - own["beyond"])
        right = f"{percent(own['accuracy'])} of the questions right, chance {chance}"
        if against is None:
            said.append(f"{name} get {right}; there is no other head to compare with.")
            continue
        said.append(
            f"{name} beat those of another head for {against['better']} of {against['heads']} "
            f"heads on unseen rows ({right}, another head's "
            f"{percent(against['accuracy'] - against['beyond'])}: {points(against)})."
        )
    formula = found[FORMULA, "chance"]
    said.append(f"Their formulas get {percent(formula['accuracy'])} ({plural(heads, 'head')}).")
    return " ".join(said)


def points(row: Mapping[str, Any]) -> str:
    """A difference in points with its interval."""
    mean, low, high = (f"{100 * row[name]:+.0f}" for name in ("beyond", "low", "high"))
    return f"{mean} points, 95 % interval {low} to {high}"


def _descriptions(tolds: Iterable[_Told]) -> pa.Table:
    rows = [
        {
            "layer": (head := HeadId.parse(told.description.head)).layer,
            "head": head.head,
            "writer": told.description.writer,
            "description": told.description.text,
            "relations": list(told.description.written),
            "classes": [str(word_class) for word_class in told.description.classes],
            "source": told.description.source,
            "problem": "; ".join([told.description.problem, *told.problems]).strip("; "),
        }
        for told in tolds
    ]
    return pa.Table.from_pylist(rows, schema=_DESCRIPTIONS)


_HEAD = [("layer", pa.int32()), ("head", pa.int32())]
_ENDS = [(name, pa.float64()) for name in ("accuracy", "beyond", "low", "high")]
_WHO = [(name, pa.string()) for name in ("who", "against", "kind")]
_DESCRIPTIONS = pa.schema(
    [
        *_HEAD,
        ("writer", pa.string()),
        ("description", pa.string()),
        ("relations", pa.list_(pa.string())),
        ("classes", pa.list_(pa.string())),
        ("source", pa.string()),
        ("problem", pa.string()),
    ]
)
_ANSWERS = pa.schema(
    [
        *_HEAD,
        ("question", pa.int32()),
        *((name, pa.string()) for name in ("kind", "text_id", "group", "shown", "truth")),
        ("chance", pa.float64()),
        ("who", pa.string()),
        ("credit", pa.float64()),
    ]
)
_SCORES = pa.schema([*_HEAD, *_WHO, *_ENDS, ("questions", pa.int32()), ("groups", pa.int32())])
_OVERALL = pa.schema(
    [*_WHO, *_ENDS, *((name, pa.int32()) for name in ("heads", "better", "worse"))]
)
