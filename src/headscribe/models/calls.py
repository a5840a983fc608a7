"""What a layer shows to those who read its attention, and what they may put in its place."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol, runtime_checkable

from torch import Tensor

from headscribe.models.invocation import Invocation
from headscribe.text.passages import Encoding, Passage


class AttentionCall:
    """One self-attention layer at work on one batch; lives only while the layer runs.

    Texts are padded on the right: of text `b` only the first `lengths[b]` queries and keys are
    real. What stands in padded rows is undefined and must never be scored.

    `B` texts, `H` heads, `K` key heads (`K < H` under grouped-query attention, head `h` reads key
    head `h // (H // K)`), `Tq` queries, `Tk` keys (`Tk > Tq` where a cache is in use: the queries
    are the last `Tq` of the `Tk` positions).

    Attributes:
        layer: index of the layer in its stack, from 0.
        lengths: number of real tokens of each text, shape `(B,)`, int64.
        batch: the texts as given to `Model.run`; empty where a caller feeds the model directly.
    """

    def __init__(
        self,
        layer: int,
        lengths: Tensor,
        batch: tuple[Passage | Encoding, ...],
        weights: Callable[[], Tensor],
        invocation: Invocation | None,
    ) -> None:
        self.layer = layer
        self.lengths = lengths
        self.batch = batch
        self._weights = weights
        self._invocation = invocation

    def probabilities(self) -> Tensor:
        """Every head's attention, shape `(B, H, Tq, Tk)`, float32; computed once.

        Rows sum to 1 over the keys, to less where the model has a sink inside its softmax. Read
        it, do not write to it: the layer's output is made of it.
        """
        return self.weights.float()

    @cached_property
    def weights(self) -> Tensor:
        """The probabilities in the precision in which they were computed, at least float32."""
        return self._weights()

    @property
    def computed(self) -> bool:
        """Whether somebody has asked for the probabilities."""
        return "weights" in self.__dict__

    def rows(self, start: int, stop: int) -> Tensor:
        """`probabilities` of the queries `start..stop - 1` alone; nothing is kept.

        Only where `closed`.
        """
        return self._inputs.widened().rows(start, stop).float()

    @property
    def normalisers(self) -> Tensor | None:
        """The logarithm of each row's sum of exponentials, shape `(B, H, Tq)`.

        `p_ij = exp(score_ij - normaliser_i)`: single probabilities without the matrix. It comes
        from the call of the fused kernel that also gives the layer's output; None where the layer
        computes by other means.
        """
        return None if self._fused is None else self._fused[1]

    @property
    def output(self) -> Tensor | None:
        """The layer's output if `normalisers` were asked for and are known, else None."""
        fused = self.__dict__.get("_fused")
        return None if fused is None else fused[0]

    @cached_property
    def _fused(self) -> tuple[Tensor, Tensor] | None:
        known = self._invocation
        return None if known is None else known.own_output_and_normalisers()

    @property
    def closed(self) -> bool:
        """Whether `query`, `key`, `mask` and what follows say all about the probabilities:

        `softmax(cap(query @ key^T * scaling) + mask)`, `cap(x) = softcap * tanh(x / softcap)` or
        the identity, later keys hidden where `is_causal`, and `sinks` as one more key without a
        value. Where false, only `probabilities` is to be had, and heads cannot be replaced.
        """
        return self._invocation is not None

    @property
    def query(self) -> Tensor:
        """The queries, shape `(B, H, Tq, D)`, in the model's precision."""
        return self._inputs.query

    @property
    def key(self) -> Tensor:
        """The keys, not repeated for the heads that share them, shape `(B, K, Tk, D)`."""
        return self._inputs.key

    @property
    def value(self) -> Tensor:
        """The values, not repeated for the heads that share them, shape `(B, K, Tk, D)`."""
        return self._inputs.value

    @cached_property
    def mask(self) -> Tensor | None:
        """What is added to the scores, broadcastable to `(B, H, Tq, Tk)`: mask and position bias.

        Hidden keys have the lowest number of the model's precision. None: nothing is added.
        """
        mask, bias = self._inputs.mask, self._inputs.position_bias
        return bias if mask is None else mask if bias is None else bias + mask

    @property
    def is_causal(self) -> bool:
        """Whether keys after the query are hidden without the mask saying so."""
        return self._inputs.is_causal

    @property
    def scaling(self) -> float:
        """What the scores are multiplied with."""
        return self._inputs.scaling

    @property
    def softcap(self) -> float | None:
        """The bound of the scores, approached as a hyperbolic tangent (Gemma 2)."""
        return self._inputs.softcap

    @property
    def sinks(self) -> Tensor | None:
        """One more score per head that soaks up attention (gpt-oss), shape `(H,)`."""
        return self._inputs.sinks

    @property
    def _inputs(self) -> Invocation:
        if self._invocation is None:
            raise AttributeError("this layer's attention has no closed form; see `closed`")
        return self._invocation


@runtime_checkable
class Observer(Protocol):
    """Reads the attention of each layer while it exists."""

    def observe(self, call: AttentionCall) -> None:
        """Read one layer's attention on one batch; layers come in order, batch by batch."""
        ...


class Keeper:
    """An observer that keeps the attention of some layers of one pass, default all.

    Attributes:
        layers: shape `(B, H, Tq, Tk)`, by the number of the layer.
    """

    def __init__(self, chosen: Sequence[int] | None = None) -> None:
        self._chosen = chosen
        self.layers: dict[int, Tensor] = {}

    def observe(self, call: AttentionCall) -> None:
        """Copy one layer."""
        if self._chosen is None or call.layer in self._chosen:
            self.layers[call.layer] = call.probabilities().detach().clone()


@runtime_checkable
class Substitution(Protocol):
    """Puts other attention in the place of some heads' own, after the softmax, before the values.

    The output of a chosen head becomes `rows @ values`; that of every other head is not touched.
    Rows of zeros silence a head.
    """

    def heads(self, layer: int) -> Sequence[int]:
        """The heads of `layer` to replace, none twice; empty: the layer stays as it is."""
        ...

    def rows(self, call: AttentionCall) -> Tensor:
        """The attention of `heads(call.layer)`, in that order, shape `(B, n, Tq, Tk)`.

        Asked for only where there are heads to replace. `call.probabilities()` are the layer's
        own. Gradients flow through what is returned.
        """
        ...


def text_name(batch: tuple[Passage | Encoding, ...], index: int) -> str:
    """How an error names text `index` of a batch."""
    text = batch[index] if index < len(batch) else None
    return f"text {text.text_id}" if isinstance(text, Passage) else f"text {index} of its batch"
