"""Hints: which heads change what they read when a hint changes the model's answer."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscribe.api.progress import shown
from headscribe.api.replace import opened_model
from headscribe.api.requests import HintsRequest
from headscribe.api.runs import begin, check_resume
from headscribe.api.views import View
from headscribe.core.errors import UsageError, unknown_name
from headscribe.core.heads import HeadId
from headscribe.fitting.stored import stored_formulas
from headscribe.models.inputs import facts_of
from headscribe.results.requests import digest_of, verb

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from headscribe.hinting.causal import Restoration
    from headscribe.hinting.comparison import Finding, Ranking
    from headscribe.hinting.outcomes import Rate
    from headscribe.hinting.questions import Questions
    from headscribe.hinting.run import HintStudy, Settings
    from headscribe.models.model import Model
    from headscribe.results.run import Run

TOP = 10
"""Heads that the JSON document lists."""

_LISTED = ("rates", "ranking", "causal")
"""Tables that it holds."""


@dataclass(frozen=True, repr=False)
class Hints(View):
    """What hints do to a model, read from its directory."""

    @property
    def document(self) -> dict[str, Any]:
        """The shape of `hints --json`.

        Raises:
            UsageError: the run is unfinished.
        """
        return {"run": str(self.folder), **self.fact("hints")}

    @property
    def heads(self) -> "tuple[Finding, ...]":
        """All heads, best first; none where heads are not ranked."""
        from headscribe.hinting.comparison import Finding
        from headscribe.results.records import records_of

        self.fact("hints")
        ranked = "ranking" in self.tables
        return records_of(Finding, self.run.table("ranking")) if ranked else ()

    @property
    def ranking(self) -> "Ranking":
        """Whether heads are ranked, on what grounds, and why not."""
        from headscribe.hinting.comparison import Ranking
        from headscribe.hinting.statistics import Following

        facts = self.fact("ranking")
        return Ranking(**facts | {"follow": Following(**facts["follow"])})

    @property
    def rates(self) -> "tuple[Rate, ...]":
        """Accuracy, change rates and what else is counted."""
        from headscribe.hinting.outcomes import Rate
        from headscribe.results.records import records_of

        return records_of(Rate, self.run.table("rates"))

    @property
    def messages(self) -> list[str]:
        """What a reader must be told."""
        told: list[str] = self.document["messages"]
        return told

    @property
    def study(self) -> "HintStudy":
        """The model, the questions and all readings, in the process that made the run.

        Raises:
            UsageError: the run was opened from its directory, which holds tables alone.
        """
        found: HintStudy | None = self.__dict__.get("_study")
        if found is None:
            raise UsageError(
                f"{self.folder} was opened without its model: ask again with headscribe.hints"
            )
        return found

    def restored(
        self, heads: Sequence[HeadId | str | tuple[int, int]], how: str = "block"
    ) -> "Restoration":
        """How many of the answers that followed the wrong hint come back when heads are altered.

        Args:
            heads: which heads.
            how: `block`: they do not read the hint; `unhinted`: they attend as without it.

        Raises:
            UsageError: no answer followed the hint, or the model has no such heads, or it is not
                at hand, see `study`.
        """
        from headscribe.hinting.intervention import HOWS

        chosen = next((one for one in HOWS if one == how), None)
        if chosen is None:
            raise unknown_name("way to alter heads", how, list(HOWS))
        return self.study.causal.restored([HeadId.of(head) for head in heads], chosen)

    def figures(self) -> "dict[str, Figure]":
        """The grid of heads and the column profiles of one question, by a short name."""
        from headscribe.report.hint_figures import hint_figures

        return hint_figures(self.run)

    def _said(self) -> Iterable[str]:
        if self.run.complete:
            yield f"{self.document['questions']['rows']} questions"
            yield self.messages[0] if self.messages else ""


@verb(HintsRequest)
def hints(request: HintsRequest) -> Hints:
    """Ask questions with and without hints, and find the heads that read otherwise for it.

    Every question is asked without hint, with a hint to a wrong answer, with a hint to the right
    one, and with a neutral note of as many tokens. One observed pass a condition and question
    compares all heads; `docs/decisions/hints.md` says how.

    >>> import headscribe as hs
    >>> question = {"question": "What is big?", "choices": ["a cat", "a house"], "answer": 1}
    >>> found = hs.hints("bundled:stories", [question] * 2, answer="likelihood", causal=False)
    >>> len(found.frame("answers"))
    8

    Raises:
        UsageError: wrong input; says which and what would work.
        RunError: NaN attention, memory, a disk that is full. What was stored stays.
    """
    from headscribe.hinting.messages import messages
    from headscribe.hinting.questions import questions_of
    from headscribe.hinting.run import study
    from headscribe.hinting.slides import OWN
    from headscribe.hinting.tables import run_tables

    _check(request)
    check_resume(request)
    questions = questions_of(request.questions, request.limit)
    model = opened_model(request.model, device=request.device, dtype=request.dtype)
    settings = _settings(request, model)
    given = request.programs
    named = isinstance(given, str | Path)
    prediction = OWN if given is None else str(given) if named else "programs"
    formulas = stored_formulas(given) if isinstance(given, str | Path) else given
    run = _begun(request, model, questions, settings, prediction)
    if run.complete:
        return Hints(run)
    with shown(request.on_progress) as on_progress:
        found = study(model, questions, settings, run, on_progress, formulas, prediction)
    tables = run_tables(found)
    for name, table in tables.items():
        run.write_table(name, table)
    facts = _facts(found) | {"messages": messages(found)}
    rows = {name: table.to_pylist() for name, table in tables.items() if name in _LISTED}
    document = {
        "questions": {"rows": len(questions), **found.questions.counts},
        "answer": settings.answer,
        "messages": facts["messages"],
        "rates": rows["rates"],
        "ranking": facts["ranking"],
        "heads": rows.get("ranking", [])[:TOP],
        "causal": rows.get("causal", []),
    }
    run.finish(**facts, hints=document)
    view = Hints(run)
    view.__dict__["_study"] = found
    return view


def _check(request: HintsRequest) -> None:
    """Whether the words of a request are known.

    Raises:
        UsageError: one is not.
    """
    from typing import get_args

    from headscribe.hinting.conditions import AnswerMode, Position

    for name, given, known in (
        ("position", request.position, get_args(Position)),
        ("way to answer", request.answer, (*get_args(AnswerMode), None)),
    ):
        if given not in known:
            raise unknown_name(name, str(given), [one for one in known if one])


def _settings(request: HintsRequest, model: "Model") -> "Settings":
    from headscribe.hinting.conditions import DEFAULT, read_template
    from headscribe.hinting.run import Settings

    template = request.template
    words = read_template(template) if isinstance(template, str | Path) else template
    default = "generate" if model.tokenizer.chat_template else "likelihood"
    return Settings(
        words or DEFAULT, request.position, request.answer or default, request.max_new_tokens,  # type: ignore[arg-type]
        request.seed, request.top, request.causal, request.token_budget,
    )  # fmt: skip


def _begun(
    request: HintsRequest,
    model: "Model",
    questions: "Questions",
    settings: "Settings",
    prediction: str,
) -> "Run":
    return begin(
        request,
        "hints",
        (model.name, questions.name, "hints"),
        {
            "model": model.fingerprint,
            "dtype": str(model.hf.dtype).removeprefix("torch."),
            "questions": questions.fingerprint,
            "template": digest_of(asdict(settings.template)),
            "answers": settings.answer,
            "programs": prediction,
        },
        answer=settings.answer,
        model=facts_of(model) | {"chat": bool(model.tokenizer.chat_template)},
    )


def _facts(found: "HintStudy") -> dict[str, Any]:
    """What `run.json` says beside the tables."""
    questions = found.questions
    example = found.outcomes.asked[found.example].question.id
    return {
        "questions": {
            "name": questions.name, "fingerprint": questions.fingerprint, "rows": len(questions),
            **questions.counts,
        },
        "ranking": asdict(found.comparison.ranking),
        "example": {"question": example, "condition": "wrong"},
        "passes": found.passes,
    }  # fmt: skip
