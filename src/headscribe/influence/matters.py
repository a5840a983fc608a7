"""Whether heads matter: the loss with a head's output, or its attention, replaced by its mean.

Of a head in layer `l` nothing before that layer changes. A batch is therefore read once as it is,
what every layer gave is kept, and for each head only the layers from `l` on are run again. In the
head's place stands its mean output over other texts, or what its mean attention by position (its
profile) would have read. Tokens without content keep their own rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.influence.statistics import Mean
from headscribe.influence.tokens import FLAGS, flags_of
from headscribe.influence.ways import BATCH, Ways
from headscribe.models.batching import batches
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.models.resuming import Outputs
from headscribe.patterns.registry import baselines
from headscribe.replacement.controls import estimate, profile_rows
from headscribe.replacement.passes import masked_positions
from headscribe.results.run import NOT_KEPT, Stages, Unfinished
from headscribe.scoring.predictions import sinks_of
from headscribe.text.passages import Encoding, Passage

HOWS = ("mean", "profile")
"""What stands in a head's place: its mean output, or what its mean attention reads."""

SMALLEST = 0.005
"""A change of the loss below this, in nats a token, is nothing, however sure."""

_FITTED = 16
"""At most so many other texts say what a head's mean is."""

_MASKED = 0.15
"""The share of a text's tokens that are masked at once, in models that predict masked ones."""


@dataclass(frozen=True)
class Mattered:
    """What taking out every head does to the loss; `N` heads, `F` kinds of token.

    Attributes:
        loss: of the untouched model, nats a token; `tokens`: how many are predicted.
        change: of the loss by `HOWS`, `(2, N)`.
        flagged: larger than `SMALLEST`, under false-discovery control, `(2, N)`.
        of_kind: the same on the tokens of each of `FLAGS`, `(2, F, N)`; `kind_tokens`: `(F,)`.
    """

    heads: tuple[HeadId, ...]
    loss: float
    tokens: int
    change: Mean
    flagged: Bool[np.ndarray, "2 N"]
    of_kind: Mean
    kind_tokens: Int[np.ndarray, " F"]


@dataclass(frozen=True)
class _Scored:
    """A text as it is read, and the tokens whose loss counts: their rows and their ids."""

    text: Passage
    read: Encoding
    rows: Int[np.ndarray, " R"]
    at: Int[np.ndarray, " R"]

    @classmethod
    def of(cls, model: Model, text: Passage) -> "_Scored":
        """Every token but the first given those before it, or some that are masked."""
        if model.kind != "masked":
            at = 1 + np.flatnonzero(~text.is_special[1:])
            return cls(text, text.encoding, at - 1, at)
        at = masked_positions(text, int(np.ceil(_MASKED * len(text))))
        if model.tokenizer.mask_token_id is None:
            raise UsageError(f"{model.name}: expected a tokenizer with a mask token, it has none")
        ids = np.array(text.ids)
        ids[at] = model.tokenizer.mask_token_id
        read = Encoding(text.tokens, ids, text.spans, text.is_special)
        return cls(text, read, at, at)


class Kept:
    """A batch that was read as it is: what every layer gave, and what heads need to be replaced.

    Attributes:
        values: the values that each layer's heads read, `(B, K, T, D)`.
    """

    def __init__(self, ways: Ways, texts: Sequence[Passage | Encoding]) -> None:
        self.outputs = Outputs(ways.layers)
        self.values: list[Tensor] = []
        with self.outputs.recorded(), ways.recorded() as self.seen:
            self.logits = ways.model.logits(texts, observer=self)

    def observe(self, call: AttentionCall) -> None:
        """Keep the values of one layer."""
        self.values.append(call.value)

    def heads(self, layer: int) -> Float[Tensor, "B T H D"]:
        """What the heads of a layer gave."""
        return self.seen.outputs(layer)


def can_resume(ways: Ways) -> bool:
    """Whether layers are modules of their own, so that a pass may begin in the middle."""
    return len({id(layer) for layer in ways.layers}) == len(ways.layers)


