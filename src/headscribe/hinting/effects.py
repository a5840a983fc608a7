"""How much each head's reading of the hint moves the answer: all heads in the same few passes.

Attention says what a head reads, not whether that matters: a head may read the hint whether or not
the answer follows, and every head above a copied letter changes. So heads are ranked by their part
in what blocking does to the distance of the hinted from the unhinted answer,

    D = logit(answer under the hint) - logit(answer without)     where the answer is predicted
    effect(h) = 1/K sum_k sum_ij (A_ij - B_ij) dD/dA_ij          K = 4

with `A` the attention of head `h` in the hinted pass and `B` the same without the hint's keys, as
`intervention` blocks them. In pass `k` all heads attend as `A + (k - 1/2) / K (B - A)`: on the way
from reading the hint to not reading it, since with the hint read in full the answer is saturated.
Over heads the effects sum to the change of `D` when all are blocked, but for the coarseness of `K`.
These are integrated gradients (Sundararajan et al., ICML 2017) in place of the single gradient of
attribution patching (Syed et al., arXiv:2310.10348).

Where the answer is the same, `D` and all effects are 0. `D` runs towards the answer given and not
towards the choice hinted: an answer that does not heed what the hint says then has effects that do
not depend on it either, as `statistics` needs.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from headscribe.hinting.intervention import blocked
from headscribe.hinting.letters import Letters
from headscribe.hinting.outcomes import Outcomes
from headscribe.hinting.questions import LETTERS
from headscribe.hinting.reading import Unit
from headscribe.models.batching import OutOfMemoryError, in_halves
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model

STEPS = 4
"""Passes with gradients a question."""

_BEHIND = 12
"""Characters before a letter that decide how it is spelled."""


def traceable(model: Model) -> bool:
    """Whether effects can be had: every layer's output is made of its attention alone."""
    return all(model.stack.closed)


def pairs(
    tokenizer: PreTrainedTokenizerFast,
    units: Sequence[Unit],
    outcomes: Outcomes,
    letters: Letters | None,
) -> list[tuple[int, int] | None]:
    """The ids of the letters answered under the wrong hint and without, behind each text.

    None where the answer is the same or there is none, where the hinted choice was the answer
    before, and where one id does not tell the two letters apart.
    """
    moved = outcomes.eligible("wrong") & outcomes.changed("wrong")
    after, before = outcomes.choice("wrong"), outcomes.choice("none")
    found: list[tuple[int, int] | None] = []
    for at, unit in enumerate(units):
        pair = None
        if moved[at]:
            choices = (int(after[at]), int(before[at]))
            ids = [_letter_id(tokenizer, unit, choice, letters) for choice in choices]
            if None not in ids and ids[0] != ids[1]:
                pair = (int(ids[0] or 0), int(ids[1] or 0))
        found.append(pair)
    return found


def _letter_id(
    tokenizer: PreTrainedTokenizerFast, unit: Unit, choice: int, letters: Letters | None
) -> int | None:
    """The first id that tells a letter from others; None where that depends on what it follows."""
    if letters is not None:
        return letters.rests[choice][0]
    behind: str = tokenizer.decode(list(unit.forced), clean_up_tokenization_spaces=False)
    behind = behind[-_BEHIND:]
    letter = LETTERS[choice] if behind.endswith("(") else f" {LETTERS[choice]}"
    plain, whole = (
        tokenizer(text, add_special_tokens=False)["input_ids"] for text in (behind, behind + letter)
    )
    alone = whole[: len(plain)] == plain and len(whole) == len(plain) + 1
    return int(whole[-1]) if alone else None


def traced(
    model: Model, units: Sequence[Unit], letters: Sequence[tuple[int, int]], steps: int = STEPS
) -> Float[np.ndarray, "n L H"]:
    """The effects of a batch, from so many passes; halved if it must be.

    Args:
        model: one that is `traceable`.
        letters: of each the ids of the answers under the wrong hint and without.
        steps: `K`.

    Raises:
        RunError: a single question does not fit into memory, or attention is NaN.
    """
    ways = [(step + 0.5) / steps for step in range(steps)]

    def mean(some: Sequence[tuple[Unit, tuple[int, int]]]) -> list[Float[np.ndarray, "L H"]]:
        read, named = zip(*some, strict=True)
        return list(np.mean([_traced(model, read, named, way) for way in ways], axis=0))

    try:
        return np.stack(in_halves(list(zip(units, letters, strict=True)), mean))
    except (torch.OutOfMemoryError, OutOfMemoryError) as error:
        raise OutOfMemoryError(
            f"a question of up to {max(map(len, units))} tokens does not fit into memory with its "
            "gradients; a narrower dtype may help"
        ) from error


def _traced(
    model: Model, units: Sequence[Unit], letters: Sequence[tuple[int, int]], way: float
) -> Float[np.ndarray, "n L H"]:
    texts = [unit.text("wrong") for unit in units]
    path = _Path(model.heads, units, way)
    logits = model.logits(texts, path, last=True, gradients=True)
    both = logits.float().gather(1, torch.tensor(letters, device=logits.device))
    slopes = torch.autograd.grad((both[:, 0] - both[:, 1]).sum(), path.given)
    found = np.zeros((len(units), model.layers, model.heads), np.float32)
    for layer, (lost, slope) in enumerate(zip(path.lost, slopes, strict=True)):
        for at, text in enumerate(texts):  # what stands behind a text is undefined
            each = lost[at, :, : len(text)] * slope[at, :, : len(text)]
            found[at, layer] = each.sum((1, 2)).cpu().numpy()
    return found


class _Path:
    """Every head on its way from its own attention, 0, to that without the hint, 1.

    Attributes:
        given: the attention that each layer's output is made of.
        lost: what blocking takes from the layer's own, `A - B`.
    """

    def __init__(self, heads: int, units: Sequence[Unit], way: float) -> None:
        self._heads = range(heads)
        self._inserted = [unit.asked.prompts["wrong"].tokens.inserted for unit in units]
        self._way = way
        self.given: list[Tensor] = []
        self.lost: list[Tensor] = []

    def heads(self, layer: int) -> Sequence[int]:
        """All."""
        return self._heads

    def rows(self, call: AttentionCall) -> Float[Tensor, "B H T T"]:
        """Between theirs and those without the hint."""
        own = call.weights
        if not own.requires_grad:  # parameters are frozen
            own = own.detach().requires_grad_()
        place = torch.arange(own.shape[-1], device=own.device)
        pairs = zip(own, self._inserted, strict=True)
        without = torch.stack([blocked(rows, place, place, hint) for rows, hint in pairs])
        given = own + self._way * (without - own)
        self.given.append(given)
        self.lost.append((own - without).detach())
        return given
