"""What an interrupted study goes on from: the finished batches, each a stage of its run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headscribe.hinting.answering import Answer
from headscribe.hinting.reading import QuestionReading


def pack_answers(answers: Sequence[Answer]) -> list[Any]:
    """Answers that the model wrote, as JSON has them."""
    return [[answer.choice, answer.state, answer.text, answer.forced] for answer in answers]


def unpack_answers(rows: Sequence[Any]) -> list[Answer]:
    """The answers again."""
    return [
        Answer(choice, state, None, text, tuple(forced)) for choice, state, text, forced in rows
    ]


def pack_readings(readings: Sequence[QuestionReading]) -> dict[str, np.ndarray]:
    """Readings of a batch, as arrays; scores are padded with NaN."""
    arrays = {
        "values": np.stack([reading.values for reading in readings]),
        "rows": np.stack([reading.rows for reading in readings]),
    }
    scores = [reading.scores for reading in readings if reading.scores is not None]
    if scores:
        counts = [score.shape[1] for score in scores]
        table = np.full((len(scores), len(scores[0]), max(counts)), np.nan)
        for row, score, count in zip(table, scores, counts, strict=True):
            row[:, :count] = score
        arrays |= {"scores": table, "counts": np.array(counts)}
    return arrays


def unpack_readings(arrays: Mapping[str, np.ndarray]) -> list[QuestionReading]:
    """The readings again."""
    scores: list[Any] = [None] * len(arrays["values"])
    if "scores" in arrays:
        padded = zip(arrays["scores"], arrays["counts"], strict=True)
        scores = [table[:, :count] for table, count in padded]
    return list(map(QuestionReading, arrays["values"], arrays["rows"], scores))
