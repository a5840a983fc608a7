"""The attention tap: one attention function for every architecture, installed for a while."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PretrainedConfig
from transformers import PreTrainedModel as HuggingFaceModel
from transformers.masking_utils import causal_mask_function, sdpa_mask

from headscribe.core.errors import RunError, UsageError
from headscribe.models.calls import AttentionCall, Observer, Substitution, text_name
from headscribe.models.invocation import Invocation
from headscribe.models.seeing import Rule
from headscribe.models.stack import Stack
from headscribe.text.passages import Encoding, Passage

NAME = "headscribe"
"""The name under which the tap's two functions are known to transformers."""

Handler = Callable[[Invocation], Tensor]
"""Computes a layer's output, shape `(B, Tq, H, D)`, from the arguments of its attention call."""


@runtime_checkable
class Tappable(Protocol):
    """What `tap` needs to know of a model."""

    @property
    def stack(self) -> Stack: ...  # noqa: D102


@contextmanager
def tap(
    model: Tappable | Stack,
    observer: Observer | None = None,
    substitution: Substitution | None = None,
    *,
    batch: tuple[Passage | Encoding, ...] = (),
    lengths: Tensor | None = None,
) -> Iterator[None]:
    """Let `observer` read, or `substitution` replace, attention in every forward pass within.

    While nothing is substituted a layer's output is its own: by the model's own kernel, or, once
    an observer has asked for the probabilities, from these, as the eager function has it. On
    leaving, also by an exception, the model is as it was. Two models may be tapped at the same
    time, also from different threads, one model only once.

    Args:
        model: a model of `headscribe.models.loading.load`, or its stack.
        observer: reads each self-attention layer of the stack.
        substitution: replaces heads.
        batch: the texts of the forward pass, for `AttentionCall.batch` and for errors.
        lengths: their real lengths, shape `(B,)`; None: every token is real.

    Raises:
        UsageError: the model bypasses the attention interface, cannot have heads replaced, or is
            already tapped.
        RunError: within: attention is NaN or infinite at a real token.
    """
    stack = model if isinstance(model, Stack) else model.stack
    if not stack.modules:
        raise UsageError(
            f"{type(stack.hf).__name__} bypasses the attention interface of transformers: it can "
            "be surveyed through `Model.run`, its heads cannot be replaced"
        )
    if substitution is not None and not all(stack.closed):
        raise UsageError(
            f"layer {stack.closed.index(False)} of {type(stack.hf).__name__} computes its "
            "attention in a way of its own: it can be surveyed, its heads cannot be replaced"
        )
    session = _Session(stack, observer, substitution, batch, lengths)
    reset = stack.root.register_forward_pre_hook(session.reset)
    try:
        with intercept(stack.hf, session.handle):
            yield
    finally:
        reset.remove()


@dataclass
class _Session:
    """One tap while it is installed."""

    stack: Stack
    observer: Observer | None
    substitution: Substitution | None
    batch: tuple[Passage | Encoding, ...]
    lengths: Tensor | None
    calls: dict[int, int] = field(default_factory=dict)

    def reset(self, *_: object) -> None:
        """Begin a forward pass: shared modules serve their first layer next."""
        self.calls.clear()

    def layer(self, module: nn.Module) -> int | None:
        """The layer that this call of `module` is; None for cross-attention and other stacks."""
        served = self.stack.positions.get(id(module))
        if served is None:
            return None
        count = self.calls.get(id(module), 0)
        self.calls[id(module)] = count + 1
        return served[count % len(served)]

    def handle(self, invocation: Invocation) -> Tensor:
        layer = self.layer(invocation.module)
        if layer is None:
            return invocation.own_output()
        closed = self.stack.closed[layer]
        wide = invocation.widened()
        lengths = self.lengths
        if lengths is None:
            lengths = torch.full((len(wide.query),), wide.key.shape[2])
        lengths = lengths.to(wide.query.device)
        call = AttentionCall(
            layer,
            lengths,
            self.batch,
            wide.weights if closed else lambda: wide.eager()[1],
            invocation if closed else None,
        )
        if self.observer is not None:
            self.observer.observe(call)
        if self.substitution is not None:
            output = self._substituted(call, invocation)
        elif call.computed and closed and wide is invocation:
            output = invocation.output(call.weights)
        elif call.output is not None:
            output = call.output
        else:
            output = invocation.own_output()
        self._check(call, output)
        return output

    def _substituted(self, call: AttentionCall, invocation: Invocation) -> Tensor:
        assert self.substitution is not None
        output = invocation.own_output()
        heads = list(self.substitution.heads(call.layer))
        if not heads:
            return output
        if len(set(heads)) < len(heads) or not 0 <= min(heads) <= max(heads) < self.stack.heads:
            raise UsageError(
                f"layer {call.layer}: expected different heads within 0..{self.stack.heads - 1}, "
                f"got {heads}"
            )
        rows = self.substitution.rows(call)
        texts, _, queries, _ = invocation.query.shape
        shape = (texts, len(heads), queries, invocation.key.shape[2])
        if rows.shape != shape:
            raise UsageError(
                f"layer {call.layer}: expected substituted rows of shape {shape}, "
                f"got {tuple(rows.shape)}"
            )
        values = invocation.repeated(invocation.value)[:, heads]
        replaced = torch.matmul(rows.to(values.dtype), values).transpose(1, 2)
        index = torch.tensor(heads, device=output.device)
        return output.index_copy(2, index, replaced.to(output.dtype))

    def _check(self, call: AttentionCall, output: Tensor) -> None:
        if bool(torch.isfinite(output.sum())):
            return
        queries = torch.arange(output.shape[1], device=output.device)
        padded = queries[None, :] >= call.lengths[:, None]
        broken = ~torch.isfinite(output).all(dim=-1) & ~padded[:, :, None]
        if bool(broken.any()):
            text, _, head = broken.nonzero()[0].tolist()
            raise RunError(
                f"{text_name(call.batch, text)}: attention of layer {call.layer}, head {head} is "
                "NaN or infinite; a wider precision may help (dtype='float32')"
            )


