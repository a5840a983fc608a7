"""A text's logits taken apart by `influence.ways`: that all parts add up proves the way whole."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscribe.influence.ways import Frozen, Ways, linear_of
from headscribe.models.forward import forward_arguments
from headscribe.models.tap import tap


@dataclass(frozen=True, eq=False)
class Parts:
    """What every part of a model adds to what the unembedding reads of a text.

    Attributes:
        heads: shape `(L, H, T, d)`.
        rest: of each layer all that is not its heads: mostly the MLP, `(L, T, d)`.
        embeddings: what the first layer is given, `(T, d)`.
        biases: of output matrices and norms, `(T, d)`.
        unembedding: shape `(V, d)`; with its `bias`, `(V,)` or None.
    """

    heads: Float[Tensor, "L H T d"]
    rest: Float[Tensor, "L T d"]
    embeddings: Float[Tensor, "T d"]
    biases: Float[Tensor, "T d"]
    unembedding: Float[Tensor, "V d"]
    bias: Float[Tensor, " V"] | None

    @property
    def logits(self) -> Float[Tensor, "T V"]:
        """The sum of all parts, as logits."""
        total = self.heads.sum((0, 1)) + self.rest.sum(0) + self.embeddings + self.biases
        found = total @ self.unembedding.T
        return found if self.bias is None else found + self.bias


def parts_of(ways: Ways, ids: Int[Tensor, " T"]) -> Parts:
    """Take a text's logits apart: heads, the rest of each layer, embeddings, biases.

    Args:
        ways: of the model, see `ways_of`.
        ids: the token ids of the text, special ones included.
    """
    model = ways.model
    with torch.inference_mode(), ways.recorded(*ways.layers) as seen, tap(model):
        model.hf(**forward_arguments(model.stack, ids[None].to(model.device)))
    embeddings = seen.call(ways.layers, 0).given[0].float()
    constant = torch.zeros_like(embeddings)
    heads: list[Tensor] = []
    rest: list[Tensor] = []

    def through(one: Frozen) -> None:
        nonlocal embeddings, constant
        embeddings, constant = one.push(embeddings, 0), one.push(constant, 0)
        constant = constant if one.bias is None else constant + one.bias
        heads[:] = [one.push(part, 0) for part in heads]
        rest[:] = [one.push(part, 0) for part in rest]

    for layer in range(model.layers):
        call = seen.call(ways.layers, layer)
        outputs = seen.outputs(layer)[0].transpose(0, 1)
        added = torch.einsum("htd,hod->hto", outputs, ways.heads_of(layer))
        _, bias = linear_of(ways.projections[layer])
        also = torch.zeros_like(call.given[0].float())
        also = also if bias is None else also + ways.scale[layer] * bias
        for one in seen.own(layer):
            added, also = one.push(added, 0), one.push(also, 0)
            also = also if one.bias is None else also + one.bias
        heads.append(added)
        rest.append(torch.zeros_like(also))
        constant = constant + also
        stream, whole = call.given[0].float(), added.sum(0) + also
        for norm, one in zip(seen.norms(ways.residual, layer), seen.residual(layer), strict=True):
            rest[-1] = rest[-1] + norm.given[0].float() - stream - whole
            through(one)
            stream, whole = norm.gave[0].float(), torch.zeros(())
        rest[-1] = rest[-1] + call.gave[0].float() - stream - whole
    for one in seen.final():
        through(one)
    weight, bias = linear_of(ways.unembedding)
    return Parts(torch.stack(heads), torch.stack(rest), embeddings, constant, weight, bias)
