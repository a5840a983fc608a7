"""Texts that pages ask about: tokenised and annotated once, their attention kept while it is small.

What is asked of a text is asked layer by layer, so that no more than one layer of a long text is
ever held: a short text's layers are kept, a long text is read again for every question.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from headscribe.core.errors import UsageError, unknown_name
from headscribe.core.visibility import Visibility
from headscribe.models.inputs import model_inputs
from headscribe.models.model import Model
from headscribe.models.recorded import Recording
from headscribe.patterns.relational import shared_evaluator
from headscribe.relations import parse
from headscribe.scoring.observer import LayerAttention
from headscribe.scoring.predictions import sinks_of
from headscribe.text.corpora import corpus
from headscribe.text.passages import Passage

MAX_TOKENS = 512
"""Tokens of a text that are read; what follows is cut."""

KEPT_TEXTS = 64
"""Texts whose words are kept."""

KEPT_RELATIONS = 256
"""Relations whose pairs are kept, of all texts: at most 64 MB."""

KEPT_BYTES = 64 << 20
"""Attention that is kept, of the texts asked about last: of SmolLM2 a text of 249 tokens."""

Going = Callable[[], None]
"""Called between layers and texts; raises where nobody waits for the answer any more."""


class StaleError(Exception):
    """The page has asked anew: nobody waits for this answer."""


class _Layers:
    """An observer that hands every layer on as an array."""

    def __init__(
        self, passage: Passage, see: Callable[[int, Float[np.ndarray, "H T T"]], None]
    ) -> None:
        self._length, self._see = len(passage), see

    def observe(self, call: LayerAttention) -> None:
        part = call.probabilities()[0, :, : self._length, : self._length]
        self._see(call.layer, part.float().cpu().numpy())


class Reading:
    """One text as the model reads it."""

    def __init__(self, passage: Passage, source: "Model | Recording") -> None:
        self.passage = passage
        self._source = source

    def __len__(self) -> int:
        return len(self.passage)

    def sinks(self, layer: int) -> Bool[np.ndarray, " T"]:
        """Sinks: special tokens, and the opening one where the layer is causal."""
        return sinks_of(self.passage, self._source.visibility(layer))

    @cached_property
    def bytes(self) -> int:
        """What all of its attention takes."""
        return 4 * self._source.layers * self._source.heads * len(self) ** 2


class Texts:
    """The texts that one model, or recording, was asked about.

    Args:
        source: the model, or recorded attention, which has its own texts.
        annotator: finds the words; None: the default.
    """

    def __init__(self, source: "Model | Recording", annotator: str | None = None) -> None:
        self.source = source
        self._annotator = annotator
        self._readings: OrderedDict[str, Reading] = OrderedDict()
        self._kept: OrderedDict[str, list[Float[np.ndarray, "H T T"]]] = OrderedDict()
        self._related: OrderedDict[tuple[str, str, Visibility], Bool[np.ndarray, "T T"]]
        self._related = OrderedDict()
        self.recorded: Mapping[str, Passage] = (
            {passage.text_id: passage for passage in source.passages}
            if isinstance(source, Recording)
            else {}
        )

    def read(self, text: str) -> Reading:
        """A text's tokens and words; of a recording the text of that id.

        Raises:
            UsageError: no token; or a recording without this text.
        """
        if text in self._readings:
            self._readings.move_to_end(text)
            return self._readings[text]
        if isinstance(self.source, Recording):
            if text not in self.recorded:
                raise unknown_name("text of this recording", text, list(self.recorded))
            passage = self.recorded[text]
        else:
            if not text.strip():
                raise UsageError("expected a text with at least one word, got none")
            (passage,) = model_inputs(
                self.source, corpus([text]), self._annotator, MAX_TOKENS
            ).passages
        self._readings[text] = Reading(passage, self.source)
        if len(self._readings) > KEPT_TEXTS:
            old, _ = self._readings.popitem(last=False)
            self._kept.pop(old, None)
        return self._readings[text]

    def related(self, text: str, relation: str, layer: int) -> Bool[np.ndarray, "T T"] | None:
        """The pairs of visible tokens for which a relation holds; None: the words lack its tags."""
        passage, visibility = self.read(text).passage, self.source.visibility(layer)
        key = text, relation, visibility
        if key not in self._related:
            parsed = parse(relation)
            if not parsed.needs <= passage.words.provides:
                return None
            cells = shared_evaluator(passage, visibility).cells(parsed)
            pairs = np.zeros((len(passage), len(passage)), bool)
            pairs[cells.query, cells.key] = True
            self._related[key] = pairs
            if len(self._related) > KEPT_RELATIONS:
                self._related.popitem(last=False)
        return self._related[key]

    def each(
        self, text: str, see: Callable[[int, Float[np.ndarray, "H T T"]], None], going: Going
    ) -> None:
        """Show every layer's attention on a text to `see`, in order."""
        reading = self.read(text)
        if text in self._kept:
            self._kept.move_to_end(text)
            for layer, one in enumerate(self._kept[text]):
                see(layer, one)
            return
        small = reading.bytes <= KEPT_BYTES
        layers: list[Float[np.ndarray, "H T T"]] = []

        def look(layer: int, attention: Float[np.ndarray, "H T T"]) -> None:
            going()
            if small:
                attention = attention.copy()
                layers.append(attention)
            see(layer, attention)

        self.source.run([reading.passage], _Layers(reading.passage, look))
        if small:
            self._kept[text] = layers
            while sum(self._readings[one].bytes for one in self._kept) > KEPT_BYTES:
                self._kept.popitem(last=False)

    def whole(self, text: str, going: Going) -> list[Float[np.ndarray, "H T T"]]:
        """All layers of a text at once.

        Raises:
            UsageError: it is too long for that.
        """
        if self.read(text).bytes > KEPT_BYTES:
            most = int((KEPT_BYTES / (4 * self.source.layers * self.source.heads)) ** 0.5)
            raise UsageError(f"expected at most {most} tokens of a text to compare, got more")
        found: list[Float[np.ndarray, "H T T"]] = []
        self.each(text, lambda _, attention: found.append(attention), going)
        return found
