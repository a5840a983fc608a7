"""Heads of a model in memory: switched off or replaced for a while, and read row by row."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId, absent, every_head
from headscribe.fitting.sources import head_ids
from headscribe.models.calls import AttentionCall

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from headscribe.models.loading import Source
    from headscribe.models.model import Model
    from headscribe.replacement.plan_files import Programs

_BLOCK = 64
"""Rows that are computed at once: with 32,000 keys and 32 heads a quarter of a GB."""


class Heads:
    """The heads of one model. Each method is a block: on leaving it, also by an exception, the
    model is as it was. Within, its forward passes and `generate` are altered, with and without a
    cache of keys.

    >>> import headscribe as hs
    >>> model = hs.load("bundled:stories")
    >>> batch = model.encode(["The cat sat."])
    >>> whole = model.logits(batch)
    >>> with hs.heads(model).off("3.3", "L3H4") as hf:
    ...     silenced = model.hf(**model.inputs(batch)).logits
    >>> bool((whole - silenced).abs().max() > 0.1)
    True
    """

    def __init__(self, model: "Model") -> None:
        self.model = model

    def __repr__(self) -> str:
        return f"<{self.model.layers} x {self.model.heads} heads of {self.model.name}>"

    def off(self, *heads: HeadId | str | tuple[int, int]) -> AbstractContextManager[Any]:
        """Silence heads: their output is zero, as if their slice of the output matrix were.

        Yields:
            The model of transformers.

        Raises:
            UsageError: no such head, or the model's heads cannot be replaced.
        """
        return self.replace(dict.fromkeys(_named(heads), "zero"))

    def mean(
        self,
        texts: Any,  # noqa: ANN401
        *heads: HeadId | str | tuple[int, int],
    ) -> AbstractContextManager[Any]:
        """Put each head's own mean attention by position in its place.

        Args:
            texts: what the mean is taken over; what `hs.corpus` takes.
            heads: which; none: all.

        Yields:
            The model of transformers.

        Raises:
            UsageError: as `off`.
        """
        return self.replace(dict.fromkeys(_named(heads) or head_ids(self.model), "profile"), texts)

    @contextmanager
    def replace(self, programs: "Programs", texts: Any = None) -> "Iterator[PreTrainedModel]":  # noqa: ANN401
        """Put programs in the place of heads.

        Args:
            programs: patterns, relations, `zero`, `profile` or `mean` by head; or a plan file, or
                the run of a fit.
            texts: what `profile` and `mean` are estimated on.

        Yields:
            The model of transformers.

        Raises:
            UsageError: no such head, a program that is none or looks ahead, or the model's heads
                cannot be replaced.
        """
        from headscribe.models.inputs import model_inputs
        from headscribe.replacement.apply import apply
        from headscribe.replacement.plan import Plan
        from headscribe.replacement.plan_files import programs_of
        from headscribe.text.corpora import corpus

        if isinstance(programs, Mapping):
            programs = {HeadId.of(head): program for head, program in programs.items()}
        with ExitStack() as held:
            fit = None
            if texts is not None:
                fit = model_inputs(self.model, corpus(texts), annotator_name="plain").passages
            plan = Plan(programs_of(programs, self.model, fit, held))
            with apply(self.model, plan):
                yield self.model.hf


def heads(model: "Model | Source") -> Heads:
    """The heads of a model, to be switched off or replaced for a while.

    >>> import headscribe as hs
    >>> hs.heads("bundled:stories")
    <6 x 6 heads of bundled:stories>

    Args:
        model: what `hs.load` gives or takes; (model, tokenizer) of transformers is altered where
            it is, not a copy.

    Raises:
        UsageError: what `hs.load` raises.
    """
    from headscribe.api.replace import opened_model

    return Heads(opened_model(model))


def attend(
    model: "Model | Source",
    text: str,
    head: HeadId | str | tuple[int, int],
    *,
    rows: Sequence[int] | None = None,
    topk: int | None = None,
) -> Float[np.ndarray, "R T"] | tuple[Int[np.ndarray, "R k"], Float[np.ndarray, "R k"]]:
    """One head's attention on a text of any length, without the matrix of all its rows.

    >>> import headscribe as hs
    >>> hs.attend("bundled:stories", "The cat sat.", "1.2").shape
    (5, 5)
    >>> keys, weights = hs.attend("bundled:stories", "The cat sat.", "1.2", rows=[-1], topk=2)
    >>> keys.shape, bool(weights[0, 0] >= weights[0, 1])
    ((1, 2), True)

    Args:
        model: what `hs.load` gives or takes.
        text: one text.
        head: such as `"7.10"`.
        rows: the tokens whose attention is meant, negative ones from the end; None: all.
        topk: give the strongest keys alone.

    Returns:
        The rows, shape `(R, T)`, each summing to 1 (to less where the model has a sink in its
        softmax); or, with `topk`, the keys and their weights, strongest first, `(R, k)` each.

    Raises:
        UsageError: no such model, head or row; an empty text.
    """
    from headscribe.api.replace import opened_model

    loaded, wanted = opened_model(model), HeadId.of(head)
    loaded_head(loaded, wanted)
    if topk is not None and topk < 1:
        raise UsageError(f"expected topk of at least 1, got {topk}")
    (encoding,) = loaded.encode([text])
    length = len(encoding)
    asked = list(range(length)) if rows is None else [int(row) for row in rows]
    if not asked:
        raise UsageError("expected at least one row, got none")
    for row in asked:
        if not -length <= row < length:
            raise UsageError(f"row {row}: expected one within the text's {length} tokens")
    reader = _Rows(wanted, np.array([row % length for row in asked], np.int64), topk)
    loaded.run([encoding], reader)
    return reader.found()


def loaded_head(model: "Model", head: HeadId) -> None:
    """See that a model has a head.

    Raises:
        UsageError: it has not.
    """
    if head.layer >= model.layers or head.head >= model.heads:
        raise absent(head, every_head(model.layers, model.heads), model.name)


def _named(heads: tuple[HeadId | str | tuple[int, int], ...]) -> list[HeadId]:
    return [HeadId.of(head) for head in heads]


class _Rows:
    """An observer that reads some rows of one head, a block at a time."""

    def __init__(self, head: HeadId, rows: Int[np.ndarray, " R"], topk: int | None) -> None:
        self._head, self._rows, self._topk = head, rows, topk
        self._keys: list[np.ndarray] = []
        self._weights: list[np.ndarray] = []

    def observe(self, call: AttentionCall) -> None:
        if call.layer != self._head.layer:
            return
        for start in range(0, len(self._rows), _BLOCK):
            self._take(call, self._rows[start : start + _BLOCK])

    def _take(self, call: AttentionCall, rows: Int[np.ndarray, " b"]) -> None:
        head = self._head.head
        if not call.closed:
            part = call.probabilities()[0, head, rows]
        elif np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            part = call.rows(int(rows[0]), int(rows[-1]) + 1)[0, head]
        else:
            part = torch.cat([call.rows(int(row), int(row) + 1)[0, head] for row in rows])
        if self._topk is not None:
            found = part.topk(min(self._topk, part.shape[1]), dim=-1)
            self._keys.append(found.indices.cpu().numpy())
            part = found.values
        self._weights.append(part.float().cpu().numpy())

    def found(self) -> Any:  # noqa: ANN401
        weights = np.concatenate(self._weights)
        return weights if self._topk is None else (np.concatenate(self._keys), weights)
