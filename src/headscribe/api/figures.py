"""The figures of a survey, and the optimal matrices of the classic patterns on known sentences."""

from typing import TYPE_CHECKING

from headscribe.api.trying import words_passage
from headscribe.core.visibility import FULL
from headscribe.patterns.registry import registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from headscribe.api.survey import Survey

SENTENCES = (
    "When it was time to go home, Beep knew he needed more fuel.",
    "Hi. How are you? I'm fine! Thanks. Bye, see you tomorrow.",
    "I like apples and I like bananas. I like apples more though.",
    "The quick brown fox jumps over the lazy dog.",
)
"""The sentences of the exploratory slides."""


def optimal_figures(annotator: str | None = None) -> "dict[str, Figure]":
    """What each classic pattern predicts on each of the slides' sentences, by a short name."""
    from headscribe.report.figures import optimal_figure

    found: dict[str, Figure] = {}
    for number, sentence in enumerate(SENTENCES, 1):
        passage = words_passage(sentence, annotator)
        predictions = {
            pattern.name: pattern.predict(passage, FULL).to_dense()
            for pattern in registry().select(["classic"])
            if pattern.needs <= passage.words.provides
        }
        found[f"optimal-{number}"] = optimal_figure(
            list(passage.tokens), predictions, title="What each pattern predicts", note=sentence
        )
    return found


def survey_figures(survey: "Survey") -> "dict[str, Figure]":
    """Grid, layers and containment of a survey, by a short name."""
    from headscribe.report import overview

    run = survey.run
    return {
        "grid": overview.grid_figure(run),
        "layers": overview.layers_figure(run),
        "containment": overview.containment_figure(run),
        "gate": overview.gate_figure(run),
    }
