"""The support check: what a model's attention is, and what can be done with it."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from transformers import PreTrainedModel as HuggingFaceModel

from headscribe.core.errors import UsageError
from headscribe.core.visibility import Visibility
from headscribe.models.probe import Probe, probe, what_layers_see, which_together
from headscribe.models.stack import Stack, StackName
from headscribe.models.stated import text_config


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
    refusal = _refusal(shown)
    found: Stack | None = None
    notes: list[str] = []
    if refusal is not None:
        notes.append(refusal)
    else:
        found = _seen(_tapped(shown) if shown.agrees else _returned(shown))
        found = replace(found, together=which_together(found, shown.weights))
        notes += _notes(shown, found)
    if found is not None and not _within(found.visibility, shown.weights):
        found = None
        notes = ["it attends to keys outside of the windows that its masks state"]
    alone = found is not None and found.together != "any"
    closed = found is not None and shown.agrees and all(found.closed)
    return (
        Support(
            architecture=type(hf).__name__,
            stack=name,
            layers=0 if found is None else found.layers,
            heads=0 if found is None else found.heads,
            implementation=str(hf.config._attn_implementation),
            honoured=shown.agrees,
            survey=found is not None,
            replacement=closed and not alone,
            visibility=() if found is None else found.visibility,
            notes=tuple(notes),
        ),
        found,
    )


def _notes(shown: Probe, stack: Stack) -> list[str]:
    """A sentence for each thing that cannot be done, or is done in another way."""
    notes: list[str] = []
    if not shown.agrees:
        notes.append(
            f"{_bypass(shown)}: surveyed through output_attentions=True with eager attention, "
            "which holds all layers in memory at once; heads cannot be replaced"
        )
    elif not all(stack.closed):
        notes.append("attention without a closed form: surveyed, but heads cannot be replaced")
    if stack.together != "any":
        others = "of another length " if stack.together == "equal" else ""
        notes.append(
            f"a text's attention changes where texts {others}share its batch: such texts are run "
            "one after the other, and heads cannot be replaced"
        )
    if stack.limit is not None:
        notes.append(
            f"texts are cut at {stack.limit} tokens: in longer ones some layers see parts only, "
            "such as chunks"
        )
    rest = _other_layers(shown, stack)
    return notes if rest is None else [*notes, rest]


def _other_layers(shown: Probe, stack: Stack) -> str | None:
    """Names the layers of a hybrid that have no attention, None where there are none."""
    text = text_config(shown.bare.hf)
    depth = getattr(text, "num_hidden_layers", None)
    if shown.bare.name is not None or not isinstance(depth, int) or stack.layers >= depth:
        return None
    places = [getattr(module, "layer_idx", None) for module in stack.modules]
    kinds = getattr(text, "layer_types", None) or getattr(text, "layers_block_type", None) or ()
    whose = ""
    if all(isinstance(place, int) for place in places) and len(set(places)) == len(places):
        plural = "layers" if len(places) > 1 else "layer"
        whose = f" (the model's {plural} {', '.join(map(str, places))})"
        kinds = [kind for layer, kind in enumerate(kinds) if layer not in places]
    names = ", ".join(dict.fromkeys(str(kind) for kind in kinds if "full" not in str(kind)))
    return (
        f"attention is in {stack.layers} of its {depth} layers, numbered from 0 here{whose}; "
        f"the others{f' ({names})' if names and whose else ''} have none to survey"
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


def _refusal(shown: Probe) -> str | None:
    """Why nothing of this model can be surveyed, or None."""
    if not shown.weights:
        return (
            f"{_bypass(shown)}, and it returns no attention of every token over every token; there "
            "is nothing to survey"
        )
    if any(bool(weights.isnan().any()) for weights in shown.weights):
        return "its attention is NaN: its weights are damaged, or need a wider dtype"
    if len({weights.shape[1] for weights in shown.weights}) > 1:
        return "has layers with different numbers of heads"
    return None


def _bypass(shown: Probe) -> str:
    calls, layers = len(shown.layers), len(shown.attentions)
    if calls == 0 and layers == 0:
        return "nothing of it reaches the attention interface of transformers"
    if calls == 0:
        return "it bypasses the attention interface of transformers (0 calls in a forward pass)"
    return (
        f"the attention interface shows {calls} calls that differ from its {layers or '?'} layers"
    )


def _tapped(shown: Probe) -> Stack:
    return replace(
        shown.bare,
        modules=tuple(layer.module for layer in shown.layers),
        heads=shown.layers[0].weights.shape[1],
        visibility=(Visibility(),) * len(shown.layers),
        closed=tuple(layer.closed for layer in shown.layers),
    )


def _returned(shown: Probe) -> Stack:
    return replace(
        shown.bare,
        heads=shown.weights[0].shape[1],
        visibility=(Visibility(),) * len(shown.weights),
        closed=(False,) * len(shown.weights),
        returned=tuple(shown.attentions),
    )


def _seen(stack: Stack) -> Stack:
    """The stack with what its layers see."""
    layers = what_layers_see(stack)
    limits = [seen.limit for seen in layers if seen.limit is not None]
    return replace(
        stack, visibility=tuple(seen.visibility for seen in layers), limit=min(limits, default=None)
    )


def _within(stated: tuple[Visibility, ...], weights: list[Tensor]) -> bool:
    """Whether no weight lies outside of what the layers are said to see."""
    for visible, matrix in zip(stated, weights, strict=True):
        hidden = ~torch.from_numpy(visible.dense(matrix.shape[-1])).to(matrix.device)
        if bool(matrix[..., hidden].any()):
            return False
    return True
