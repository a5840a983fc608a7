"""A few tiny forward passes that show how a model attends."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel as HuggingFaceModel

from headscribe.core.errors import RunError, UsageError, first_line
from headscribe.models.forward import attentions, eager_attentions, forward_arguments, padding_mask
from headscribe.models.invocation import Invocation, eager_function
from headscribe.models.placement import device_of
from headscribe.models.seeing import Seen, seen_by_rule, seen_in
from headscribe.models.stack import Stack, StackName, Together
from headscribe.models.stated import padding_id, position_limit, text_config, vocabulary
from headscribe.models.tap import intercept, reading_rules

LENGTH = 11
"""Tokens of the probe: no size that heads have, so that no other square matrix looks like attention
over so many tokens."""

LONG = 47
"""Tokens of the longer probe of layers whose masks follow no rule, where no window is stated."""

LONGEST = 640
"""Tokens that a probe of a stated window may take."""

TOLERANCE = 1e-3
"""How far the tap may be from the eager code, in attention and relative to the largest output."""

HALF_TOLERANCE = 0.1
"""The same for models in half precision: mean difference relative to the mean magnitude."""

MIXED = 1e-2
"""The part of it by which a text's attention may move when longer texts share its batch."""

HALF = (torch.float16, torch.bfloat16)

_CONFUSED = (
    ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, RuntimeError,
    TypeError, UnboundLocalError, ValueError,
)  # fmt: skip
"""What modeling code raises when it does not get the inputs that it expects."""

_OF_WINDOWS = re.compile(r"window|chunk|local|block_size|attention_span")
"""Settings that may state how far a layer sees."""


@dataclass(frozen=True)
class Layer:
    """What one self-attention call of the probe showed."""

    module: nn.Module
    closed: bool
    weights: Tensor


@dataclass(frozen=True)
class Probe:
    """What a model's probe showed.

    Attributes:
        bare: the stack without its layers.
        layers: the self-attention calls that reached the attention interface, in order.
        attentions: what the model returns of its own accord under eager attention, one
            `(1, H, T, T)` a layer that has attention, by its place among what is returned.
        agrees: whether tap and eager code give the same attention and the same output.
    """

    bare: Stack
    layers: tuple[Layer, ...]
    attentions: dict[int, Tensor]
    agrees: bool

    @property
    def weights(self) -> list[Tensor]:
        """The attention of every layer, as the tap shows it, or else as it is returned."""
        if self.agrees:
            return [layer.weights for layer in self.layers]
        return list(self.attentions.values())


def probe(hf: HuggingFaceModel, name: StackName | None) -> Probe:
    """Run the model once tapped and once with its own eager attention.

    Raises:
        UsageError: the model cannot be run on token ids alone.
        RunError: it does not fit into memory.
    """
    if not vocabulary(hf):
        raise UsageError(
            f"{type(hf).__name__} has no vocabulary, so it cannot be run on token ids alone"
        )
    bare = _bare(hf, name)
    inputs = _inputs(bare)
    # First tapped: BigBird puts other modules in place when it meets a short text, and what is
    # returned as attention is taken from the modules that are there when it is first asked for.
    layers, tapped = _tapped(bare, inputs)
    try:
        returned, output = eager_attentions(bare, inputs)
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise RunError(
            f"{type(hf).__name__} does not fit into memory: {first_line(error)}"
        ) from error
    except _CONFUSED as error:
        raise UsageError(
            f"{type(hf).__name__} cannot be surveyed: its own code breaks on {LENGTH} token ids "
            f"alone ({first_line(error)})"
        ) from error
    # SqueezeBERT returns the scores before the softmax.
    returned = {place: item for place, item in returned.items() if _is_distribution(item)}
    if tapped is None:
        return Probe(bare, (), returned, False)
    layers = [layer for layer in layers if layer.weights.shape[2] == output.shape[1]]
    same = _near(tapped, output) and bool(layers)
    if returned:
        pairs = zip(layers, returned.values(), strict=False)
        same = same and len(layers) == len(returned)
        same = same and all(_near(layer.weights, own) for layer, own in pairs)
    else:
        # Nothing is returned to compare with: each call was compared with its eager function.
        same = same and all(layer.closed for layer in layers)
    return Probe(bare, tuple(layers), returned, same)


def _tapped(bare: Stack, inputs: Mapping[str, Any]) -> tuple[list[Layer], Tensor | None]:
    """The self-attention calls of a forward pass, and its output; None if the code breaks."""
    layers: list[Layer] = []
    members = set(bare.root.modules())

    def record(invocation: Invocation) -> Tensor:
        inside = bare.name is None or invocation.module in members
        if inside and invocation.query.shape[2] == invocation.key.shape[2]:
            layers.append(_layer(invocation))
        return invocation.own_output()

    try:
        with torch.inference_mode(), intercept(bare.hf, record):
            output: Tensor = bare.body(**inputs)[0]
    except _CONFUSED:
        # Code that bypasses the interface may not know what to do with its masks (MPT).
        return [], None
    return layers, output


