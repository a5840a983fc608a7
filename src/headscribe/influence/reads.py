"""From whom a head reads: earlier heads whose output changes where it looks.

An earlier head's output is taken out of the input of this head's queries, or of its keys, and of
nothing else; the change of the attention that its behaviour puts on its keys is the effect. All
pairs are ranked by the gradient of that attention first, the best are then verified by doing it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import stats
from torch import Tensor

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.core.visibility import Visibility
from headscribe.influence.matters import Kept, can_resume
from headscribe.influence.statistics import Mean
from headscribe.influence.ways import Ways
from headscribe.models.calls import AttentionCall
from headscribe.models.invocation import Invocation
from headscribe.models.tap import intercept
from headscribe.relations.language import Evaluator, Relation, parse
from headscribe.scoring.predictions import sinks_of
from headscribe.scoring.statistics import CONFIDENCE
from headscribe.text.passages import Passage

INPUTS = ("query", "key")
"""What an earlier head may be taken out of."""

SMALLEST = 0.02
"""A change of attention below this is nothing, however sure."""


@dataclass(frozen=True)
class Feeding:
    """What one earlier head does to where a head looks.

    Attributes:
        head, behaviour: whose attention, on which behaviour's keys.
        input: `query` or `key`; `source`: the earlier head.
        estimated: the change by gradient, over all texts.
        own: attention on the behaviour's keys, untouched.
        change: with the earlier head taken out; with its interval over texts.
        flagged: larger than `SMALLEST`, under false-discovery control over all that were verified.
    """

    head: HeadId
    behaviour: str
    input: str
    source: HeadId
    estimated: float
    own: float
    change: float
    low: float
    high: float
    texts: int
    flagged: bool


ASKED = (
    ("what followed it before", "key.prev.id == query.id and distance < 0"),
    ("the same token elsewhere", "key.id == query.id and distance != 0"),
    ("the previous token", "distance == -1"),
    ("its opening mark", "key.index == query.opening"),
)
"""Behaviours that need no words: what heads are asked for where no names are given."""

LEAST = 0.2
"""Least attention on a behaviour's keys, on the rows where it applies."""


class _Seen(Exception):  # noqa: N818  (no error: the pass need not go on)
    """The layer has shown what it computes its attention of."""


class Inputs:
    """One text that a model has read, and what its layers compute attention of, also altered."""

    def __init__(self, ways: Ways, text: Passage) -> None:
        with torch.no_grad():
            self._kept = Kept(ways, [text])
        self._ways, self._text = ways, text
        del self._kept.logits

    def stream(self, layer: int) -> Float[Tensor, "1 T d"]:
        """What a layer is given."""
        output = self._kept.outputs.given[layer - 1]
        found: Tensor = output[0] if isinstance(output, tuple) else output
        return found

    def attention(self, layer: int, stream: Tensor) -> Invocation:
        """What a layer computes its attention of, when it is given another stream.

        Raises:
            UsageError: the layer cannot be run alone.
        """
        model, shown = self._ways.model, []

        def handle(invocation: Invocation) -> Tensor:
            shown.append(invocation)
            raise _Seen

        try:
            with self._kept.outputs.resumed(layer, stream), intercept(model.hf, handle):
                model.stack.body(**model.inputs([self._text]))
        except _Seen:
            return shown[0].widened()
        raise UsageError(f"layer {layer} shows no attention")

    def added(self, below: int) -> Float[Tensor, "L H T d"]:
        """What the heads of all layers before `below` have added to what it is given."""
        ways, seen = self._ways, self._kept.seen
        found = []
        for layer in range(below):
            rows = torch.einsum("thd,hod->hto", seen.outputs(layer)[0], ways.heads_of(layer))
            later = [frozen for part in range(layer, below) for frozen in seen.residual(part)]
            for frozen in (*seen.own(layer), *later):
                rows = frozen.push(rows, 0)
            found.append(rows)
        return torch.stack(found)


def mass(
    query: Invocation, key: Invocation, head: int, cells: Bool[Tensor, "T T"]
) -> Float[Tensor, ""]:
    """A head's attention on some cells, its queries from one computation, its keys from another."""
    return replace(query, key=key.key).weights()[0, head][cells].sum()


