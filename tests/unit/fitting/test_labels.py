"""Labels say what a head does where it works."""

import numpy as np
import pytest

from headscribe.core.visibility import FULL
from headscribe.fitting.atlas import collect
from headscribe.fitting.labels import agreement, label_heads
from headscribe.patterns.registry import registry
from tests.unit.fitting.passages import passage

TEXTS = 80


def resting(one, rest):
    """Attention that rests on the last token (`[SEP]`) but for what is left."""
    n = len(one)
    matrix = np.full((n, n), 0.02 / n)
    matrix[:, -1] += rest
    return matrix


def determiners(one, rest, link):
    """A determiner looks at its head word, everything else rests on `[SEP]`."""
    matrix = resting(one, rest)
    for i, dep in enumerate(one.words.dep):
        if dep == "det":
            matrix[1 + i, 1 + one.words.head[i]] += link
    return matrix


PATTERNS = ("default", "to_head:det", "to_children:det", "offset:-2", "window:4", "sep", "special")


def sample_of(*heads, patterns=PATTERNS):
    rng = np.random.default_rng(3)

    def items():
        for seed in range(TEXTS):
            one = passage(seed)
            attention = np.stack([head(one) for head in heads])
            attention *= rng.uniform(0.8, 1.2, attention.shape)
            yield one, attention, FULL

    chosen = tuple(registry().select(list(patterns)))
    return collect(items(), pool=("key.is_special",), patterns=chosen)


def names(labels):
    return [[label.pattern for label in one] for one in labels]


@pytest.fixture(scope="module")
def labels():
    return label_heads(
        sample_of(
            lambda one: determiners(one, 0.5, 0.6),
            lambda one: resting(one, 0.9),
            lambda one: resting(one, 0.3) + 0.7 * np.eye(len(one), k=-1),
            lambda one: resting(one, 0.0) + 0.1,
        )
    )


def test_a_head_of_determiners_is_called_so(labels):
    """Not after the sink where it rests on all other rows, nor after an offset."""
    assert names(labels)[0][0] == "to_head:det"
    assert not {"last_token", "first_token", "special", "sep", "end"} & set(names(labels)[0])
    assert labels[0][0].gain_iou > 0.1
    assert labels[0][0].gain_jsd > 0.1


def test_a_head_that_only_rests_is_called_after_its_sink(labels):
    (only,) = names(labels)[1]
    assert only in {"last_token", "sep", "end"}


def test_a_head_of_one_offset_is_called_after_it(labels):
    assert names(labels)[2][0] in {"previous_token", "previous_token_only", "offset:-1", "previous"}


def test_a_head_of_nothing_has_no_label(labels):
    assert names(labels)[3] == []


def test_no_head_is_called_the_same_twice(labels):
    for one in names(labels):
        assert len(set(one)) == len(one)
    mixed = sample_of(
        lambda one: (
            resting(one, 0.5) + np.pad(np.full((len(one), 1), 0.4), ((0, 0), (0, len(one) - 1)))
        ),
        patterns=("default",),
    )
    (found,) = names(label_heads(mixed))
    assert sorted(found) == sorted(set(found))
    assert set(found) <= {"first_token", "last_token"}


def test_few_rows_give_no_label():
    """A pattern that covers a handful of rows is no finding, however well it fits there."""
    one = sample_of(lambda one: determiners(one, 0.5, 0.6))
    few = one.only(one.row_text < 4)
    assert "to_head:det" not in names(label_heads(few))[0]
    named = names(label_heads(one))
    assert agreement(named, named) == (1.0, 1.0)
