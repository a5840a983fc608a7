"""A short name for a model's configuration and weights."""

import hashlib
import json

import torch
from transformers import PreTrainedModel as HuggingFaceModel

from headscribe.models.placement import weights

_SAMPLES = 256


def fingerprint(hf: HuggingFaceModel, stack: str | None) -> str:
    """Hash configuration, every tensor's name, type and shape, and values sampled from it.

    Up to 256 evenly spaced values of each tensor are read, so that a model of any
    size takes moments; where it was loaded from and on which device it is play no part.

    Returns:
        16 hexadecimal digits.
    """
    settings = hf.config.to_dict()
    for incidental in ("_name_or_path", "transformers_version", "torch_dtype", "dtype"):
        settings.pop(incidental, None)
    digest = hashlib.sha256(json.dumps([stack, settings], sort_keys=True, default=str).encode())
    for name, tensor in weights(hf):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        flat = tensor.detach().reshape(-1)
        step = max(1, len(flat) // _SAMPLES)
        sample = flat[::step][:_SAMPLES].cpu().to(torch.float64)
        digest.update(sample.numpy().tobytes())
    return digest.hexdigest()[:16]