def reads_from(
    ways: Ways,
    passages: Sequence[Passage],
    behaviours: Mapping[HeadId, tuple[str, Relation]],
    *,
    verified: int = 5,
    on_progress: OnProgress = silent,
) -> list[Feeding]:
    """Find the earlier heads that every head with a behaviour reads from.

    Args:
        ways: of the model, see `ways_of`.
        passages: few texts; every pair that is verified is run again on each.
        behaviours: of some heads: a name, and the relation of queries and keys.
        verified: for each head and input so many earlier heads are taken out, the best by gradient.
        on_progress: called with the texts done, twice.

    Returns:
        For every head and input the earlier heads, those of the largest change first.

    Raises:
        UsageError: the model's layers share modules.
    """
    if not can_resume(ways):
        raise UsageError(f"{ways.model.name}: its layers share modules, none can be run alone")
    model = ways.model
    wanted = sorted(head for head in behaviours if head.layer)
    slopes = {head: np.zeros((2, head.layer * model.heads)) for head in wanted}
    rows = dict.fromkeys(wanted, 0)
    steps, done = 2 * len(passages), 0
    for text in passages:
        with torch.enable_grad():
            for head, cells, slope in _slopes(ways, text, wanted, behaviours):
                slopes[head] += slope
                rows[head] += int(cells.any(1).sum())
        done += 1
        on_progress("ranking whom heads read from", done, steps)
    best = {
        (head, which): np.argsort(-np.abs(slopes[head][which]), kind="stable")[:verified]
        for head in wanted
        for which in range(2)
        if rows[head]
    }
    changes = {place: np.zeros((len(passages), len(them))) for place, them in best.items()}
    own = {place: np.zeros(len(passages)) for place in best}
    counts = {place: np.zeros(len(passages)) for place in best}
    for number, text in enumerate(passages):
        with torch.no_grad():
            _verify(ways, text, behaviours, best, (changes, own, counts), number)
        done += 1
        on_progress("verifying whom heads read from", done, steps)
    groups = np.unique([text.group for text in passages], return_inverse=True)[1]
    feedings = []
    for (head, which), them in best.items():
        total, count = np.zeros((2, groups.max() + 1, len(them)))
        np.add.at(total, groups, changes[head, which])
        np.add.at(count, groups, counts[head, which][:, None])
        change = Mean.of(total, count)
        for k in np.argsort(-np.abs(change.mean), kind="stable"):
            feedings.append(
                Feeding(
                    head, behaviours[head][0], INPUTS[which],
                    HeadId(*divmod(int(them[k]), model.heads)),
                    float(slopes[head][which][them[k]] / rows[head]),
                    float(own[head, which].sum() / count.sum(0)[0]),
                    float(change.mean[k]), float(change.low[k]), float(change.high[k]),
                    int((count[:, 0] > 0).sum()), False,
                )
            )  # fmt: skip
    return _flagged(feedings)


def _flagged(feedings: Sequence[Feeding]) -> list[Feeding]:
    width = np.array([feeding.high - feeding.low for feeding in feedings])
    freedom = np.array([feeding.texts - 1.0 for feeding in feedings])
    quantile = stats.t.ppf(0.5 + CONFIDENCE / 2, np.maximum(freedom, 1))
    mean = Mean(np.array([feeding.change for feeding in feedings]), width / 2 / quantile, freedom)
    sure = mean.flagged(SMALLEST)
    return [
        replace(feeding, flagged=bool(yes)) for feeding, yes in zip(feedings, sure, strict=True)
    ]


def _cells(ways: Ways, text: Passage, head: HeadId, relation: Relation) -> Bool[Tensor, "T T"]:
    """The cells of a behaviour as the head's layer sees them."""
    return cells_of(text, ways.model.visibility(head.layer), relation).to(ways.model.device)


def cells_of(text: Passage, visibility: Visibility, relation: Relation) -> Bool[Tensor, "T T"]:
    """The cells of a behaviour: content queries and keys that the relation relates."""
    content = ~sinks_of(text, visibility)
    found = Evaluator(text, visibility).cells(relation)
    cells = np.zeros((len(text), len(text)), bool)
    cells[found.query, found.key] = True
    cells &= content[:, None] & content[None, :]
    return torch.from_numpy(cells)


