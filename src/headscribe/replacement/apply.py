"""Putting a plan into a model: for a forward pass, for a block of code, for generation."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.models.stated import padding_id
from headscribe.models.tap import tap
from headscribe.replacement.cache import RowCache
from headscribe.replacement.plan import ZERO, Plan, Replaceable
from headscribe.replacement.transcripts import Transcript
from headscribe.text.passages import Passage


class Substituted:
    """The substitution of a plan, for `Model.logits` and `tap`.

    Args:
        model: the model; the plan is checked against it.
        cache: keeps rows between passes over the same texts.
        reader: says what the model reads where no batch of passages is given.

    Raises:
        UsageError: what `Plan.check` raises.
    """

    def __init__(
        self,
        plan: Plan,
        model: Replaceable,
        cache: RowCache | None = None,
        reader: "_Reader | None" = None,
    ) -> None:
        plan.check(model)
        self._plan = plan
        self._visibility = [model.visibility(layer) for layer in range(model.layers)]
        self._heads = [plan.heads_of(layer) for layer in range(model.layers)]
        self._cache = RowCache() if cache is None else cache
        self._reader = reader

    def heads(self, layer: int) -> tuple[int, ...]:
        """The heads of a layer that are replaced."""
        return self._heads[layer]

    @property
    def first(self) -> int:
        """The first layer of which a head is replaced; the number of layers where none is."""
        return next((at for at, heads in enumerate(self._heads) if heads), len(self._heads))

    def rows(self, call: AttentionCall) -> Float[Tensor, "B n Tq Tk"]:
        """The rows of the programs, and the heads' own where a program says nothing.

        With a cache of keys the rows of the newest queries are taken from those of the whole text
        so far; where a sliding window has dropped the first keys, their columns are dropped.
        """
        heads = self._heads[call.layer]
        batch, _, queries, _ = call.query.shape
        keys = call.key.shape[2]
        if all(self._plan.programs[HeadId(call.layer, head)] is ZERO for head in heads):
            # Silence needs no text, whatever the model reads.
            return call.query.new_zeros((batch, len(heads), queries, keys), dtype=torch.float32)
        texts, starts, total = self._texts(call, keys)
        if keys > total:
            raise UsageError(
                f"layer {call.layer}: expected at most {total} keys, got {keys}; heads are "
                "replaced with a cache that grows, not with one of fixed size"
            )
        made = call.query.new_zeros((len(texts), len(heads), total, total), dtype=torch.float32)
        own = made.new_zeros(made.shape[:3], dtype=torch.bool)
        for b, (passage, start) in enumerate(zip(texts, starts, strict=True)):
            end = start + len(passage)
            for n, head in enumerate(heads):
                rows = self._rows(HeadId(call.layer, head), passage)
                made[b, n, start:end, start:end] = rows.weight
                if rows.covered is not None:
                    own[b, n, start:end] = ~rows.covered.to(own.device)
        made, own = made[:, :, total - queries :, total - keys :], own[:, :, total - queries :]
        if bool(own.any()):
            made = torch.where(own[..., None], call.probabilities()[:, list(heads)], made)
        return made

    def _rows(self, head: HeadId, passage: Passage) -> Any:  # noqa: ANN401
        program, policy = self._plan.programs[head], self._plan.policy
        visibility = self._visibility[head.layer]
        return self._cache.rows(program, policy, head, passage, visibility)

    def _texts(
        self, call: AttentionCall, keys: int
    ) -> tuple[Sequence[Passage], Sequence[int], int]:
        """The passages, where each begins within the padded width, and that width."""
        if self._reader is not None:
            return self._reader.passages, self._reader.starts, self._reader.width
        texts = [text for text in call.batch if isinstance(text, Passage)]
        if len(texts) < len(call.lengths):
            raise UsageError("expected passages to replace heads on, got texts without words")
        return texts, [0] * len(texts), keys


class _Reader:
    """Follows what a model is given to read, cache or not, and keeps it as passages."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._signature = inspect.signature(model.stack.body.forward)
        decoder = model.stack.name == "decoder"
        self._names = ("decoder_input_ids", "decoder_attention_mask") if decoder else (
            "input_ids", "attention_mask")  # fmt: skip
        self._ids: Tensor | None = None
        self._transcripts: list[Transcript] = []
        self.passages: tuple[Passage, ...] = ()
        self.starts: tuple[int, ...] = ()
        self.width = 0

    def read(self, _: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Take the arguments of a forward pass that is about to begin."""
        given = self._signature.bind_partial(*args, **kwargs).arguments
        given = given | given.get("kwargs", {})
        ids, mask = (given.get(name) for name in self._names)
        if ids is None:
            raise UsageError("expected token ids to replace heads on, got embeddings")
        past = given.get("past_key_values")
        known = 0 if past is None else int(past.get_seq_length())
        if known:
            if self._ids is None or self._ids.shape[1] < known or len(self._ids) != len(ids):
                raise UsageError(
                    "the cache was filled while the heads were not replaced; begin with the "
                    "whole text"
                )
            ids = torch.cat([self._ids[:, :known], ids], dim=1)
        self._ids, self.width = ids, ids.shape[1]
        while len(self._transcripts) < len(ids):
            name = f"given:{len(self._transcripts) + 1}"
            self._transcripts.append(Transcript(self._model.tokenizer, name))
        real = torch.ones_like(ids, dtype=torch.bool) if mask is None else _padding(mask, ids)
        spans = [torch.nonzero(row).flatten() for row in real]
        if any(len(span) == 0 or int(span[-1] - span[0]) + 1 != len(span) for span in spans):
            raise UsageError("expected a mask with padding at one end of each text, got holes")
        self.starts = tuple(int(span[0]) for span in spans)
        self.passages = tuple(
            transcript.passage(row[span].tolist())
            for transcript, row, span in zip(self._transcripts, ids, spans, strict=False)
        )


def _padding(mask: Tensor, ids: Tensor) -> Tensor:
    if mask.shape != ids.shape:
        raise UsageError(
            f"expected an attention mask of shape {tuple(ids.shape)}, got {tuple(mask.shape)}"
        )
    return mask.bool()


@contextmanager
def apply(model: Model, plan: Plan) -> Iterator[None]:
    """Replace the plan's heads in every forward pass of `model.hf` within, `generate` included.

    Programs read the text that the ids spell, annotated with nothing but its words. Batches may
    be padded at either end. Beams, which reorder the cache, are not followed. On leaving, also by
    an exception, the model is as it was.

    Raises:
        UsageError: what `Plan.check` and `tap` raise; within: a program that fails or yields
            something else than attention, embeddings instead of ids, a cache filled elsewhere.
    """
    reader = _Reader(model)
    substitution = Substituted(plan, model, reader=reader)
    with ExitStack() as held:
        if any(program is not ZERO for program in plan.programs.values()):
            hook = model.stack.body.register_forward_pre_hook(reader.read, with_kwargs=True)
            held.callback(hook.remove)
        held.enter_context(tap(model, None, substitution))
        yield


def generate(
    model: Model, plan: Plan, prompt: str, max_new_tokens: int = 64, use_cache: bool = True
) -> str:
    """Let the altered model go on with a text, always with the likeliest token.

    Returns:
        The prompt and what follows, special tokens left out.

    Raises:
        UsageError: the model is not causal, the prompt is empty or leaves no room for so many
            tokens, and what `apply` raises.
    """
    ids = generated_ids(model, plan, prompt, max_new_tokens, use_cache)
    text: str = model.tokenizer.decode(ids, skip_special_tokens=True)
    return text


def generated_ids(
    model: Model, plan: Plan, prompt: str, max_new_tokens: int, use_cache: bool
) -> list[int]:
    """The token ids of `generate`, those of the prompt first."""
    if model.kind != "causal" or model.stack.name is not None:
        raise UsageError(f"{model.name} is a {model.kind} model: only causal models generate")
    encoding = model.encode([prompt])[0] if prompt else None
    if encoding is None or not len(encoding):
        raise UsageError("expected a prompt of at least one token, got none")
    given = [int(one) for one in encoding.ids]
    room = None if model.max_tokens is None else model.max_tokens - len(given)
    if max_new_tokens < 1 or (room is not None and max_new_tokens > room):
        limit = "at least 1" if room is None else f"1 to {room}"
        raise UsageError(f"expected {limit} new tokens after this prompt, got {max_new_tokens}")
    ids = torch.tensor([given], device=model.hf.device)
    with apply(model, plan), torch.inference_mode():
        result = model.hf.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            num_beams=1,
            use_cache=use_cache,
            pad_token_id=padding_id(model.hf),
        )
    return [int(one) for one in result[0]]
