"""Surveys, relations and fits on treebanks with each feature that real ones have."""

import pytest
import torch
import transformers

import headscribe as hs
from headscribe.models.model import Model
from headscribe.results.relations import relation_accuracy

SUBJECTS = ["cat", "dog", "bird", "child", "tree", "fox"]
VERBS = ["sat", "ran", "sang", "slept", "grew", "ate"]


def sentence(n: int, *, text: bool = True, spaced: bool = True) -> str:
    subject, verb = SUBJECTS[n % 6], VERBS[n // 6 % 6]
    after = "SpaceAfter=No" if spaced else "_"
    head = f"# text = The {subject} {verb}.\n" if text and spaced else ""
    return (
        f"# sent_id = s{n}\n{head}"
        f"1\tThe\tthe\tDET\tDT\t_\t2\tdet\t_\t_\n"
        f"2\t{subject}\t{subject}\tNOUN\tNN\tNumber=Sing\t3\tnsubj\t_\t_\n"
        f"3\t{verb}\t{verb}\tVERB\tVBD\t_\t0\troot\t_\t{after}\n"
        f"4\t.\t.\tPUNCT\t.\t_\t3\tpunct\t_\t_\n\n"
    )


def hebrew(n: int) -> str:
    return (
        f"# text = הילד {VERBS[n % 6]} קרא ספר\n"
        "1-2\tהילד\t_\t_\t_\t_\t_\t_\t_\t_\n"
        "1\tה\tה\tDET\t_\t_\t2\tdet\t_\t_\n2\tילד\tילד\tNOUN\t_\t_\t4\tnsubj\t_\t_\n"
        f"3\t{VERBS[n % 6]}\t_\tX\t_\t_\t2\tdep\t_\t_\n"
        "4\tקרא\tקרא\tVERB\t_\t_\t0\troot\t_\t_\n5\tספר\tספר\tNOUN\t_\t_\t4\tobj\t_\t_\n\n"
    )


def long_sentence(n: int) -> str:
    rows = [f"1\t{VERBS[n]}\tbe\tVERB\t_\t_\t0\troot\t_\t_"]
    rows += [f"{i}\tword{i % 7}\tword\tNOUN\t_\t_\t1\tobj\t_\t_" for i in range(2, 900)]
    return "\n".join(rows) + "\n\n"


def without_tree(n: int) -> str:
    return (
        f"1\tThe\tthe\tDET\t_\t_\t_\t_\t_\t_\n2\t{SUBJECTS[n % 6]}\t_\tNOUN\t_\t_\t_\t_\t_\t_\n\n"
    )


WITHHELD = "1\t_\t_\tDET\tDT\t_\t2\tdet\t_\t_\n2\t_\t_\tNOUN\tNN\t_\t0\troot\t_\t_\n\n"
EMPTY = "\n2.1\tghost\tghost\tVERB\t_\t_\t_\t_\t0:root\t_\n3\t"
JOINED = "3-4\tsat.\t_\t_\t_\t_\t_\t_\t_\t_\n3\tsat\t"

BANKS = {
    "documents": [f"# newdoc id = d{n}\n{sentence(n)}" for n in range(12)],
    "no documents": [sentence(n) for n in range(12)],
    "two documents": [f"# newdoc\n{sentence(n)}" * (n in (0, 6)) or sentence(n) for n in range(12)],
    "no SpaceAfter": [sentence(n, spaced=False) for n in range(12)],
    "no text": [sentence(n, text=False) for n in range(12)],
    "empty nodes": [sentence(n).replace("\n3\t", EMPTY, 1) for n in range(12)],
    "multiword tokens": [
        sentence(n, text=False).replace(f"3\t{VERBS[n // 6 % 6]}\t", JOINED, 1) for n in range(12)
    ],
    "some withheld": [sentence(n) + WITHHELD for n in range(12)],
    "a very long sentence": [*(sentence(n) for n in range(10)), long_sentence(1)],
    "right to left": [hebrew(n) + sentence(n) for n in range(12)],
    "no trees": [without_tree(n) + sentence(n) for n in range(12)],
    "three sentences": [sentence(n) for n in range(3)],
}


@pytest.fixture(scope="module")
def model() -> Model:
    """Two layers of two heads, over a vocabulary that can write anything."""
    tokenizer = hs.load("bundled:stories").tokenizer
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=256,
    )  # fmt: skip
    return hs.load(transformers.LlamaForCausalLM(config).eval(), tokenizer)


@pytest.mark.parametrize("feature", BANKS)
def test_every_feature_is_surveyed_and_fitted(tmp_path, model, feature):
    path = tmp_path / "bank.conllu"
    path.write_text("".join(BANKS[feature]), encoding="utf-8")
    survey = hs.survey(model, path, out=tmp_path / "survey", max_tokens=64)
    facts = survey.run.manifest["corpus"]
    assert facts["texts"] == len(hs.corpus(path))
    enough = facts["texts"] >= 5
    assert facts["groups"] >= 5 or not enough
    scores = survey.scores("previous_token", k=4)
    assert len(scores) == 4
    for found in scores:
        assert 0 <= found.score <= 1
        # A gain has an interval, or there is none: never one over a baseline of zeros.
        assert (found.gain is None) == (found.gain_low is None)
        assert (found.gain is not None) == enough
    if feature == "no trees":
        with pytest.raises(hs.UsageError, match="has no dependency relations"):
            relation_accuracy(survey.run)
    elif enough:
        assert {"det", "nsubj"} <= {line.relation for line in relation_accuracy(survey.run)}
    fit = hs.fit(model, path, out=tmp_path / "fit", terms=2, max_tokens=32, patterns="uniform")
    assert len(fit.heads) == 4
    # Weights are random, and some heads read so evenly that no term is worth its ink.
    assert all(head.scores["formula", "raw", "iou"].mean > 0.5 for head in fit.heads)
