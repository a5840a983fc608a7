"""A stack of self-attention layers: what heads are numbered within."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import nn
from transformers import PreTrainedModel as HuggingFaceModel

from headscribe.core.visibility import Visibility

StackName = Literal["encoder", "decoder"]
"""The two stacks of an encoder-decoder model."""

Together = Literal["any", "equal", "none"]
"""Texts that a forward pass may take without one changing the other: any, those of equal length,
none."""


@dataclass(frozen=True, eq=False, repr=False)
class Stack:
    """The self-attention layers that a model's tokens pass, in order.

    Attributes:
        hf: the whole model.
        body: the part whose forward pass runs the stack once, without any prediction head.
        root: the module that holds the layers; the encoder or decoder, or `body` itself.
        name: which stack of an encoder-decoder model, None elsewhere.
        modules: the attention module of each layer; one module may serve several (ALBERT). Empty
            where the model bypasses the attention interface.
        heads: number of heads of every layer.
        visibility: what each layer can see.
        closed: whether each layer's attention has the closed form of `Invocation.weights`.
        together: which texts a forward pass may take.
        returned: where the model bypasses the interface: the place of each layer's attention
            among what it returns as attentions.
        limit: the longest text of which `visibility` is known to hold; None: of any.
    """

    hf: HuggingFaceModel
    body: nn.Module
    root: nn.Module
    name: StackName | None
    modules: tuple[nn.Module, ...]
    heads: int
    visibility: tuple[Visibility, ...]
    closed: tuple[bool, ...]
    together: Together = "any"
    returned: tuple[int, ...] = ()
    limit: int | None = None

    @property
    def layers(self) -> int:
        """Number of layers."""
        return len(self.visibility)

    @cached_property
    def positions(self) -> dict[int, tuple[int, ...]]:
        """The layers that each attention module (by identity) serves, in order."""
        found: dict[int, tuple[int, ...]] = {}
        for layer, module in enumerate(self.modules):
            found[id(module)] = (*found.get(id(module), ()), layer)
        return found
