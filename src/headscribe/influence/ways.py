"""The way from a head's output to the logits, with the scale of every norm held as it was.

What a head adds to its layer, `W_O[h] z_h`, reaches the logits directly through nothing but norms
and, in encoders, the transform of the prediction head. With the scale of each norm frozen (and each
activation's output as a share of its input) these are linear, so that the direct effects of all
heads, all other parts of the layers, the embeddings and the biases add up to the logits.

The modules of the way are found by running the model once: the first projection after a layer's
attention; norms that read nothing but its output (Gemma 2); norms that the residual stream itself
passes (BERT); and what stands between the last layer and the unembedding.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headscribe.core.errors import UsageError
from headscribe.models.calls import AttentionCall, Observer
from headscribe.models.forward import forward_arguments
from headscribe.models.model import Model
from headscribe.models.resuming import layer_modules
from headscribe.models.stated import vocabulary
from headscribe.models.tap import tap

BATCH = 1024
"""Tokens of a batch."""

_TOKENS = 7
"""Length of the text by which the way is found."""


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a module: what it was given, what it gave."""

    module: nn.Module
    given: Tensor
    gave: Tensor


@dataclass(frozen=True, eq=False)
class Frozen:
    """A module of the way on one batch: a linear map of rows, and what it adds.

    `x -> factor * gain * (W (x - mean(x)))`, where of the parts only those are there that it has.

    Attributes:
        centred: whether the mean over the width is taken off.
        weight: `W`, shape `(out, in)`.
        factor: of each row, shape `(B, T, 1 or out)`.
        gain: shape `(out,)`.
        bias: what is added, shape `(out,)`.
    """

    centred: bool = False
    weight: Tensor | None = None
    factor: Tensor | None = None
    gain: Tensor | None = None
    bias: Tensor | None = None

    def push(self, rows: Tensor, text: int) -> Tensor:
        """Rows of one text, shape `(..., T, in)`, without what is added."""
        if self.centred:
            rows = rows - rows.mean(-1, keepdim=True)
        if self.weight is not None:
            rows = rows @ self.weight.T
        if self.factor is not None:
            rows = rows * self.factor[text, : rows.shape[-2]]
        return rows if self.gain is None else rows * self.gain


def frozen_norm(call: Call) -> Frozen:
    """A norm with the scale that it had in this call, whatever its formula.

    On a row of as many ones as minus ones every norm's scale is 1: what it gives is its gain.
    """
    width = call.given.shape[-1]
    row = torch.ones(width, dtype=call.given.dtype, device=call.given.device)
    row[::2] = -1
    forward = call.module.forward  # past the hooks
    with torch.no_grad():
        up, down, moved = forward(row), forward(-row), forward(row + 1)
    gain, bias = ((up - down) / 2 * row).float(), ((up + down) / 2).float()
    # A norm that takes the mean off gives the same for a row that was moved as a whole.
    centred = bool((moved - up).abs().max() < 1e-3 * up.abs().max())
    given = call.given.float()
    if centred:
        given = given - given.mean(-1, keepdim=True)
    before, after = given * gain, call.gave.float() - bias
    scale = (before * after).sum(-1, keepdim=True)
    scale = scale / (before * before).sum(-1, keepdim=True).clamp_min(1e-30)
    return Frozen(centred, None, scale, gain, bias)


def linear_of(module: nn.Module) -> tuple[Tensor, Tensor | None]:
    """Weight `(out, in)` and bias of a projection; transformers' Conv1D keeps it transposed."""
    weight: Tensor = module.weight.detach().float()  # type: ignore[operator]
    bias = getattr(module, "bias", None)
    transposed = not isinstance(module, nn.Linear)
    return weight.T if transposed else weight, None if bias is None else bias.detach().float()


