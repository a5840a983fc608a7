"""Readings of an unfinished measurement, as a run keeps them."""

from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np

from headscribe.core.errors import UsageError
from headscribe.models.model import Model
from headscribe.replacement.passes import TextReading
from headscribe.replacement.plan import Plan
from headscribe.replacement.rows import dense_rows
from headscribe.scoring.predictions import content_digest
from headscribe.text.passages import Passage


def packed(readings: Mapping[int, TextReading], key: bytes) -> dict[str, np.ndarray]:
    """Readings by text, and the identity of what was measured, as arrays."""
    ones = list(readings.values())
    return {
        "key": np.frombuffer(key, np.uint8),
        "index": np.array(list(readings), np.int64),
        "single": np.array([(r.tokens, r.words, r.unaltered) for r in ones]).reshape(-1, 3),
        "loss": np.array([r.loss for r in ones]),
        "shift": np.array([r.shift for r in ones]),
    }


def unpacked(kept: Mapping[str, np.ndarray] | None, key: bytes) -> dict[int, TextReading]:
    """The readings again; none of nothing.

    Raises:
        UsageError: they are of other programs, texts or settings.
    """
    if kept is None:
        return {}
    if bytes(kept["key"]) != key:
        raise UsageError(
            "the run holds readings of other programs, texts or settings: give the same, or "
            "another --out"
        )
    columns = (kept[name].tolist() for name in ("index", "single", "loss", "shift"))
    return {
        index: TextReading(tokens, words, unaltered, tuple(loss), tuple(shift))
        for index, (tokens, words, unaltered), loss, shift in zip(*columns, strict=True)
    }


def identity(
    model: Model, plans: Sequence[Plan], passages: Sequence[Passage], positions: int | None
) -> bytes:
    """A hash of the model, the texts, and what the programs predict of the first text."""
    hashed = blake2b(f"{model.fingerprint} {positions}".encode(), digest_size=16)
    for passage in passages:
        hashed.update(content_digest(passage))
    rows: dict[tuple[int, object], bytes] = {}
    for plan in plans:
        for head, program in sorted(plan.programs.items()):
            seen = model.visibility(head.layer)
            key = (id(program), seen)
            if key not in rows:
                made = dense_rows(program, plan.policy, head, passages[0], seen)
                rows[key] = blake2b(made.weight.numpy().tobytes(), digest_size=16).digest()
            hashed.update(str(head).encode() + rows[key])
        hashed.update(b"/")
    return hashed.digest()
