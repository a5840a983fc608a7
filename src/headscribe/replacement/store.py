"""Readings of an unfinished measurement, kept in a run directory."""

import time
from collections.abc import Mapping, Sequence
from hashlib import blake2b

import numpy as np

from headscribe.core.errors import UsageError
from headscribe.models.model import Model
from headscribe.replacement.passes import Reading
from headscribe.replacement.plan import Plan
from headscribe.replacement.rows import dense_rows
from headscribe.results.run import Run
from headscribe.scoring.predictions import content_digest
from headscribe.text.passages import Passage

SAVE_EVERY = 5.0
"""Seconds between two savings."""


class Store:
    """Readings of an unfinished measurement in a run directory."""

    def __init__(
        self,
        run: Run,
        model: Model,
        plans: Sequence[Plan],
        passages: Sequence[Passage],
        positions: int | None,
    ) -> None:
        self._run = run
        self._plans = len(plans)
        self._key = np.frombuffer(_identity(model, plans, passages, positions), np.uint8)
        self._saved = time.monotonic()

    def read(self) -> dict[int, Reading]:
        """What was read before the interruption.

        Raises:
            UsageError: other programs, texts or settings were measured then.
        """
        state = self._run.read_state()
        if state is None:
            return {}
        if not np.array_equal(state.get("key", np.zeros(0, np.uint8)), self._key):
            raise UsageError(
                f"{self._run.folder} holds readings of other programs, texts or settings: give "
                "the same, or another --out"
            )
        columns = (state[name].tolist() for name in ("index", "single", "loss", "shift"))
        return {
            index: Reading(tokens, words, unaltered, tuple(loss), tuple(shift))
            for index, (tokens, words, unaltered), loss, shift in zip(*columns, strict=True)
        }

    def save(self, found: Mapping[int, Reading], *, now: bool = False) -> None:
        """Store the readings, unless that was done a moment ago."""
        if not now and time.monotonic() - self._saved < SAVE_EVERY:
            return
        self._saved = time.monotonic()
        ones = list(found.values())
        arrays: dict[str, np.ndarray] = {
            "key": self._key,
            "index": np.array(list(found), np.int64),
            "single": np.array([(r.tokens, r.words, r.unaltered) for r in ones]).reshape(-1, 3),
            "loss": np.array([r.loss for r in ones]).reshape(-1, self._plans),
            "shift": np.array([r.shift for r in ones]).reshape(-1, self._plans),
        }
        self._run.write_state(arrays)


def _identity(
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
