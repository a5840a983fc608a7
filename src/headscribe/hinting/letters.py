"""How likely each letter is to go on behind a prompt."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headscribe.text.passages import Encoding

Continue = Callable[[Sequence[Encoding]], Tensor]
"""What the model predicts behind the last token of each text, logits of shape `(B, V)`."""


def encoding_of(ids: Sequence[int] | np.ndarray) -> Encoding:
    """Ids as a model reads them; their characters are not needed."""
    count = len(ids)
    return Encoding(
        ("",) * count, np.asarray(ids, np.int64), np.zeros((count, 2), np.int64),
        np.zeros(count, bool),
    )  # fmt: skip


@dataclass(frozen=True)
class Letters:
    """The ids of each letter, as a tree: what all share, and what tells them apart.

    Attributes:
        common: the ids with which every letter begins; they are read as part of the prompt.
        rests: what follows, by letter; never empty.
    """

    common: tuple[int, ...]
    rests: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, ids: Sequence[tuple[int, ...]]) -> "Letters":
        """Split the ids of the letters into what they share and what not."""
        most = min(map(len, ids)) - 1
        shared = 0
        while shared < most and len({one[shared] for one in ids}) == 1:
            shared += 1
        return cls(ids[0][:shared], tuple(one[shared:] for one in ids))

    def scores(
        self, texts: Sequence[Encoding], logits: Float[Tensor, "B V"], go_on: Continue
    ) -> Float[np.ndarray, "B k"]:
        """Log-likelihood of each letter behind each text, which ends with `common`.

        `log p(letter | text) = sum_i log p(id_i | text, id_1..id_{i-1})`. Letters of one id, the
        usual case, need nothing but `logits`; others a pass for each beginning that they share.

        Args:
            logits: what the model predicts behind them.
        """
        known: dict[tuple[int, ...], Tensor] = {(): torch.log_softmax(logits.float(), dim=-1)}
        total = np.zeros((len(texts), len(self.rests)))
        for letter, rest in enumerate(self.rests):
            for at, one in enumerate(rest):
                context = rest[:at]
                if context not in known:
                    longer = [encoding_of([*text.ids.tolist(), *context]) for text in texts]
                    known[context] = torch.log_softmax(go_on(longer).float(), dim=-1)
                total[:, letter] += known[context][:, one].double().cpu().numpy()
        return total
