"""What heads write: their direct effect on the logits of the tokens that matter.

At a row `i` of a text let `c` be what the head adds, carried to the logits with all norms frozen
(`ways.py`) and centred over the vocabulary. Its effect on a token is `c` at that token. Asked for
are the token that the head reads there (its strongest content key), the true next token, and the
token of the row itself; each against the mean effect at the same row on the text's other tokens
at the same distance, so that a head which lifts what is frequent does not count as one that copies.
Only rows count where the head attends to content.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.influence.statistics import Mean
from headscribe.influence.tokens import KINDS, kinds_read
from headscribe.influence.ways import BATCH, Recording, Ways
from headscribe.models.batching import batches
from headscribe.models.calls import AttentionCall
from headscribe.scoring.predictions import sinks_of
from headscribe.text.passages import Passage

TARGETS = ("reads", "next", "current")
"""The tokens asked for: the one that the head reads, the true next one, that of the row."""

CONTENT = 0.3
"""Least attention on content keys on the rows that count."""

OTHERS = 4
"""Least other tokens of a text at the same distance."""

SMALLEST = 0.1
"""An effect below this, in logits, has no name, however sure."""

_BUCKETS = 509
"""Tokens are clustered by their id modulo this, a prime."""

_SHOWN = 8
"""Tokens promoted and demoted that are kept of every kind of token read."""

_ROWS = 5
"""Least rows that read a kind of token, to say what is promoted then."""


@dataclass(frozen=True)
class Promoted:
    """What a head promotes where it reads one kind of token: evidence, not a finding.

    Attributes:
        reads: the kind of token; `rows`: how many rows read it.
        up, down: the tokens promoted and demoted most, with their mean effect in logits.
    """

    head: HeadId
    reads: str
    rows: int
    up: tuple[tuple[str, float], ...]
    down: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Written:
    """What all heads write, in the order of layers and heads; `N` heads.

    Attributes:
        value, expected: mean effect on each of `TARGETS`, and on other tokens, `(3, N)`.
        beyond: their difference with its interval, `(3, N)`.
        rows: rows that count, `(3, N)`.
        flagged: whether the difference has a name, `(3, N)`.
        masked: whether the model predicts the token of the row itself.
    """

    heads: tuple[HeadId, ...]
    value: Float[np.ndarray, "3 N"]
    expected: Float[np.ndarray, "3 N"]
    beyond: Mean
    rows: Float[np.ndarray, "3 N"]
    flagged: Bool[np.ndarray, "3 N"]
    masked: bool
    promoted: tuple[Promoted, ...]

    @property
    def predicted(self) -> int:
        """Which of `TARGETS` the model predicts at a row."""
        return 2 if self.masked else 1

    def named(self, head: int) -> tuple[str, ...]:
        """What the head is called: `copies` or `suppresses`, `helps` or `hurts`."""
        found = []
        for target, up, down in ((0, "copies", "suppresses"), (self.predicted, "helps", "hurts")):
            if self.flagged[target, head]:
                found.append(up if self.beyond.mean[target, head] > 0 else down)
        return tuple(found)


class _Reading:
    """An observer that keeps of every row and head the strongest content key and content's share.

    Attributes:
        key, mass: by layer, `(B, H, T)`.
    """

    def __init__(self, sinks: Bool[Tensor, "B T"]) -> None:
        self._sinks = sinks[:, None, None, :]
        self.key: list[Int[Tensor, "B H T"]] = []
        self.mass: list[Float[Tensor, "B H T"]] = []

    def observe(self, call: AttentionCall) -> None:
        content = call.probabilities().masked_fill(self._sinks.to(call.lengths.device), 0)
        self.key.append(content.argmax(-1))
        self.mass.append(content.sum(-1))


class Effects:
    """Direct effects of a recorded batch, layer by layer."""

    def __init__(self, ways: Ways, seen: Recording) -> None:
        self._ways, self._seen = ways, seen
        self._weight, self._mean = ways.vocabulary()
        self._final = seen.final()
        if not ways.short:
            self._residual = [seen.residual(layer) for layer in range(ways.model.layers)]

    def features(self, layer: int, text: int, length: int) -> Float[Tensor, "H T F"]:
        """What each head gives at each row, to be multiplied with `keys`."""
        rows = self._seen.outputs(layer)[text, :length].transpose(0, 1)
        if self._ways.short:
            factor = self._final[0].factor
            assert factor is not None
            return rows * factor[text, :length]
        rows = torch.einsum("htd,hod->hto", rows, self._ways.heads_of(layer))
        later = [frozen for part in self._residual[layer:] for frozen in part]
        for frozen in (*self._seen.own(layer), *later, *self._final):
            rows = frozen.push(rows, text)
        return rows

    def expand(self, layer: int, rows: Float[Tensor, "H K F"]) -> Float[Tensor, "H K d"]:
        """Features as what the unembedding reads."""
        if not self._ways.short:
            return rows
        return torch.einsum("hkd,hod->hko", rows, self._short(layer))

    def keys(self, layer: int, ids: Int[Tensor, " n"]) -> Float[Tensor, "#H n F"]:
        """Directions of tokens, centred: `features @ keys` is the effect on each."""
        tokens = self._weight[ids] - self._mean
        if not self._ways.short:
            return tokens[None]
        return torch.einsum("no,hod->hnd", tokens, self._short(layer))

    def _short(self, layer: int) -> Float[Tensor, "H d D"]:
        """The output matrix of every head, with the final norm's gain."""
        weight, norm = self._ways.heads_of(layer), self._final[0]
        assert norm.gain is not None
        if norm.centred:
            weight = weight - weight.mean(1, keepdim=True)
        return weight * norm.gain[:, None]


