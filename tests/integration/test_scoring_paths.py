"""Every way of scoring a layer against loops in float64: matrix, cells, blocks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from headscribe.core.metrics import VIEWS
from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.models.calls import AttentionCall
from headscribe.models.forward import forward_arguments
from headscribe.models.support import examine
from headscribe.models.tap import tap
from headscribe.scoring import loops, predictions, relation_accuracy, sparse
from headscribe.scoring.accumulators import Accumulators, score_channels
from headscribe.scoring.engine import Engine
from headscribe.scoring.examples import choose_examples
from headscribe.scoring.observer import LayerObserver
from headscribe.scoring.predictions import sampled_rows, sinks_of
from headscribe.scoring.relation_accuracy import RelationObserver, RelationSums
from headscribe.text.passages import Passage
from tests.integration.families import FAMILIES, VOCABULARY, build
from tests.oracles.metrics import text_metrics
from tests.oracles.survey import content_view, text_scores
from tests.unit.scoring.synthetic import Fixed, baselines, passage, scattered
from tests.unit.scoring.test_relation_accuracy import parsed

PATTERNS = [*baselines(), scattered("some", 0.5), scattered("most", 0.9)]
TEXTS = [passage("a", 41), passage("b", 37), passage("c", 33, special=False)]
FUSED = ("bert", "llama", "mistral", "modernbert")
OWN = ("gemma2", "gpt_oss")
"""Families whose attention is more than the fused kernel computes."""


class Asked:
    """Remembers whether anybody wanted a whole matrix or the kernel's normalisers."""

    def __init__(self, observer: LayerObserver) -> None:
        self.observer = observer
        self.whole, self.normalised = False, False

    def observe(self, call: AttentionCall) -> None:
        self.observer.observe(call)
        self.whole |= call.computed
        self.normalised |= call.output is not None


@dataclass
class Tapping:
    """A random model as a source."""

    family: str
    seen: Asked | None = None

    def __post_init__(self) -> None:
        torch.manual_seed(1)
        hf = build(self.family).eval()
        for name, parameter in hf.named_parameters():
            if self.family in FUSED and parameter.ndim > 1 and "embed" not in name:
                parameter.data *= 2  # attention that is not nearly uniform
        stack = examine(hf, None)[1]
        assert stack is not None
        self.stack = stack
        self.layers, self.heads = stack.layers, stack.heads
        self.device = torch.device("cpu")

    def visibility(self, layer: int) -> Visibility:
        return self.stack.visibility[layer]

    def run(self, batch: Sequence[Passage], observer: LayerObserver) -> None:
        lengths = torch.tensor([len(text) for text in batch])
        real = torch.arange(int(lengths.max()))[None, :] < lengths[:, None]
        ids = torch.zeros(real.shape, dtype=torch.long)
        for b, text in enumerate(batch):
            ids[b, : len(text)] = torch.from_numpy(text.ids) % (VOCABULARY - 3) + 3
        self.seen = Asked(observer)
        with torch.inference_mode(), tap(self, self.seen, batch=tuple(batch), lengths=lengths):
            self.stack.body(**forward_arguments(self.stack, ids, real.long()))


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small texts are long, and few of their rows are sampled."""
    monkeypatch.setattr(predictions, "SAMPLED_ROWS", 9)
    monkeypatch.setattr(sparse, "BLOCK_CELLS", 4 * 41 * 7)
    monkeypatch.setattr(loops, "LONG_TEXT", 20)


def surveyed(
    family: str,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    token_budget: int = 100,
    texts: Sequence[Passage] = TEXTS,
    patterns: Sequence[Fixed] = PATTERNS,
) -> Accumulators:
    with monkeypatch.context() as patch:
        patch.setattr(sparse.CellPlaces, "pays", lambda *_: path == "cells")
        patch.setattr(loops, "WHOLE_TOKENS", 1 if path == "blocks" else 10**9)
        source = Tapping(family)
        engine = Engine(source, texts, patterns, token_budget=token_budget, example_texts=0)
        progress = engine.start()
        engine.run(progress, lambda progress, texts: None)
        assert source.seen is not None
        assert source.seen.whole is (path == "whole"), "another path was taken"
        assert source.seen.normalised is (path == "cells")
    return progress.sums


@pytest.mark.parametrize(
    ("family", "path"),
    [(f, p) for f in FUSED for p in ("whole", "cells", "blocks")]
    + [(f, p) for f in OWN for p in ("whole", "blocks")],
)
def test_equals_the_oracle(family: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sums = surveyed(family, path, monkeypatch)
    for (name, view, p), (reference, texts) in oracle(family, TEXTS, PATTERNS).items():
        mean = checked_mean(sums, name, view, p, texts)
        # A row that is exact up to rounding, 1e-7 on the square of the distance, is 3e-4 away: in
        # texts of 40 rows that weighs ten times as much as in those that are long in earnest.
        tolerance = 1e-5 if name == "jsd" else 1e-6
        np.testing.assert_allclose(
            mean, reference, rtol=0, atol=tolerance, err_msg=f"{name} {view}"
        )


@pytest.mark.parametrize("family", ["llama", "mistral", "modernbert"])
@pytest.mark.parametrize("path", ["whole", "cells"])
def test_the_squared_distances_of_rows_equal_the_oracle(
    family: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row by row to 1e-5, and their mean to 1e-6, in a text long enough for cells.

    By the square: a distance of 0 is 3e-4 away after rounding of 1e-7 on its square.
    """
    monkeypatch.undo()
    text = passage("long", 300)
    rows = [*range(0, 300, 13), 1, 2, 298, 299]
    some = [*baselines(), *(one_row(row) for row in rows)]
    sums = surveyed(family, path, monkeypatch, texts=[text], patterns=some)
    expected = oracle(family, [text], some)
    for view in VIEWS:
        squares = []
        for (name, of, p), (reference, number) in expected.items():
            if (name, of) == ("jsd", view) and number.all():
                squares.append((checked_mean(sums, name, view, p, number) ** 2, reference**2))
        assert len(squares) >= len(rows) - 3, "all but sinks, and rows that see nothing else"
        found, exact = np.array(squares).swapaxes(0, 1)
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-5, err_msg=view)
        np.testing.assert_allclose(found.mean(0), exact.mean(0), rtol=0, atol=1e-6, err_msg=view)


