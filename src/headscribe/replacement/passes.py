"""Forward passes of the unaltered and the altered model on the same texts.

What the layers before a plan's first head give is not changed by the plan: where the model allows
it (`resumable`), they are run once for a batch, and each plan's pass begins at its first head.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headscribe.core.errors import UsageError
from headscribe.models.batching import batches
from headscribe.models.model import Model
from headscribe.models.resuming import Outputs
from headscribe.models.tap import tap
from headscribe.replacement.apply import Substituted
from headscribe.scoring.predictions import content_digest
from headscribe.text.passages import Encoding, Passage, Words

HIDDEN = "\ufffd"
"""What the characters of a masked token become in the text that programs read."""

Passed = Callable[[int], None]
"""Called after a forward pass with the number of texts in it."""

Layers = tuple[nn.Module, ...] | None
"""The module of each layer where a pass can begin at any of them; else None."""

_NUMBERS = 1 << 22
"""Predictions are compared for so many tokens together that they are no more numbers than this."""


@dataclass(frozen=True)
class TextReading:
    """Sums over the scored tokens of one text: see `Readings`."""

    tokens: float
    words: float
    unaltered: float
    loss: tuple[float, ...]
    shift: tuple[float, ...]


def readings_of(
    model: Model,
    passages: Sequence[Passage],
    plans: Sequence[Substituted],
    token_budget: int,
    positions: int | None,
    passed: Passed,
    layers: Layers,
) -> list[TextReading]:
    """Read every text of a batch, unaltered and under each plan."""
    if model.kind == "causal":
        return _causal(model, passages, plans, passed, layers)
    if model.kind == "masked":
        return [
            _masked(model, passage, plans, token_budget, positions, passed, layers)
            for passage in passages
        ]
    return _encoder(model, passages, plans, passed, layers)


class _Passes:
    """The passes over one batch: first the untouched one, then each plan's from its first head."""

    def __init__(self, layers: Layers) -> None:
        self._outputs = None if layers is None else Outputs(layers)

    def under(self, plan: Substituted | None) -> AbstractContextManager[None]:
        """Surrounds a pass under a plan, None for the untouched one."""
        if self._outputs is None:
            return nullcontext()
        return self._outputs.recorded() if plan is None else self._outputs.resumed(plan.first)


def copies(model: Model, passage: Passage, positions: int | None) -> int:
    """How often a text is read under each plan: once, or with each of its tokens masked."""
    return len(masked_positions(passage, positions)) if model.kind == "masked" else 1


def _causal(
    model: Model,
    passages: Sequence[Passage],
    plans: Sequence[Substituted],
    passed: Passed,
    layers: Layers,
) -> list[TextReading]:
    """Every token but the first, and none that the tokenizer added, given those before it."""
    text, query, target = [], [], []
    for b, passage in enumerate(passages):
        scored = np.flatnonzero(~passage.is_special[1:])
        text.append(np.full(len(scored), b))
        query.append(scored)
        target.append(np.asarray(passage.ids)[scored + 1])
    where = torch.from_numpy(np.concatenate(text)), torch.from_numpy(np.concatenate(query))
    ids, passes = torch.from_numpy(np.concatenate(target)).long(), _Passes(layers)

    def predictions(plan: Substituted | None) -> Tensor:
        with passes.under(plan):
            logits = model.logits(passages, plan)
        passed(len(passages))
        return logits

    tokens, unaltered, losses, shifts = _compare(
        predictions, where, ids, where[0], len(passages), plans
    )
    return [
        TextReading(
            tokens[b],
            _words(passage, query[b] + 1),
            unaltered[b],
            tuple(loss[b] for loss in losses),
            tuple(shift[b] for shift in shifts),
        )
        for b, passage in enumerate(passages)
    ]


def _masked(
    model: Model,
    passage: Passage,
    plans: Sequence[Substituted],
    token_budget: int,
    positions: int | None,
    passed: Passed,
    layers: Layers,
) -> TextReading:
    """Each token that the tokenizer did not add, or some of them, masked and predicted."""
    mask = model.tokenizer.mask_token_id
    if mask is None:
        raise UsageError(f"{model.name}: expected a tokenizer with a mask token, it has none")
    scored = masked_positions(passage, positions)
    copies = [masked(passage, int(at), mask, str(model.tokenizer.mask_token)) for at in scored]
    total = TextReading(
        float(len(scored)), _words(passage, scored), 0.0, (0.0,) * len(plans), (0.0,) * len(plans)
    )
    for batch in batches(copies, token_budget):
        texts = [copies[index] for index in batch]
        at = torch.from_numpy(scored[list(batch)])
        ids = torch.from_numpy(np.asarray(passage.ids)[scored[list(batch)]]).long()
        row = torch.arange(len(texts))

        def predictions(
            plan: Substituted | None,
            texts: Sequence[Passage] = texts,
            passes: _Passes = _Passes(layers),  # noqa: B008  (of this batch)
        ) -> Tensor:
            with passes.under(plan):
                logits = model.logits(texts, plan)
            passed(len(texts))
            return logits

        _, unaltered, losses, shifts = _compare(
            predictions, (row, at), ids, torch.zeros_like(row), 1, plans
        )
        total = replace(
            total,
            unaltered=total.unaltered + unaltered[0],
            loss=tuple(old + new[0] for old, new in zip(total.loss, losses, strict=True)),
            shift=tuple(old + new[0] for old, new in zip(total.shift, shifts, strict=True)),
        )
    return total


