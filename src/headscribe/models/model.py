"""A loaded model: its tokens, its heads, and forward passes that observers can read."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel as HuggingFaceModel
from transformers import PreTrainedTokenizerFast

from headscribe.core.errors import RunError, UsageError
from headscribe.core.visibility import Visibility
from headscribe.models.batching import OutOfMemoryError
from headscribe.models.calls import AttentionCall, Observer, Substitution, text_name
from headscribe.models.fingerprint import fingerprint
from headscribe.models.forward import attentions, forward_arguments, padding_mask
from headscribe.models.gguf import quantisation_of
from headscribe.models.placement import device_of
from headscribe.models.stack import Stack
from headscribe.models.stated import is_limit, padding_id, position_limit, vocabulary
from headscribe.models.support import Support
from headscribe.models.tap import implementation, tap
from headscribe.models.tokenizing import encode
from headscribe.text.passages import Encoding, Passage

Kind = Literal["causal", "masked", "encoder"]
"""What a model predicts: the next token, hidden tokens, or nothing (plain encoders)."""


@dataclass(frozen=True)
class Origin:
    """What a model was loaded from, by which another process loads the same.

    Attributes:
        source: what `load` takes.
        options: `device`, `dtype` and `stack` as `load` was given them.
    """

    source: Any
    options: dict[str, str | None]


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A model with its tokenizer, ready to be surveyed.

    Attributes:
        name: the hub id, the folder's name, or the class of a model given as an object.
        hf: the Hugging Face model, in evaluation mode.
        tokenizer: its tokenizer.
        stack: the self-attention layers that heads are numbered within.
        support: what can be done with the model, and why not more.
        origin: what it was loaded from, if `load` did.
    """

    name: str
    hf: HuggingFaceModel
    tokenizer: PreTrainedTokenizerFast
    stack: Stack
    support: Support
    origin: Origin | None = None

    def __repr__(self) -> str:
        return f"Model({self.name!r}, layers={self.layers}, heads={self.heads}, {self.kind})"

    @property
    def layers(self) -> int:
        """Number of layers of the stack."""
        return self.stack.layers

    @property
    def heads(self) -> int:
        """Number of heads of every layer."""
        return self.stack.heads

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return device_of(self.hf)

    def visibility(self, layer: int) -> Visibility:
        """What the queries of a layer can see."""
        return self.stack.visibility[layer]

    @property
    def is_causal(self) -> bool:
        """Whether no layer sees later tokens."""
        return all(layer.causal for layer in self.stack.visibility)

    @property
    def kind(self) -> Kind:
        """What the model predicts."""
        if self.is_causal:
            return "causal"
        return "masked" if type(self.hf).__name__.endswith("ForMaskedLM") else "encoder"

    @cached_property
    def max_tokens(self) -> int | None:
        """The longest text in tokens, special ones included; None: no limit is known."""
        stated = (position_limit(self.hf), self.tokenizer.model_max_length, self.stack.limit)
        return min((limit for limit in stated if is_limit(limit)), default=None)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that tell models apart by configuration and weights."""
        return fingerprint(self.hf, self.stack.name)

    @property
    def quantisation(self) -> str | None:
        """How the weights were stored in the GGUF file that they come from; None elsewhere."""
        return quantisation_of(self.hf.config._name_or_path)

    def encode(self, texts: Sequence[str], max_tokens: int | None = None) -> list[Encoding]:
        """Tokenise texts as the model's tokenizer does of its own accord, special tokens included.

        Texts that are longer than the model's context, or than `max_tokens`, are cut;
        `Encoding.cut` says by how many tokens.

        >>> from headscribe.models.loading import load
        >>> (text,) = load("bundled:stories").encode(["The cat sat."], max_tokens=4)
        >>> text.tokens, text.cut
        (('<s>', 'The', 'Ġcat', 'Ġsat'), 1)

        Raises:
            UsageError: `max_tokens` leaves no room for the text.
        """
        limits = [limit for limit in (max_tokens, self.max_tokens) if limit is not None]
        return encode(self.tokenizer, texts, min(limits, default=None))

    def inputs(self, batch: Sequence[Passage | Encoding]) -> dict[str, Any]:
        """The arguments of a forward pass: ids padded on the right, shape `(B, T)`, and a mask.

        A causal model gets no mask: no real token sees what is padded after it. The texts of a
        batch may still change each other's attention where `Stack.together` says so; `run` sees to
        that.

        Raises:
            UsageError: a text has no token or more than the context holds, or the tokenizer is not
                the model's.
        """
        lengths = [len(text) for text in batch]
        if min(lengths, default=0) == 0:
            empty = lengths.index(0) if lengths else 0
            raise UsageError(f"{text_name(tuple(batch), empty)} has no token; leave out such texts")
        if self.max_tokens is not None and max(lengths) > self.max_tokens:
            longest = lengths.index(max(lengths))
            raise UsageError(
                f"{text_name(tuple(batch), longest)}: expected at most {self.max_tokens} tokens, "
                f"got {max(lengths)}; `Model.encode` cuts texts"
            )
        ids = torch.full((len(batch), max(lengths)), padding_id(self.hf), dtype=torch.long)
        for row, text in enumerate(batch):
            given = torch.as_tensor(text.ids, dtype=torch.long)
            if int(given.max()) >= vocabulary(self.hf) or int(given.min()) < 0:
                raise UsageError(
                    f"{text_name(tuple(batch), row)}: expected token ids from 0 to "
                    f"{vocabulary(self.hf) - 1}, got {int(given.min())} to {int(given.max())}; "
                    "this tokenizer belongs to another model"
                )
            ids[row, : lengths[row]] = given
        mask = padding_mask(self.stack, torch.tensor(lengths))
        if mask is not None:
            mask = mask.to(self.device)
        return forward_arguments(self.stack, ids.to(self.device), mask)

    def run(self, batch: Sequence[Passage | Encoding], observer: Observer) -> None:
        """Show `observer` every layer of the stack on a batch of texts, in one forward pass.

        Prediction heads are not run. Models that bypass the attention interface show the
        attention that they return themselves, after the pass.

        Raises:
            UsageError: a text is empty or too long.
            RunError: attention is NaN or infinite, or the batch does not fit into memory.
        """
        texts = tuple(batch)
        parts = self._parts(texts)
        if self.stack.modules and len(parts) == 1:
            lengths = torch.tensor([len(text) for text in texts], device=self.device)
            inputs = self.inputs(texts)
            with (
                torch.inference_mode(), _memory_errors(texts),
                tap(self, observer, batch=texts, lengths=lengths),
            ):  # fmt: skip
                self.stack.body(**inputs)
            return
        for call in self._kept(texts, parts):
            _check_returned(call)
            observer.observe(call)

    def _parts(self, texts: tuple[Passage | Encoding, ...]) -> list[list[int]]:
        """The texts that may share a forward pass, so that none changes another's attention."""
        if self.stack.together == "any":
            return [list(range(len(texts)))]
        if self.stack.together == "none":
            return [[index] for index in range(len(texts))]
        by_length: dict[int, list[int]] = {}
        for index, text in enumerate(texts):
            by_length.setdefault(len(text), []).append(index)
        return list(by_length.values())

    def _kept(
        self, texts: tuple[Passage | Encoding, ...], parts: list[list[int]]
    ) -> Iterator[AttentionCall]:
        """The layers of a batch that cannot be shown while it runs; all are kept at once."""
        lengths = torch.tensor([len(text) for text in texts], device=self.device)
        width = int(lengths.max())
        shown: list[Tensor] = []
        for part in parts:
            some = [texts[index] for index in part]
            inputs = self.inputs(some)
            with torch.inference_mode(), _memory_errors(texts):
                layers = attentions(self.stack, inputs, lengths[part])
                if len(parts) == 1:
                    shown = layers
                    break
                for layer, weights in enumerate(layers):
                    if layer == len(shown):
                        shape = (len(texts), weights.shape[1], width, width)
                        shown.append(torch.zeros(shape, device=weights.device))
                    shown[layer][part, :, : weights.shape[2], : weights.shape[3]] = weights
        for layer, weights in enumerate(shown):
            yield AttentionCall(layer, lengths, texts, weights.float, None)

    def logits(
        self,
        batch: Sequence[Passage | Encoding],
        substitution: Substitution | None = None,
        *,
        observer: Observer | None = None,
        last: bool = False,
        gradients: bool = False,
    ) -> Tensor:
        """The model's predictions, shape `(B, T, V)`; what is padded on the right is undefined.

        Without a substitution or an observer the model runs untouched. With `last` only what it
        predicts behind the last token of each text, shape `(B, V)`. With `gradients` they can be
        differentiated by what the substitution gives.

        Raises:
            UsageError: the model has no prediction head or two stacks, or its heads cannot be
                replaced, or one text of the batch would change what is predicted of another.
            RunError: attention is NaN or infinite, or the batch does not fit into memory.
        """
        if self.stack.name is not None:
            raise UsageError("predictions of encoder-decoder models are not supported")
        texts = tuple(batch)
        lengths = torch.tensor([len(text) for text in texts], device=self.device)
        if len(self._parts(texts)) > 1:
            raise UsageError(
                f"{type(self.hf).__name__}: what it predicts of a text depends on the other texts "
                "of its batch; give texts one by one"
            )
        inputs = self.inputs(texts)
        mode = torch.enable_grad() if gradients else torch.inference_mode()
        with mode, _memory_errors(texts):
            places = torch.unique(lengths - 1) if last else None
            if places is not None and "logits_to_keep" in signature(self.hf.forward).parameters:
                inputs["logits_to_keep"] = places
            if substitution is None and observer is None:
                with implementation(self.hf, None):
                    result = self.hf(**inputs)
            else:
                with tap(self, observer, substitution, batch=texts, lengths=lengths):
                    result = self.hf(**inputs)
        logits: Tensor | None = getattr(result, "logits", None)
        if logits is None or logits.ndim != 3 or logits.shape[-1] < vocabulary(self.hf):
            raise UsageError(f"{type(self.hf).__name__} predicts no tokens: it has no logits")
        if places is None:
            return logits
        kept = "logits_to_keep" in inputs
        at = torch.searchsorted(places, lengths - 1) if kept else lengths - 1
        return logits[torch.arange(len(texts), device=logits.device), at.to(logits.device)]


@contextmanager
def _memory_errors(batch: tuple[Passage | Encoding, ...]) -> Iterator[None]:
    """Turn running out of memory into one line."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        cpu = "not enough memory" in str(error) or "can't allocate memory" in str(error)
        if not (isinstance(error, torch.OutOfMemoryError | MemoryError) or cpu):
            raise
        size = f"{len(batch)} texts of up to {max(map(len, batch))} tokens"
        raise OutOfMemoryError(
            f"{size} do not fit into memory; a smaller batch, fewer tokens a text, or a narrower "
            "dtype may help"
        ) from error


def _check_returned(call: AttentionCall) -> None:
    broken = ~torch.isfinite(call.weights).all(dim=-1)
    if not bool(broken.any()):
        return
    for text, head, query in broken.nonzero().tolist():
        if query < int(call.lengths[text]):
            raise RunError(
                f"{text_name(call.batch, text)}: attention of layer {call.layer}, head {head} is "
                "NaN or infinite; a wider precision may help (dtype='float32')"
            )