def one_row(row: int) -> Fixed:
    """Up to five random keys of one row."""

    def rows(passage: Passage, visibility: Visibility) -> Rows:
        first, last = (int(f(len(passage))[row]) for f in (visibility.first, visibility.last))
        key = np.random.default_rng(row).integers(first, last + 1, 5)
        return Rows.from_cells(np.full(5, row), key, len(passage))

    return Fixed(f"row {row}", rows)


def oracle(
    family: str, passages: Sequence[Passage], patterns: Sequence[Fixed]
) -> dict[tuple[str, str, int], tuple[np.ndarray, np.ndarray]]:
    """Means over texts and their number, `(heads,)` each, by metric, view and pattern."""
    names = ("jsd", "sae", "iou", "overlap", "mass", "hit")
    source = Tapping(family)
    number = source.layers * source.heads
    of = range(len(baselines()), len(patterns))
    total = {(n, v, p): np.zeros(number) for n in names for v in VIEWS for p in of}
    texts = {key: np.zeros(number) for key in total}
    for text, layers in zip(passages, _attention(family, passages), strict=True):
        for layer, heads in enumerate(layers):
            seen = source.visibility(layer)
            sinks = sinks_of(text, seen)
            for p in of:
                rows = patterns[p].predict(text, seen)
                for h, real in enumerate(heads):
                    n = layer * len(heads) + h
                    for view in VIEWS:
                        found = text_scores(real, rows, sinks, view)
                        hits = _sampled_hit(text, real, rows, sinks, view)
                        for name in names:
                            value = hits if name == "hit" else found and found[name]
                            if value is not None:
                                total[name, view, p][n] += value
                                texts[name, view, p][n] += 1
    return {key: (total[key] / np.maximum(texts[key], 1), texts[key]) for key in total}


def checked_mean(sums: Accumulators, name: str, view: str, p: int, texts: np.ndarray) -> np.ndarray:
    """The engine's mean over as many texts as the oracle found."""
    counted = "hit_texts" if name == "hit" else "texts"
    ours, count = (_channel(sums, c, view)[p] for c in (name, counted))
    np.testing.assert_array_equal(count, texts)
    return ours / np.maximum(count, 1)


