"""What a pattern is: the protocol that relations, Python programs and baselines implement."""

from typing import Literal, Protocol, runtime_checkable

from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.text.passages import Passage

Family = Literal["positional", "lexical", "syntactic", "sink", "custom"]
"""What a pattern reads: offsets, the tokens themselves, the parse, sinks; or a user's own."""


@runtime_checkable
class Pattern(Protocol):
    """A function from a passage to predicted attention, with what a reader must know about it.

    Attributes:
        name: unique in the registry; letters, digits, `_`, `-`, `:`.
        sentence: one sentence that says where the attention goes.
        source: where the definition comes from.
        family: what it reads. `positional` and `sink` patterns know nothing but positions and are
            never compared with the profile, which contains them.
        needs: the word fields that it reads (`upos`, `dep`, `head`, ...); empty for none.
        looks_ahead: row i may depend on tokens after i, so that replacement in a causal model
            would let it see the future.
        needs_later_keys: it can only point at keys after the query: not applicable where the
            layer is causal.
        mirror: the name of the pattern that says the same of the other direction, if any.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def sentence(self) -> str: ...  # noqa: D102
    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def family(self) -> Family: ...  # noqa: D102
    @property
    def needs(self) -> frozenset[str]: ...  # noqa: D102
    @property
    def looks_ahead(self) -> bool: ...  # noqa: D102
    @property
    def needs_later_keys(self) -> bool: ...  # noqa: D102
    @property
    def mirror(self) -> str | None: ...  # noqa: D102

    def predict(self, passage: Passage, visibility: Visibility) -> Rows:
        """Predict the attention of every row, restricted to visible keys before any fall-back.

        Rows that the pattern says nothing about stay uncovered.

        Raises:
            UsageError: the passage lacks a word field that the pattern needs.
        """
        ...