@dataclass(frozen=True, eq=False)
class Ways:
    """The modules that what heads write passes on its way to the logits.

    Attributes:
        projections: the module that mixes the heads of each layer.
        own: norms that read nothing but the output of a layer's heads; empty in most models.
        residual: norms that the residual stream passes in a layer, after its heads.
        scale: what a layer's heads are multiplied with when they are added; 1 in most models.
        final: from the last layer to the unembedding: norms and projections; a projection is
            followed by the activation that stands before the next norm.
        unembedding: gives the logits (before a cap, where a model has one).
    """

    model: Model
    layers: tuple[nn.Module, ...]
    projections: tuple[nn.Module, ...]
    own: tuple[tuple[nn.Module, ...], ...]
    residual: tuple[tuple[nn.Module, ...], ...]
    scale: tuple[float, ...]
    final: tuple[nn.Module, ...]
    unembedding: nn.Module

    @property
    def short(self) -> bool:
        """Whether all heads reach the logits through one norm and nothing else."""
        return len(self.final) == 1 and not any(self.own) and not any(self.residual)

    def heads_of(self, layer: int) -> Float[Tensor, "H d D"]:
        """Each head's slice of the output matrix."""
        weight, _ = linear_of(self.projections[layer])
        sliced = weight.reshape(len(weight), self.model.heads, -1).transpose(0, 1)
        return sliced * self.scale[layer]

    def vocabulary(self) -> tuple[Float[Tensor, "V d"], Float[Tensor, " d"]]:
        """The unembedding, and its mean over the vocabulary."""
        weight, _ = linear_of(self.unembedding)
        return weight, weight.mean(0)

    @contextmanager
    def recorded(self, *more: nn.Module) -> "Iterator[Recording]":
        """Record the way in the forward pass within, and `more` modules."""
        recording = Recording(self)
        wanted = [*self.projections, *self.final, *more]
        wanted += [module for part in (*self.own, *self.residual) for module in part]
        with ExitStack() as held:
            for module in {id(one): one for one in wanted}.values():
                hook = module.register_forward_hook(recording.take, with_kwargs=True)
                held.callback(hook.remove)
            yield recording


@dataclass(eq=False)
class Recording:
    """What one forward pass showed of the way; see `Ways.recorded`."""

    ways: Ways
    calls: dict[int, list[Call]] = field(default_factory=dict)

    def take(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: object
    ) -> None:
        """Keep one call."""
        self.calls.setdefault(id(module), []).append(_call(module, args, kwargs, output))

    def call(self, modules: Sequence[nn.Module], at: int, passes: int = 0) -> Call:
        """The call of a layer's module; one that serves several layers is called for each.

        Args:
            modules: of all layers; `at`: the layer.
            passes: of several that were recorded, those before the one that is meant.
        """
        same = [module is modules[at] for module in modules]
        return self.calls[id(modules[at])][passes * sum(same) + sum(same[:at])]

    def outputs(self, layer: int, passes: int = 0) -> Float[Tensor, "B T H D"]:
        """What the heads of a layer give, before the output matrix."""
        given = self.call(self.ways.projections, layer, passes).given.float()
        return given.reshape(*given.shape[:2], self.ways.model.heads, -1)

    def norms(self, groups: tuple[tuple[nn.Module, ...], ...], layer: int) -> list[Call]:
        """The calls of some norms of a layer; all layers have as many."""
        places = range(len(groups[layer]))
        return [self.call([part[place] for part in groups], layer) for place in places]

    def own(self, layer: int) -> list[Frozen]:
        """The norms that read nothing but the output of a layer's heads."""
        return [frozen_norm(call) for call in self.norms(self.ways.own, layer)]

    def residual(self, layer: int) -> list[Frozen]:
        """The norms that the residual stream passes in a layer."""
        return [frozen_norm(call) for call in self.norms(self.ways.residual, layer)]

    def final(self) -> list[Frozen]:
        """What stands between the last layer and the unembedding."""
        frozens: list[Frozen] = []
        before: Tensor | None = None
        for module in self.ways.final:
            call = self.calls[id(module)][-1]
            if hasattr(module, "weight") and module.weight.ndim == 2:
                weight, bias = linear_of(module)
                frozens.append(Frozen(weight=weight, bias=bias))
                before = call.gave.float()
                continue
            if before is not None:
                # The activation, as the share of its input that it lets through.
                share = call.given.float() / torch.where(before == 0, 1.0, before)
                frozens.append(Frozen(factor=share))
                before = None
            frozens.append(frozen_norm(call))
        return frozens


def _call(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: object) -> Call:
    given = args[0] if args else next(v for v in kwargs.values() if isinstance(v, Tensor))
    gave = output[0] if isinstance(output, tuple) else output
    assert isinstance(gave, Tensor)
    return Call(module, given.detach(), gave.detach())


def ways_of(model: Model) -> Ways:
    """Find the way from every layer's heads to the logits.

    Raises:
        UsageError: the model has no language-model head, its heads cannot be told apart, or parts
            of the way are of a kind that is not known.
    """
    head = _unembedding(model)
    log = _run(model)
    ends = [at for at, (kind, _) in enumerate(log) if kind == "layer"]
    starts = [at for at, (kind, _) in enumerate(log) if kind == "attention"]
    if len(ends) != len(starts):
        raise _unknown(model, "its layers do not hold one attention each")
    calls = [call for _, call in log]
    projections, own, residual, scale = [], [], [], []
    for start, end in zip(starts, ends, strict=True):
        inner = [call for kind, call in log[start:end] if kind in ("projection", "norm")]
        attention = calls[start]
        width = attention.gave.shape[-1]
        at = next(
            (k for k, call in enumerate(inner) if call.given.shape[-1] == width
             and call.module.weight.ndim == 2), None,
        )  # fmt: skip
        if at is None:
            raise _unknown(model, "no projection follows its attention")
        mixed, layer = inner[at], calls[end]
        norms = [call for call in inner[at + 1 :] if not _is_projection(call.module)]
        mine = [call for call in norms if _same(call.given, mixed.gave)][:1]
        others = [call for call in norms if call not in mine]
        added = mine[0].gave if mine else mixed.gave
        post = bool(others) and _same(others[-1].gave, layer.gave)
        projections.append(mixed.module)
        own.append(tuple(call.module for call in mine))
        residual.append(tuple(call.module for call in others) if post else ())
        scale.append(_scale(others[0].given - layer.given, added) if others else 1.0)
    final = _final(model, log[ends[-1] :], calls[ends[-1]].gave, head)
    layers = tuple(calls[end].module for end in ends)
    return Ways(
        model, layers, tuple(projections), tuple(own), tuple(residual), tuple(scale), final, head
    )


