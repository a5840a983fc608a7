"""Plans given as a file or by head: every kind of program, and what is refused, before a pass."""

from contextlib import ExitStack

import numpy as np
import pytest
import torch

from headscribe.api.replace import replace, talk
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.visibility import CAUSAL
from headscribe.replacement.apply import Substituted
from headscribe.replacement.plan import ZERO, Plan
from headscribe.replacement.plan_files import programs_of
from headscribe.results.run import Run
from headscribe.text.corpora import from_strings
from tests.unit.replacement.tiny import PREVIOUS, SAME, STORIES, passages, tiny

REPEATS = '''
import numpy as np
def attention(p):
    """To earlier tokens that are the same."""
    words = np.array([t.lower() for t in p.tokens])
    return np.tril(words[:, None] == words[None, :], -1) * 1.0
'''
SEER = "import numpy as np\ndef attention(p):\n    return np.eye(len(p.tokens)) + len(p.tokens) % 2"
NAN = "import numpy as np\ndef attention(p):\n    return np.full((len(p.tokens),) * 2, np.nan)"
WIDE = "import numpy as np\ndef attention(p):\n    return np.ones((len(p.tokens), 3))"
NEGATIVE = "import numpy as np\ndef attention(p):\n    return -np.eye(len(p.tokens))"
ESCAPE = "import os\ndef attention(p):\n    return os.getcwd()"


def opened(given, model, fit=None):
    with ExitStack() as held:
        return programs_of(given, model, fit, held)


def written(folder, text, **programs):
    for name, code in programs.items():
        (folder / f"{name}.py").write_text(code)
    (folder / "plan.txt").write_text(text)
    return folder / "plan.txt"


def test_a_plan_names_programs_of_every_kind(tmp_path):
    model = tiny("llama")
    texts = passages(model)
    plan = written(
        tmp_path,
        "# heads in this order\n2.1: previous\n0.3: key.id == query.id and distance < 0\n"
        "1.0: repeats.py\n\n1.1: zero\n0.0: profile\nL0H1: mean\n",
        repeats=REPEATS,
    )
    with ExitStack() as held:
        found = programs_of(plan, model, texts, held)
        assert [str(head) for head in found] == ["2.1", "0.3", "1.0", "1.1", "0.0", "0.1"]
        assert found[HeadId(1, 1)] is ZERO
        one, other = (found[HeadId(*h)].predict(texts[0], CAUSAL) for h in ((0, 3), (1, 0)))
        assert not found[HeadId(1, 0)].looks_ahead
        assert np.array_equal(one.to_dense(), other.to_dense()), "the relation says the same"
        assert one.covered.any()
        logits = model.logits(texts, Substituted(Plan(found), model))
        assert not torch.equal(logits, model.logits(texts))


def test_programs_by_head():
    model = tiny("llama")
    found = opened({"1.2": SAME, HeadId(0, 0): "previous", "L2H3": ZERO}, model)
    assert found[HeadId(1, 2)] is SAME
    assert list(found) == [HeadId(1, 2), HeadId(0, 0), HeadId(2, 3)]


@pytest.mark.parametrize(
    "text,message",
    [
        ("1.0 previous", r"plan.txt, line 1: expected `LAYER.HEAD: PROGRAM`, got '1.0 previous'"),
        ("# x\nhead: previous", r"line 2: expected a head such as 7.10"),
        ("1.0: previous\n1.0: self", r"line 2: head 1.0: expected one program"),
        ("1.0: nonsense", r"line 1: head 1.0: expected a pattern's name.*`nonsense`"),
        ("1.0: mean", r"head 1.0: expected texts to estimate its mean on"),
        ("1.0: absent.py", r"head 1.0: expected a Python program in .*absent.py"),
        ("1.0: nan.py", r"head 1.0: program nan failed on text trial: not_finite"),
        ("1.0: negative.py", r"head 1.0: program negative failed on text trial: negative"),
        ("1.0: wide.py", r"head 1.0: program wide failed on text trial: shape"),
        ("1.0: escape.py", r"head 1.0: program escape: line 1: `import os` is not at hand"),
        ("# nothing", r"at least one head"),
    ],
)
def test_what_a_plan_may_not_say(tmp_path, text, message):
    plan = written(tmp_path, text, nan=NAN, negative=NEGATIVE, wide=WIDE, escape=ESCAPE)
    with pytest.raises(UsageError, match=message):
        opened(plan, tiny("llama"))


