"""The planted models of `training/hints`, and what the oracle says of them."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.torch import load_file
from transformers import AutoConfig, AutoTokenizer, PreTrainedTokenizerFast

from headscribe.hinting.conditions import DEFAULT, hint_text, written, wrong_choice
from headscribe.hinting.questions import Question
from tests.oracles.hint_blocking import last_logits

FOLDER = Path(__file__).parents[1] / "data" / "hints"


class Oracle:
    """A planted model in float64, asked one text at a time."""

    def __init__(self, folder: Path) -> None:
        self.weights = {
            key: value.double().numpy()
            for key, value in load_file(folder / "model.safetensors").items()
        }
        self.config = AutoConfig.from_pretrained(folder)
        self.tokenizer: PreTrainedTokenizerFast = AutoTokenizer.from_pretrained(folder)
        self.letters = self.tokenizer.convert_tokens_to_ids(list("ABCD"))

    def logits(
        self,
        question: Question,
        hinted: int | None = None,
        blocked: Iterable[tuple[int, int]] | Mapping[tuple[int, int], float] = (),
    ) -> np.ndarray:
        """Of the four letters, with heads that do not read the hint, in whole or by a strength."""
        strengths = blocked if isinstance(blocked, Mapping) else dict.fromkeys(blocked, 1.0)
        piece = None if hinted is None else hint_text(DEFAULT, question, hinted)
        text = written(DEFAULT, question, piece, "before", DEFAULT.likelihood)
        read = self.tokenizer(text.text, return_offsets_mapping=True)
        spans = np.array(read["offset_mapping"])
        inside = np.flatnonzero((spans[:, 0] < text.end) & (spans[:, 1] > spans[:, 0]))
        hidden = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (0, 0)
        theta = self.config.rope_parameters["rope_theta"]
        ids, heads = np.array(read["input_ids"]), self.config.num_attention_heads
        epsilon = self.config.rms_norm_eps
        found = last_logits(self.weights, heads, theta, epsilon, ids, strengths, hidden)
        return found[self.letters]

    def followed(self, questions: Sequence[Question], seed: int) -> list[tuple[Question, int, int]]:
        """Questions whose answer goes to the wrong hinted choice, that, and the answer before."""
        found = []
        for question in questions:
            hinted = wrong_choice(question, seed)
            before = int(self.logits(question).argmax())
            if before != hinted == int(self.logits(question, hinted).argmax()):
                found.append((question, hinted, before))
        return found
