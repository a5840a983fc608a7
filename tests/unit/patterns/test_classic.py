"""The classic patterns against loops written from their description."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.core.visibility import CAUSAL, FULL, Visibility
from headscribe.patterns.registry import registry
from headscribe.text.passages import Encoding, Passage, Ragged, Words
from tests.oracles.patterns import classic, predict
from tests.passages import random_passage

CLASSIC = [one.name for one in registry().select(["classic"])]


@given(st.integers(0, 10**6), st.integers(0, 12), st.booleans())
@settings(max_examples=15, deadline=None)
def test_agree_with_loops(seed, length, special):
    passage = random_passage(seed, length, special)
    for visibility in (FULL, CAUSAL, Visibility(True, 3), Visibility(False, 3)):
        for name in CLASSIC:
            found = registry().get(name).predict(passage, visibility).to_dense()
            expected = classic(name, passage, visibility)
            np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=name)


@given(st.integers(0, 10**6))
@settings(max_examples=2, deadline=None)
def test_the_catalogue_agrees_with_its_relations_pair_by_pair(seed):
    passage = random_passage(seed, 7)
    for pattern in registry():
        found = pattern.predict(passage, CAUSAL).to_dense()
        expected = predict(pattern.relation.source, passage, CAUSAL)
        np.testing.assert_allclose(found, expected, atol=1e-6, err_msg=pattern.name)


def _recorded(record, vocabulary):
    """A recorded sentence as a passage; the text is rebuilt from the tokens."""
    text, spans = "", []
    for token, word in zip(record["tokens"], record["word_of_token"], strict=True):
        if word is None and token in {"[CLS]", "[SEP]"}:
            spans.append((0, 0))
            continue
        inside = token.startswith("##") and len(token) > 2
        text += "" if inside else " "
        spans.append((len(text), len(text) + len(token) - 2 * inside))
        text += token[2 * inside :]
    special = [token in {"[CLS]", "[SEP]"} for token in record["tokens"]]
    ids = [vocabulary.setdefault(token, len(vocabulary)) for token in record["tokens"]]
    encoding = Encoding(
        tuple(record["tokens"]), np.array(ids), np.array(spans), np.array(special, bool)
    )
    words = Words(
        tuple(record["words"]),
        np.zeros((len(record["words"]), 2), np.int64),
        dep=tuple(record["dep_rel"]),
        head=np.array([-1 if head is None else head for head in record["dep_head"]]),
    )
    words_of = [[] if word is None else [word] for word in record["word_of_token"]]
    return Passage(record["id"], "", text, encoding, words, Ragged.from_lists(words_of))


KNOWN = {
    "next_token": {(2, 9): 0.039, (2, 0): 0.042, (1, 1): 0.427, (5, 9): 0.498},
    "previous_token": {(3, 5): 0.288, (1, 4): 0.365, (6, 11): 0.544, (0, 2): 0.611},
    "same_token": {(2, 6): 0.688, (1, 11): 0.793, (3, 0): 0.841},
    "repetition": {(2, 6): 0.637, (1, 11): 0.747, (3, 0): 0.794, (9, 8): 0.839},
    "dependency": {(2, 9): 0.731, (2, 0): 0.733, (3, 9): 0.735, (5, 9): 0.755},
    "punctuation": {(1, 7): 0.841, (10, 5): 0.858, (10, 3): 0.858},
    "sep": {(3, 4): 0.552, (3, 0): 0.562},
    "bos": {(2, 2): 0.553, (4, 3): 0.567},
    "uniform": {(11, 0): 0.136, (11, 1): 0.163},
}


@pytest.mark.shared
def test_known_heads_of_recorded_bert(shared_data):
    """Mean Jensen-Shannon distance, base 2, over rows, then over the 150 sentences."""
    folder = shared_data / "bert_sst2_attention"
    attention = np.load(folder / "attention.npz")
    lines = (folder / "sentences.jsonl").read_text(encoding="utf-8").splitlines()
    sums = {name: np.zeros(len(heads)) for name, heads in KNOWN.items()}
    vocabulary: dict[str, int] = {}
    for line in lines:
        record = json.loads(line)
        passage = _recorded(record, vocabulary)
        every = attention[record["id"]]
        for name, heads in KNOWN.items():
            layer, head = np.array(list(heads)).T
            real = every[layer, head].astype(float)
            real /= real.sum(-1, keepdims=True)
            rows = registry().get(name).predict(passage, FULL)
            assert rows.covered.all()
            sums[name] += _distance(real, rows.to_dense()[None]).mean(-1)
    for name, heads in KNOWN.items():
        np.testing.assert_allclose(sums[name] / len(lines), list(heads.values()), atol=0.005)


def _distance(p, q):
    def part(a):
        middle = np.where(a > 0, (p + q) / 2, 1)
        return (a * np.log2(np.where(a > 0, a, 1) / middle)).sum(-1)

    return np.sqrt(np.maximum((part(p) + part(q)) / 2, 0))
