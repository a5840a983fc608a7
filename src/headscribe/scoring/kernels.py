"""Metrics of predicted rows for all heads of a layer at once, from the support alone.

The formulas stand in `headscribe.core.metrics`. Rows are computed in float32: the mass outside the
support, `P - s`, cancels where a pattern is nearly right, which costs at most 1e-6 on the square of
the Jensen-Shannon distance; sums over rows and texts are taken in float64.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscribe.core.metrics import View, divergence
from headscribe.scoring.tables import Block, RowTable

_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class RealRows:
    """What the metrics need of the real rows as wholes, in one view; each of shape `(H, B * T)`.

    Attributes:
        mass: sum of each row over the keys that count: the `P` of the raw view, the content mass
            of the content view.
        peak: the largest probability among those keys.
        weight: what the row counts for: 1 in the raw view, its content mass in the content view.
        scale: what probabilities are multiplied with, 1 over the content mass; None for 1.
        row_sum: what the row sums to after that.
    """

    mass: Float[Tensor, "H rows"]
    peak: Float[Tensor, "H rows"]
    weight: Float[Tensor, "H rows"]
    scale: Float[Tensor, "H rows"] | None
    row_sum: Float[Tensor, "H rows"]


@dataclass(frozen=True)
class Readings:
    """One pass over a layer's attention.

    Attributes:
        raw: the rows as they are.
        content: the rows without sinks.
        sink: attention on all sinks, shape `(B, H, T)`.
        last: attention on the last token of the text, `(B, H, T)`.
    """

    raw: RealRows
    content: RealRows
    sink: Float[Tensor, "B H T"]
    last: Float[Tensor, "B H T"]

    def of(self, view: View) -> RealRows:
        """The rows in a view."""
        return self.raw if view == "raw" else self.content


def read_attention(
    attention: Float[Tensor, "B H T T"],
    lengths: Int[np.ndarray, " B"],
    sinks: Bool[np.ndarray, "B T"],
) -> Readings:
    """Sum and peak of every row over the content keys and over the sinks.

    Content keys are read in runs between sinks, so that nothing is copied or masked.
    """
    batch, heads, width = attention.shape[:3]
    mass, peak, sink, sink_peak, last = attention.new_zeros((5, batch, heads, width)).unbind()
    for b, length in enumerate(lengths.tolist()):
        rows = attention[b]
        for start, stop in _runs(~sinks[b, :length]):
            part = rows[:, :, start:stop]
            mass[b] += part.sum(-1)
            torch.maximum(peak[b], part.amax(-1), out=peak[b])
        keys = np.flatnonzero(sinks[b, :length])
        if len(keys):
            part = rows[:, :, torch.from_numpy(keys).to(rows.device)]
            sink[b], sink_peak[b] = part.sum(-1), part.amax(-1)
        last[b] = rows[:, :, length - 1]

    def flat(values: Tensor) -> Tensor:
        return values.transpose(0, 1).reshape(heads, batch * width)

    total, content = flat(mass + sink), flat(mass)
    raw = RealRows(total, flat(torch.maximum(peak, sink_peak)), torch.ones_like(total), None, total)
    # Rows without any content mass weigh nothing; dividing by 1 keeps them finite.
    scale = torch.where(content > 0, content, 1.0).reciprocal()
    return Readings(raw, RealRows(content, flat(peak), content, scale, content * scale), sink, last)


def _runs(flags: Bool[np.ndarray, " T"]) -> list[tuple[int, int]]:
    """Where runs of true begin and end."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


@dataclass(frozen=True)
class RowScores:
    """What every row of a table adds to its texts' sums.

    Attributes:
        values: overlap, Jensen-Shannon distance, mass, hit, all by weight, shape `(U, 4, H)`.
    """

    values: Float[Tensor, "U 4 H"]

    @property
    def overlap(self) -> Float[Tensor, "U H"]:
        """Shared mass of each row, by weight."""
        return self.values[:, 0]

    @property
    def jsd(self) -> Float[Tensor, "U H"]:
        """Jensen-Shannon distance of each row, by weight."""
        return self.values[:, 1]


def score_rows(
    attention: Float[Tensor, "B H T T"],
    table: RowTable,
    real: RealRows,
    room: Float[Tensor, "U 4 H"] | None = None,
) -> RowScores:
    """Overlap, Jensen-Shannon distance, mass and hit of every row of a table.

    With `x log2 x` written as `h(x)`, and because `q` sums to 1, the distance is
    `JSD^2 = 1/2 [P + 1 + sum_S (h(p) + h(q) - h(p + q))]`.

    Args:
        attention: the layer's attention.
        table: the predicted rows.
        real: the real rows as wholes.
        room: where the scores go, to be used again for the next layer; None: to new memory.
    """
    shape = (len(table.query), 4, attention.shape[1])
    values = room if room is not None and room.shape == shape else attention.new_empty(shape)
    flat = attention.reshape(-1)
    for block in table.blocks:
        rows = slice(block.start, block.stop)
        query = table.query[rows]
        p = _gathered(flat, attention.shape, block)
        hit = p.amax(1) >= real.peak.index_select(1, query)
        if real.scale is not None:
            p *= real.scale.index_select(1, query)[:, None]
        if block.keep is not None:
            p *= block.keep
        # What stands in padding is positive too, so that its logarithm is finite.
        p.clamp_min_(_TINY)
        both = p + block.weight
        terms = torch.addcmul(block.weight_plogp, p, p.log2())
        terms.addcmul_(both, both.log2(), value=-1)
        row_sum = real.row_sum.index_select(1, query)
        square = terms.sum(1).add_(row_sum).add_(1)
        channels = [
            torch.minimum(p, block.weight).sum(1),
            square.mul_(0.5).clamp_(0.0, 1.0).sqrt_(),
            p.sum(1),
            hit.to(p.dtype),
        ]
        weighted = torch.stack(channels)
        if real.scale is not None:
            weighted *= real.weight.index_select(1, query)
        values[rows] = weighted.permute(2, 0, 1)
    return RowScores(values)


def _gathered(flat: Float[Tensor, " n"], shape: torch.Size, block: Block) -> Float[Tensor, "H k r"]:
    """Probabilities of a block's entries for every head."""
    _, heads, width, _ = shape
    plane = width * width
    head = torch.arange(heads, device=flat.device)[:, None] * plane
    index = head + (block.cell + block.text * (heads * plane)).reshape(-1)
    return flat.index_select(0, index.reshape(-1)).reshape(heads, *block.cell.shape)


def score_whole_rows(
    real: Float[Tensor, "H R T"], predicted: Float[Tensor, "H R T"]
) -> tuple[Float[Tensor, "H R"], Float[Tensor, "H R"]]:
    """Overlap and Jensen-Shannon distance of rows that are given whole."""
    square = divergence(real, predicted).sum(-1)
    return torch.minimum(real, predicted).sum(-1), square.clamp_(0.0, 1.0).sqrt_()
