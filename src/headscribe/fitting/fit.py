"""From a source of attention and its passages to the atlas of its heads.

Heads that see the same keys are fitted together; where a model mixes layers with sliding windows
and layers without, and the texts outgrow the windows, each kind is fitted by itself and the atlas
holds all of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId, absent
from headscribe.core.progress import OnProgress, silent
from headscribe.core.visibility import Visibility
from headscribe.fitting.atlas import Item, collect, fit_heads, score_heads
from headscribe.fitting.examples import Examples
from headscribe.fitting.features import Sample
from headscribe.fitting.findings import Kind, find
from headscribe.fitting.formula import Formula
from headscribe.fitting.heads import Atlas
from headscribe.fitting.labels import THRESHOLD
from headscribe.fitting.pool import grown_attributes, rare_relations, relation_pool
from headscribe.fitting.selection import Budget
from headscribe.fitting.sources import Source, attention_of, head_ids, layers_by_view
from headscribe.patterns.contract import Pattern
from headscribe.results.run import NOT_KEPT, Stages
from headscribe.text.grouping import FOLDS
from headscribe.text.passages import Passage


@dataclass(frozen=True)
class Material:
    """A source of attention and the passages to read with it."""

    source: Source
    passages: Sequence[Passage]

    @property
    def provides(self) -> frozenset[str]:
        """The word fields that every passage has."""
        return frozenset.intersection(*(passage.words.provides for passage in self.passages))


@dataclass(frozen=True)
class Given:
    """Formulas that are scored instead of being fitted.

    Attributes:
        profile: mean attention of these heads by cell class on the texts that the formulas were
            fitted to; None where that is not known: it is estimated on other texts of those scored.
    """

    formulas: dict[HeadId, Formula]
    profile: dict[HeadId, np.ndarray] | None = None


def fit_source(
    material: Material,
    patterns: Sequence[Pattern],
    budget: Budget,
    *,
    look_ahead: bool,
    test: Material | None = None,
    given: Given | None = None,
    examples: Examples | None = None,
    seed: int = 0,
    threshold: float = THRESHOLD,
    device: torch.device | None = None,
    on_progress: OnProgress = silent,
    run: Stages = NOT_KEPT,
) -> Atlas:
    """Fit a formula to every head of a source, or score given ones, and look at all together.

    Args:
        material: the texts to fit to, with the source of their attention.
        budget: how many terms, and how they are found.
        look_ahead: whether relations may read tokens after the query in a causal layer.
        test: texts to score on; their source may be another recording of the same heads.
        given: formulas to score on `material` instead of fitting any.
        examples: keeps some texts' attention.
        seed: deals texts to folds, chooses rows.
        threshold: what a label has to gain.
        device: where to compute; the CPU by default.
        on_progress: called with the stage, the steps done and the steps in all.
        run: keeps finished stages, so that a killed fit goes on from them.

    Raises:
        UsageError: too few texts, or a `test` source or formulas of other heads.
    """
    if test is not None:
        _check_alike(material.source, test.source)
    every = (*material.passages, *(test.passages if test is not None else ()))
    if given is not None:
        _check_heads(material.source, given)
    kinds = layers_by_view(material.source, every)
    parts: list[Atlas] = []
    found: list[Kind] = []
    for number, (seen, layers) in enumerate(kinds.items()):
        heads = head_ids(material.source, layers)
        if given is not None:
            heads = tuple(head for head in heads if head in given.formulas)
            if not heads:
                continue
        unseen: Sample | None = None
        reading = _Reading(seen, layers, heads, seed, examples, on_progress)
        if given is not None:
            sample = reading.sample(material, _relations(given, heads), (), patterns, watch=True)
            known = given.profile
            profile = None if known is None else np.stack([known[head] for head in heads])
            formulas = [given.formulas[head] for head in heads]
            atlas = score_heads(sample, heads, formulas, profile, seed=seed, threshold=threshold)
        else:
            provides = material.provides & (test or material).provides
            pool = relation_pool(provides, seen, look_ahead=look_ahead)
            attributes = grown_attributes(provides, seen, look_ahead=look_ahead)
            rare = rare_relations(provides, seen, look_ahead=look_ahead)
            sample = reading.sample(material, pool, attributes, patterns, rare, watch=test is None)
            if test is not None:
                unseen = reading.sample(test, pool, attributes, (), watch=True)
            atlas = fit_heads(
                sample,
                heads,
                budget,
                folds=FOLDS,
                test=unseen,
                seed=seed,
                threshold=threshold,
                device=device,
                on_progress=lambda _, done, total: on_progress("fitting", done, total),
                run=run,
                prefix=f"kind{number}-" if number else "",
            )
        parts.append(atlas)
        found.append(Kind(heads, sample, unseen))
    atlas = joined(parts)
    on_progress("comparing heads", 0, 1)
    atlas = replace(atlas, findings=find(atlas, found, seed, threshold))
    on_progress("comparing heads", 1, 1)
    return atlas


@dataclass(frozen=True)
class _Reading:
    """How the heads of some layers are read."""

    seen: Visibility
    layers: Sequence[int]
    heads: tuple[HeadId, ...]
    seed: int
    examples: Examples | None
    on_progress: OnProgress

    def sample(
        self,
        material: Material,
        pool: Sequence[str],
        attributes: Sequence[str],
        patterns: Sequence[Pattern],
        rare: Sequence[str] = (),
        *,
        watch: bool,
    ) -> Sample:
        """Sampled rows of all passages."""
        items = self._items(material)
        if watch and self.examples is not None:
            items = self.examples.watching(items, self.heads)
        return collect(
            items, seed=self.seed, pool=pool, attributes=attributes, patterns=patterns, rare=rare
        )

    def _items(self, material: Material) -> Iterator[Item]:
        every = head_ids(material.source, self.layers)
        places = [every.index(head) for head in self.heads]
        whole = len(places) == len(every)
        read = attention_of(material.source, material.passages, self.layers)
        for done, (passage, attention) in enumerate(read, 1):
            yield passage, attention if whole else attention[places], self.seen
            self.on_progress("reading", done, len(material.passages))


def _relations(given: Given, heads: Sequence[HeadId]) -> tuple[str, ...]:
    relations = (term.relation for head in heads for term in given.formulas[head].terms)
    return tuple(dict.fromkeys(relations)) or ("key.is_special",)


def _check_heads(source: Source, given: Given) -> None:
    """Whether a source has the heads of given formulas.

    Raises:
        UsageError: it lacks one.
    """
    every = head_ids(source)
    missing = [head for head in given.formulas if head not in every]
    if missing:
        raise absent(missing[0], every, source.name)
    if not given.formulas:
        raise UsageError(
            f"expected formulas of some of the {len(every)} heads of {source.name}, got none"
        )


def _check_alike(source: Source, other: Source) -> None:
    """Whether two sources have the same heads, which see alike.

    Raises:
        UsageError: they do not; says how they differ.
    """
    if head_ids(source) != head_ids(other):
        raise UsageError(
            f"expected texts to score with the {len(head_ids(source))} heads in {source.layers} "
            f"layers of {source.name}, got {len(head_ids(other))} in {other.layers} of {other.name}"
        )
    for layer in range(source.layers):
        if source.visibility(layer) != other.visibility(layer):
            raise UsageError(
                f"layer {layer} of {source.name} and of {other.name} do not see the same keys "
                f"({source.visibility(layer)}, {other.visibility(layer)}): formulas of one cannot "
                "be scored on the other"
            )


def joined(parts: Sequence[Atlas]) -> Atlas:
    """One atlas of the heads of several, in the order of the heads."""
    if len(parts) == 1:
        return parts[0]
    heads = [head for part in parts for head in part.heads]
    order = sorted(range(len(heads)), key=lambda place: heads[place].head)
    fitted = [one for part in parts for one in part.fitted]
    folds = [
        [one for part in parts for one in part.by_fold[f]] for f in range(len(parts[0].by_fold))
    ]
    profiles = [part.profile for part in parts]
    return replace(
        parts[0],
        heads=tuple(heads[place] for place in order),
        by_text=np.concatenate([part.by_text for part in parts])[order],
        by_fold=tuple(tuple(fold[place] for place in order) for fold in folds),
        fitted=tuple(fitted[place] for place in order),
        profile=np.concatenate([profile for profile in profiles if profile is not None])[order]
        if all(profile is not None for profile in profiles)
        else None,
    )
