"""The arguments with which a layer calls its attention function, and the arithmetic on them."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

EagerFunction = Callable[..., tuple[Tensor, Tensor]]
"""A model's `eager_attention_forward`: output `(B, Tq, H, D)` and probabilities."""


@dataclass(frozen=True, eq=False)
class Invocation:
    """One call of an attention function.

    Attributes:
        module: the attention module that calls.
        query: shape `(B, H, Tq, D)`.
        key: shape `(B, K, Tk, D)`, `K` divides `H`.
        value: shape `(B, K, Tk, D)`.
        mask: what is added to the scores, broadcastable to `(B, H, Tq, Tk)`, or None.
        scaling: what the scores are multiplied with.
        dropout: probability of dropping a weight; 0 outside training.
        options: whatever else the module hands over (softcap, sinks, position bias, ...).
        fused: whether the model's own path is PyTorch's fused kernel; else it is its eager one.
    """

    module: nn.Module
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    scaling: float
    dropout: float
    options: Mapping[str, Any]
    fused: bool

    @property
    def is_causal(self) -> bool:
        """Whether later keys are hidden although no mask says so: the fused kernel's own rule."""
        asked = self.options.get("is_causal")
        causal = getattr(self.module, "is_causal", True) if asked is None else asked
        return bool(causal) and self.mask is None and self.query.shape[2] > 1

    @property
    def softcap(self) -> float | None:
        """The bound of the scores (Gemma 2), or None."""
        return self.options.get("softcap")

    @property
    def position_bias(self) -> Tensor | None:
        """What T5 adds to the scores by distance, `(1 or B, H, Tq, Tk)`, or None."""
        return self.options.get("position_bias")

    @property
    def sinks(self) -> Tensor | None:
        """One more score per head, without a value (gpt-oss), shape `(H,)`, or None."""
        return self.options.get("s_aux")

    @property
    def window(self) -> int | None:
        """The layer's sliding window as the module states it, or None."""
        window = self.options.get("sliding_window", getattr(self.module, "sliding_window", None))
        return window if isinstance(window, int) and window > 0 else None

    def own_output(self) -> Tensor:
        """What the untouched model computes here, by its own kernel, shape `(B, Tq, H, D)`."""
        if not self.fused:
            return self.eager()[0]
        # Not above: recordings have calls, too, and do without seconds of importing.
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        given = self.module, self.query, self.key, self.value, self.mask
        output: Tensor = sdpa_attention_forward(
            *given, dropout=self.dropout, scaling=self.scaling, **self.options
        )[0]
        return output

    def own_output_and_normalisers(self) -> tuple[Tensor, Tensor] | None:
        """`own_output`, and the logarithm of each row's sum of exponentials, shape `(B, H, Tq)`.

        Both come from one call of the fused kernel on the CPU; None where that is not what the
        model computes with, or attention is more than `softmax(query @ key^T * scaling + mask)`.
        """
        extended = (self.softcap, self.sinks, self.position_bias, self.options.get("cache"))
        square = self.query.shape[2] == self.key.shape[2]
        same = self.query.shape[-1] == self.value.shape[-1]
        if not (self.fused and square and same and self.query.device.type == "cpu"):
            return None
        if self.dropout or torch.is_grad_enabled() or any(part is not None for part in extended):
            return None
        output, normalisers = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            self.query, self.key, self.value, 0.0, self.is_causal,
            attn_mask=self.mask, scale=self.scaling,
        )  # fmt: skip
        return output.transpose(1, 2).contiguous(), normalisers

    def rows(self, start: int, stop: int) -> Tensor:
        """`weights` of the queries `start..stop - 1` alone, shape `(B, H, stop - start, Tk)`."""

        def part(values: Tensor | None) -> Tensor | None:
            whole = values is None or values.shape[-2] == 1
            return values if whole or values is None else values[..., start:stop, :]

        query = self.query[:, :, start:stop]
        mask = part(self.mask)
        if self.is_causal:
            later = torch.arange(self.key.shape[2], device=query.device)
            here = torch.arange(start, stop, device=query.device)[:, None]
            hidden = torch.finfo(query.dtype).min
            mask = torch.zeros(
                (1, 1, len(here), len(later)), dtype=query.dtype, device=query.device
            ).masked_fill_(later > here, hidden)
        options = dict(self.options)
        if self.position_bias is not None:
            options["position_bias"] = part(self.position_bias)
        return replace(self, query=query, mask=mask, options=options).weights()

    def eager(self) -> tuple[Tensor, Tensor]:
        """Output and probabilities as the model's own eager function computes them."""
        function = eager_function(self.module)
        if function is None:
            raise LookupError(f"{type(self.module).__module__} has no eager_attention_forward")
        given = self.module, self.query, self.key, self.value, self._explicit_mask()
        return function(*given, scaling=self.scaling, dropout=self.dropout, **self.options)

    def widened(self) -> "Invocation":
        """The same call in float32 at least."""
        if self.query.dtype in (torch.float32, torch.float64):
            return self
        mask = None if self.mask is None else self.mask.float()
        query, key, value = self.query.float(), self.key.float(), self.value.float()
        return replace(self, query=query, key=key, value=value, mask=mask)

    def weights(self) -> Tensor:
        """The probabilities in closed form, `(B, H, Tq, Tk)`, in the order that eager code takes:

        `softmax(cap(query @ key^T * scaling) + position_bias + mask)`, bit for bit the eager
        function's wherever that is what it computes, with fewer copies.
        """
        scores = torch.matmul(self.query, self.repeated(self.key).transpose(2, 3))
        scores.mul_(self.scaling)
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        if self.position_bias is not None:
            scores.add_(self.position_bias)
        mask = self._explicit_mask()
        if mask is not None:
            scores.add_(mask)
        if self.sinks is None:
            return torch.softmax(scores, dim=-1)
        sinks = self.sinks.to(scores.dtype).reshape(1, -1, 1, 1).expand(*scores.shape[:3], 1)
        scores = torch.cat([scores, sinks], dim=-1)
        scores = scores - scores.amax(dim=-1, keepdim=True)
        return torch.softmax(scores, dim=-1)[..., :-1]

    def output(self, weights: Tensor) -> Tensor:
        """The layer's output under these probabilities, shape `(B, Tq, H, D)`."""
        mixed = torch.matmul(weights.to(self.value.dtype), self.repeated(self.value))
        return mixed.transpose(1, 2).contiguous()

    def repeated(self, grouped: Tensor) -> Tensor:
        """Keys or values for every head, shape `(B, H, Tk, D)`."""
        heads, (texts, groups, *rest) = self.query.shape[1], grouped.shape
        if groups == heads:
            return grouped
        spread = grouped[:, :, None].expand(texts, groups, heads // groups, *rest)
        return spread.reshape(texts, heads, *rest)

    def _explicit_mask(self) -> Tensor | None:
        if not self.is_causal:
            return self.mask
        shape = (self.query.shape[2], self.key.shape[2])
        return _causal_mask(*shape, self.query.dtype, self.query.device)


def eager_function(module: nn.Module) -> EagerFunction | None:
    """The eager attention function beside the module's class, or beside one that it extends."""
    for owner in type(module).__mro__:
        found = getattr(sys.modules.get(owner.__module__), "eager_attention_forward", None)
        if found is not None:
            function: EagerFunction = found
            return function
    return None


@lru_cache(maxsize=4)
def _causal_mask(queries: int, keys: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        hidden = torch.full((queries, keys), torch.finfo(dtype).min, dtype=dtype, device=device)
        return hidden.triu(diagonal=1)[None, None]
