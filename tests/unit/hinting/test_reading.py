"""One observed pass a batch, against matrices of single texts and loops over them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from headscribe.core.heads import HeadId
from headscribe.hinting.conditions import CONDITIONS
from headscribe.hinting.letters import Letters, encoding_of
from headscribe.hinting.measures import MEASURES, jsd
from headscribe.hinting.profiles import profiles
from headscribe.hinting.reading import ALTERED, Unit, read
from headscribe.models import model as model_module
from tests.oracles import hints as oracle
from tests.unit.hinting import tiny


def units(model, count=4, forced=(), **settings):
    prompter = tiny.prompter(model.tokenizer, **settings)
    return [Unit(prompter.ask(row), tuple(forced)) for row in tiny.questions(count).rows]


class Recorder:
    def __init__(self):
        self.layers = []

    def observe(self, call):
        self.layers.append(call.probabilities()[0].double().numpy())


def matrices(model, text):
    recorder = Recorder()
    model.run([text], recorder)
    return np.stack(recorder.layers)


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("family", ["llama", "qwen3", "qwen3_windows", "gpt2", "chat"])
def test_measures_equal_the_loops(family, position):
    model = tiny.model(family) if family != "chat" else tiny.model(read=tiny.chat_tokenizer())
    asked = units(model, position=position, forced=[30, 31, 32])
    letters = Letters.of(tiny.prompter(model.tokenizer).letter_ids(4))
    found = read(model, asked, letters)
    for unit, reading in zip(asked, found, strict=True):
        plain = matrices(model, unit.text("none"))
        for c, condition in enumerate(ALTERED):
            altered = matrices(model, unit.text(condition))
            first, second, after = unit.shared(condition)
            keys = list(zip(first, second, strict=True))
            inserted = unit.asked.prompts[condition].tokens.inserted
            for layer, head in np.ndindex(model.layers, model.heads):
                if model.visibility(layer).window is not None:
                    continue  # the next test
                expected = oracle.measures(
                    plain[layer, head], altered[layer, head], keys[len(keys) - after :], keys,
                    inserted,
                )  # fmt: skip
                for m, measure in enumerate(MEASURES):
                    assert reading.values[c, m, layer, head] == pytest.approx(
                        expected[measure], abs=2e-5
                    ), (condition, measure, layer, head)


def test_windows_compare_only_what_both_passes_can_see():
    model = tiny.model("qwen3_windows")
    (unit,) = units(model, 1)
    (reading,) = read(model, [unit], None)
    plain, altered = (matrices(model, unit.text(c))[0] for c in ("none", "wrong"))
    first, second, after = unit.shared("wrong")
    seen = model.visibility(0)
    assert seen.window == 6
    for head in range(model.heads):
        distances = []
        for i, j in list(zip(first, second, strict=True))[-after:]:
            both = [
                (k, m) for k, m in zip(first, second, strict=True)
                if 0 <= i - k < 6 and 0 <= j - m < 6
            ]  # fmt: skip
            p = np.array([plain[head, i, k] for k, _ in both])
            q = np.array([altered[head, j, m] for _, m in both])
            distances.append(np.nan_to_num(jensenshannon(p / p.sum(), q / q.sum(), base=2)))
        assert reading.values[0, 0, 0, head] == pytest.approx(np.mean(distances), abs=2e-5)


def test_batches_and_chunks_change_nothing(monkeypatch):
    model = tiny.model()
    asked = units(model, 7)
    letters = Letters.of(tiny.prompter(model.tokenizer).letter_ids(4))
    together = read(model, asked, letters)
    monkeypatch.setattr("headscribe.hinting.reading.CELLS", {"cpu": 1 << 24})
    chunked = read(model, asked, letters)
    for one, other, unit in zip(together, chunked, asked, strict=True):
        (alone,) = read(model, [unit], letters)
        np.testing.assert_allclose(one.values, alone.values, atol=2e-5)
        np.testing.assert_allclose(one.values, other.values, atol=1e-6)
        np.testing.assert_allclose(one.scores, alone.scores, atol=1e-4)
        assert one.rows == pytest.approx(alone.rows)


def test_one_pass_a_condition_and_question():
    model = tiny.model()
    calls = []
    hook = model.hf.register_forward_pre_hook(
        lambda _, __, kwargs: calls.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    letters = Letters.of(tiny.prompter(model.tokenizer).letter_ids(4))
    read(model, units(model, 5), letters)
    hook.remove()
    assert sum(calls) == 5 * len(CONDITIONS)


def test_batches_that_do_not_fit_are_halved(monkeypatch):
    model = tiny.model()
    asked, sizes = units(model, 5), []
    whole = read(model, asked, None)
    inner = model_module.Model.logits

    def small(self, batch, *args, **kwargs):
        sizes.append(len(batch))
        if len(batch) > 8:
            raise model_module.OutOfMemoryError("too large")
        return inner(self, batch, *args, **kwargs)

    monkeypatch.setattr(model_module.Model, "logits", small)
    for one, other in zip(whole, read(model, asked, None), strict=True):
        np.testing.assert_allclose(one.values, other.values, atol=2e-5)
    assert sizes == [20, 8, 12, 4, 8]


@settings(max_examples=200, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**32 - 1), st.sampled_from([1e-7, 1e-3, 0.1, 1.0]))
def test_distances_keep_their_digits(size, seed, far):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(size, 0.3))
    q = (1 - far) * p + far * rng.dirichlet(np.full(size, 0.3))
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num(jensenshannon(p.astype(np.float64), q, base=2))
    wide = float(jsd(torch.from_numpy(p), torch.from_numpy(q)))
    assert wide == pytest.approx(expected, abs=2e-8 if far < 1e-6 else 1e-9)
    narrow = float(jsd(torch.from_numpy(p).float(), torch.from_numpy(q).float()))
    assert narrow == pytest.approx(expected, abs=1e-6)


def test_distances_at_the_ends():
    p, q = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 0.0]]), torch.tensor(
        [[0.0, 1.0], [0.5, 0.5], [0.0, 0.0]])  # fmt: skip
    assert jsd(p, q).tolist() == [1.0, 0.0, 0.0]


def test_letters_of_several_ids():
    model = tiny.model()
    ids = [(40, 41, 42), (40, 41, 43, 44), (40, 45, 46)]
    letters = Letters.of(ids)
    assert letters.common == (40,)
    assert letters.rests == ((41, 42), (41, 43, 44), (45, 46))
    texts = [encoding_of([1, 5, 6, 40]), encoding_of([1, 7, 40])]
    passes = []

    def go_on(longer):
        passes.append(len(longer))
        return model.logits(longer, last=True)

    scores = letters.scores(texts, model.logits(texts, last=True), go_on)
    assert passes == [2, 2, 2]  # behind 41, behind 41 43, behind 45
    for text, row in zip(texts, scores, strict=True):
        for rest, score in zip(letters.rests, row, strict=True):
            whole = [*text.ids.tolist(), *rest]
            log = torch.log_softmax(model.logits([encoding_of(whole)])[0].double(), -1)
            start = len(text)
            expected = sum(float(log[start + n - 1, one]) for n, one in enumerate(rest))
            assert score == pytest.approx(expected, abs=1e-4)


def test_profiles_are_the_mean_of_the_compared_rows():
    model = tiny.model()
    (unit,) = units(model, 1, forced=[30])
    found = profiles(model, unit, [HeadId(0, 1), HeadId(1, 3)])
    assert [(one.head, one.condition) for one in found] == [
        (HeadId(layer, head), condition)
        for layer, head in ((0, 1), (1, 3)) for condition in ("none", "wrong", "note")
    ]  # fmt: skip
    for one in found:
        first, second, after = unit.shared("wrong" if one.condition == "none" else one.condition)
        rows = (first if one.condition == "none" else second)[-after:]
        matrix = matrices(model, unit.text(one.condition))[one.head.layer, one.head.head]
        np.testing.assert_allclose(one.weight, matrix[rows].mean(0), atol=1e-6)
        inserted = [part == "insertion" for part in one.part]
        assert sum(inserted) == (0 if one.condition == "none" else 7)
        assert [n for n in one.shared if n >= 0] == list(range(len(unit.text("none"))))