def matters(
    ways: Ways,
    passages: Sequence[Passage],
    texts: int,
    *,
    seed: int = 0,
    stages: Stages = NOT_KEPT,
    on_progress: OnProgress = silent,
) -> Mattered:
    """Take every head out, one after the other, on some texts.

    Args:
        ways: of the model, see `ways_of`.
        passages: all texts; means are estimated on those that are not measured on.
        texts: on at most so many it is measured.
        stages: keeps what is done, layer by layer.
        on_progress: called with the layers done, batch by batch.

    Raises:
        UsageError: a model that predicts masked tokens, with a tokenizer that has no mask.
    """
    model = ways.model
    order = np.random.default_rng(seed).permutation(len(passages))
    chosen = [_Scored.of(model, passages[k]) for k in np.sort(order[:texts])]
    others = [passages[k] for k in order[texts:][:_FITTED]] or [scored.text for scored in chosen]

    def compute(unfinished: Unfinished) -> dict[str, np.ndarray]:
        return _measured(ways, chosen, others, unfinished, on_progress)

    found = stages.stage("matters", compute, lambda kept: kept, lambda kept: kept)
    groups = {group: k for k, group in enumerate(sorted({scored.text.group for scored in chosen}))}
    which = np.array([groups[scored.text.group] for scored in chosen])

    def by_group(values: Float[np.ndarray, "S *any"]) -> Float[np.ndarray, "G *any"]:
        total = np.zeros((len(groups), *values.shape[1:]))
        np.add.at(total, which, values)
        return total

    change, tokens = found["change"], found["tokens"]
    every = by_group(change[:, 0])
    change_of = Mean.of(every, np.broadcast_to(by_group(tokens[:, 0])[:, None, None], every.shape))
    kinds = by_group(change[:, 1:].swapaxes(1, 2))
    counts = by_group(tokens[:, 1:])[:, None, :, None]
    heads = tuple(HeadId(*divmod(k, model.heads)) for k in range(model.layers * model.heads))
    return Mattered(
        heads, float(found["loss"].sum() / tokens[:, 0].sum()), int(tokens[:, 0].sum()),
        change_of, change_of.flagged(SMALLEST),
        Mean.of(kinds, np.broadcast_to(counts, kinds.shape)),
        tokens[:, 1:].sum(0).astype(np.int64),
    )  # fmt: skip


def _measured(
    ways: Ways,
    chosen: Sequence[_Scored],
    others: Sequence[Passage],
    unfinished: Unfinished,
    on_progress: OnProgress,
) -> dict[str, np.ndarray]:
    """Sums over tokens: `change` by text, kind (all first), how and head; `tokens`; `loss`."""
    model = ways.model
    kinds, count = 1 + len(FLAGS), model.layers * model.heads
    found = unfinished.read() or {
        "change": np.zeros((len(chosen), kinds, len(HOWS), count)),
        "tokens": np.zeros((len(chosen), kinds)),
        "loss": np.zeros(len(chosen)),
        "done": np.zeros(1, np.int64),
    }
    means, profiles = _means(ways, others)
    parts = batches([scored.read for scored in chosen], BATCH)
    total = len(parts) * model.layers
    for number, batch in enumerate(parts):
        if (number + 1) * model.layers <= found["done"][0]:
            continue
        some = [chosen[index] for index in batch]
        reads = [scored.read for scored in some]
        with torch.inference_mode():
            kept = Kept(ways, reads)
            own = _losses(kept.logits, some)
            del kept.logits
            weights = [_kinds(scored) for scored in some]
            for index, loss, weight in zip(batch, own, weights, strict=True):
                found["tokens"][index], found["loss"][index] = weight.sum(1), loss.sum()
            for layer in range(model.layers):
                step = number * model.layers + layer + 1
                if step <= found["done"][0]:
                    continue
                instead = _instead(ways, kept, some, layer, means[layer], profiles[layer])
                for head in range(model.heads):
                    for how, rows in enumerate(instead):
                        new = _losses(
                            _without(ways, kept, reads, layer, head, rows[:, :, head]), some
                        )
                        for index, loss, before, weight in zip(
                            batch, new, own, weights, strict=True
                        ):
                            place = index, slice(None), how, layer * model.heads + head
                            found["change"][place] = weight @ (loss - before)
                found["done"][0] = step
                unfinished.keep(lambda: found)
                on_progress("taking heads out", step, total)
    return found


