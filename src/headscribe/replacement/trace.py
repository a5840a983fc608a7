"""One pass over a text with gradients: what every head's output pulls at."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.models.tap import tap
from headscribe.text.passages import Passage


@dataclass(frozen=True, eq=False)
class Traced:
    """What one pass over a text tells of every head, layers one after the other.

    Attributes:
        attention: `(H, T, T)`.
        value: the values that each head reads, `(H, T, D)`.
        pull: gradients of the loss in each head's output, `(S, H, T, D)`.
    """

    attention: Float[Tensor, "H T T"]
    value: Float[Tensor, "H T D"]
    pull: Float[Tensor, "S H T D"]


class _Own:
    """A substitution that puts every head's own rows in their place, to take gradients in them."""

    def __init__(self, heads: int) -> None:
        self._every = tuple(range(heads))
        self.kept: list[tuple[Tensor, Tensor]] = []

    def heads(self, layer: int) -> tuple[int, ...]:
        return self._every

    def rows(self, call: AttentionCall) -> Tensor:
        own = call.probabilities().detach().clone().requires_grad_()
        value = call.value.detach().float()
        groups = len(self._every) // value.shape[1]
        self.kept.append((own, value.repeat_interleave(groups, dim=1)))
        return own


def trace(model: Model, passage: Passage, draws: int, chooser: torch.Generator) -> Traced:
    """Read a text once, and draw labels from the model's predictions so many times.

    Encoders have no predictions: there the direction of each token's last hidden state takes their
    place, projected on random vectors.
    """
    own = _Own(model.heads)
    lengths = torch.tensor([len(passage)], device=model.device)
    with tap(model, None, own, batch=(passage,), lengths=lengths):
        if model.kind == "encoder":
            state = model.stack.body(**model.inputs([passage]))[0][0].float()
            found = torch.nn.functional.normalize(state, dim=-1)
        else:
            found = torch.log_softmax(model.hf(**model.inputs([passage])).logits[0].float(), -1)
    rows = [row for row, _ in own.kept]
    drawn = []
    for _ in range(draws):
        if model.kind == "encoder":
            noise = torch.randn(found.shape, generator=chooser).to(found.device)
            loss = (found * noise).sum()
        else:
            label = torch.multinomial(found.detach().exp().cpu(), 1, generator=chooser)
            loss = -found.gather(1, label.to(found.device)).sum()
        parts = torch.autograd.grad(loss, rows, retain_graph=True)
        drawn.append(torch.cat([part[0] for part in parts]).cpu())
    value = torch.cat([value[0] for _, value in own.kept]).cpu()
    # The gradient in a row is `v_j . g`: least squares give `g` as far as the values span it.
    pull = torch.stack(drawn) @ torch.linalg.pinv(value).transpose(1, 2)
    return Traced(torch.cat([row[0].detach() for row in rows]).cpu(), value, pull)
