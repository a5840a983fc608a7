"""One forward pass of a stack: its arguments, and the attention that it returns itself."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from headscribe.models.calls import Keeper
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
    parameters = inspect.signature(stack.body.forward).parameters
    # A bare wrapper (BartForCausalLM's) hands all on to what it wraps.
    kinds = {parameter.kind for parameter in parameters.values()}
    bare = kinds == {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    if "use_cache" in parameters or bare:
        arguments["use_cache"] = False
    if "return_dict" in parameters and parameters["return_dict"].default is False:
        arguments["return_dict"] = True
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


def eager_attentions(stack: Stack, inputs: Mapping[str, Any]) -> tuple[dict[int, Tensor], Tensor]:
    """What the model itself returns as attention, by its place among what it returns; its output.

    Only what is attention of every token over every token, `(B, H, T, T)`: other kinds of layers
    (state space, windows in blocks) return nothing or other things.
    """
    with implementation(stack.hf, "eager"), torch.inference_mode():
        result = stack.body(**inputs, output_attentions=True)
    field = "decoder_attentions" if stack.name == "decoder" else "attentions"
    returned = getattr(result, field, None) or ()
    length = inputs["decoder_input_ids" if stack.name == "decoder" else "input_ids"].shape[1]
    found = {place: item for place, item in enumerate(returned) if _is_attention(item, length)}
    return found, result[0]


def _is_attention(item: object, length: int) -> bool:
    return isinstance(item, Tensor) and item.ndim == 4 and item.shape[2:] == (length, length)


def attentions(stack: Stack, inputs: Mapping[str, Any], lengths: Tensor) -> list[Tensor]:
    """The probabilities of every layer of a stack, `(B, H, T, T)` each, all kept at once."""
    if not stack.modules:
        returned, _ = eager_attentions(stack, inputs)
        return [returned[place].float() for place in stack.returned]
    keeper = Keeper()
    with torch.inference_mode(), tap(stack, keeper, lengths=lengths):
        stack.body(**inputs)
    return list(keeper.layers.values())
