"""What an annotator is."""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from headscribe.text.corpora import Text
from headscribe.text.passages import Words


@runtime_checkable
class Annotator(Protocol):
    """A function from texts to words, with what a cache and a reader must know about it.

    Attributes:
        name: as on the command line: `plain`, `conllu`, `bundled:en`, a pipeline or its folder.
        fingerprint: changes whenever the annotation of any text might.
        provides: the word fields that every `Words` of it has; empty for words and spans only.
        cacheable: the annotation depends on the characters alone and costs more than reading it
            from disk.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def fingerprint(self) -> str: ...  # noqa: D102
    @property
    def provides(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def cacheable(self) -> bool: ...  # noqa: D102

    def annotate(self, texts: Sequence[Text]) -> Iterator[Words]:
        """The words of every text, in order.

        Raises:
            UsageError: a text that cannot be annotated; says which and why.
        """
        ...
