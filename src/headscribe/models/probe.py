"""One tiny forward pass that shows how a model attends."""

import inspect
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel as HuggingFaceModel

from headscribe.core.errors import UsageError
from headscribe.core.visibility import Visibility
from headscribe.models.invocation import Invocation, eager_function
from headscribe.models.placement import device_of
from headscribe.models.stack import Stack, StackName
from headscribe.models.tap import implementation, intercept

LENGTH = 8
"""Tokens of the probe."""

TOLERANCE = 1e-3
"""How far the tap may be from the eager code, in attention and relative to the largest output."""

HALF_TOLERANCE = 0.1
"""The same for models in half precision: mean difference relative to the mean magnitude."""


_CONFUSED = (AttributeError, IndexError, KeyError, NotImplementedError, TypeError, ValueError)
"""What modeling code raises when it does not get the inputs that it expects."""


@dataclass(frozen=True)
class Layer:
    """What one self-attention call of the probe showed."""

    module: nn.Module
    window: int | None
    closed: bool
    weights: Tensor


@dataclass(frozen=True)
class Probe:
    """What a model's probe showed.

    Attributes:
        bare: the stack without its layers.
        layers: the self-attention calls that reached the attention interface, in order.
        attentions: what the model returns of its own accord under eager attention, one
            `(1, H, T, T)` a layer; None where it returns none.
        agrees: whether tap and eager code give the same attention and the same output.
    """

    bare: Stack
    layers: tuple[Layer, ...]
    attentions: tuple[Tensor, ...] | None
    agrees: bool


def probe(hf: HuggingFaceModel, name: StackName | None) -> Probe:
    """Run the model once tapped and once with its own eager attention.

    Raises:
        UsageError: the model cannot be run on token ids alone.
    """
    bare = _bare(hf, name)
    inputs = _inputs(bare)
    try:
        attentions, output = eager_attentions(bare, inputs)
    except _CONFUSED as error:
        raise UsageError(
            f"{type(hf).__name__} cannot be run on token ids alone: {_first_line(error)}"
        ) from error
    layers: list[Layer] = []

    def record(invocation: Invocation) -> Tensor:
        inside = name is None or invocation.module in members
        if inside and invocation.query.shape[2] == invocation.key.shape[2] == output.shape[1]:
            layers.append(_layer(invocation))
        return invocation.own_output()

    members = set(bare.root.modules())
    try:
        with torch.inference_mode(), intercept(hf, record):
            tapped = bare.body(**inputs)[0]
    except _CONFUSED:
        # Code that bypasses the interface may not know what to do with its masks (MPT).
        return Probe(bare, (), attentions, False)
    agrees = (
        attentions is not None
        and len(layers) == len(attentions)
        and all(_near(layer.weights, own) for layer, own in zip(layers, attentions, strict=True))
        and _near(tapped, output)
    )
    return Probe(bare, tuple(layers), attentions, agrees)


def _inputs(stack: Stack) -> dict[str, Any]:
    """A few tokens without a padding token; a decoder gets fewer than its encoder."""
    text = stack.hf.config.get_text_config()
    ids = [(11 * index + 7) % text.vocab_size for index in range(LENGTH + 1)]
    ids = [index for index in ids if index != getattr(text, "pad_token_id", None)][:LENGTH]
    source = torch.tensor([ids], device=device_of(stack.hf))
    inputs = forward_arguments(stack, source)
    if stack.name == "decoder":
        inputs["decoder_input_ids"] = source[:, :-2]
    return inputs


def forward_arguments(stack: Stack, ids: Tensor, mask: Tensor | None = None) -> dict[str, Any]:
    """The arguments of `stack.body`: token ids and, where texts are padded, which are real.

    A decoder reads the same text as its encoder, unshifted: query `i` is token `i`.
    """
    arguments: dict[str, Any] = {"input_ids": ids}
    if mask is not None:
        arguments["attention_mask"] = mask
    if stack.name == "decoder":
        arguments["decoder_input_ids"] = ids
    if "use_cache" in inspect.signature(stack.body.forward).parameters:
        arguments["use_cache"] = False
    return arguments


def eager_attentions(
    stack: Stack, inputs: dict[str, Any]
) -> tuple[tuple[Tensor, ...] | None, Tensor]:
    """What the model itself returns as attention, None for nothing of use, and its output."""
    with implementation(stack.hf, "eager"), torch.inference_mode():
        result = stack.body(**inputs, output_attentions=True)
    field = "decoder_attentions" if stack.name == "decoder" else "attentions"
    found = tuple(getattr(result, field, None) or ())
    length = result[0].shape[1]
    usable = found and all(_is_attention(item, length) for item in found)
    return (found if usable else None), result[0]


def _is_attention(item: object, length: int) -> bool:
    """Whether this is `(B, H, T, T)`; Longformer and its like return other things."""
    return isinstance(item, Tensor) and item.ndim == 4 and item.shape[2:] == (length, length)


def visibility(weights: Tensor, window: int | None) -> Visibility:
    """What a layer sees that attends so: causal where no later key has any weight."""
    later = weights.triu(diagonal=1)
    return Visibility(causal=not bool(later.any()), window=window)


def _bare(hf: HuggingFaceModel, name: StackName | None) -> Stack:
    if name is None:
        body = root = hf.base_model
    else:
        root = hf.get_encoder() if name == "encoder" else hf.get_decoder()
        body = root if name == "encoder" else hf.base_model
    return Stack(hf, body, root, name, (), 0, (), ())


def _layer(invocation: Invocation) -> Layer:
    closed = _has_closed_form(invocation)
    wide = invocation.widened()
    weights = wide.weights() if closed or not _has_eager(wide) else wide.eager()[1]
    return Layer(invocation.module, invocation.window, closed, weights)


def _has_eager(invocation: Invocation) -> bool:
    return eager_function(invocation.module) is not None


def _has_closed_form(invocation: Invocation) -> bool:
    """Whether the module's eager function computes `Invocation.weights` and nothing else.

    Asked of random queries and keys whose scores are large (standard deviation about 30), so that
    a soft cap or a sink that the closed form does not know cannot hide.
    """
    if not _has_eager(invocation):
        return False
    wide = invocation.widened()
    spread = sqrt(30 / (abs(wide.scaling) * sqrt(wide.query.shape[-1])))
    random = torch.Generator().manual_seed(0)

    def draw(like: Tensor, scale: float) -> Tensor:
        return (torch.randn(like.shape, generator=random) * scale).to(like)

    trial = replace(
        wide,
        query=draw(wide.query, spread),
        key=draw(wide.key, spread),
        value=draw(wide.value, 1.0),
    )
    output, weights = trial.eager()
    ours = trial.weights()
    return _near(ours, weights) and _near(trial.output(ours), output)


def _near(one: Tensor, other: Tensor) -> bool:
    """Whether two ways to compute the same agree; in half precision, which drifts, on average."""
    if one.shape != other.shape:
        return False
    difference = (one.float() - other.float()).abs()
    if other.dtype in (torch.float32, torch.float64):
        return bool(difference.max() <= TOLERANCE * max(1.0, float(other.abs().max())))
    return bool(difference.mean() <= HALF_TOLERANCE * other.float().abs().mean())


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
