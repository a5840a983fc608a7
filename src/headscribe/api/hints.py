"""Hints: which heads change what they read when a hint changes the model's answer."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscribe.api.formulas import stored_formulas
from headscribe.api.replace import opened_model
from headscribe.core.errors import UsageError, unknown_name
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.results.run import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from headscribe.hinting.causal import Restoration
    from headscribe.hinting.comparison import Finding, Ranking
    from headscribe.hinting.conditions import AnswerMode, Position, Template
    from headscribe.hinting.outcomes import Rate
    from headscribe.hinting.questions import Questions, QuestionsLike
    from headscribe.hinting.run import Settings, Study
    from headscribe.models.loading import Source
    from headscribe.models.model import Model
    from headscribe.replacement.plan import Program

TOP = 10
"""Heads that the JSON document lists."""


@dataclass(frozen=True, eq=False)
class Hints:
    """What hints do to a model.

    Attributes:
        study: everything that was found.
        document: the shape of `hints --json`.
        run: the run directory, if one was asked for.
    """

    study: "Study"
    document: dict[str, Any]
    run: Run | None

    @property
    def heads(self) -> "tuple[Finding, ...]":
        """All heads, best first; none where heads are not ranked."""
        return self.study.comparison.findings

    @property
    def ranking(self) -> "Ranking":
        """Whether heads are ranked, on what grounds, and why not."""
        return self.study.comparison.ranking

    @property
    def rates(self) -> "tuple[Rate, ...]":
        """Accuracy, change rates and what else is counted."""
        return self.study.outcomes.rates

    @property
    def messages(self) -> list[str]:
        """What a reader must be told."""
        told: list[str] = self.document["messages"]
        return told

    def restored(self, heads: Sequence[HeadId], how: str = "block") -> "Restoration":
        """How many of the answers that followed the wrong hint come back when heads are altered.

        Args:
            heads: which heads.
            how: `block`: they do not read the hint; `unhinted`: they attend as without it.

        Raises:
            UsageError: no answer followed the hint, or the model has no such heads.
        """
        from headscribe.hinting.intervention import HOWS

        chosen = next((one for one in HOWS if one == how), None)
        if chosen is None:
            raise unknown_name("way to alter heads", how, list(HOWS))
        return self.study.causal.restored(heads, chosen)

    def figures(self) -> "dict[str, Figure]":
        """The grid of heads and the column profiles of one question, by a short name.

        Raises:
            UsageError: nothing was kept on disk (`out`).
        """
        from headscribe.report.hint_figures import hint_figures

        if self.run is None:
            raise UsageError("expected a run directory to draw from: give hints(..., out=FOLDER)")
        return hint_figures(self.run)


def hints(
    model: "Model | Source",
    questions: "QuestionsLike",
    *,
    template: "Template | str | Path | None" = None,
    position: "Position" = "before",
    answer: "AnswerMode | None" = None,
    max_new_tokens: int = 256,
    limit: int | None = None,
    seed: int = 0,
    causal: bool = True,
    top: int = 5,
    programs: "str | Path | Mapping[HeadId, Program] | None" = None,
    token_budget: int = 4096,
    out: str | Path | None = None,
    resume: bool = False,
    report: OnProgress = silent,
) -> Hints:
    """Ask questions with and without hints, and find the heads that read otherwise for it.

    Every question is asked without hint, with a hint to a wrong answer, with a hint to the right
    one, and with a neutral note of as many tokens. One observed pass a condition and question
    compares all heads; `docs/decisions/hints.md` says how.

    Args:
        model: what `headscribe.load` takes or gives; a causal model.
        questions: a file (.jsonl, .csv, .parquet), rows, or a data set, with `question`, `choices`
            and `answer` (an index from 0, or a letter).
        template: the words around a question, or a TOML file of them.
        position: where the hint stands, `before` or `after` the question.
        answer: `likelihood` of each letter, or `generate` a chain of thought; None: the second
            where the tokenizer has a chat template.
        max_new_tokens: how much the model may write.
        limit: the first so many questions.
        seed: draws the wrong choices that are hinted, and random heads.
        causal: also alter the top heads, and random ones, to see whether answers change back.
        top: so many heads of the ranking.
        programs: predict attention for the score of the slides: the run of a fit, or programs.
        token_budget: tokens a batch; the four conditions of a question lie in one.
        out: directory of the run; None keeps nothing on disk.
        resume: go on with the unfinished run in `out`.
        report: hears of the progress.

    Raises:
        UsageError: wrong input; says which and what would work.
        RunError: NaN attention, memory, a disk that is full. What was stored stays.
    """
    from headscribe.hinting.messages import messages
    from headscribe.hinting.parts import InMemory
    from headscribe.hinting.questions import questions_of
    from headscribe.hinting.run import study
    from headscribe.hinting.slides import OWN
    from headscribe.hinting.tables import run_tables

    started = time.monotonic()
    asked = questions_of(questions, limit)
    loaded = opened_model(model)
    settings = _settings(
        loaded, template, position, answer, max_new_tokens, seed, causal, top, token_budget
    )
    prediction = str(programs) if isinstance(programs, str | Path) else "programs"
    formulas = stored_formulas(programs) if isinstance(programs, str | Path) else programs
    config = _config(loaded, asked, settings, OWN if formulas is None else prediction)
    run = None if out is None else _opened(out, config, resume)
    found = study(
        loaded, asked, settings, InMemory() if run is None else run, report, formulas,
        OWN if formulas is None else prediction,
    )  # fmt: skip
    document = _document(found, messages(found))
    if run is not None:
        for name, table in run_tables(found).items():
            run.write_table(name, table)
        run.finish(
            **_facts(found), hints=document, seconds=round(time.monotonic() - started, 2),
            finished=datetime.now(UTC).isoformat(timespec="seconds"),
        )  # fmt: skip
        document = {"run": str(run.folder), **document}
    return Hints(found, document, run)


def _settings(
    model: "Model",
    template: "Template | str | Path | None",
    position: str,
    answer: str | None,
    max_new_tokens: int,
    seed: int,
    causal: bool,
    top: int,
    token_budget: int,
) -> "Settings":
    from typing import get_args

    from headscribe.hinting.conditions import DEFAULT, AnswerMode, Position, read_template
    from headscribe.hinting.run import Settings

    for name, given, known in (
        ("position", position, get_args(Position)),
        ("way to answer", answer, (*get_args(AnswerMode), None)),
    ):
        if given not in known:
            raise unknown_name(name, str(given), [one for one in known if one])
    for name, number in (("new tokens", max_new_tokens), ("heads", top), ("tokens", token_budget)):
        if number < 1:
            raise UsageError(f"expected at least 1 of {name}, got {number}")
    words = read_template(template) if isinstance(template, str | Path) else template
    chosen = answer or ("generate" if model.tokenizer.chat_template else "likelihood")
    return Settings(
        words or DEFAULT, position, chosen, max_new_tokens, seed, top, causal, token_budget  # type: ignore[arg-type]
    )  # fmt: skip


def _config(
    model: "Model", questions: "Questions", settings: "Settings", prediction: str
) -> dict[str, Any]:
    """Everything that the numbers depend on; a run resumes only where all of it is equal."""
    return {
        "model": model.fingerprint,
        "dtype": str(model.hf.dtype).removeprefix("torch."),
        "questions": questions.fingerprint,
        **asdict(settings),
        "prediction": prediction,
    }


def _opened(out: str | Path, config: dict[str, Any], resume: bool) -> Run:
    if resume:
        run = Run.open(out)
        if run.manifest.get("kind") != "hints":
            raise UsageError(f"expected a run of hints in {out}, got {run.manifest.get('kind')}")
        run.check_config(config)
        if run.complete:
            raise UsageError(f"{out} is complete: there is nothing to resume")
        return run
    run = Run.create(out, "hints", config)
    run.manifest |= {
        "versions": {name: version(name) for name in ("headscribe", "torch", "transformers")},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    run.save()
    return run


def _facts(found: "Study") -> dict[str, Any]:
    """What `run.json` says beside the tables."""
    from headscribe.hinting.messages import messages

    model, questions = found.model, found.questions
    example = found.outcomes.asked[found.example].question.id
    return {
        "model": {
            "name": model.name,
            "fingerprint": model.fingerprint,
            "layers": model.layers,
            "heads": model.heads,
            "chat": bool(model.tokenizer.chat_template),
        },
        "questions": {
            "name": questions.name, "fingerprint": questions.fingerprint, "rows": len(questions),
            **questions.counts,
        },
        "messages": messages(found),
        "ranking": asdict(found.comparison.ranking),
        "example": {"question": example, "condition": "wrong"},
        "passes": found.passes,
    }  # fmt: skip


def _document(found: "Study", told: list[str]) -> dict[str, Any]:
    from headscribe.hinting.tables import run_tables

    tables = run_tables(found)
    ranking = asdict(found.comparison.ranking)
    heads = tables["ranking"].to_pylist()[:TOP] if "ranking" in tables else []
    causal = tables["causal"].to_pylist() if "causal" in tables else []
    return {
        "questions": {"rows": len(found.questions), **found.questions.counts},
        "answer": found.settings.answer,
        "messages": told,
        "rates": tables["rates"].to_pylist(),
        "ranking": ranking,
        "heads": heads,
        "causal": causal,
    }
