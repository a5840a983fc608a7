"""One forward pass of a stack: its arguments, and the attention that it returns itself."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from headscribe.models.calls import AttentionCall
from headscribe.models.stack import Stack
from headscribe.models.tap import implementation, tap


def forward_arguments(stack: Stack, ids: Tensor, mask: Tensor | None = None) -> dict[str, Any]:
    """The arguments of `stack.body`: ids `(B, T)` and, where texts are padded, which are real.

    A decoder reads the same text as its encoder, unshifted: query `i` is token `i`.
    """
    arguments: dict[str, Any] = {"input_ids": ids}
    if mask is not None:
        arguments["attention_mask"] = mask
    if stack.name == "decoder":
        arguments["decoder_input_ids"] = ids
    if _takes_cache(stack.body):
        arguments["use_cache"] = False
    if getattr(stack.hf.config, "return_dict", True) is False:
        arguments["return_dict"] = True  # such a configuration is meant for TorchScript
    return arguments


def padding_mask(stack: Stack, lengths: Tensor) -> Tensor | None:
    """Which tokens of padded texts are real, `(B, T)`; None where nothing reads the others.

    A causal model needs no mask: no real token sees what is padded after it.
    """
    width = int(lengths.max())
    causal = all(layer.causal for layer in stack.visibility) and stack.name != "decoder"
    if causal or int(lengths.min()) == width:
        return None
    return (torch.arange(width)[None, :] < lengths.cpu()[:, None]).long()


def _takes_cache(body: nn.Module) -> bool:
    parameters = inspect.signature(body.forward).parameters
    # A bare wrapper (BartForCausalLM's) hands all on to what it wraps.
    kinds = {parameter.kind for parameter in parameters.values()}
    bare = kinds == {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    return "use_cache" in parameters or bare


def eager_attentions(
    stack: Stack, inputs: Mapping[str, Any]
) -> tuple[tuple[Tensor, ...] | None, Tensor]:
    """What the model itself returns as attention, `(B, H, T, T)` a layer, and its output.

    None for nothing of use. Layers of other kinds (state space, convolution) return none.
    """
    with implementation(stack.hf, "eager"), torch.inference_mode():
        result = stack.body(**inputs, output_attentions=True)
    field = "decoder_attentions" if stack.name == "decoder" else "attentions"
    returned = getattr(result, field, None) or ()
    found = tuple(item for item in returned if item is not None)
    length = result[0].shape[1]
    usable = found and all(_is_attention(item, length) for item in found)
    return (found if usable else None), result[0]


def _is_attention(item: object, length: int) -> bool:
    """Whether this is `(B, H, T, T)`; Longformer and its like return other things."""
    return isinstance(item, Tensor) and item.ndim == 4 and item.shape[2:] == (length, length)


def attentions(stack: Stack, inputs: Mapping[str, Any], lengths: Tensor) -> list[Tensor]:
    """The probabilities of every layer of a stack, `(B, H, T, T)` each, all kept at once."""
    if not stack.modules:
        returned, _ = eager_attentions(stack, inputs)
        return [weights.float() for weights in returned or ()]
    kept: list[Tensor] = []

    class Keeper:
        def observe(self, call: AttentionCall) -> None:
            kept.append(call.probabilities().clone())

    with torch.inference_mode(), tap(_Tapped(stack), Keeper(), lengths=lengths):
        stack.body(**inputs)
    return kept


class _Tapped:
    """The least that `tap` needs to know."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    @property
    def stack(self) -> Stack:
        return self._stack
