"""One sentence: what a head reads in it, and what a pattern says of it, as matrices."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from headscribe.api.heads import loaded_head
from headscribe.core.arrays import Attention
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.visibility import CAUSAL, FULL
from headscribe.patterns.contract import Pattern
from headscribe.patterns.registry import pattern_of
from headscribe.text.alignment import align
from headscribe.text.annotators import annotator, default_for
from headscribe.text.corpora import from_strings
from headscribe.text.passages import Encoding, Passage

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from headscribe.fitting.heads import HeadFormula
    from headscribe.models.loading import Source
    from headscribe.models.model import Model


@dataclass(frozen=True, eq=False, repr=False)
class Matrix:
    """Attention on one text, of a head or as a pattern predicts it.

    Attributes:
        title: what it is.
        labels: the `T` tokens, as a person reads them.
        values: from each query (row) to each key (column), shape `(T, T)`, 0 to 1; a row of zeros
            is one that the pattern says nothing about.
        note: of what text, by which model.
    """

    title: str
    labels: tuple[str, ...]
    values: Attention
    note: str = field(default="")

    def frame(self) -> Any:  # noqa: ANN401
        """The matrix as a pandas data frame, queries down and keys across.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            from pandas import DataFrame
        except ImportError as error:
            raise UsageError("expected pandas for a frame: pip install pandas") from error
        return DataFrame(self.values, index=list(self.labels), columns=list(self.labels))

    def figure(self, *others: "Matrix") -> "Figure":
        """The matrix beside others of the same text; of two also what they differ in.

        Raises:
            UsageError: one is of another text.
        """
        from headscribe.report.figures import matrix_figure

        panels = [self, *others]
        for matrix in others:
            if matrix.labels != self.labels:
                raise UsageError(
                    f"expected matrices of one text by one tokenizer, got {len(self.labels)} "
                    f"tokens of {self.title} and {len(matrix.labels)} of {matrix.title}: give the "
                    "model to headscribe.predict as well"
                )
        shown = {panel.title: panel.values for panel in panels}
        if len(panels) == 2:
            shown["difference"] = self.values - others[0].values
        return matrix_figure(self.labels, shown, title=" beside ".join(shown)[:90], note=self.note)

    def save(self, path: str | Path, *others: "Matrix") -> Path:
        """Write `figure` as an image, by the ending of its name.

        Raises:
            UsageError: an ending that is no image.
            RunError: it cannot be written.
        """
        from headscribe.report.figures import save_figure

        save_figure(self.figure(*others), path)
        return Path(path)

    def __str__(self) -> str:
        """The matrix in characters."""
        from headscribe.report.matrix_text import matrix_text

        return f"{self.title}\n{matrix_text(self.labels, self.values)}"

    def __repr__(self) -> str:
        return f"<Matrix of {self.title}, {len(self.labels)} tokens>"

    def _repr_html_(self) -> str:
        """The figure, as a notebook shows it."""
        from base64 import b64encode
        from io import BytesIO

        image = BytesIO()
        self.figure().savefig(image, format="png", dpi=144)
        content = b64encode(image.getvalue()).decode()
        return f'<img alt="attention" width="480" src="data:image/png;base64,{content}">'


def attention(
    model: "Model | Source",
    text: str,
    head: HeadId | str | tuple[int, int],
    annotator: str | None = "plain",
) -> Matrix:
    """The attention of one head on one text.

    >>> import headscribe as hs
    >>> hs.attention("bundled:stories", "The cat sat on the mat.", "1.2")
    <Matrix of L1H2, 8 tokens>

    Raises:
        UsageError: no such model or head.
    """
    from headscribe.models.recorded import attention_of

    loaded, passage = _read(model, text, annotator)
    wanted = HeadId.of(head)
    loaded_head(loaded, wanted)
    ((_, found),) = attention_of(loaded, [passage])
    return _matrix(wanted.prose, passage, found[wanted.layer, wanted.head], loaded.name)


def predict(
    pattern: "str | Pattern | HeadFormula",
    text: str,
    model: "Model | Source | None" = None,
    annotator: str | None = None,
    *,
    causal: bool = False,
) -> Matrix:
    """What a pattern predicts on one text.

    >>> import headscribe as hs
    >>> hs.predict("distance == -1", "The cat sat.", causal=True).values.argmax(axis=1).tolist()
    [0, 0, 1, 2]

    Args:
        pattern: a name of the catalogue, a relation, a pattern, or a head of a fit.
        text: the text.
        model: whose tokens are meant, and whose layers' sight; None: words are the tokens.
        annotator: as in `survey`.
        causal: without a model: hide later keys, as a causal model does.

    Raises:
        UsageError: a malformed relation, or one that needs tags that the annotator does not give.
    """
    asked: Any = pattern_of(pattern) if isinstance(pattern, str) else pattern
    chosen: Pattern = getattr(asked, "formula", asked)
    if not hasattr(chosen, "predict"):
        raise UsageError(
            "expected a pattern, the name of one, a relation or a head's formula, got "
            f"{type(asked).__name__}"
        )
    sight = CAUSAL if causal else FULL
    if model is None:
        passage, name = words_passage(text, annotator, frame=not causal), ""
    else:
        loaded, passage = _read(model, text, annotator)
        head = getattr(asked, "head", None)
        layer = head.layer if isinstance(head, HeadId) else 0
        sight, name = loaded.visibility(layer), loaded.name
    missing = sorted(chosen.needs - passage.words.provides)
    if missing:
        raise UsageError(
            f"{chosen.name} needs {', '.join(missing)} of every word, which the annotator does not "
            "give; --annotator bundled:en does"
        )
    title = pattern if isinstance(pattern, str) else chosen.name
    return _matrix(title, passage, chosen.predict(passage, sight).to_dense(), name)


def _read(
    model: "Model | Source", text: str, annotator_name: str | None
) -> "tuple[Model, Passage]":
    """The model, and the text as it reads it."""
    from headscribe.api.replace import opened_model
    from headscribe.models.inputs import model_inputs
    from headscribe.text.corpora import corpus

    loaded = opened_model(model)
    (passage,) = model_inputs(loaded, corpus([text]), annotator_name=annotator_name).passages
    return loaded, passage


def _matrix(title: str, passage: Passage, values: Iterable[Any], model: str) -> Matrix:

    labels = [passage.label(i) if model else token for i, token in enumerate(passage.tokens)]
    return Matrix(title, tuple(labels), np.asarray(values, np.float32), model)


def words_passage(text: str, annotator_name: str | None = None, *, frame: bool = True) -> Passage:
    """A text whose tokens are its words, between `[CLS]` and `[SEP]` if `frame` is set.

    Raises:
        UsageError: the text has no word, or no such annotator.
    """
    corpus = from_strings([text])
    chosen = annotator(annotator_name, corpus) if annotator_name else default_for(corpus)
    words = next(iter(chosen.annotate(corpus.texts)))
    if not len(words):
        raise UsageError(f"expected a text with at least one word, got {text!r}")
    forms = [form.lower() for form in words.form]
    vocabulary = {form: 2 + i for i, form in enumerate(sorted(set(forms)))}
    ids = [vocabulary[form] for form in forms]
    tokens, spans, special = list(words.form), words.spans.tolist(), [False] * len(words)
    if frame:
        tokens = ["[CLS]", *tokens, "[SEP]"]
        ids, spans = [0, *ids, 1], [[0, 0], *spans, [0, 0]]
        special = [True, *special, True]
    encoding = Encoding(
        tuple(tokens), np.array(ids), np.array(spans, np.int64), np.array(special, bool)
    )
    return align(corpus.texts[0], encoding, words)
