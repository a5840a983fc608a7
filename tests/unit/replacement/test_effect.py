"""Weights fitted to effects: the gradients against finite differences, and what is found again."""

import numpy as np
import pytest
import torch

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Term
from headscribe.models.tap import tap
from headscribe.replacement.effect import (
    _drop_costs,
    _eliminated,
    _fit,
    _objective,
    _Rows,
    _slope,
    fitted_to_effect,
)
from headscribe.replacement.trace import trace
from tests.unit.replacement.tiny import passages, tiny


class Nudged:
    """The heads' rows as they were in an untouched pass, one entry of one head moved."""

    def __init__(self, kept, layer, head, query, key, by):
        self.at, self.by = (head, query, key), by
        self.kept, self.layer = kept, layer

    def heads(self, layer):
        return (0, 1, 2, 3)

    def rows(self, call):
        rows = self.kept.setdefault(call.layer, call.probabilities()).clone()
        if call.layer == self.layer:
            rows[0][self.at] += self.by
        return rows


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_gradients_in_outputs_are_those_of_finite_differences(family):
    """`v_j . g` is what the loss with the same labels gains where an entry of a row grows."""
    model = tiny(family)
    passage = passages(model)[2]
    found = trace(model, passage, 1, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)

    def states(substitution):
        lengths = torch.tensor([len(passage)])
        with torch.inference_mode(), tap(
            model, None, substitution, batch=(passage,), lengths=lengths
        ):  # fmt: skip
            if model.kind == "encoder":
                state = model.stack.body(**model.inputs([passage]))[0][0]
                return torch.nn.functional.normalize(state, dim=-1)
            return torch.log_softmax(model.hf(**model.inputs([passage])).logits[0], -1)

    kept = {}
    plain = states(Nudged(kept, 1, 0, 0, 0, 0.0))
    if model.kind == "encoder":
        noise = torch.randn(plain.shape, generator=generator)
        loss = lambda s: float((states(s).double() * noise).sum())  # noqa: E731
    else:
        label = torch.multinomial(plain.exp(), 1, generator=generator)
        loss = lambda s: -float(states(s).double().gather(1, label).sum())  # noqa: E731
    for head, query, key in ((1, 4, 2), (3, 6, 0)):
        step = 1e-2
        up, down = (loss(Nudged(kept, 1, head, query, key, by)) for by in (step, -step))
        index = model.heads + head
        expected = float(found.value[index, key] @ found.pull[0, index, query])
        assert expected == pytest.approx((up - down) / (2 * step), rel=0.03, abs=2e-3)


def made_rows(seed=0):
    chooser = np.random.default_rng(seed)
    lengths = np.array([3, 5, 4, 6, 6])
    visible = torch.from_numpy(np.arange(6)[None] < lengths[:, None])
    features = torch.from_numpy(chooser.normal(size=(5, 6, 3)).astype(np.float32))
    value = torch.from_numpy(chooser.normal(size=(5, 6, 2)).astype(np.float32))
    logits = torch.from_numpy(chooser.normal(size=(5, 6)).astype(np.float32))
    attention = torch.softmax(logits.masked_fill(~visible, -torch.inf), -1)
    return _Rows(visible, attention, value), features


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_objective_and_its_gradient_by_hand(share):
    rows, features = made_rows()
    weights = torch.tensor([0.4, -0.8, 0.3], dtype=torch.float64)
    predicted, value = _objective(rows, features, weights, share, 1e-3)
    total = 0.0
    for r in range(5):
        keys = int(rows.visible[r].sum())
        score = np.exp(features[r, :keys].double().numpy() @ weights.numpy())
        p = score / score.sum()
        difference = p - rows.attention[r, :keys].double().numpy()
        error = difference @ rows.value[r, :keys].double().numpy()
        total += error @ error + share * (np.sqrt(difference**2 + 1e-6) - 1e-3).sum() / 2
    assert value == pytest.approx(total / 5 + 1e-3 * float(weights @ weights), abs=1e-5)
    gradient, curvature = _slope(rows, features, predicted, weights, share, 1e-3)
    for k in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[k] = 1e-2
        up, down = (_objective(rows, features, weights + s, share, 1e-3)[1] for s in (step, -step))
        assert float(gradient[k]) == pytest.approx((up - down) / 2e-2, abs=2e-3)
    assert torch.linalg.eigvalsh(curvature).min() > 0


def test_steps_only_go_down():
    rows, features = made_rows(1)
    start = torch.zeros(3)
    spread = 1.0
    before = _objective(rows, features / spread, start.double(), 1.0, 0.0)[1]
    weights = _fit(rows, features, start, 1.0, ridge=0.0)
    assert _objective(rows, features / spread, weights, 1.0, 0.0)[1] < before - 0.01


@pytest.mark.parametrize("family", ["mistral", "bert"])
def test_terms_stay_and_the_effect_shrinks(family):
    model = tiny(family)
    texts = passages(model)
    terms = (Term("distance == 0", 0.0), Term("key.id == query.id", 0.0), Term("key.index", 0.0))
    formulas = {HeadId(1, 0): terms, HeadId(1, 2): terms, HeadId(0, 0): ()}
    found = fitted_to_effect(model, formulas, texts, draws=2)
    assert set(found) == set(formulas)
    assert found[HeadId(0, 0)].terms == ()
    for head in (HeadId(1, 0), HeadId(1, 2)):
        assert [t.relation for t in found[head].terms] == [t.relation for t in terms]
        assert any(abs(t.weight) > 1e-3 for t in found[head].terms)
    again = fitted_to_effect(model, formulas, texts, draws=2)
    assert again == found
    with pytest.raises(UsageError, match="at least one text"):
        fitted_to_effect(model, formulas, [])


def test_the_terms_that_made_the_attention_stay():
    rows, features = made_rows(2)
    logits = features[..., 1] * 0.8 - features[..., 2] * 1.2
    attention = torch.softmax(logits.masked_fill(~rows.visible, -torch.inf), -1)
    more = torch.cat([features, torch.randn(5, 6, 2, generator=torch.manual_seed(0))], -1)
    made = _Rows(rows.visible, attention, rows.value)
    kept, weights = _eliminated(made, more, torch.zeros(5), 1.0, 2)
    assert kept == [1, 2]
    assert weights.tolist() == pytest.approx([0.8, -1.2], abs=0.02)


def test_what_dropping_costs_is_what_a_refit_finds():
    """For small weights the effect is a quadratic, and the forecast exact."""
    rows, features = made_rows(3)
    small = torch.softmax(0.05 * features.sum(-1).masked_fill(~rows.visible, -torch.inf), -1)
    rows = _Rows(rows.visible, small, rows.value)
    weights = _fit(rows, features, torch.zeros(3), 0.0)
    base = _objective(rows, features, weights, 0.0, 0.0)[1]
    costs = _drop_costs(rows, features, weights, 0.0)
    for k in range(3):
        rest = [i for i in range(3) if i != k]
        refitted = _fit(rows, features[..., rest], torch.zeros(2), 0.0)
        lost = _objective(rows, features[..., rest], refitted, 0.0, 0.0)[1] - base
        assert float(costs[k]) == pytest.approx(lost, rel=0.3)