class _Masses:
    """An observer that sums the attention of all heads on the cells of some relations."""

    def __init__(self, ways: Ways, relations: Sequence[Relation]) -> None:
        self._model, self._relations = ways.model, relations
        self.total = np.zeros((len(relations), ways.model.layers, ways.model.heads))
        self.rows = np.zeros((len(relations), ways.model.layers, 1))

    def observe(self, call: AttentionCall) -> None:
        (text,) = call.batch
        assert isinstance(text, Passage)
        attention = call.probabilities()[0]
        for k, relation in enumerate(self._relations):
            cells = cells_of(text, self._model.visibility(call.layer), relation)
            at = cells.to(attention.device)
            self.total[k, call.layer] += attention[:, at].sum(1).double().cpu().numpy()
            self.rows[k, call.layer] += int(cells.any(1).sum())


def seen_behaviours(ways: Ways, passages: Sequence[Passage]) -> dict[HeadId, tuple[str, Relation]]:
    """Of every head that has one the behaviour of `ASKED` with most attention on these texts."""
    relations = [parse(relation) for _, relation in ASKED]
    masses = _Masses(ways, relations)
    for text in passages:
        ways.model.run([text], masses)
    share = masses.total / np.maximum(masses.rows, 1)
    best = share.argmax(0)
    return {
        HeadId(int(layer), int(head)): (ASKED[best[layer, head]][0], relations[best[layer, head]])
        for layer, head in zip(*np.nonzero(share.max(0) >= LEAST), strict=True)
    }


def _slopes(
    ways: Ways,
    text: Passage,
    wanted: Sequence[HeadId],
    behaviours: Mapping[HeadId, tuple[str, Relation]],
) -> Iterator[tuple[HeadId, Bool[Tensor, "T T"], Float[np.ndarray, "2 N"]]]:
    """For every head the change of its mass when each earlier head is taken out, by gradient."""
    inputs = Inputs(ways, text)
    for layer in sorted({head.layer for head in wanted}):
        added = inputs.added(layer).flatten(0, 1)
        stream = inputs.stream(layer).detach().clone().requires_grad_()
        live = inputs.attention(layer, stream)
        held = replace(live, query=live.query.detach(), key=live.key.detach())
        for head in (head_id for head_id in wanted if head_id.layer == layer):
            cells = _cells(ways, text, head, behaviours[head][1])
            if not cells.any():
                continue
            slopes = []
            for pair in ((live, held), (held, live)):
                total = mass(*pair, head.head, cells)
                (slope,) = torch.autograd.grad(total, stream, retain_graph=True)
                slopes.append(-(added * slope[0].float()).sum((1, 2)))
            yield head, cells, torch.stack(slopes).double().cpu().numpy()


def _verify(
    ways: Ways,
    text: Passage,
    behaviours: Mapping[HeadId, tuple[str, Relation]],
    best: Mapping[tuple[HeadId, int], np.ndarray],
    into: tuple[dict, dict, dict],  # type: ignore[type-arg]
    number: int,
) -> None:
    """Take the best earlier heads out of each head's inputs on one text."""
    inputs = Inputs(ways, text)
    changes, own, counts = into
    for layer in sorted({head.layer for head, _ in best}):
        mine = [place for place in best if place[0].layer == layer]
        added = inputs.added(layer).flatten(0, 1)
        stream = inputs.stream(layer)
        plain = inputs.attention(layer, stream)
        cells = {head: _cells(ways, text, head, behaviours[head][1]) for head, _ in mine}
        for place in mine:
            head = place[0]
            counts[place][number] = int(cells[head].any(1).sum())
            own[place][number] = float(mass(plain, plain, head.head, cells[head]))
        for source in np.unique(np.concatenate([best[place] for place in mine])):
            without = inputs.attention(layer, stream - added[source].to(stream.dtype))
            for place in mine:
                head, which = place
                for k in np.flatnonzero(best[place] == source):
                    pair = (without, plain) if which == 0 else (plain, without)
                    after = float(mass(*pair, head.head, cells[head]))
                    changes[place][number, k] = after - own[place][number]
