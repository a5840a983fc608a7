"""The rows that stand in a model: each made, and seen to be causal, once."""

from collections import OrderedDict

from headscribe.core.heads import HeadId
from headscribe.core.rows import RowPolicy
from headscribe.core.visibility import Visibility
from headscribe.replacement.causality import causal_rows
from headscribe.replacement.plan import Program
from headscribe.replacement.rows import DenseRows
from headscribe.text.passages import Passage


class RowCache:
    """The rows most lately asked for, as many as fit into a budget of bytes.

    Programs and passages are told apart by identity.
    """

    def __init__(self, budget: int = 256 << 20) -> None:
        self._budget = budget
        self._size = 0
        self._kept: OrderedDict[tuple[object, ...], tuple[DenseRows, Program, Passage]] = (
            OrderedDict()
        )

    def rows(
        self,
        program: Program,
        policy: RowPolicy,
        head: HeadId,
        passage: Passage,
        visibility: Visibility,
    ) -> DenseRows:
        """What `causal_rows` gives, computed only where it is not kept."""
        key = (id(program), policy, id(passage), visibility)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        made = causal_rows(program, policy, head, passage, visibility)
        self._kept[key] = (made, program, passage)
        self._size += made.bytes
        while self._size > self._budget and len(self._kept) > 1:
            _, (dropped, _, _) = self._kept.popitem(last=False)
            self._size -= dropped.bytes
        return made
