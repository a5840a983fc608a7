"""The support check: what a model's attention is, and what can be done with it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel as HuggingFaceModel

from headscribe.core.errors import UsageError
from headscribe.core.visibility import Visibility
from headscribe.models.probe import Probe, probe, visibility
from headscribe.models.stack import Stack, StackName

_KNOWN_LAYER_TYPES = {"full_attention", "sliding_attention"}


@dataclass(frozen=True)
class Support:
    """What Headscribe can do with a model, and why not more.

    Attributes:
        architecture: the model's class.
        stack: which stack of an encoder-decoder model, None elsewhere.
        layers: number of self-attention layers; 0 where nothing can be surveyed.
        heads: number of heads of every layer; 0 where nothing can be surveyed.
        implementation: the model's own attention implementation.
        honoured: the model routes all its self-attention through transformers' interface.
        survey: its heads can be surveyed.
        replacement: its heads can be replaced.
        visibility: what each layer can see.
        notes: a sentence for each thing that cannot be done, and for what is done in its place.
    """

    architecture: str
    stack: StackName | None
    layers: int
    heads: int
    implementation: str
    honoured: bool
    survey: bool
    replacement: bool
    visibility: tuple[Visibility, ...]
    notes: tuple[str, ...]


def examine(hf: HuggingFaceModel, stack: str | None = None) -> tuple[Support, Stack | None]:
    """Run a model on a few tokens, tapped and with its own eager attention, and compare.

    Attention that the tap does not see, or sees differently, is not trusted: then the attention
    that the model returns itself is used, or the model is refused (no stack is returned).

    Args:
        hf: the model, in evaluation mode.
        stack: `encoder` (default) or `decoder` of an encoder-decoder model, None for others.

    Raises:
        UsageError: the model has no such stack, or cannot be run on token ids alone.
    """
    name = _stack_name(hf, stack)
    shown = probe(hf, name)
    refusal = _refusal(hf, shown)
    honoured = shown.agrees
    found: Stack | None = None
    notes: list[str] = []
    if refusal is not None:
        notes.append(refusal)
    elif honoured:
        found = _tapped(shown)
        if not all(found.closed):
            notes.append("attention without a closed form: surveyed, but heads cannot be replaced")
    else:
        found = _returned(shown)
        notes.append(
            f"{_bypass(shown)}: surveyed through output_attentions=True with eager attention, "
            "which holds all layers in memory at once; heads cannot be replaced"
        )
    if found is not None and not _within(found.visibility, _weights(shown)):
        found = None
        notes.append("it attends to keys outside of the windows that it states")
    return (
        Support(
            architecture=type(hf).__name__,
            stack=name,
            layers=0 if found is None else found.layers,
            heads=0 if found is None else found.heads,
            implementation=str(hf.config._attn_implementation),
            honoured=honoured,
            survey=found is not None,
            replacement=honoured and found is not None and all(found.closed),
            visibility=() if found is None else found.visibility,
            notes=tuple(notes),
        ),
        found,
    )


def _stack_name(hf: HuggingFaceModel, stack: str | None) -> StackName | None:
    if stack not in ("encoder", "decoder", None):
        raise UsageError(
            f"expected stack `encoder` or `decoder`, got {stack!r}; cross-attention is not "
            "supported, since its queries and keys are different texts"
        )
    if getattr(hf.config, "is_encoder_decoder", False):
        return "encoder" if stack is None else stack  # type: ignore[return-value]
    if stack is not None:
        raise UsageError(f"{type(hf).__name__} has one stack only; leave out stack={stack!r}")
    return None


def _refusal(hf: HuggingFaceModel, shown: Probe) -> str | None:
    """Why nothing of this model can be surveyed, or None."""
    text = hf.config.get_text_config()
    strange = sorted(set(getattr(text, "layer_types", None) or ()) - _KNOWN_LAYER_TYPES)
    if strange:
        return f"has layers of type {', '.join(strange)}, which are no plain attention"
    if not shown.agrees and shown.attentions is None:
        return (
            f"{_bypass(shown)} and it returns no attention matrices; there is nothing to survey "
            '(where the architecture has an eager form, load it with attn_implementation="eager")'
        )
    if len({weights.shape[1] for weights in _weights(shown)}) > 1:
        return "has layers with different numbers of heads"
    depth = getattr(text, "num_hidden_layers", None)
    if shown.bare.name is None and depth is not None and len(_weights(shown)) < depth:
        return f"has attention in {len(_weights(shown))} of its {depth} layers only"
    return None


def _bypass(shown: Probe) -> str:
    calls = len(shown.layers)
    if calls == 0:
        return "it bypasses the attention interface of transformers (0 calls in a forward pass)"
    layers = "?" if shown.attentions is None else len(shown.attentions)
    return f"the attention interface shows {calls} calls that differ from its {layers} layers"


def _weights(shown: Probe) -> list[Tensor]:
    if shown.agrees or shown.attentions is None:
        return [layer.weights for layer in shown.layers]
    return list(shown.attentions)


def _tapped(shown: Probe) -> Stack:
    return replace(
        shown.bare,
        modules=tuple(layer.module for layer in shown.layers),
        heads=shown.layers[0].weights.shape[1],
        visibility=tuple(visibility(layer.weights, layer.window) for layer in shown.layers),
        closed=tuple(layer.closed for layer in shown.layers),
    )


def _returned(shown: Probe) -> Stack:
    weights = _weights(shown)
    return replace(
        shown.bare,
        heads=weights[0].shape[1],
        visibility=tuple(
            visibility(each, _stated_window(shown.bare.hf, layer))
            for layer, each in enumerate(weights)
        ),
        closed=(False,) * len(weights),
    )


def _stated_window(hf: HuggingFaceModel, layer: int) -> int | None:
    """The sliding window of a layer that bypasses the interface: GPT-Neo's local layers."""
    kinds = getattr(hf.config, "attention_layers", None) or ()
    return int(hf.config.window_size) if layer < len(kinds) and kinds[layer] == "local" else None


def _within(stated: tuple[Visibility, ...], weights: list[Tensor]) -> bool:
    """Whether no weight lies outside of what the layers are said to see."""
    for visible, matrix in zip(stated, weights, strict=True):
        hidden = ~torch.from_numpy(visible.dense(matrix.shape[-1])).to(matrix.device)
        if bool(matrix[..., hidden].any()):
            return False
    return True