def test_refused_plans_begin_no_run_and_leave_the_model(tmp_path):
    model = tiny("llama")
    before = model.logits(passages(model))
    texts = from_strings(list(STORIES))
    seer = written(tmp_path, "1.0: seer.py", seer=SEER)
    for programs, options, message in (
        ({"9.0": "previous"}, {}, r"no head 9.0 in .*: it has .* layers of"),
        ({"1.0": "key.next.id == query.id"}, {}, r"head 1.0: .* looks ahead"),
        ({"1.0": "next_token"}, {}, r"head 1.0: next_token points at later keys only"),
        (seer, {}, r"head 1.0: seer looks ahead"),
        ({"1.0": PREVIOUS}, {"tune": True}, r"head 1.0: expected a formula to tune"),
        ({"1.0": PREVIOUS}, {"policy": "fill"}, r"row policy of exclude"),
        ({"1.0": PREVIOUS}, {"fractions": (1.5,)}, r"fractions above 0"),
    ):
        with pytest.raises(UsageError, match=message):
            replace(model, programs, texts, texts, annotator="plain", out=tmp_path / "run",
                    **options)  # fmt: skip
        assert not (tmp_path / "run").exists()
    assert torch.equal(model.logits(passages(model)), before)


def test_a_run_holds_what_a_report_needs(tmp_path):
    """Curves, single heads, agreement, and how the altered model goes on; rows by policy."""
    model = tiny("llama")
    texts = from_strings([" ".join([story] * 3) for story in STORIES])
    plan = {"1.0": SAME, "2.1": "previous", "0.2": "key.id == query.id and distance < 0"}
    curves = {}
    for policy in ("exclude", "sink"):
        done = replace(model, plan, texts, texts, fractions=(0.5, 1.0), policy=policy,
                       annotator="plain", out=tmp_path / policy)  # fmt: skip
        curves[policy] = {
            (p["program"], p["order"], p["fraction"]): p["value"] for p in done.document["curve"]
        }
        run = Run.open(tmp_path / policy)
        assert run.complete
        assert run.manifest["replacement"] == done.document
        assert run.manifest["model"]["heads"] == model.heads
        rows = run.table("agreement").to_pylist()
        assert {(r["program"], r["tuned"]) for r in rows} == {
            ("formula", False),
            ("profile", False),
        }
        assert len(rows) == 6
        assert all(0 <= row["iou"] <= 1 for row in rows)
        alone = [r for r in run.table("replacement").to_pylist() if r["order"] == "alone"]
        assert {r["head"] for r in alone} == {"1.0", "2.1", "0.2"}
        said = run.manifest["continuations"]
        assert [(s["program"], s["fraction"], s["heads"]) for s in said] == [
            ("formula", 0.5, 2), ("formula", 1.0, 3), ("profile", 0.5, 2), ("profile", 1.0, 3)
        ]  # fmt: skip
        assert all(s["unaltered"].startswith(s["prompt"]) for s in said)
        assert all(s["altered"].startswith(s["prompt"]) for s in said)
    key = "formula", "best_first", 1.0
    assert curves["exclude"][key] != curves["sink"][key], "uncovered rows follow the policy"
    assert (
        curves["exclude"]["profile", "best_first", 1.0]
        == curves["sink"]["profile", "best_first", 1.0]
    )


def test_talking_by_a_plan(tmp_path):
    model = tiny("llama")
    plan = written(tmp_path, "1.0: repeats.py\n0.0: previous", repeats=REPEATS)
    prompt = "w5 w9 w5 w12"
    before, after = talk(model, plan, prompt, max_new_tokens=6)
    assert before.startswith(prompt)
    assert after.startswith(prompt)
    same, some = talk(model, plan, prompt, fraction=0.5, policy="self", max_new_tokens=6)
    assert same == before
    with pytest.raises(UsageError, match=r"only causal models generate"):
        talk(tiny("bert"), {"0.0": "previous"}, prompt)
    assert some.startswith(prompt)
