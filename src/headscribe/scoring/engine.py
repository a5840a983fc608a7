"""One survey: every text once through the source, every head scored while its attention exists.

Baselines must be estimated on other texts than they are compared on. A small corpus
(`CROSS_FIT_TEXTS` or fewer texts, or fewer than `SPLIT_GROUPS` groups) is read twice, first to
calibrate by fold, then to score each fold against the baselines of the others. A larger one is read
once: the `fit` texts go first, are scored and calibrate; the others are scored with gains. Where
all texts are of one group there are no other texts, and no gain.

A companion asks questions of its own in the same passes. It reads its texts twice: where the corpus
is read once, those that it chose are read again at the end.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from headscribe.core.visibility import Visibility
from headscribe.models.batching import batches, in_halves
from headscribe.patterns.contract import Pattern
from headscribe.results.examples import ExampleRow
from headscribe.scoring.accumulators import FOLDS, Accumulators
from headscribe.scoring.baselines import Calibration, calibrate
from headscribe.scoring.containment import containment_sums
from headscribe.scoring.examples import ExampleCollector, choose_examples
from headscribe.scoring.loops import BatchScorer
from headscribe.scoring.observer import (
    Companion,
    Enough,
    LayerObserver,
    Observers,
    SomeLayers,
    Source,
    chosen_layers,
)
from headscribe.scoring.plan import BatchPlan, make_plan
from headscribe.scoring.predictions import fixed_baselines
from headscribe.scoring.relation_accuracy import NEEDS as RELATION_NEEDS
from headscribe.scoring.relation_accuracy import RelationObserver, RelationSums
from headscribe.scoring.task import Task
from headscribe.text.passages import Passage
from headscribe.text.splits import buckets_of, fold_of, split_of

CROSS_FIT_TEXTS = 400
"""Corpora of up to so many texts are cross-fitted; larger ones are split."""

SPLIT_GROUPS = 20
"""Corpora of fewer groups are cross-fitted however many texts they have: half of a few groups is
no ground for an estimate."""

KEPT_ENTRIES = 1 << 22
"""Plans are kept for the second pass while they predict no more than so many cells together, each
of which takes some 100 bytes."""

_PlanKey = tuple[tuple[str, ...], Visibility]


@dataclass
class Progress:
    """How far a survey is, and everything needed to go on from there.

    Attributes:
        sums: what has been added up.
        phase: 0 or 1; `batches`: batches of the phase that are done.
        whole: false while a batch is being added, when the state must not be stored.
        relations: how often each head follows each dependency relation.
        companion: what asks other questions, with what it has read.
    """

    sums: Accumulators
    relations: RelationSums
    examples: list[ExampleRow] = field(default_factory=list)
    phase: int = 0
    batches: int = 0
    whole: bool = True
    companion: Companion | None = None


@dataclass(frozen=True)
class Phase:
    """One pass over some of the texts; `reading`: which one it is for the companion, or none."""

    passages: tuple[Passage, ...]
    calibrate: bool
    score: bool
    first_visit: bool
    reading: int = 0


_Commit = Callable[[], None]
"""Adds what was read of a batch, or of a piece of one, to the sums."""


@dataclass
class Engine:
    """Runs one survey.

    Attributes:
        patterns: what to score; those of the group `baseline` are the fixed baselines.
        seed: decides the buckets.
        token_budget: padded tokens a batch.
        example_texts: number of texts whose attention is kept for the report.
        complete: gives passages that lack their words these, batch by batch.
        layers: the layers to score, None for all; a pass ends after the last of them.
        buckets: the bucket of each group, which decides splits and folds; empty: by the seed.
        companion: asks other questions in the same passes.
    """

    source: Source
    passages: Sequence[Passage]
    patterns: Sequence[Pattern]
    seed: int = 0
    token_budget: int = 1024
    example_texts: int = 6
    complete: Callable[[Sequence[Passage]], Sequence[Passage]] = tuple
    layers: Sequence[int] | None = None
    buckets: dict[str, int] = field(default_factory=dict)
    companion: Companion | None = None

    def __post_init__(self) -> None:
        self.fixed = fixed_baselines(self.patterns).tolist()
        if not self.buckets:
            self.buckets = buckets_of((passage.group for passage in self.passages), self.seed)
        few = len(self.buckets) < SPLIT_GROUPS
        self.cross = few or len(self.passages) <= CROSS_FIT_TEXTS
        self.examples = choose_examples(self.passages, self.example_texts)
        self.chosen = chosen_layers(self.layers, self.source.layers)
        self._texts: tuple[str, ...] = ()
        self._plans: dict[_PlanKey, BatchPlan] = {}
        self._kept: dict[_PlanKey, BatchPlan] = {}

    def start(self) -> Progress:
        """The state before the first batch."""
        heads = self.source.layers * self.source.heads
        sums = Accumulators.zeros(len(self.patterns), heads, len(self.fixed))
        companion = None if self.companion is None else self.companion.blank()
        return Progress(sums, RelationSums(heads), companion=companion)

    def phases(self) -> tuple[Phase, ...]:
        """The passes: calibrate then score, or the `fit` texts then the others, then some again."""
        everything = tuple(self.passages)
        if self.cross:
            return (
                Phase(everything, True, False, True, 1),
                Phase(everything, False, True, False, 2),
            )
        fit = tuple(p for p in everything if split_of(self._bucket(p)) == "fit")
        rest = tuple(p for p in everything if split_of(self._bucket(p)) != "fit")
        passes = Phase(fit, True, True, True, 1), Phase(rest, False, True, True, 1)
        if self.companion is None:
            return passes
        again = tuple(p for p in everything if p.text_id in self.companion.texts)
        return *passes, Phase(again, False, False, False, 2)

    @property
    def notes(self) -> list[str]:
        """What a reader must know of how the corpus was split; empty where nothing is unusual."""
        groups = len(self.buckets)
        texts = f"{len(self.passages)} text{'s' if len(self.passages) > 1 else ''}"
        if groups == 1:
            return [
                f"{texts} of one group: there are no other texts to estimate baselines on, so that "
                "no gain and no interval is given; texts of several documents would give them"
            ]
        if groups < FOLDS:
            return [
                f"{texts} of only {groups} groups: baselines are estimated on {groups - 1} of them "
                "for the other, and intervals are wide; texts of more documents would do better"
            ]
        return []

    def _bucket(self, passage: Passage) -> int:
        return self.buckets[passage.group]

    def batches_of(self, phase: Phase) -> list[tuple[Passage, ...]]:
        """The batches of a pass, in order; they depend on nothing but the texts and the budget."""
        # The order of the texts decides ties of length: it must not depend on the caller's.
        texts = sorted(phase.passages, key=lambda passage: passage.text_id)
        return [tuple(texts[i] for i in index) for index in batches(texts, self.token_budget)]

    def order(self, progress: Progress) -> list[str]:
        """The texts that are still to be read, in the order in which they will be."""
        left = [
            batch
            for number, phase in enumerate(self.phases())
            if number >= progress.phase
            for batch in self.batches_of(phase)[progress.batches * (number == progress.phase) :]
        ]
        return [passage.text_id for batch in left for passage in batch]

    def total_texts(self) -> int:
        """Texts to read in both phases together."""
        return sum(len(phase.passages) for phase in self.phases())

    def compares(self, number: int) -> bool:
        """Whether a pass compares with the baselines that the first one gave."""
        return number > 0 and self.phases()[number].score and bool(self.patterns)

    def calibration(self, progress: Progress) -> Calibration:
        """The baselines that a finished first phase gives."""
        return calibrate(progress.sums, self.fixed, cross=self.cross)

    def run(self, progress: Progress, after_batch: Callable[[Progress, int], None]) -> None:
        """Go on from `progress` to the end.

        `after_batch` hears of the progress after every batch, and how many texts are done.

        A batch is added when it is through, so that an exception (also an interrupt) leaves
        `progress` as it stood after the last one, unless it says that it is not `whole`.
        """
        for number, phase in enumerate(self.phases()):
            if number < progress.phase:
                continue
            calibration = self.calibration(progress) if self.compares(number) else None
            if progress.companion is not None and phase.reading == 2:
                progress.companion.turn()
            before = sum(len(earlier.passages) for earlier in self.phases()[:number])
            done = 0
            for index, batch in enumerate(self.batches_of(phase)):
                done += len(batch)
                if index < progress.batches:
                    continue
                self._run_batch(index, batch, phase, calibration, progress)
                after_batch(progress, before + done)
            if number + 1 < len(self.phases()):
                progress.phase, progress.batches = number + 1, 0

    def part(
        self, batches: Sequence[Sequence[Passage]], phase: Phase, calibration: Calibration | None
    ) -> Progress:
        """What some of the batches of a pass add up to."""
        progress = self.start()
        for index, batch in enumerate(batches):
            self._run_batch(index, batch, phase, calibration, progress)
        return progress

    def _run_batch(
        self,
        index: int,
        batch: Sequence[Passage],
        phase: Phase,
        calibration: Calibration | None,
        progress: Progress,
    ) -> None:
        def read(some: Sequence[Passage]) -> list[_Commit]:
            return self._read(some, phase, calibration, progress)

        # In halves where it does not fit into memory.
        commits = in_halves(self.complete(batch), read)
        progress.whole = False
        for commit in commits:
            commit()
        progress.batches = index + 1
        progress.whole = True

    def _read(
        self,
        batch: Sequence[Passage],
        phase: Phase,
        calibration: Calibration | None,
        progress: Progress,
    ) -> list[_Commit]:
        """Show the batch to its observers; what they have seen is not added yet."""
        buckets = np.array([self._bucket(p) for p in batch])
        folds = np.array([fold_of(int(bucket), FOLDS) for bucket in buckets])

        def plan_of(layer: int) -> BatchPlan:
            return self._plan(batch, self.source.visibility(layer))

        asked = phase.calibrate, calibration, phase.score
        first = self.chosen[0]
        members: list[LayerObserver] = []
        commits: list[_Commit] = []
        scores = phase.score and bool(self.patterns)
        if scores or (phase.calibrate and self.patterns):
            scorer = BatchScorer(Task(progress.sums, buckets, folds, self.fixed, *asked), plan_of)
            members.append(scorer)
            commits.append(scorer.task.commit)
        wanted = {p.text_id for p in batch} & self.examples if scores else set()
        if wanted:
            collector = ExampleCollector(plan_of(first), wanted)
            members.append(collector)
            names = [pattern.name for pattern in self.patterns]
            commits.append(lambda: progress.examples.extend(collector.rows(names)))
        if phase.reading and progress.companion is not None:
            reading = progress.companion.reading(batch)
            members.append(reading)
            commits.append(reading.commit)
        if scores and all(p.words.provides >= RELATION_NEEDS for p in batch):
            causal = any(self.source.visibility(i).causal for i in self.chosen)
            asker = RelationObserver(progress.relations, batch, buckets, causal=causal)
            members.append(asker)
            commits.append(asker.commit)
        with torch.inference_mode(), suppress(Enough):
            self.source.run(batch, SomeLayers(Observers(members), self.chosen))
        if self.patterns and phase.first_visit:
            commits.append(partial(self._count, plan_of(first), progress.sums))
        return commits

    def _count(self, plan: BatchPlan, sums: Accumulators) -> None:
        buckets = np.array([self._bucket(passage) for passage in plan.passages])
        sums.containment += containment_sums(plan)
        sums.equivalence += plan.same
        sums.failures += plan.failed.sum(axis=1)
        sums.covered += plan.said.sum(axis=1)
        sums.scored += plan.views["raw"].covered.sum(axis=(1, 2))
        counts = np.stack([np.ones_like(plan.lengths), plan.lengths, plan.lengths], axis=1)
        np.add.at(sums.seen, buckets, counts)

    def _plan(self, batch: Sequence[Passage], visibility: Visibility) -> BatchPlan:
        """The plan of a batch; kept for the second pass where the texts are read twice."""
        texts = tuple(passage.text_id for passage in batch)
        if texts != self._texts:
            self._texts, self._plans = texts, {}
        key = (texts, visibility)
        if key not in self._plans:
            known = self._kept.get(key)
            self._plans[key] = known or make_plan(self.patterns, batch, visibility)
            held = sum(plan.size for plan in self._kept.values())
            if self.cross and held + self._plans[key].size <= KEPT_ENTRIES:
                self._kept[key] = self._plans[key]
        return self._plans[key]
