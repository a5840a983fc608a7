"""From what a user names to what an engine reads: a source of attention and its passages."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from headscribe.core.errors import UsageError
from headscribe.core.progress import OnProgress, silent
from headscribe.core.visible import plural
from headscribe.text.alignment import align
from headscribe.text.annotation import Annotation, annotated
from headscribe.text.annotators import Annotator, Gold, annotator, default_for
from headscribe.text.control import bare_text, completed, joined, readable
from headscribe.text.corpora import Corpus, Text, corpus
from headscribe.text.passages import WORD_FIELDS, Encoding, Passage, Words, known_of

if TYPE_CHECKING:
    from headscribe.models.loading import Source
    from headscribe.models.model import Model
    from headscribe.models.recorded import Recording

CorpusLike: TypeAlias = Any
"""What `corpus` takes."""


def sourced(request: Any) -> "tuple[Model | Recording, Corpus | None]":  # noqa: ANN401
    """The model and its texts, or the recording, that a request names.

    Raises:
        UsageError: neither or both are given, one of them does not exist, or an option for loading
            is given with a model that is loaded already.
    """
    from headscribe.models.recorded import Recording

    model, texts = request.model, request.texts
    if request.recorded is not None or isinstance(model, Recording):
        if texts is not None or (request.recorded is not None and model is not None):
            raise UsageError("expected either MODEL with --text or --recorded FOLDER, got both")
        return (model if isinstance(model, Recording) else Recording(request.recorded)), None
    if model is None or texts is None:
        missing = "a model and texts (--text PATH)" if model is None else "texts (--text PATH)"
        raise UsageError(f"expected {missing}, or a recording (--recorded FOLDER)")
    read_texts = corpus(texts, request.limit, request.column)  # a wrong path is said at once
    # Not above: transformers takes seconds to import, and a recording needs none of it.
    from headscribe.models.loading import load
    from headscribe.models.model import Model

    if isinstance(model, Model):
        return model, read_texts
    options = {name: getattr(request, name, None) for name in ("device", "dtype", "stack")}
    return load(model, **options), read_texts


def facts_of(source: "Model | Recording") -> dict[str, object]:
    """What `run.json` says of a model."""
    stored = getattr(source, "quantisation", None)  # recordings have none
    return ({} if stored is None else {"quantisation": stored}) | {
        "name": source.name,
        "fingerprint": source.fingerprint,
        "layers": source.layers,
        "heads": source.heads,
        "causal": any(source.visibility(layer).causal for layer in range(source.layers)),
    }


@dataclass(frozen=True)
class Inputs:
    """A source of attention with the passages that it will be asked about.

    Attributes:
        source: the model or recording.
        passages: the texts, tokenised, annotated and aligned.
        provides: the word fields that every passage has.
        corpus: name, fingerprint and counts, for the record.
        annotator: its name and fingerprint.
        notes: what a reader of the results should know.
        later: finds the words that the passages still lack; None: they lack none.
    """

    source: "Model | Recording"
    passages: tuple[Passage, ...]
    provides: frozenset[str]
    corpus: dict[str, object]
    annotator: dict[str, str]
    notes: tuple[str, ...] = field(default=())
    later: Annotator | None = None

    @property
    def fingerprints(self) -> dict[str, object]:
        """Of the source, its texts as it reads them, and their words; a run resumes with these."""
        return {
            "model": self.source.fingerprint,
            "texts": [self.corpus[part] for part in ("fingerprint", "texts", "tokens")],
            "annotator": self.annotator,
        }

    @property
    def model_facts(self) -> dict[str, object]:
        """What `run.json` says of the model."""
        return facts_of(self.source)

    @contextmanager
    def completing(
        self, order: Sequence[str], workers: int | None, on_progress: OnProgress
    ) -> Iterator[Callable[[Sequence[Passage]], Sequence[Passage]]]:
        """Gives passages their words, ahead of their use: in processes of their own if worth it.

        Args:
            order: the texts as they will be asked for; one that is named twice is kept meanwhile.
            workers: processes that annotate; None: what the work is worth.
        """
        if self.later is None:
            yield lambda passages: passages
            return
        left = Counter(order)
        bare = {passage.text_id: passage for passage in self.passages}
        texts = [bare_text(bare[name]) for name in left]
        annotation = Annotation(
            texts,
            self.later,
            workers=workers,
            progress=lambda done, total: on_progress("annotating", done, total),
        )
        kept: dict[str, Passage] = {}

        def complete(passages: Sequence[Passage]) -> Sequence[Passage]:
            found = []
            for passage in passages:
                name = passage.text_id
                whole = kept.pop(name, None) or completed(passage, annotation.words(name))
                left[name] -= 1
                if left[name] > 0:
                    kept[name] = whole
                found.append(whole)
            return found

        with annotation:
            yield complete


def open_inputs(
    model: "Model | Recording | Source",
    texts: CorpusLike | None,
    annotator_name: str | Annotator | None,
    limit: int | None,
    max_tokens: int | None,
    on_progress: OnProgress,
    *,
    later: bool = False,
) -> Inputs:
    """Open a model with a corpus, or a recording, which has its own texts.

    Args:
        texts: what `headscribe.corpus` takes; None for a recording.
        later: leave out words that take long to find; `Inputs.completing` finds them.

    Raises:
        UsageError: texts for a recording, none for a model, or what opening either raises.
    """
    from headscribe.models.recorded import Recording

    if isinstance(model, Recording):
        if texts is not None or max_tokens is not None:
            raise UsageError("a recording has its own texts: leave out texts and max_tokens")
        return _recorded(model, annotator_name, limit, on_progress)
    if texts is None:
        raise UsageError("expected texts for the model to read, got none")
    read = corpus(texts, limit)
    from headscribe.models.loading import load  # as in `sourced`
    from headscribe.models.model import Model

    loaded = model if isinstance(model, Model) else load(model)
    return model_inputs(loaded, read, annotator_name, max_tokens, on_progress, later=later)


def model_inputs(
    model: "Model",
    texts: Corpus,
    annotator_name: str | Annotator | None = None,
    max_tokens: int | None = None,
    on_progress: OnProgress = silent,
    *,
    later: bool = False,
) -> Inputs:
    """Tokenise, annotate and align a corpus for a model; see `open_inputs`.

    Raises:
        UsageError: no such annotator, or no text has a token.
    """
    chosen = _annotator(annotator_name, texts) if annotator_name else default_for(texts)
    later = later and chosen.cacheable
    encodings = model.encode([text.text for text in texts], max_tokens)
    with_tokens = [
        (text, encoding)
        for text, encoding in zip(texts, encodings, strict=True)
        if len(encoding) and not encoding.is_special.all()
    ]
    empty = len(texts) - len(with_tokens)
    cut = sum(encoding.cut > 0 for _, encoding in with_tokens)
    if later:
        nothing = Words((), np.zeros((0, 2), np.int64))
        passages = [align(text, encoding, nothing) for text, encoding in with_tokens]
    else:
        passages = _annotated(texts, with_tokens, chosen, on_progress)
    if not passages:
        raise UsageError(f"expected texts with at least one token, got {empty} without any")
    skipped = dict(texts.skipped) | ({"no token": empty} if empty else {})
    notes = (*texts.notes, *getattr(chosen, "notes", ()))
    if cut:
        notes = (*notes, f"cut at the token limit: {cut} of {plural(len(passages), 'text')}")
    provides = chosen.provides | known_of(text.about for text in texts)
    return Inputs(
        model, tuple(passages), provides, _facts(texts, passages, skipped, cut),
        _identity(chosen), notes, chosen if later else None,
    )  # fmt: skip


def _facts(
    source: "Corpus | Recording", passages: Sequence[Passage], skipped: dict[str, int], cut: int
) -> dict[str, object]:
    """What `run.json` says of the texts."""
    return {
        "name": source.name,
        "fingerprint": source.fingerprint,
        "texts": len(passages),
        "groups": len({passage.group for passage in passages}),
        "tokens": sum(map(len, passages)),
        "skipped": skipped,
        "cut": cut,
    }


def _annotated(
    texts: Corpus,
    encoded: Sequence[tuple[Text, Encoding]],
    chosen: Annotator,
    on_progress: OnProgress,
) -> list[Passage]:
    gold = isinstance(chosen, Gold)  # whose words stand where the treebank says
    read = tuple(text if gold else readable(text, encoding) for text, encoding in encoded)
    progress = lambda done, total: on_progress("annotating", done, total)  # noqa: E731
    found = annotated(replace(texts, texts=read), chosen, progress)
    return [
        (align if gold else joined)(text, encoding, words)
        for (_, words), (text, encoding) in zip(found, encoded, strict=True)
    ]


def _recorded(
    recording: "Recording",
    annotator_name: str | Annotator | None,
    limit: int | None,
    on_progress: OnProgress,
) -> Inputs:
    """The texts of a recording; an annotator adds the word fields that the recording lacks.

    Raises:
        UsageError: an annotator that cannot tag given words.
    """
    passages = recording.passages if limit is None else recording.passages[:limit]
    identity = {"name": "recorded", "fingerprint": ""}
    notes: tuple[str, ...] = ()
    if annotator_name is not None:
        from headscribe.text.annotators.spacy import Spacy

        chosen = _annotator(annotator_name, Corpus(recording.name, tuple(map(bare_text, passages))))
        if not isinstance(chosen, Spacy):
            raise UsageError(
                f"expected a spaCy pipeline to tag recorded words, got {annotator_name!r}; "
                "bundled:en works"
            )
        tagged = []
        for done, passage in enumerate(passages, 1):
            words = passage.words
            found = chosen.annotate_words(words.form, words.spans, passage.text)
            # What was recorded stays, what it lacks is filled.
            missing = {name: getattr(found, name) for name in found.provides - words.provides}
            tagged.append(replace(passage, words=replace(words, **missing)))
            on_progress("annotating", done, len(passages))
        passages, identity, notes = tuple(tagged), _identity(chosen), chosen.notes
    provides = frozenset(WORD_FIELDS)
    for passage in passages:
        provides &= passage.words.provides
    provides |= known_of(passage.about for passage in passages)
    return Inputs(
        recording, passages, provides, _facts(recording, passages, {}, 0), identity, notes
    )


def _annotator(given: str | Annotator, texts: Corpus | None = None) -> Annotator:
    return annotator(given, texts) if isinstance(given, str) else given


def _identity(chosen: Annotator) -> dict[str, str]:
    return {"name": chosen.name, "fingerprint": chosen.fingerprint}
