"""Formulas as differentiable rows: sparse features by relation, weights as one tensor."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from headscribe.core.heads import HeadId
from headscribe.core.visibility import Visibility
from headscribe.fitting.formula import Term
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.relations import Evaluator, Relation
from headscribe.text.passages import Passage

MEMORY = 2 << 30
"""Bytes that features are kept in."""


@dataclass(frozen=True, eq=False)
class Column:
    """The entries of one relation on one passage.

    Attributes:
        cell: flat index `query * T + key`, int16 where that holds it, else int32, shape `(n,)`.
        value: the value of each entry, int8 where all are small whole numbers, else float32; None
            where all are 1.
    """

    cell: Int[Tensor, " n"]
    value: Shaped[Tensor, " n"] | None

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return self.cell.nbytes + (0 if self.value is None else self.value.nbytes)


class FeatureCache:
    """The relations' entries on the passages lately asked for, within a budget of bytes."""

    def __init__(self, budget: int = MEMORY) -> None:
        self._budget = budget
        self._size = 0
        self._kept: OrderedDict[tuple[int, Visibility], tuple[dict[str, Column], Passage]] = (
            OrderedDict()
        )

    def columns(
        self, relations: Mapping[str, Relation], passage: Passage, visibility: Visibility
    ) -> dict[str, Column]:
        """The entries of these relations on a passage, of which a first call names all."""
        key = (id(passage), visibility)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key][0]
        evaluator = Evaluator(passage, visibility)
        narrow = np.int16 if len(passage) ** 2 <= np.iinfo(np.int16).max else np.int32
        columns = {}
        for source, relation in relations.items():
            cells = evaluator.cells(relation)
            flat = torch.from_numpy((cells.query * len(passage) + cells.key).astype(narrow))
            columns[source] = Column(flat, None if relation.is_boolean else _small(cells.value))
        self._kept[key] = (columns, passage)
        self._size += sum(column.bytes for column in columns.values())
        while self._size > self._budget and len(self._kept) > 1:
            _, (dropped, _) = self._kept.popitem(last=False)
            self._size -= sum(column.bytes for column in dropped.values())
        return columns


def _small(value: Shaped[np.ndarray, " n"]) -> Shaped[Tensor, " n"]:
    small = value.astype(np.int8)
    return torch.from_numpy(small) if (small == value).all() else torch.from_numpy(value).float()


@dataclass(frozen=True, eq=False)
class _Layout:
    """A layer's terms, head by head: their relations, the heads' places, the weights' places."""

    sources: list[str]
    head: Int[Tensor, " k"]
    span: slice


