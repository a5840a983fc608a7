"""What works on this machine, and what can be done with a model."""

import platform
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

import numpy as np

from headscribe.core.errors import HeadscribeError, RunError
from headscribe.models.calls import AttentionCall
from headscribe.models.loading import check, load
from headscribe.models.model import Model

_PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "spacy", "pyarrow")


@dataclass(frozen=True)
class Health:
    """The findings; `healthy` is false where something that ought to work does not.

    Attributes:
        versions: of Python, Headscribe and what it stands on.
        device: where models would run.
        assets: what is bundled, `ok` or what is wrong with it.
        sandbox: whether untrusted programs can be run here, and why not.
        model: facts about the model that was asked about, None if none was.
        notes: what cannot be done with the model, and why.
    """

    versions: dict[str, str]
    device: str
    assets: dict[str, str]
    sandbox: str
    model: dict[str, object] | None = None
    notes: list[str] = field(default_factory=list)
    healthy: bool = True

    def lines(self) -> list[str]:
        """The findings as lines for a person."""
        found = [f"{name:<18}{value}" for name, value in self.versions.items()]
        found.append(f"{'device':<18}{self.device}")
        found += [f"{name:<18}{state}" for name, state in self.assets.items()]
        found.append(f"{'sandbox':<18}{self.sandbox}")
        if self.model is not None:
            found.append("")
            found += [f"{name:<18}{value}" for name, value in self.model.items()]
        return found + self.notes


def examine(
    model: str | None = None, device: str | None = None, stack: str | None = None
) -> Health:
    """Look at the installation, and at a model if one is named.

    A model that is damaged, or a hub that cannot be reached, is a finding.

    Raises:
        UsageError: the model cannot be found or opened.
    """
    versions = {"python": platform.python_version(), "headscribe": version("headscribe")}
    versions |= {name: version(name) for name in _PACKAGES}
    assets = _assets()
    healthy = all(state == "ok" or name == "bundled:minilm" for name, state in assets.items())
    if model is None:
        return Health(versions, _device(), assets, _sandbox(), healthy=healthy)
    try:
        support, loaded = check(model, device=device, stack=stack)
    except RunError as error:
        return Health(
            versions, _device(), assets, _sandbox(), {"model": model}, [str(error)], healthy=False
        )
    facts: dict[str, object] = {
        "model": model,
        "architecture": support.architecture,
        "layers": support.layers,
        "heads": f"{support.heads} a layer, {support.layers * support.heads:,} in all",
        "attention": f"{support.implementation}"
        f"{'' if support.honoured else ' (bypasses the attention interface)'}",
        "survey": "yes" if support.survey else "no",
        "replacement": "yes" if support.replacement else "no",
        "sees": _visibility(support.visibility),
    }
    if loaded is not None:
        facts |= _size(loaded) | _words(loaded) | _speed(loaded)
    if support.stack:
        facts["stack"] = support.stack
    return Health(
        versions,
        _device(),
        assets,
        _sandbox(),
        facts,
        list(support.notes),
        healthy and support.survey,
    )


def _size(model: Model) -> dict[str, object]:
    weights = sum(parameter.numel() for parameter in model.hf.parameters())
    kind = str(model.hf.dtype).removeprefix("torch.")
    facts: dict[str, object] = {"weights": f"{weights:,} ({kind}) on {model.device}"}
    if model.quantisation is not None:
        facts["quantisation"] = f"{model.quantisation}; dequantised"
    longest = model.max_tokens
    facts["longest text"] = "no limit stated" if longest is None else f"{longest:,} tokens"
    return facts


def _words(model: Model) -> dict[str, object]:
    """What the tokenizer puts around a text: the first token is where heads rest."""
    (bare,) = model.encode(["a"])
    before = bare.tokens[: int(np.argmin(bare.is_special))]
    after = bare.tokens[len(bare) - int(np.argmin(bare.is_special[::-1])) :]
    begins = " ".join(before) or "no token of its own: heads that rest do so on the first word"
    facts: dict[str, object] = {"text begins with": begins}
    if after:
        facts["text ends with"] = " ".join(after)
    facts["chat template"] = "yes" if model.tokenizer.chat_template else "no"
    return facts


class _Nobody:
    """An observer that looks away: what is left is the plain pass."""

    def observe(self, call: AttentionCall) -> None:
        """Leave the attention unread."""


def _speed(model: Model) -> dict[str, object]:
    """The time of a plain pass, from three of them over a text of at most 128 tokens."""
    batch = model.encode(["The cat sat on the mat. " * 40], 128)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        model.run(batch, _Nobody())
        times.append(time.perf_counter() - start)
    tokens = len(batch[0])
    # The first pass sets things up; on an accelerator it also compiles.
    each = sorted(times[1:])[1] / tokens
    whole = 40 * tokens * each
    return {
        "plain pass": f"{_seconds(1000 * each)} for 1,000 tokens in texts of {tokens}",
        "40 such texts": f"{model.layers * model.heads:,} heads, {40 * tokens:,} tokens: about "
        f"{_seconds(whole)} a pass; a survey reads few texts twice, about {_seconds(2.5 * whole)}",
    }


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:,.0f} s"


def _sandbox() -> str:
    from headscribe.sandbox import status

    sandbox_status = status()
    return "in force" if sandbox_status.in_force else f"not in force: {sandbox_status.reason}"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name()})"
    if torch.backends.mps.is_available():
        return "mps"
    return f"cpu ({torch.get_num_threads()} threads)"


def _assets() -> dict[str, str]:
    """Try every bundled asset by loading it."""
    from headscribe.text.annotators import annotator

    states: dict[str, str] = {}
    for name, attempt in (
        ("bundled:stories", load),
        ("bundled:minilm", load),
        ("bundled:en", annotator),
    ):
        try:
            attempt(name)
            states[name] = "ok"
        except (HeadscribeError, PackageNotFoundError) as error:
            states[name] = str(error)
    return states


def _visibility(layers: tuple[object, ...]) -> str:
    kinds = []
    for seen in dict.fromkeys(layers):
        causal, window = getattr(seen, "causal", False), getattr(seen, "window", None)
        kind = "keys up to the query" if causal else "all keys"
        limit = f" within a window of {window}" if window else ""
        kinds.append(f"{kind}{limit} ({layers.count(seen)} layers)")
    return "; ".join(kinds)
