"""Words, tags and trees by a spaCy pipeline with Universal Dependencies labels."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from headscribe.core.arrays import Spans
from headscribe.core.assets import asset
from headscribe.core.errors import RunError, UsageError, unknown_name
from headscribe.text.annotators.language import Language
from headscribe.text.annotators.universal import refusal, strange_labels, universal
from headscribe.text.corpora import Text
from headscribe.text.passages import WORD_FIELDS, Words

BUNDLED = {"bundled:en": "en"}
"""The pipelines inside the package, by name: their folder under `headscribe/assets`."""

_PROVIDED = {
    "lemma": ("LEMMA", "token.lemma"),
    "upos": ("POS", "token.pos"),
    "xpos": ("TAG", "token.tag"),
    "morph": ("MORPH", "token.morph"),
    "dep": ("DEP", "token.dep"),
    "head": ("DEP", "token.head"),
    "entity": ("ENT_IOB", "doc.ents"),
    "sentence": ("SENT_START", "doc.sents"),
}
"""How spaCy names each word field: as an attribute, and in what a component says it assigns."""

_DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    IndexError,
    ImportError,
)
"""What spaCy raises for a folder whose files are missing, cut off or of another version."""


class Spacy:
    """A spaCy pipeline as an annotator.

    Blank tokens are no words: their children move up to the nearest word above. Labels go through
    `universal`. Roots have head -1, features are written as in CoNLL-U, sentences are counted
    from 0.

    Attributes:
        name: the pipeline's package or folder.
        fingerprint: hash of the pipeline's files and of spaCy's version.
        provides: the fields that the pipeline's components assign, by their own word or on a
            short sample.
        language: tells whether texts are in the pipeline's language.
        notes: what a reader of its annotations should know.
    """

    cacheable = True

    def __init__(self, nlp: Any, name: str) -> None:  # noqa: ANN401  # spaCy is imported lazily
        """Wrap a loaded pipeline; its trees are left out where their labels mean other arcs."""
        self.language = Language.of(nlp)
        self._nlp = nlp
        self.name = name
        self.fingerprint = _fingerprint(nlp)
        self.provides = _provides(nlp)
        self.notes: tuple[str, ...] = ()
        parsers = [nlp.get_pipe(p) for p in ("parser", "trainable_parser") if p in nlp.pipe_names]
        strange = strange_labels(label for parser in parsers for label in parser.labels)
        if strange:
            self.provides -= {"dep", "head"}
            self.notes = (
                f"the trees of the spaCy pipeline {name} are left out, its tags and lemmas kept: "
                f"{refusal(strange)}",
            )

    def insisted(self, texts: Sequence[str]) -> "Spacy":
        """This annotator, with a note if the texts seem not to be in its language."""
        doubt = self.language.doubt(texts)
        if doubt is None:
            return self
        noted = copy(self)
        noted.notes = (
            *self.notes,
            f"the texts may not be {self.language.name}: {doubt.reason}; tags and trees by "
            f"{self.name} then mean nothing",
        )
        return noted

    def annotate(self, texts: Sequence[Text]) -> Iterator[Words]:
        """The words of every text.

        Raises:
            UsageError: a text is longer than the pipeline takes.
            RunError: a component gave a label that has no Universal Dependencies name.
        """
        for text in texts:
            if len(text.text) > self._nlp.max_length:
                raise UsageError(
                    f"text {text.id}: expected at most {self._nlp.max_length} characters for "
                    f"{self.name}, got {len(text.text)}; cut it into several texts of one group"
                )
        docs = self._nlp.pipe(text.text for text in texts)
        for text, doc in zip(texts, docs, strict=True):
            keep = [token.i for token in doc if not token.is_space]
            spans = [(doc[i].idx, doc[i].idx + len(doc[i].text)) for i in keep]
            form = tuple(doc[i].text for i in keep)
            places = np.array(spans, np.int64).reshape(-1, 2)
            yield self._words(doc, keep, form, places, f"text {text.id}")

    def annotate_words(self, forms: Sequence[str], spans: Spans, text: str) -> Words:
        """Tag and parse given words; they come back as they are, with the fields of `provides`.

        Args:
            forms: the words, none empty.
            spans: where they stand, shape `(W, 2)`; a blank follows a word if one does in `text`.

        Raises:
            UsageError: an empty word, or a pipeline that merges or splits words.
            RunError: a component gave a label that has no Universal Dependencies name.
        """
        from spacy.tokens import Doc

        if not all(forms) or len(forms) != len(spans):
            raise UsageError(
                f"expected words of at least one character and a span for each, got {len(forms)} "
                f"words, {sum(not form for form in forms)} of them empty, and {len(spans)} spans"
            )
        spaces = [text[end : end + 1].isspace() for _, end in np.asarray(spans).tolist()]
        doc = self._nlp(Doc(self._nlp.vocab, words=list(forms), spaces=spaces))
        if len(doc) != len(forms):
            raise UsageError(
                f"expected {len(forms)} words from {self.name}, got {len(doc)}; a pipeline for "
                "given words may not merge or split them"
            )
        shape = np.asarray(spans, np.int64).reshape(-1, 2)
        return self._words(doc, list(range(len(doc))), tuple(forms), shape, "given words")

    def _words(
        self,
        doc: Any,  # noqa: ANN401
        keep: list[int],
        form: tuple[str, ...],
        spans: Spans,
        where: str,
    ) -> Words:
        tokens = [doc[i] for i in keep]
        columns: dict[str, Any] = {}
        readers: dict[str, Callable[[Any], str]] = {
            "lemma": lambda token: token.lemma_,
            "upos": lambda token: token.pos_,
            "xpos": lambda token: token.tag_,
            "morph": lambda token: str(token.morph),
            "entity": lambda token: token.ent_type_,
        }
        for name in self.provides & readers.keys():
            columns[name] = tuple(readers[name](token) for token in tokens)
        if "head" in self.provides:
            columns["head"] = head = _heads(doc, keep)
            try:
                labels = [universal(token.dep_) if token.dep_ else "" for token in tokens]
            except UsageError as error:
                raise RunError(f"{where}: spaCy pipeline {self.name}: {error}") from None
            columns["dep"] = tuple(
                "root" if above < 0 else label for above, label in zip(head, labels, strict=True)
            )
        if "sentence" in self.provides:
            columns["sentence"] = np.unique(_sentences(doc)[keep], return_inverse=True)[1]
        return Words(form, spans, **columns)


def _heads(doc: Any, keep: list[int]) -> Int[np.ndarray, " W"]:  # noqa: ANN401
    """The index among `keep` of every kept token's head, passing over dropped ones; -1: root."""
    place = {i: word for word, i in enumerate(keep)}
    heads = np.full(len(keep), -1, np.int64)
    for word, i in enumerate(keep):
        token = doc[i]
        while token.head.i != token.i and token.head.i not in place:
            token = token.head
        if token.head.i != token.i:
            heads[word] = place[token.head.i]
    return heads