def _encoder(
    model: Model,
    passages: Sequence[Passage],
    plans: Sequence[Substituted],
    passed: Passed,
    layers: Layers,
) -> list[TextReading]:
    """The cosine of each token's last hidden states."""
    passes = _Passes(layers)

    def states(plan: Substituted | None) -> Tensor:
        inputs = model.inputs(passages)
        lengths = torch.tensor([len(passage) for passage in passages], device=model.hf.device)
        with torch.inference_mode(), passes.under(plan), ExitStack() as held:
            if plan is not None:
                held.enter_context(tap(model, None, plan, batch=tuple(passages), lengths=lengths))
            found: Tensor = model.stack.body(**inputs)[0]
        passed(len(passages))
        return found

    before = states(None)
    cosines = [torch.cosine_similarity(before.double(), states(p).double(), dim=-1) for p in plans]
    return [
        TextReading(
            float(len(passage)),
            _words(passage, np.arange(len(passage))),
            0.0,
            (0.0,) * len(plans),
            tuple(float(cosine[b, : len(passage)].sum()) for cosine in cosines),
        )
        for b, passage in enumerate(passages)
    ]


def _compare(
    predictions: Callable[[Substituted | None], Float[Tensor, "B T V"]],
    where: tuple[Int[Tensor, " R"], Int[Tensor, " R"]],
    ids: Int[Tensor, " R"],
    text: Int[Tensor, " R"],
    texts: int,
    plans: Sequence[Substituted],
) -> tuple[list[float], list[float], list[list[float]], list[list[float]]]:
    """By text: rows, unaltered loss, and under each plan loss and divergence.

    Args:
        predictions: the logits; `where`: text and place of each row that counts.
        ids: what each row should have predicted; `text`: the text that it counts for, of `texts`.
    """

    def by_text(values: Tensor) -> list[float]:
        total = torch.zeros(texts, dtype=torch.float64)
        summed: list[float] = total.index_add_(0, text, values.double().cpu()).tolist()
        return summed

    def logs(logits: Tensor) -> Iterator[tuple[slice, Float[Tensor, "r V"]]]:
        """Log-probabilities, some rows at a time: whole they would be copies of hundreds of MB."""
        step = max(1, _NUMBERS // logits.shape[-1])
        for start in range(0, max(1, len(ids)), step):
            some = slice(start, start + step)
            row, at = (part[some].to(logits.device) for part in where)
            yield some, torch.log_softmax(logits[row, at].float(), dim=-1)

    def loss_of(log: Tensor, some: slice) -> Tensor:
        return -log.gather(1, ids[some, None].to(log.device))[:, 0]

    untouched = predictions(None)
    before = [loss_of(log, some) for some, log in logs(untouched)]
    losses, shifts = [], []
    for plan in plans:
        loss, shift = [], []
        altered = predictions(plan)
        for (some, one), (_, other) in zip(logs(untouched), logs(altered), strict=True):
            loss.append(loss_of(other, some))
            shift.append((one.exp() * (one - other)).sum(-1))
        losses.append(by_text(torch.cat(loss)))
        shifts.append(by_text(torch.cat(shift)))
    return by_text(torch.ones(len(text))), by_text(torch.cat(before)), losses, shifts


def _words(passage: Passage, tokens: np.ndarray) -> float:
    """The number of words that some of the tokens touch."""
    touched = [passage.words_of[int(token)] for token in tokens]
    return float(len(np.unique(np.concatenate(touched)))) if touched else 0.0


def masked_positions(passage: Passage, number: int | None) -> np.ndarray:
    """The tokens to mask, ascending: all that the tokenizer did not add, or `number` by hash."""
    found = np.flatnonzero(~np.asarray(passage.is_special, bool))
    if number is None or len(found) <= number:
        return found
    seed = int.from_bytes(content_digest(passage), "big")
    return np.sort(np.random.default_rng(seed).permutation(found)[:number])


def masked(passage: Passage, at: int, mask: int, mask_token: str) -> Passage:
    """The passage with one token masked, for programs as for the model.

    The token's characters are hidden, and of the words that it touches form, lemma and tags; the
    shape of the parse, found with the word in view, stays.
    """
    start, end = (int(place) for place in passage.spans[at])
    text = passage.text[:start] + HIDDEN * (end - start) + passage.text[end:]
    ids = np.array(passage.ids)
    ids[at] = mask
    tokens = (*passage.tokens[:at], mask_token, *passage.tokens[at + 1 :])
    encoding = Encoding(tokens, ids, passage.spans, passage.is_special, passage.encoding.cut)
    touched = {int(word) for word in passage.words_of[at]}
    return Passage(
        passage.text_id,
        passage.group,
        text,
        encoding,
        _hidden_words(passage.words, touched, mask_token),
        passage.words_of,
        passage.about,
    )


def _hidden_words(words: Words, touched: set[int], mask_token: str) -> Words:
    def hide(column: tuple[str, ...] | None, value: str) -> tuple[str, ...] | None:
        if column is None:
            return None
        return tuple(value if w in touched else one for w, one in enumerate(column))

    form = hide(words.form, mask_token)
    assert form is not None
    return replace(
        words,
        form=form,
        lemma=hide(words.lemma, mask_token),
        upos=hide(words.upos, "X"),
        xpos=hide(words.xpos, ""),
        morph=hide(words.morph, ""),
        dep=hide(words.dep, "dep"),
        entity=hide(words.entity, ""),
    )
