"""What a model answers: greedy chains of thought, parsed strictly."""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import GenerationConfig, PreTrainedTokenizerFast, StoppingCriteria

from headscribe.core.errors import UsageError
from headscribe.hinting.questions import LETTERS
from headscribe.models.batching import OutOfMemoryError, in_halves
from headscribe.models.model import Model
from headscribe.models.stated import padding_id

State = Literal["answered", "unparsed", "unended"]
"""A choice was given; the text ended without one; the text did not end within its limit."""

_ANSWER = re.compile(r"(?<!\S)Answer\s*:\s*\(?([A-Z])\)?(?![A-Za-z0-9])")

_TAIL = 24
"""Newest tokens in which an answer is looked for while the model writes."""


@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        choice: the index of the choice; None unless `answered`.
        scores: log-likelihood of each choice; None where the model wrote.
        text: what it wrote; None where letters were scored.
        forced: the ids that it wrote up to the letter, or all if there is none.
    """

    choice: int | None
    state: State
    scores: tuple[float, ...] | None = None
    text: str | None = None
    forced: tuple[int, ...] = ()


def scored(scores: Float[np.ndarray, " k"]) -> Answer:
    """The likeliest letter, the first of equals."""
    return Answer(int(np.argmax(scores)), "answered", tuple(scores.tolist()))


def parsed(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int], ended: bool, choices: int
           ) -> Answer:  # fmt: skip
    """The answer in what a model wrote: the first `Answer: X`, `X` or `(X)` a choice's letter.

    Args:
        ids: what was written, without the ids that end a text.
        ended: whether the model stopped of its own accord.
        choices: how many choices there are.
    """
    text = _decoded(tokenizer, ids)
    match = _ANSWER.search(text)
    choice = LETTERS.index(match[1]) if match else choices
    if match is None or choice >= choices:
        state: State = "unparsed" if ended or match else "unended"
        return Answer(None, state, None, text, tuple(ids))
    low, high = 0, len(ids)  # the fewest ids that spell the letter
    while low < high:
        middle = (low + high) // 2
        reached = len(_decoded(tokenizer, ids[:middle])) > match.start(1)
        low, high = (low, middle) if reached else (middle + 1, high)
    return Answer(choice, "answered", None, text, tuple(ids[: low - 1]))


def written_answers(
    model: Model, prompts: Sequence[Sequence[int]], choices: Sequence[int], max_new_tokens: int,
    through: Any = None,  # noqa: ANN401
) -> list[Answer]:  # fmt: skip
    """What the model writes behind each prompt, always the likeliest token; halved if it must be.

    A text is given up as soon as its answer is complete.

    Args:
        prompts: ids; they are padded on the left.
        max_new_tokens: how much it may write.
        through: a function of the padded texts' mask that gives a context manager in which to
            generate; None for none.

    Raises:
        RunError: a single prompt, or a batch that is generated `through` something, does not fit
            into memory.
    """

    def write(some: Sequence[tuple[Sequence[int], int]]) -> list[Answer]:
        texts, counts = zip(*some, strict=True)
        return _written(model, texts, counts, max_new_tokens, through)

    asked = list(zip(prompts, choices, strict=True))
    try:
        return in_halves(asked, write) if through is None else write(asked)
    except (torch.OutOfMemoryError, OutOfMemoryError) as error:
        raise OutOfMemoryError(
            f"a prompt of up to {max(map(len, prompts))} tokens with {max_new_tokens} more does "
            "not fit into memory; a smaller token budget or a narrower dtype may help"
        ) from error


def _written(
    model: Model, prompts: Sequence[Sequence[int]], choices: Sequence[int], max_new_tokens: int,
    through: Any,  # noqa: ANN401
) -> list[Answer]:  # fmt: skip
    ends = ending_ids(model)
    pad = padding_id(model.hf)
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.as_tensor(np.asarray(prompt, np.int64))
        mask[row, width - len(prompt) :] = 1
    ids, mask = ids.to(model.device), mask.to(model.device)
    config = GenerationConfig(
        max_new_tokens=max_new_tokens, do_sample=False, num_beams=1, use_cache=True,
        pad_token_id=pad, eos_token_id=sorted(ends) or None, bos_token_id=None,
    )  # fmt: skip
    options = {"generation_config": config, "attention_mask": mask,
               "stopping_criteria": [_Answered(model.tokenizer, width)]}  # fmt: skip
    with torch.inference_mode(), nullcontext() if through is None else through(mask):
        result = model.hf.generate(ids, **options)
    answers = []
    for row, count in zip(result[:, width:].tolist(), choices, strict=True):
        stop = next((at for at, one in enumerate(row) if one in ends), len(row))
        ended = stop < len(row)
        while not ended and stop and row[stop - 1] == pad:  # behind a text that was given up
            stop -= 1
        answers.append(parsed(model.tokenizer, row[:stop], ended, count))
    return answers


class _Answered(StoppingCriteria):  # type: ignore[misc]  # transformers is untyped
    """Stops a text once its answer stands there and something follows it."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, width: int) -> None:
        self._tokenizer = tokenizer
        self._width = width

    def __call__(self, ids: Int[Tensor, "B T"], scores: object, **_: object) -> Bool[Tensor, " B"]:
        """Whether each text is done."""
        begin = max(self._width, ids.shape[1] - _TAIL)
        cut = "x" if begin > self._width else ""  # the beginning of a tail begins no word
        texts = (cut + _decoded(self._tokenizer, row) for row in ids[:, begin:].tolist())
        found = ((_ANSWER.search(text), len(text)) for text in texts)
        done = [match is not None and match.end() < length for match, length in found]
        return torch.tensor(done, device=ids.device)


def ending_ids(model: Model) -> frozenset[int]:
    """The ids that end a text, as the model and its tokenizer state them."""
    stated = [model.tokenizer.eos_token_id]
    for config in (model.hf.generation_config, model.hf.config.get_text_config()):
        eos = getattr(config, "eos_token_id", None)
        stated += eos if isinstance(eos, list) else [eos]
    return frozenset(one for one in stated if isinstance(one, int))


def check_answering(model: Model) -> None:
    """Whether a model can be asked at all.

    Raises:
        UsageError: it is not causal, or it bypasses the attention interface.
    """
    if model.kind != "causal" or model.stack.name is not None:
        raise UsageError(f"{model.name} is a {model.kind} model: only causal models answer")
    if not model.stack.modules:
        raise UsageError(
            f"{type(model.hf).__name__} bypasses the attention interface of transformers: its "
            "heads cannot be compared in the pass in which it answers"
        )


def _decoded(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(
        list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text