def _sentences(doc: Any) -> Int[np.ndarray, " N"]:  # noqa: ANN401
    starts = [i > 0 and bool(token.is_sent_start) for i, token in enumerate(doc)]
    return np.cumsum(starts, dtype=np.int64)


def _provides(nlp: Any) -> frozenset[str]:  # noqa: ANN401
    sample = nlp("Anna saw two birds in Paris.")
    said = {what for pipe in nlp.pipe_names for what in nlp.get_pipe_meta(pipe).assigns}
    known = {
        name
        for name, (attribute, assigned) in _PROVIDED.items()
        if assigned in said or sample.has_annotation(attribute)
    }
    if not {"dep", "head"} <= known:
        known -= {"dep", "head"}
    return frozenset(known) & frozenset(WORD_FIELDS)


def _fingerprint(nlp: Any) -> str:  # noqa: ANN401
    import spacy

    hashed = blake2b(f"1:{spacy.__version__}:{nlp.lang}:{nlp.pipe_names}".encode(), digest_size=16)
    if nlp.path is None:
        hashed.update(nlp.to_bytes())
        return f"spacy-{hashed.hexdigest()}"
    for path in sorted(p for p in Path(nlp.path).rglob("*") if p.is_file()):
        hashed.update(f"{path.relative_to(nlp.path).as_posix()}:{path.stat().st_size}:".encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                hashed.update(block)
    return f"spacy-{hashed.hexdigest()}"


def load(spec: str) -> Spacy:
    """Load `bundled:en`, an installed spaCy pipeline, or one from a folder.

    Raises:
        UsageError: there is no such pipeline, or its files are damaged.
    """
    if spec.startswith("bundled:"):
        if spec not in BUNDLED:
            raise unknown_name("bundled annotator", spec, list(BUNDLED))
        return _bundled(asset(BUNDLED[spec]), spec)
    folder = Path(spec)
    if folder.is_dir():
        return _load(folder, spec, "train or download it again")
    import spacy

    installed = sorted(spacy.util.get_installed_models())
    if spec not in installed:
        raise unknown_name(
            "annotator or folder of a spaCy pipeline",
            spec,
            ["plain", "conllu", *BUNDLED, *installed],
        )
    return _load(spec, spec, "install it again in a version for this spaCy")


@lru_cache(maxsize=2)
def _bundled(folder: Path, spec: str) -> Spacy:
    """Loaded once a process: it takes a second, and every step of a demonstration needs it."""
    return _load(folder, spec, "install headscribe again")


def _load(source: str | Path, name: str, remedy: str) -> Spacy:
    import spacy

    if isinstance(source, Path):
        for needed in ("meta.json", "config.cfg", "tokenizer", "vocab/strings.json"):
            if not (source / needed).exists():
                raise UsageError(
                    f"annotator {name}: expected the file {source / needed}, got none; {remedy}, "
                    "or use --annotator plain"
                )
    try:
        nlp = spacy.load(source)
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"annotator {name}: {source} is damaged or of another spaCy version "
            f"({type(error).__name__}: {reason}); {remedy}, or use --annotator plain"
        ) from error
    return Spacy(nlp, name)
