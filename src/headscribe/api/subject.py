"""What is examined: the heads of a source, on texts to fit to and, if asked, others to test on."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId, absent
from headscribe.core.progress import OnProgress
from headscribe.core.visible import plural
from headscribe.models.inputs import Inputs, open_inputs
from headscribe.text.corpora import corpus, unique_names
from headscribe.text.passages import Passage

if TYPE_CHECKING:
    from headscribe.fitting.atlas import Item


def read_inputs(
    request: Any,  # noqa: ANN401
    source: Any,  # noqa: ANN401
    texts: Any,  # noqa: ANN401
    on_progress: OnProgress,
) -> tuple[Inputs, Inputs | None]:
    """The texts to fit to, and those to score on, if they are others (`request.test`)."""
    annotator, most = request.annotator, request.max_tokens
    inputs = open_inputs(source, texts, annotator, request.limit, most, on_progress)
    if request.test is None:
        return inputs, None
    from headscribe.models.recorded import Recording, is_recording

    test = request.test
    named = [test] if isinstance(test, str | Path) else test if isinstance(test, list) else []
    if len(named) == 1 and is_recording(named[0]):
        test = Recording(named[0])
    if isinstance(test, Recording):
        return inputs, open_inputs(test, None, annotator, None, None, on_progress)
    if isinstance(source, Recording):
        raise UsageError(
            "a recording holds attention on its own texts alone: expected another recording of the "
            f"same heads to test on (--test FOLDER), got {str(named[0]) if named else 'texts'}"
        )
    read = corpus(test, None, request.column)
    return inputs, open_inputs(source, read, annotator, None, most, on_progress)


def asked_heads(asked: Any) -> list[HeadId] | int | None:  # noqa: ANN401
    """The heads that a request names, or how many of the worst; None: all.

    Raises:
        UsageError: none, or no such names.
    """
    from headscribe.discovery.beginning import parse_heads

    if not asked:
        raise UsageError("expected at least one head to examine, got none")
    if asked == "all":
        return None
    return parse_heads(asked) if isinstance(asked, str) else [HeadId.of(one) for one in asked]


@dataclass(frozen=True)
class Subject:
    """Heads with the texts that they are examined on.

    Attributes:
        inputs: the texts to fit to; without others also those to test on.
        unseen: others to test on.
        heads: the heads asked for, or how many of the worst.
        look_ahead: whether relations may read tokens after the query.
        on_progress: called with the stage, the steps done and the steps in all.
    """

    inputs: Inputs
    unseen: Inputs | None
    heads: list[HeadId] | int
    look_ahead: bool
    on_progress: OnProgress

    @classmethod
    def of(
        cls,
        request: Any,  # noqa: ANN401
        heads: list[HeadId] | int | None,
        source: Any,  # noqa: ANN401
        texts: Any,  # noqa: ANN401
        on_progress: OnProgress,
    ) -> "Subject":
        """What a request asks for.

        Args:
            request: with texts to test on, or none.
            heads: as `asked_heads` reads them.
            source: a model, or a recording; `texts`: what it reads.
            on_progress: called with the stage, the steps done and the steps in all.

        Raises:
            UsageError: unknown heads, or texts that leave a part empty.
        """
        from headscribe.discovery.material import dealt
        from headscribe.fitting.sources import head_ids

        inputs, unseen = read_inputs(request, source, texts, on_progress)
        ids = head_ids(inputs.source)
        if unseen is not None and head_ids(unseen.source) != ids:
            raise UsageError(
                f"expected a recording of the same {len(ids)} heads to test on, got "
                f"{len(head_ids(unseen.source))} of {unseen.source.name}"
            )
        heads = list(ids) if heads is None else heads
        for head in heads if isinstance(heads, list) else ():
            if head not in ids:
                raise absent(head, ids, inputs.source.name)
        ahead = request.look_ahead
        if ahead is None:
            ahead = not inputs.model_facts["causal"]
        subject = cls(inputs, unseen, heads, bool(ahead), on_progress)
        dealt([*inputs.passages, *subject.to_test], request.seed, subject.testing)
        return subject

    @property
    def ids(self) -> tuple[HeadId, ...]:
        """All heads of the source, in the order of their attention."""
        from headscribe.fitting.sources import head_ids

        return head_ids(self.inputs.source)

    @property
    def provides(self) -> frozenset[str]:
        """The word fields that every text has."""
        own = self.inputs.provides
        return own if self.unseen is None else own & self.unseen.provides

    @property
    def named(self) -> list[HeadId] | str:
        """The heads, or `worst:N`."""
        return f"worst:{self.heads}" if isinstance(self.heads, int) else self.heads

    @cached_property
    def _kept(self) -> tuple[tuple[Passage, str], ...]:
        """The texts to test on that are in no document of the others, with ids of their own."""
        if self.unseen is None:
            return ()
        first = self.inputs.passages
        texts, groups = {passage.text for passage in first}, {passage.group for passage in first}
        # An id that happens to stand in both files names no document.
        kept = [
            passage
            for passage in self.unseen.passages
            if passage.text not in texts
            and (passage.group not in groups or passage.group == passage.text_id)
        ]
        if not kept:
            raise UsageError(
                "expected texts to test on (--test) of documents that are not among the others, "
                f"got none in {plural(len(self.unseen.passages), 'text')}"
            )
        names = unique_names([passage.text_id for passage in (*first, *kept)])[len(first) :]
        return tuple(zip(kept, names, strict=True))

    @cached_property
    def to_test(self) -> tuple[Passage, ...]:
        """The texts to test on, if they are others, with ids of their own."""
        return tuple(replace(passage, text_id=name) for passage, name in self._kept)

    @property
    def testing(self) -> frozenset[str]:
        """The ids of the texts to test on; empty where a part of the texts is."""
        return frozenset(name for _, name in self._kept)

    @property
    def notes(self) -> list[str]:
        """What a reader of the results should know of the texts."""
        found = list(self.inputs.notes)
        if self.unseen is not None:
            found += [f"{note} (test)" for note in self.unseen.notes]
            if left := len(self.unseen.passages) - len(self._kept):
                found.append(
                    f"left out of the texts to test on: {plural(left, 'text')} of documents that "
                    "are also fitted to"
                )
        return found

    @property
    def fingerprints(self) -> dict[str, object]:
        """Of the source and all texts; a run resumes with these."""
        found = self.inputs.fingerprints
        return found if self.unseen is None else found | {"test": self.unseen.fingerprints["texts"]}

    @property
    def facts(self) -> dict[str, Any]:
        """What `run.json` says of the source and the texts."""
        tested = {} if self.unseen is None else {"test": self.unseen.corpus}
        return tested | {
            "model": self.inputs.model_facts,
            "corpus": self.inputs.corpus,
            "annotator": self.inputs.annotator,
            "notes": self.notes,
        }

    def items(self) -> "Iterator[Item]":
        """Every text with the attention of all heads and what they see."""
        from headscribe.fitting.sources import attention_items

        def tested() -> "Iterable[Item]":
            if self.unseen is not None:
                there = attention_items(self.unseen.source, [one for one, _ in self._kept])
                for passage, (_, attention, seen) in zip(self.to_test, there, strict=True):
                    yield passage, attention, seen

        passages = self.inputs.passages
        count = len(passages) + len(self._kept)
        read = chain(attention_items(self.inputs.source, passages), tested())
        for done, item in enumerate(read, 1):
            yield item
            self.on_progress("reading", done, count)