@dataclass
class _Sums:
    """Sums over rows by text group, and by token; `G` groups, `N` heads."""

    value: Float[np.ndarray, "G 3 N"]
    expected: Float[np.ndarray, "G 3 N"]
    rows: Float[np.ndarray, "G 3 N"]
    of_token: Float[np.ndarray, "buckets 3 N"]
    of_token_rows: Float[np.ndarray, "buckets 3 N"]


def writes(
    ways: Ways,
    passages: Sequence[Passage],
    *,
    on_progress: OnProgress = silent,
) -> Written:
    """Measure what every head writes, in one pass over the texts.

    Args:
        ways: of the model, see `ways_of`.
        passages: the texts; intervals are clustered by their groups.
        on_progress: called with the texts done.
    """
    model = ways.model
    groups = {group: k for k, group in enumerate(sorted({passage.group for passage in passages}))}
    count = model.layers * model.heads
    by_group, by_token = (len(groups), 3, count), (_BUCKETS, 3, count)
    sums = _Sums(*(np.zeros(s) for s in (by_group, by_group, by_group, by_token, by_token)))
    reads: list[Tensor] = []
    met = torch.zeros(model.layers, model.heads, len(KINDS))
    done = 0
    effects: Effects | None = None
    for batch in batches(passages, BATCH):
        texts = [passages[index] for index in batch]
        width = max(map(len, texts))
        sinks = torch.ones(len(texts), width, dtype=torch.bool)
        for b, text in enumerate(texts):
            sinks[b, : len(text)] = torch.from_numpy(sinks_of(text, model.visibility(0)))
        reading = _Reading(sinks)
        with torch.inference_mode(), ways.recorded() as seen:
            model.logits(texts, observer=reading, last=model.kind == "causal")
            effects = Effects(ways, seen)
            for layer in range(model.layers):
                for b, text in enumerate(texts):
                    size = len(text)
                    part = slice(layer * model.heads, (layer + 1) * model.heads)
                    features = effects.features(layer, b, size)
                    key, mass = (one[layer][b, :, :size] for one in (reading.key, reading.mass))
                    attends = (mass >= CONTENT) & ~sinks[b, :size].to(mass.device)
                    ids = torch.from_numpy(np.asarray(text.ids)).to(features.device)
                    grid = features @ effects.keys(layer, ids).transpose(1, 2)
                    _add(sums, groups[text.group], part, text, grid, key, attends, sinks[b, :size])
                    kind = torch.from_numpy(kinds_read(text)).to(key.device)[key]
                    chosen = torch.nn.functional.one_hot(kind, len(KINDS)) * attends[..., None]
                    if len(reads) == layer:
                        reads.append(torch.zeros(*chosen.shape[::2], features.shape[-1]))
                    reads[layer] += (chosen.transpose(1, 2).to(features.dtype) @ features).cpu()
                    met[layer] += chosen.sum(1).cpu()
        done += len(texts)
        on_progress("reading what heads write", done, len(passages))
    heads = tuple(HeadId(*divmod(k, model.heads)) for k in range(count))
    rows = sums.rows.sum(0)
    with np.errstate(invalid="ignore"):
        value, expected = (part.sum(0) / rows for part in (sums.value, sums.expected))
    beyond = Mean.of(sums.value - sums.expected, sums.rows).wider(
        Mean.of(sums.of_token, sums.of_token_rows)
    )
    assert effects is not None
    return Written(
        heads, value, expected, beyond, rows, beyond.flagged(SMALLEST), model.kind == "masked",
        tuple(_promoted(ways, effects, reads, met)),
    )  # fmt: skip