def _unembedding(model: Model) -> nn.Module:
    if model.stack.name is not None:
        raise UsageError(
            f"{model.name} has two stacks; what heads write is read in models of one stack"
        )
    if not model.support.replacement:
        raise UsageError(f"{model.name}: {'; '.join(model.support.notes)}")
    head = None if model.kind == "encoder" else model.hf.get_output_embeddings()
    if head is None or not hasattr(head, "weight"):
        raise UsageError(
            f"{model.name} has no language-model head: what its heads write is not about tokens"
        )
    return head


class _Marks(Observer):
    """Notes when each layer's attention is computed."""

    def __init__(self, log: list[tuple[str, Call]], model: Model) -> None:
        self._log, self._model = log, model

    def observe(self, call: AttentionCall) -> None:
        width = call.query.shape[1] * call.value.shape[-1]
        empty = torch.empty(1, 0, width)
        module = self._model.stack.modules[call.layer]
        self._log.append(("attention", Call(module, empty, empty)))


def _run(model: Model) -> list[tuple[str, Call]]:
    """Every projection, norm, layer and attention of a short text, in the order of their ends."""
    ids = torch.arange(3, 3 + _TOKENS, device=model.device)[None] % vocabulary(model.hf)
    log: list[tuple[str, Call]] = []
    layers = layer_modules(model)
    if layers is None:
        raise _unknown(model, "its layers stand in no list of modules")

    def hook(kind: str) -> Callable[..., None]:
        def note(
            module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: object
        ) -> None:
            log.append((kind, _call(module, args, kwargs, output)))

        return note

    with ExitStack() as held:
        for module in model.hf.modules():
            kind = "projection" if _is_projection(module) else "norm" if _is_norm(module) else ""
            if any(module is layer for layer in layers):
                kind = "layer"
            if kind:
                held.callback(module.register_forward_hook(hook(kind), with_kwargs=True).remove)
        with torch.inference_mode(), tap(model, _Marks(log, model)):
            model.hf(**forward_arguments(model.stack, ids))
    return log


def _is_projection(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    kind = isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
    return kind and isinstance(weight, Tensor)


def _is_norm(module: nn.Module) -> bool:
    named = "norm" in type(module).__name__.lower()
    return named and next(module.children(), None) is None


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and bool(torch.allclose(one, other, rtol=1e-4, atol=1e-6))


def _scale(difference: Tensor, added: Tensor) -> float:
    """What `added` was multiplied with to give `difference`; 1 where that is no multiple of it."""
    if difference.shape != added.shape:
        return 1.0
    times = float((difference * added).sum() / (added * added).sum().clamp_min(1e-30))
    multiple = abs(times) > 1e-3 and _same(difference, times * added)
    return times if multiple and abs(times - 1) > 1e-3 else 1.0


def _final(
    model: Model, log: Sequence[tuple[str, Call]], stream: Tensor, head: nn.Module
) -> tuple[nn.Module, ...]:
    """The modules between the last layer and the unembedding."""
    calls = [call for kind, call in log if kind in ("projection", "norm")]
    last = next((call for call in calls if call.module is head), None)
    if last is None:
        raise _unknown(model, "its unembedding is not called as a module")
    found: list[nn.Module] = []
    while not _same(stream, last.given):
        following = next((call for call in calls if _same(call.given, stream)), None)
        if following is None and found and _is_projection(found[-1]):
            # An activation stands between a projection and its norm.
            following = next((call for call in calls if _same(call.gave, last.given)), None)
        if following is None or following is last or following.module in found:
            raise _unknown(model, "something else than norms stands before its unembedding")
        found.append(following.module)
        stream = following.gave
    return tuple(found)


def _unknown(model: Model, why: str) -> UsageError:
    return UsageError(
        f"{type(model.hf).__name__}: the way from its heads to the logits could not be followed "
        f"({why})"
    )
