"""Where a model's parts run, also where accelerate has spread them or keeps them elsewhere."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

SPREAD = ("auto", "balanced", "balanced_low_0", "sequential")
"""Ways in which accelerate spreads a model over the devices that there are."""


def is_fixed(hf: nn.Module) -> bool:
    """Whether the model stays as it was loaded: quantised, or placed by accelerate."""
    spread = getattr(hf, "hf_device_map", None) or {}
    placed = len(set(spread.values())) > 1 or any(
        getattr(hook, "offload", False) for module in hf.modules() for hook in _hooks(module)
    )
    return bool(getattr(hf, "is_quantized", False)) or placed


def device_of(module: nn.Module) -> torch.device:
    """Where a module computes; its weights may lie elsewhere while it does not."""
    for part in module.modules():  # itself first
        for hook in _hooks(part):
            device = getattr(hook, "execution_device", None)
            if device is not None:
                return torch.device(device)
    first = next(module.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def weights(hf: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """All weights by name in order, one after the other, also those that are kept elsewhere."""
    kept: dict[str, tuple[Mapping[str, Tensor], str]] = {}
    for name, module in hf.named_modules():
        for hook in _hooks(module):
            elsewhere = getattr(hook, "weights_map", None)
            if elsewhere is not None:
                for part, _ in (*module.named_parameters(), *module.named_buffers()):
                    kept[f"{name}.{part}" if name else part] = (elsewhere, part)
    for name, tensor in sorted(hf.state_dict().items()):
        if tensor.is_meta and name in kept:
            elsewhere, part = kept[name]
            yield name, elsewhere[part]
        else:
            yield name, tensor


def _hooks(module: nn.Module) -> Iterator[Any]:
    """Accelerate's hooks on a module, also those in sequences."""
    waiting = [getattr(module, "_hf_hook", None)]
    while waiting:
        hook = waiting.pop(0)
        if hook is not None:
            yield hook
            waiting += getattr(hook, "hooks", ())