@pytest.mark.parametrize("family", FUSED)
@pytest.mark.parametrize("path", ["cells", "blocks"])
def test_all_sums_equal_those_of_the_whole_matrix(
    family: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gains, the gate and what baselines are estimated from; and batches do not matter."""
    whole = surveyed(family, "whole", monkeypatch).arrays()
    found = surveyed(family, path, monkeypatch, token_budget=1).arrays()
    for arrays in (whole, found):
        scores = dict(zip(score_channels(), arrays.pop("scores").swapaxes(0, 1), strict=True))
        for name, values in scores.items():
            arrays[name] = values
    for name, values in found.items():
        by_row = name in ("gate", "rows", "sae_sum")  # sums over rows, not means
        tolerance = 1e-4 if name.endswith("jsd") or name == "calibration" else 5e-6
        tolerance = 5e-5 if by_row else tolerance
        np.testing.assert_allclose(values, whole[name], rtol=2e-6, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_relations_are_asked_of_blocks_of_rows(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of long texts the matrix never exists; the answers are those of the whole."""
    texts = [parsed(f"text{i}", i) for i in range(6)]

    def asked() -> tuple[dict[str, np.ndarray], bool]:
        source, sums = Tapping(family), RelationSums(12)
        causal = source.visibility(0).causal
        observer = RelationObserver(sums, texts, np.arange(6), causal=causal)
        source.run(texts, observer)
        observer.commit()
        assert source.seen is not None
        return sums.arrays(), source.seen.whole

    whole, computed = asked()
    assert computed
    assert sum(values.sum() for name, values in whole.items() if "/heads/" in name) > 0
    monkeypatch.setattr(relation_accuracy, "WHOLE_TOKENS", 1)
    for cells in (1, 6 * 4 * 20 * 3):  # one instance at a time, or some
        monkeypatch.setattr(relation_accuracy, "BLOCK_CELLS", cells)
        blocks, computed = asked()
        assert not computed
        for name, values in whole.items():
            np.testing.assert_array_equal(blocks[name], values, err_msg=name)


def test_long_texts_are_no_examples() -> None:
    """Their matrices would be kept whole."""
    texts = [passage("long", 300), passage("middle", 200), passage("legible", 40)]
    assert choose_examples(texts, 1) == {"legible"}
    assert choose_examples(texts, 6) == {"legible", "middle"}


def test_nothing_is_computed_behind_the_last_attention() -> None:
    """The last layer's feed-forward part is not run, and the model is whole afterwards."""
    source = Tapping("llama")
    after: list[str] = []
    parts = [layer.mlp for layer in source.stack.root.layers]  # type: ignore[union-attr]
    for number, part in enumerate(parts):
        part.register_forward_hook(lambda *_, name=f"mlp {number}": after.append(name))
    engine = Engine(source, TEXTS[:1], PATTERNS, example_texts=0)
    engine.run(engine.start(), lambda progress, texts: None)
    before_last = [f"mlp {number}" for number in range(len(parts) - 1)]
    assert after == before_last * 2, "calibrated, then scored"
    ids = torch.randint(3, VOCABULARY, (1, 9))
    with torch.inference_mode():
        source.stack.body(**forward_arguments(source.stack, ids, torch.ones_like(ids)))
    assert after[-1] == f"mlp {len(parts) - 1}"


def test_the_output_is_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """The call that gives the normalisers is the one that the layer makes anyway."""
    source = Tapping("llama")

    class Asks:
        def observe(self, call: AttentionCall) -> None:
            assert call.normalisers is not None

    ids = torch.randint(3, VOCABULARY, (1, 50))
    inputs = forward_arguments(source.stack, ids, torch.ones_like(ids))
    with torch.inference_mode():
        plain = source.stack.body(**inputs)[0]
        with tap(source, Asks()):
            seen = source.stack.body(**inputs)[0]
    assert torch.equal(plain, seen)


def _attention(family: str, passages: Sequence[Passage]) -> list[list[np.ndarray]]:
    """Attention of every text by layer, each `(H, T, T)`: float64 from the layer's own inputs."""
    source = Tapping(family)
    found = []
    for text in passages:
        layers: list[np.ndarray] = []

        class Keeps:
            def observe(self, call: AttentionCall, layers: list[np.ndarray] = layers) -> None:
                width = call.key.shape[2]
                query, key = call.query[0].double(), call.key[0].double()
                key = key.repeat_interleave(len(query) // len(key), 0)
                scores = query @ key.transpose(1, 2) * call.scaling
                if call.softcap is not None:
                    scores = call.softcap * torch.tanh(scores / call.softcap)
                if call.mask is not None:
                    scores = scores + call.mask[0].double()
                if call.is_causal:
                    scores += torch.full(scores.shape[1:], -torch.inf).triu(1)
                if call.sinks is not None:
                    sinks = call.sinks.double()[:, None, None].expand(-1, scores.shape[1], 1)
                    scores = torch.cat([scores, sinks], -1)
                layers.append(scores.softmax(-1)[..., :width].numpy())

        source.run([text], Keeps())
        found.append(layers)
    return found


def _sampled_hit(text, real, rows, sinks, view):
    predicted, covered, weight = rows.to_dense(), rows.covered, np.ones(len(real))
    if view == "content":
        real, predicted, covered, weight = content_view(real, predicted, sinks)
    found = text_metrics(real, predicted, covered & sampled_rows(text), weight)
    return None if found is None else found["hit"]


def _channel(sums: Accumulators, name: str, view: str) -> np.ndarray:
    return sums.scores[:, score_channels().index(name), VIEWS.index(view)].sum(axis=0)


def test_families_are_known() -> None:
    assert {*FUSED, *OWN} <= FAMILIES.keys()
