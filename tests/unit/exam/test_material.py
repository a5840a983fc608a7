"""Compiled and trained transformers: whether the truth beside every head is what it does."""

import numpy as np
import pytest

from headscribe.core.visibility import CAUSAL
from headscribe.exam.material import KINDS, known

MODELS = {model.name: model for kind in KINDS for model in known(kind)}


def test_there_is_enough_to_examine() -> None:
    assert len(MODELS) >= 40
    assert sum(model.heads for model in MODELS.values()) >= 60


@pytest.mark.parametrize("name", MODELS)
def test_every_truth_is_what_the_head_does(name: str) -> None:
    model = MODELS[name]
    for h, truth in enumerate(model.truths):
        assert truth is not None
        for passage in model.passages[:12]:
            rows = truth.rows(passage, model.seen)
            np.testing.assert_allclose(rows.sum(1), 1)
            apart = 0.05 if model.kind == "compiled" else 0.2
            assert np.abs(model.of(passage)[h] - rows).max() < apart, (name, truth)
            if model.seen == CAUSAL:
                assert not np.triu(rows, 1).any()