class Tunable:
    """A substitution whose rows are `softmax(features @ weights)`, open to gradients.

    Attributes:
        weights: all terms' weights, head by head, in units in which no feature is large: a term's
            weight times `scale`.
        by_text: the weights once for every text of a batch, `(B, k)`, to take gradients text by
            text; None where the texts share `weights`.
        span: the places of a head's weights.
        scale: the largest of 1 and the root mean square of the term's feature over its entries.

    Args:
        terms: those of the formula of every head that is replaced.
        sample: passages to measure the features' scale on.
        cache: features of at least these terms.
    """

    def __init__(
        self,
        terms: Mapping[HeadId, Sequence[Term]],
        model: Model,
        sample: Sequence[Passage],
        cache: FeatureCache | None = None,
    ) -> None:
        self._terms = {head: tuple(own) for head, own in sorted(terms.items())}
        self._model = model
        self._heads = [
            tuple(head.head for head in self._terms if head.layer == layer)
            for layer in range(model.layers)
        ]
        self._relations = {
            term.relation: term.parsed for own in self._terms.values() for term in own
        }
        self._cache = FeatureCache() if cache is None else cache
        ends = np.cumsum([0, *(len(own) for own in self._terms.values())])
        self.span = {
            head: slice(int(ends[k]), int(ends[k + 1])) for k, head in enumerate(self._terms)
        }
        self._layouts = [self._layout(layer) for layer in range(model.layers)]
        raw = torch.tensor([t.weight for own in self._terms.values() for t in own])
        self.scale = self._scales(sample)
        self.weights = (raw.float() * self.scale).requires_grad_()
        self.by_text: Float[Tensor, "B k"] | None = None

    def terms(self) -> dict[HeadId, tuple[Term, ...]]:
        """The terms with the weights as they are now."""
        raw = (self.weights.detach() / self.scale).tolist()
        return {
            head: tuple(Term(t.relation, w) for t, w in zip(own, raw[self.span[head]], strict=True))
            for head, own in self._terms.items()
        }

    def heads(self, layer: int) -> tuple[int, ...]:
        """The heads of a layer that have a formula."""
        return self._heads[layer]

    def rows(self, call: AttentionCall) -> Float[Tensor, "B n T T"]:
        """The formulas' rows; those of padded queries are uniform."""
        width = call.key.shape[2]
        visibility = self._model.visibility(call.layer)
        visible = torch.from_numpy(visibility.dense(width)).to(call.query.device)
        shared = self.weights.expand(len(call.batch), -1) if self.by_text is None else self.by_text
        weights = (shared / self.scale).to(call.query.device)
        made = []
        for passage, own in zip(call.batch, weights, strict=True):
            assert isinstance(passage, Passage)
            logits = self._logits(passage, visibility, call.layer, own)
            length = len(passage)
            hidden = ~visible[:length, :length]
            rows = torch.softmax(logits.masked_fill(hidden, -torch.inf), dim=-1)
            pad = width - length
            made.append(torch.nn.functional.pad(rows, (0, pad, 0, pad)))
        return torch.stack(made)

    def _logits(
        self, passage: Passage, visibility: Visibility, layer: int, weights: Tensor
    ) -> Float[Tensor, "n T T"]:
        """Each term's weight times its value, added up by head and cell."""
        columns = self._cache.columns(self._relations, passage, visibility)
        area, layout = len(passage) ** 2, self._layouts[layer]
        held = [columns[source] for source in layout.sources]
        count = torch.tensor([len(column.cell) for column in held])
        cell = torch.cat([column.cell for column in held]).long()
        cell += torch.repeat_interleave(layout.head * area, count)
        entry = torch.repeat_interleave(weights[layout.span], count.to(weights.device))
        if any(column.value is not None for column in held):
            values = [torch.ones(len(c.cell)) if c.value is None else c.value.float() for c in held]
            entry = entry * torch.cat(values).to(weights.device)
        flat = weights.new_zeros(len(self._heads[layer]) * area)
        logits = flat.index_add(0, cell.to(weights.device), entry)
        return logits.reshape(-1, len(passage), len(passage))

    def _layout(self, layer: int) -> _Layout:
        heads = [HeadId(layer, head) for head in self._heads[layer]]
        sources = [t.relation for head in heads for t in self._terms[head]]
        rows = [n for n, head in enumerate(heads) for _ in self._terms[head]]
        start = self.span[heads[0]].start if heads else 0
        span = slice(start, start + len(sources))
        return _Layout(sources, torch.tensor(rows, dtype=torch.long), span)

    def _scales(self, sample: Sequence[Passage]) -> Float[Tensor, " k"]:
        square = dict.fromkeys(self._relations, 0.0)
        count = dict.fromkeys(self._relations, 0)
        for passage in sample:
            for seen in {self._model.visibility(head.layer) for head in self._terms}:
                columns = self._cache.columns(self._relations, passage, seen)
                for source in self._relations:
                    column = columns[source]
                    if column.value is not None:
                        square[source] += float((column.value.double() ** 2).sum())
                        count[source] += len(column.value)
        scale = {s: max(1.0, (square[s] / max(count[s], 1)) ** 0.5) for s in self._relations}
        return torch.tensor([scale[t.relation] for own in self._terms.values() for t in own])
