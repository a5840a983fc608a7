"""Further texts of the `select` split, which a live model reads when a test asks for them."""

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float, Int

from headscribe.core.arrays import Attention
from headscribe.core.errors import UsageError
from headscribe.discovery.candidates import Candidate
from headscribe.discovery.material import ROWS_PER_TEXT, split_by
from headscribe.discovery.study import HeadTask
from headscribe.fitting.atlas import Item
from headscribe.fitting.features import sampled_queries
from headscribe.patterns.contract import Pattern
from headscribe.text.corpora import Corpus
from headscribe.text.passages import Passage


def further_texts(
    whole: Corpus, limit: int, draw: int, seed: int, tested: Collection[str] | None = None
) -> Corpus | None:
    """Texts of `select` behind the first `limit`, at most `draw`, of groups that begin behind it.

    None where there are none. `tested` are the groups of texts to test on, where they are apart.
    """
    begun = {text.group for text in whole.texts[:limit]} | set(tested or ())
    later = [
        text
        for text in whole.texts[limit:]
        if text.group not in begun and split_by(text.group, seed, tested is not None) == "select"
    ]
    return replace(whole, texts=tuple(later[:draw])) if later and draw else None


@dataclass(frozen=True)
class _Drawn:
    """A text that was drawn: its sampled queries and their rows of every examined head."""

    passage: Passage
    queries: Int[np.ndarray, " n"]
    rows: Float[np.ndarray, "H n T"]

    def iou(self, place: int, predicted: Attention) -> float:
        """IoU of a prediction with one head over the sampled rows, as `Scorer.iou`."""
        shared = float(np.minimum(self.rows[place], predicted[self.queries]).sum(dtype=np.float64))
        return shared / (2 * len(self.queries) - shared)


@dataclass
class Reserve:
    """Texts that a model can still be asked for, always drawn in the same order.

    Attributes:
        count: how many there are.
        read: the texts from one place to another with the attention of all heads; texts without a
            token are left out.
        places: of the examined heads in that attention.
        patterns: the rivals by name, the catalogue's and the library's.
        seed: chooses rows.
    """

    count: int
    read: Callable[[int, int], Iterable[Item]]
    places: Sequence[int]
    patterns: Mapping[str, Pattern]
    seed: int
    _drawn: dict[tuple[int, int], list[_Drawn]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def __len__(self) -> int:
        return self.count

    def _texts(self, start: int, stop: int) -> list[_Drawn]:
        with self._lock:  # all heads look at the same places, so that each is read once
            if (start, stop) not in self._drawn:
                drawn = []
                for passage, attention, _ in self.read(start, stop):
                    queries = sampled_queries(
                        passage.text_id, len(passage), ROWS_PER_TEXT, self.seed
                    )
                    rows = np.asarray(attention[list(self.places)][:, queries], np.float32)
                    drawn.append(_Drawn(passage, queries, rows))
                self._drawn[start, stop] = drawn
            return self._drawn[start, stop]

    def gains(
        self, study: HeadTask, made: Candidate, start: int, stop: int
    ) -> tuple[dict[str, Float[np.ndarray, " n"]], list[str]]:
        """Gains in IoU over every rival on the texts from one place to another, with their groups.

        Raises:
            FailedError: the program gave no matrix for a text.
        """
        drawn = self._texts(start, stop)
        passages = [one.passage for one in drawn]
        own = self._iou(study, drawn, made.predicted_of(passages))
        gains = {}
        for name in study.rivals:
            if name == "formula":
                matrices = [study.matrix_of(passage) for passage in passages]
            else:
                matrices = [self._rival(study, study.chosen[name], passage) for passage in passages]
            gains[name] = own - self._iou(study, drawn, matrices)
        if made.without is not None:
            left = made.without.predicted_of(passages)
            gains["without"] = own - self._iou(study, drawn, left)
        return gains, [passage.group for passage in passages]

    def _rival(self, study: HeadTask, name: str, passage: Passage) -> Attention:
        if name not in self.patterns:
            raise UsageError(f"expected the rival {name} among the patterns at hand")
        seen = study.material.visibility
        return self.patterns[name].predict(passage, seen).filled("uniform", seen).to_dense()

    def _iou(
        self, study: HeadTask, drawn: Sequence[_Drawn], matrices: Sequence[Attention]
    ) -> Float[np.ndarray, " n"]:
        pairs = zip(drawn, matrices, strict=True)
        return np.array([one.iou(study.place, matrix) for one, matrix in pairs])