def _add(
    sums: _Sums,
    group: int,
    heads: slice,
    text: Passage,
    grid: Float[Tensor, "H T T"],
    key: Int[Tensor, "H T"],
    attends: Bool[Tensor, "H T"],
    sinks: Bool[Tensor, " T"],
) -> None:
    """Add the rows of one text and layer; `grid` is the effect at each row on each token of it."""
    size = len(text)
    content = (~sinks).to(grid.device)
    summed = torch.nn.functional.pad((grid * content).cumsum(-1), (1, 0))
    counted = torch.nn.functional.pad(content.cumsum(0), (1, 0))
    row = torch.arange(size, device=grid.device).expand_as(key)
    bucket = torch.from_numpy(np.asarray(text.ids) % _BUCKETS).to(grid.device)
    for target, place in enumerate((key, row + 1, row)):
        # The text's other tokens that some row has at the same distance.
        distance = row - place
        low, high = (-distance).clamp_min(0), (size - distance).clamp_max(size)
        at = place.clamp_max(size - 1)
        inside = (place < size) & content[at] & attends
        others = counted[high] - counted[low] - 1
        inside &= others >= OTHERS
        value = grid.gather(2, at[..., None])[..., 0]
        total = summed.gather(2, high[..., None]) - summed.gather(2, low[..., None])
        expected = (total[..., 0] - value) / others.clamp_min(1)
        value, expected = value * inside, expected * inside
        for into, part in ((sums.value, value), (sums.expected, expected), (sums.rows, inside)):
            into[group, target, heads] += part.sum(1, dtype=torch.float64).cpu().numpy()
        for into, part in ((sums.of_token, value - expected), (sums.of_token_rows, inside)):
            spread = torch.zeros(len(grid), _BUCKETS, device=grid.device)
            spread.scatter_add_(1, bucket[at], part.to(spread.dtype))
            into[:, target, heads] += spread.T.cpu().numpy()


def _promoted(
    ways: Ways, effects: Effects, reads: Sequence[Tensor], met: Float[Tensor, "L H K"]
) -> list[Promoted]:
    """The tokens that mean outputs promote and demote most, by kind of token read."""
    weight, mean = ways.vocabulary()
    tokenizer = ways.model.tokenizer
    known = min(len(weight), len(tokenizer))
    promoteds = []
    for layer, total in enumerate(reads):
        rows = effects.expand(layer, (total / met[layer][..., None].clamp_min(1)).to(weight.device))
        head, kind = (met[layer] >= _ROWS).nonzero(as_tuple=True)
        chosen = rows[head, kind]
        logits = chosen @ weight[:known].T - (chosen @ mean)[:, None]
        up, down = (logits.topk(min(_SHOWN, known), largest=most) for most in (True, False))
        for k, (h, which) in enumerate(zip(head.tolist(), kind.tolist(), strict=True)):
            ends = [
                tuple(
                    (tokenizer.decode([token]), size)
                    for token, size in zip(
                        best.indices[k].tolist(), best.values[k].tolist(), strict=True
                    )
                )
                for best in (up, down)
            ]
            count = int(met[layer][h, which])
            promoteds.append(Promoted(HeadId(layer, h), KINDS[which], count, ends[0], ends[1]))
    return promoteds
