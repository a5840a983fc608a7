"""What an interrupted study goes on from: the finished batches, each a stage of its run."""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from headscribe.core.errors import RunError
from headscribe.hinting.answering import Answer, State
from headscribe.hinting.reading import Reading


def pack_answers(answers: Sequence[Answer]) -> dict[str, np.ndarray]:
    """Answers that the model wrote, as arrays."""
    rows = [[one.choice, one.state, one.text, list(one.forced)] for one in answers]
    return {"answers": np.frombuffer(json.dumps(rows).encode(), np.uint8)}


def unpack_answers(arrays: Mapping[str, np.ndarray], count: int) -> list[Answer]:
    """The answers of a part.

    Raises:
        RunError: the part is damaged.
    """
    try:
        rows = json.loads(arrays["answers"].tobytes())
        found = [_answer(*row) for row in rows]
    except (KeyError, ValueError, TypeError) as error:
        raise RunError("a part of this run is damaged: remove it and start anew") from error
    if len(found) != count:
        raise RunError("a part of this run is of other questions: remove it and start anew")
    return found


def _answer(choice: int | None, state: State, text: str, forced: list[int]) -> Answer:
    return Answer(choice, state, None, text, tuple(int(one) for one in forced))


def pack_readings(readings: Sequence[Reading]) -> dict[str, np.ndarray]:
    """Readings of a batch, as arrays; scores are padded with NaN."""
    arrays = {
        "values": np.stack([one.values for one in readings]),
        "rows": np.stack([one.rows for one in readings]),
    }
    if readings[0].scores is not None:
        counts = [0 if one.scores is None else one.scores.shape[1] for one in readings]
        scores = np.full((len(readings), len(readings[0].scores), max(counts)), np.nan)
        for row, one in enumerate(readings):
            if one.scores is not None:
                scores[row, :, : counts[row]] = one.scores
        arrays |= {"scores": scores, "counts": np.array(counts)}
    return arrays


def unpack_readings(arrays: Mapping[str, np.ndarray], count: int) -> list[Reading]:
    """The readings of a part.

    Raises:
        RunError: the part is damaged.
    """
    names = {"values", "rows"}
    if not names <= arrays.keys() or len(arrays["values"]) != count:
        raise RunError("a part of this run is damaged: remove it and start anew")
    scores = arrays.get("scores")
    return [
        Reading(
            arrays["values"][at],
            arrays["rows"][at],
            None if scores is None else scores[at][:, : int(arrays["counts"][at])],
        )
        for at in range(count)
    ]


def pack_effects(effects: np.ndarray) -> dict[str, np.ndarray]:
    """Effects of a batch, as arrays."""
    return {"effects": effects}


def unpack_effects(arrays: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    """The effects of a part, `(count, L, H)`.

    Raises:
        RunError: the part is damaged.
    """
    if "effects" not in arrays or len(arrays["effects"]) != count:
        raise RunError("a part of this run is damaged: remove it and start anew")
    return np.asarray(arrays["effects"])