def _without(
    ways: Ways,
    kept: Kept,
    reads: Sequence[Encoding],
    layer: int,
    head: int,
    rows: Float[Tensor, "B T D"],
) -> Tensor:
    """The logits with other output of one head."""
    size = rows.shape[-1]
    resume = can_resume(ways)
    before = sum(projection is ways.projections[layer] for projection in ways.projections[:layer])
    calls = 0

    def put(_: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal calls
        calls += 1
        if not resume and calls - 1 != before:
            return given
        changed = given[0].clone()
        changed[..., head * size : (head + 1) * size] = rows.to(changed.dtype)
        return (changed, *given[1:])

    hook = ways.projections[layer].register_forward_pre_hook(put)
    try:
        with kept.outputs.resumed(layer if resume else 0):
            return ways.model.logits(reads)
    finally:
        hook.remove()


def _instead(
    ways: Ways,
    kept: Kept,
    some: Sequence[_Scored],
    layer: int,
    mean: Float[Tensor, "H D"],
    table: Float[Tensor, "H C"],
) -> list[Float[Tensor, "B T H D"]]:
    """What stands in the place of each head of a layer, by `HOWS`; sinks keep their own rows."""
    value, visibility = kept.values[layer].float(), ways.model.visibility(layer)
    own = kept.heads(layer)
    value = value.repeat_interleave(own.shape[2] // value.shape[1], dim=1)
    by_mean, by_profile = own.clone(), own.clone()
    for b, scored in enumerate(some):
        size, sinks = len(scored.text), sinks_of(scored.text, visibility)
        content = torch.from_numpy(np.flatnonzero(~sinks)).to(own.device)
        by_mean[b, content] = mean.to(own.device)
        rows = profile_rows(table.to(own.device), scored.text, visibility)
        read = rows.to(value.dtype) @ value[b, :, :size]
        by_profile[b, content] = read.transpose(0, 1)[content]
    return [by_mean, by_profile]


def _losses(logits: Float[Tensor, "B T V"], some: Sequence[_Scored]) -> list[np.ndarray]:
    """The loss of every scored token, by text."""
    found = []
    for b, scored in enumerate(some):
        rows = logits[b, torch.from_numpy(scored.rows).to(logits.device)].float()
        ids = torch.from_numpy(np.asarray(scored.text.ids)[scored.at]).to(rows.device)
        loss = torch.logsumexp(rows, -1) - rows.gather(1, ids[:, None])[:, 0]
        found.append(loss.double().cpu().numpy())
    return found


def _kinds(scored: _Scored) -> Float[np.ndarray, "F R"]:
    """Which scored tokens count: all of them, then those of each of `FLAGS`."""
    flags = flags_of(scored.text)[:, scored.at]
    return np.concatenate([np.ones((1, len(scored.at))), flags.astype(np.float64)])


def _means(
    ways: Ways, others: Sequence[Passage]
) -> tuple[Float[Tensor, "L H D"], list[Float[Tensor, "H C"]]]:
    """Every head's mean output on content, and its profile, by layer."""
    model = ways.model
    total = [torch.zeros(0)] * model.layers
    count = 0
    with ways.recorded() as seen:
        controls = estimate(model, others, baselines(), token_budget=1)
    order = [others[index] for batch in batches(others, 1) for index in batch]
    for place, text in enumerate(order):
        content = torch.from_numpy(~sinks_of(text, model.visibility(0)))
        count += int(content.sum())
        for layer in range(model.layers):
            outputs = seen.outputs(layer, place)[0, : len(text)]
            summed = outputs[content.to(outputs.device)].sum(0)
            total[layer] = summed if not place else total[layer] + summed
    heads = range(model.heads)
    tables = [
        torch.from_numpy(np.stack([controls.profile[HeadId(layer, h)].table for h in heads]))
        for layer in range(model.layers)
    ]
    return torch.stack(total) / max(count, 1), tables