def what_layers_see(stack: Stack) -> tuple[Seen, ...]:
    """What each layer of a stack sees: by its mask's rule, or else in a longer text.

    Raises:
        UsageError: the model's code breaks on a longer text.
    """
    by_rule = _seen_by_rules(stack) if stack.modules else {}
    if len(by_rule) == stack.layers:
        return tuple(by_rule[layer] for layer in range(stack.layers))
    length = _long(stack.hf)
    try:
        weights = attentions(
            stack, _arguments(stack, _ids(stack.hf, length)), torch.tensor([length])
        )
    except _CONFUSED as error:
        raise UsageError(
            f"{type(stack.hf).__name__} cannot read {length} tokens: {first_line(error)}"
        ) from error
    return tuple(
        by_rule.get(layer) or seen_in((each[0] > 0).any(dim=0).cpu().numpy())
        for layer, each in enumerate(weights)
    )


def _seen_by_rules(stack: Stack) -> dict[int, Seen]:
    """What the layers see whose masks transformers made from a rule."""
    limit = position_limit(stack.hf)
    seens: dict[int, Seen] = {}
    known: dict[int, Seen | None] = {}
    calls: dict[int, int] = {}

    def read(invocation: Invocation) -> Tensor:
        served = stack.positions.get(id(invocation.module))
        if served is not None:
            count = calls.get(id(invocation.module), 0)
            calls[id(invocation.module)] = count + 1
            for mask, rule in rules:
                if mask is invocation.mask:
                    if id(rule) not in known:
                        known[id(rule)] = seen_by_rule(rule, limit, mask.device)
                    seen = known[id(rule)]
                    if seen is not None:
                        seens[served[count % len(served)]] = seen
        return invocation.own_output()

    try:
        with reading_rules() as rules, torch.inference_mode(), intercept(stack.hf, read):
            stack.body(**_inputs(stack))
    except _CONFUSED:
        return {}  # it expects that masks are left out where they say nothing
    return seens


def which_together(stack: Stack, alone: Sequence[Tensor]) -> Together:
    """Which texts may share a forward pass: those whose attention stays what it is `alone`.

    Convolutions over the text read what is padded, experts of limited capacity turn texts away.
    """
    hf = stack.hf
    first, other = _ids(hf, LENGTH), _ids(hf, LENGTH + 5, 5)
    same, most = _moved(stack, alone, [first, other[:LENGTH]])
    if same > most:
        return "none"
    padded, _ = _moved(stack, alone, [first, other])
    return "any" if padded <= max(most * MIXED, 10 * same) else "equal"


def _moved(stack: Stack, alone: Sequence[Tensor], texts: list[list[int]]) -> tuple[float, float]:
    """How far the first text's attention is from what it is alone, and how far it may be."""
    lengths = torch.tensor([len(text) for text in texts])
    width, device = int(lengths.max()), device_of(stack.hf)
    ids = torch.tensor([text + [padding_id(stack.hf)] * (width - len(text)) for text in texts])
    mask = padding_mask(stack, lengths)
    half = alone[0].dtype not in (torch.float32, torch.float64) or stack.hf.dtype in HALF
    try:
        inputs = forward_arguments(stack, ids.to(device), None if mask is None else mask.to(device))
        seen = attentions(stack, inputs, lengths)
    except _CONFUSED:
        return float("inf"), 1.0  # it does not take such batches at all
    size, moved = alone[0].shape[-1], 0.0
    for own, item in zip(alone, seen, strict=True):
        difference = (own[0].float() - item[0, :, :size, :size].to(own.device)).abs()
        if half:
            moved = max(moved, float(difference.mean() / own.float().mean()))
        else:
            moved = max(moved, float(difference.max()))
    return moved, HALF_TOLERANCE if half else TOLERANCE


def _long(hf: HuggingFaceModel) -> int:
    """Tokens of a text that is longer than the windows that the configuration states."""
    stated = [
        value
        for name, value in text_config(hf).to_dict().items()
        if _OF_WINDOWS.search(name) and type(value) is int and 0 < 2 * value + 3 <= LONGEST
    ]
    most = max([LONG, *(2 * value + 3 for value in stated)])
    limit = position_limit(hf)
    return most if limit is None else min(most, limit)


def _ids(hf: HuggingFaceModel, length: int, step: int = 11) -> list[int]:
    """Tokens, none of them the padding token."""
    size = vocabulary(hf)
    ids = ((step * index + 7) % size for index in range(2 * length + 8))
    found = [index for index in ids if index != padding_id(hf)][:length]
    return found or [0] * length


def _arguments(stack: Stack, ids: list[int]) -> dict[str, Any]:
    return forward_arguments(stack, torch.tensor([ids], device=device_of(stack.hf)))


def _inputs(stack: Stack) -> Mapping[str, Any]:
    """A few tokens; a decoder gets fewer than its encoder, to tell its own attention from cross."""
    inputs = _arguments(stack, _ids(stack.hf, LENGTH))
    if stack.name == "decoder":
        inputs["decoder_input_ids"] = inputs["input_ids"][:, :-2]
    return inputs


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
    return Layer(invocation.module, closed, weights)


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


def _is_distribution(weights: Tensor) -> bool:
    return not bool((weights < 0).any() or (weights.float().sum(dim=-1) > 1 + MIXED).any())


def _near(one: Tensor, other: Tensor) -> bool:
    """Whether two ways to compute the same agree; in half precision, which drifts, on average."""
    if one.shape != other.shape:
        return False
    difference = (one.float() - other.float()).abs()
    if other.dtype in (torch.float32, torch.float64):
        return bool(difference.max() <= TOLERANCE * max(1.0, float(other.abs().max())))
    return bool(difference.mean() <= HALF_TOLERANCE * other.float().abs().mean())
