"""How the attention of two passes differs: the arithmetic on aligned rows.

For a pair of passes, `p` and `q` are a head's rows over the keys that both share, renormalised;
only rows after the insertion are compared. Distances are Jensen-Shannon distances, base 2, 0 to 1:

    JSD^2(p, q) = 1/2 sum_j p_j log2(2 p_j / (p_j + q_j)) + q_j log2(2 q_j / (p_j + q_j))
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscribe.core.metrics import divergence

Measure = Literal["rows", "columns", "answer", "hint", "hint_answer"]
"""What is measured of each head.

rows          mean distance of aligned rows
columns       distance of column profiles: each shared key's share of what the rows read
answer        distance of the one row from which the answer is predicted
hint          mean attention on the insertion
hint_answer   attention on the insertion in the row from which the answer is predicted
"""

MEASURES: tuple[Measure, ...] = get_args(Measure)

TINY = 1e-6
"""A row with less attention on shared keys says nothing about them and is set aside."""


@dataclass(frozen=True, eq=False)
class PairIndex:
    """Which cells of a batch are compared, for `n` pairs of passes padded to `R` rows, `K` keys.

    Attributes:
        first: the pass of each pair without insertion, shape `(n,)`.
        second: the one with it.
        rows: its compared rows in either pass, shape `(2, n, R)`.
        keys: its shared keys in either pass, shape `(2, n, K)`.
        row_real: rows that are no padding, shape `(n, R)`.
        key_real: keys that are no padding, shape `(n, K)`.
        last: the place of the row that predicts the answer among the rows, shape `(n,)`.
        inserted: keys of the second pass that belong to the insertion, shape `(n, I)`.
        inserted_real: those that are no padding.
    """

    first: Int[Tensor, " n"]
    second: Int[Tensor, " n"]
    rows: Int[Tensor, "2 n R"]
    keys: Int[Tensor, "2 n K"]
    row_real: Bool[Tensor, "n R"]
    key_real: Bool[Tensor, "n K"]
    last: Int[Tensor, " n"]
    inserted: Int[Tensor, "n I"]
    inserted_real: Bool[Tensor, "n I"]

    def part(self, begin: int, end: int) -> "PairIndex":
        """Some of the pairs."""
        return PairIndex(
            self.first[begin:end], self.second[begin:end], self.rows[:, begin:end],
            self.keys[:, begin:end], self.row_real[begin:end], self.key_real[begin:end],
            self.last[begin:end], self.inserted[begin:end], self.inserted_real[begin:end],
        )  # fmt: skip


def compare(
    attention: Float[Tensor, "B H T T"], pairs: PairIndex, visible: Bool[Tensor, "n R K"]
) -> tuple[Float[Tensor, "n M H"], Int[Tensor, "n H"]]:
    """All measures of all heads for each pair, and the rows that were compared.

    Args:
        attention: a layer's attention on the batch.
        visible: the cells that the layer's mask admits in both passes.

    Returns:
        The measures in the order of `MEASURES`, NaN where no row has attention on shared keys.
    """
    real = pairs.row_real[:, None, :]
    cells = (visible & pairs.row_real[:, :, None] & pairs.key_real[:, None, :])[:, None]
    p = _cells(attention, pairs.first, pairs.rows[0], pairs.keys[0]).mul_(cells)
    q = _cells(attention, pairs.second, pairs.rows[1], pairs.keys[1]).mul_(cells)
    mass = torch.stack([p.sum(-1), q.sum(-1)])
    counted = real & (mass > TINY).all(0)
    p = p.div_(mass[0].clamp_min(TINY)[..., None]).mul_(counted[..., None])
    q = q.div_(mass[1].clamp_min(TINY)[..., None]).mul_(counted[..., None])
    number = counted.sum(-1)
    divisor = torch.where(number > 0, number, torch.nan)
    distance = jsd(p, q)
    profiles = [rows.sum(-2) / divisor[..., None] for rows in (p, q)]
    at = pairs.last[:, None, None].expand(-1, p.shape[1], 1)
    answer = distance.gather(2, at)[..., 0]
    answer = torch.where(counted.gather(2, at)[..., 0], answer, torch.nan)

    read = _cells(attention, pairs.second, pairs.rows[1], pairs.inserted)
    read = (read * pairs.inserted_real[:, None, None, :]).sum(-1)
    found = {
        "rows": distance.sum(-1) / divisor,
        "columns": jsd(*profiles),
        "answer": answer,
        "hint": (read * real).sum(-1) / real.sum(-1),
        "hint_answer": read.gather(2, at)[..., 0],
    }
    return torch.stack([found[name] for name in MEASURES], dim=1), number


def profiles_of(attention: Float[Tensor, "H T T"], rows: Int[Tensor, " R"]) -> Float[Tensor, "H T"]:
    """How much each key is read: mean over the rows, renormalised to sum to 1."""
    read = attention[:, rows].mean(1)
    return read / read.sum(-1, keepdim=True).clamp_min(TINY)


def jsd(p: Float[Tensor, "... K"], q: Float[Tensor, "... K"]) -> Float[Tensor, "..."]:
    """The distance of rows that sum to 1 (of rows of zeros: 0).

    In float32 it is exact to about 1e-7 however small it is.
    """
    square: Tensor = divergence(p, q).sum(-1)
    return square.clamp_(0, 1).sqrt_()


def _cells(
    attention: Float[Tensor, "B H T T"],
    text: Int[Tensor, " n"],
    rows: Int[Tensor, "n R"],
    keys: Int[Tensor, "n K"],
) -> Float[Tensor, "n H R K"]:
    """The chosen rows and keys of the chosen texts."""
    _, heads, _, width = attention.shape
    chosen = attention[text]
    chosen = chosen.gather(2, rows[:, None, :, None].expand(-1, heads, -1, width))
    return chosen.gather(3, keys[:, None, None, :].expand(-1, heads, rows.shape[1], -1))