_handlers: dict[int, tuple[Handler, bool]] = {}
_lock = Lock()


@contextmanager
def intercept(hf: HuggingFaceModel, handler: Handler) -> Iterator[None]:
    """Send every attention call of `hf` to `handler` until the block is left.

    Raises:
        UsageError: the model is intercepted already.
    """
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, _mask)
    fused = bool(hf._supports_sdpa) and hf.config._attn_implementation not in ("eager", None)
    members = {id(module): (handler, fused) for module in hf.modules()}
    with _lock:
        if not members.keys().isdisjoint(_handlers):
            raise UsageError(f"this {type(hf).__name__} is already tapped; leave that tap first")
        _handlers.update(members)
    try:
        with implementation(hf, NAME):
            yield
    finally:
        with _lock:
            for member in members:
                del _handlers[member]


@contextmanager
def implementation(hf: HuggingFaceModel, name: str | None) -> Iterator[None]:
    """Set the attention implementation of `hf` and all its parts until the block is left.

    Within, models return their outputs by name, also where they are configured to return tuples
    (for TorchScript). With the name None their own implementation stays.
    """
    before = [
        (config, config._attn_implementation_internal, config.return_dict)
        for config in _configurations(hf)
    ]
    try:
        for config, own, _ in before:
            config._attn_implementation_internal = own if name is None else name
            config.return_dict = True
        yield
    finally:
        for config, own, by_name in before:
            config._attn_implementation_internal = own
            config.return_dict = by_name


def _configurations(hf: HuggingFaceModel) -> list[PretrainedConfig]:
    """Every configuration object that some module of `hf` reads, none twice."""
    found: dict[int, PretrainedConfig] = {}
    waiting = [getattr(module, "config", None) for module in hf.modules()]
    while waiting:
        config = waiting.pop()
        if isinstance(config, PretrainedConfig) and id(config) not in found:
            found[id(config)] = config
            waiting += [getattr(config, part, None) for part in config.sub_configs]
    return list(found.values())


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,  # noqa: ANN401
) -> tuple[Tensor, None]:
    """The attention function that transformers calls while a tap is installed."""
    handler, fused = _handlers[id(module)]
    if attention_mask is not None and attention_mask.dtype == torch.bool:
        attention_mask = _additive(attention_mask, query.dtype)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    arguments = (module, query, key, value, attention_mask, scale, dropout, options, fused)
    return handler(Invocation(*arguments)), None


def _mask(*, dtype: torch.dtype = torch.float32, **arguments: Any) -> Tensor | None:  # noqa: ANN401
    """The mask function that goes with it: None where causality or fullness says all."""
    rules = _rules.get()
    if rules is not None:
        arguments |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    visible = sdpa_mask(**arguments)
    mask = None if visible is None else _additive(visible, dtype)
    if rules is not None and mask is not None:
        rules.append((mask, arguments.get("mask_function", causal_mask_function)))
    return mask


_rules: ContextVar[list[tuple[Tensor, Rule]] | None] = ContextVar("rules", default=None)


@contextmanager
def reading_rules() -> Iterator[list[tuple[Tensor, Rule]]]:
    """Give the masks that are made within, none left out for speed, each with its rule."""
    found: list[tuple[Tensor, Rule]] = []
    token = _rules.set(found)
    try:
        yield found
    finally:
        _rules.reset(token)


def _additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where visible, else the lowest number; what is the same along a dimension exists once."""
    once = [slice(0, 1) if stride == 0 else slice(None) for stride in visible.stride()]
    part = visible[tuple(once)]
    hidden = torch.finfo(dtype).min
    mask = torch.zeros(part.shape, dtype=dtype, device=part.device).masked_fill_(~part, hidden)
    return mask.expand(visible.shape)
