"""What the model says next with heads switched off, or replaced by formulas, beside untouched."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from headscribe.core.errors import HeadscribeError, UsageError
from headscribe.core.heads import HeadId
from headscribe.explore.texts import Going
from headscribe.models.model import Model
from headscribe.replacement.apply import Substituted, generate
from headscribe.replacement.plan import ZERO, Plan
from headscribe.report.labels import token_label
from headscribe.text.passages import Passage

SHOWN = 8
"""Likeliest tokens that are listed, of the model as it is and as it was changed."""


def changed(
    model: Model,
    passage: Passage,
    off: Sequence[HeadId],
    formulas: Mapping[HeadId, Any],
    tokens: int,
    going: Going,
) -> dict[str, Any]:
    """The likeliest next tokens (of a masked model: for its first mask), or how the text goes on.

    Args:
        model: a model that predicts tokens.
        passage: the text.
        off: heads whose output is zero.
        formulas: what stands in the place of other heads.
        tokens: how far to go on with the text; 0: only what comes next.
        going: see `texts.Going`.

    Raises:
        UsageError: the model predicts no tokens, there is no mask, or what `Plan.check` raises.
    """
    plan = Plan({**dict.fromkeys(off, ZERO), **formulas})
    plan.check(model)
    if tokens:
        return _written(model, plan, passage, tokens, going)
    place = _place(model, passage)
    before = _likely(model, passage, None, place)
    going()
    after = _likely(model, passage, Substituted(plan, model), place) if len(plan) else before
    listed = [one.topk(min(SHOWN, len(one))).indices.tolist() for one in (after, before)]
    ids = sorted({*listed[0], *listed[1]}, key=lambda one: -float(after[one]))
    names = [model.tokenizer.decode([one]) for one in ids]
    return {
        "place": place,
        "change": float((before - after).abs().sum() / 2),
        "tokens": [
            {"token": token_label(name), "before": float(before[one]), "after": float(after[one])}
            for one, name in zip(ids, names, strict=True)
        ],
    }


def _place(model: Model, passage: Passage) -> int:
    """The token at which is predicted."""
    if model.stack.name is not None or model.kind == "encoder":
        raise UsageError(
            f"{model.name} predicts no tokens: a causal or a masked language model does"
        )
    if model.kind == "causal":
        return len(passage) - 1
    mask = model.tokenizer.mask_token_id
    found = [at for at, one in enumerate(passage.ids.tolist()) if one == mask]
    if not found:
        raise UsageError(
            f"write {model.tokenizer.mask_token} into the text where a token is to be predicted"
        )
    return found[0]


def _likely(model: Model, passage: Passage, plan: Substituted | None, place: int) -> Tensor:
    logits = model.logits([passage], plan)[0, place]
    return torch.softmax(logits.double(), dim=-1)


def _written(
    model: Model, plan: Plan, passage: Passage, tokens: int, going: Going
) -> dict[str, Any]:
    """How the text goes on, greedily; why not, where it cannot."""
    if model.kind != "causal":
        raise UsageError(f"{model.name} is a {model.kind} model: only causal models go on")
    end = int(passage.spans[:, 1].max(initial=0)) if passage.encoding.cut else len(passage.text)
    prompt = passage.text[:end]
    found: dict[str, Any] = {}
    # Asked before every token: whoever closes the page does not wait for the last one.
    hook = model.stack.body.register_forward_pre_hook(lambda *_: going())
    try:
        for name, one in (("before", Plan({})), ("after", plan)):
            try:
                whole = generate(model, one, prompt, tokens)
                found[name] = whole[len(prompt) :] if whole.startswith(prompt) else whole
            except HeadscribeError as error:
                found |= {name: None, "why": str(error)}
    finally:
        hook.remove()
    return found
