"""The part of a survey that one process does, wherever it runs: batches, from texts to sums."""

import logging
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa

from headscribe.core.errors import HeadscribeError, RunError, UsageError
from headscribe.models.loading import Source as ModelSource
from headscribe.models.loading import load
from headscribe.models.model import Model
from headscribe.models.recorded import Recording
from headscribe.patterns.contract import Pattern
from headscribe.scoring.baselines import Calibration
from headscribe.scoring.checkpoint import arrays_of
from headscribe.scoring.engine import Engine, Phase
from headscribe.scoring.observer import Companion
from headscribe.scoring.sharding.parts import message_table, tables_of
from headscribe.text.annotation import Annotation
from headscribe.text.annotators import Annotator, annotator
from headscribe.text.control import bare_text, completed
from headscribe.text.passages import Passage


@dataclass(frozen=True)
class Opening:
    """How every process opens the source of attention.

    Attributes:
        source: what `load` takes, or the folder of a recording.
        options: `device`, `dtype` and `stack` as for `load`.
        fingerprint: what the opened source must have.
    """

    source: ModelSource
    recorded: bool
    options: dict[str, Any]
    fingerprint: str

    def open(self) -> Model | Recording:
        """Open it here.

        Raises:
            RunError: it is not what the survey was started with.
        """
        opened = Recording(str(self.source)) if self.recorded else load(self.source, **self.options)
        if opened.fingerprint != self.fingerprint:
            raise RunError(
                f"expected {opened.name} with fingerprint {self.fingerprint} on every machine, got "
                f"{opened.fingerprint}: its files differ there"
            )
        return opened


@dataclass(frozen=True)
class Job:
    """All that a process must know besides its texts.

    Attributes:
        annotator: name and fingerprint of what finds the words; None: the passages have them.
        buckets: that of each group, which decides splits and folds.
        layers: the layers to score, None for all.
        phase: what this pass over the texts is for; it holds none of them.
        calibration: the baselines, once they are known.
        companion: what asks other questions in the same pass.
    """

    opening: Opening
    annotator: tuple[str, str] | None
    patterns: tuple[Pattern, ...]
    buckets: dict[str, int]
    layers: tuple[int, ...] | None
    examples: frozenset[str]
    phase: Phase
    calibration: Calibration | None
    companion: Companion | None


class ShardScorer:
    """Scores shard after shard; what Ray Data holds as an actor.

    An error becomes a row, so that it reaches the user as the sentence that it is and is not
    tried again and again.
    """

    def __init__(self, job: Job) -> None:
        """Open the model and the annotator once."""
        self._job = job
        self._failure: HeadscribeError | None = None
        try:
            self._engine = Engine(
                job.opening.open(), (), job.patterns, layers=job.layers, buckets=job.buckets,
                companion=job.companion,
            )  # fmt: skip
            self._engine.examples = set(job.examples)
            self._annotator = _annotator(job.annotator)
        except HeadscribeError as error:
            self._failure = error

    def __call__(self, block: pa.Table) -> Iterator[pa.Table]:
        """The sums of every shard in the block, row by row of its array slices."""
        for row in block.to_pylist():
            said = _Said()
            log = logging.getLogger("headscribe")
            log.addHandler(said)
            try:
                if self._failure is not None:
                    raise self._failure
                yield from tables_of(row["shard"], self._sums(_unpacked(row["batches"])))
            except HeadscribeError as error:
                kind = "usage" if isinstance(error, UsageError) else "run"
                yield message_table(row["shard"], kind, str(error))
            finally:
                log.removeHandler(said)
            for message in said.messages:
                yield message_table(row["shard"], "said", message)

    def _sums(self, batches: Sequence[Sequence[Passage]]) -> dict[str, Any]:
        job = self._job
        texts = [bare_text(passage) for batch in batches for passage in batch]
        if self._annotator is not None:
            annotation = Annotation(texts, self._annotator, workers=0)
            self._engine.complete = lambda passages: [
                completed(p, annotation.words(p.text_id)) for p in passages
            ]
        return arrays_of(self._engine.part(batches, job.phase, job.calibration))


def _annotator(chosen: tuple[str, str] | None) -> Annotator | None:
    if chosen is None:
        return None
    name, fingerprint = chosen
    found = annotator(name)
    if found.fingerprint != fingerprint:
        raise RunError(
            f"expected the annotator {name} with fingerprint {fingerprint} on every machine, "
            f"got {found.fingerprint}: its files or the version of spaCy differ there"
        )
    return found


class _Said(logging.Handler):
    """Keeps what is logged, for the one who started the run."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


def packed(batches: Sequence[Sequence[Passage]]) -> bytes:
    """Batches as bytes, for a process of the same run."""
    return pickle.dumps([tuple(batch) for batch in batches])


def _unpacked(data: bytes) -> list[tuple[Passage, ...]]:
    found: list[tuple[Passage, ...]] = pickle.loads(data)  # noqa: S301  # from `packed`, same run
    return found


def shards_of(batches: Sequence[Any], number: int) -> list[Sequence[Any]]:
    """Cut batches into so many runs of about equal length, or as many as there are batches."""
    number = max(1, min(number, len(batches)))
    ends = [round(len(batches) * i / number) for i in range(number + 1)]
    return [batches[a:b] for a, b in pairwise(ends)]


def opening_of(source: Model | Recording) -> Opening:
    """How others open the same source, in the same precision."""
    if isinstance(source, Recording):
        return Opening(source.folder.resolve(), True, {}, source.fingerprint)
    if source.origin is None or isinstance(source.origin.source, tuple):
        return Opening((source.hf, source.tokenizer), False, {}, source.fingerprint)
    options = dict(source.origin.options)
    if not getattr(source.hf, "is_quantized", False):
        options["dtype"] = str(source.hf.dtype).removeprefix("torch.")
    return Opening(source.origin.source, False, options, source.fingerprint)
