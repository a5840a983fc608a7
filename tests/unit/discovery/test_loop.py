"""Every branch of the loop, with a queue of answers."""

from dataclasses import replace
from itertools import count

import numpy as np
import pytest

from headscribe.core.errors import RunError
from headscribe.discovery.acceptance import Plan, decided, p_value
from headscribe.discovery.clients import Reply, TransientError
from headscribe.discovery.ledger import RETRIES, Ledger, Spending
from headscribe.discovery.loop import examine
from headscribe.discovery.outcomes import Outcome, Tally
from headscribe.discovery.proposers import LanguageModel
from headscribe.relations import parse
from headscribe.sandbox import Trusted
from tests.unit.discovery.answers import answer
from tests.unit.discovery.conftest import SECRET
from tests.unit.discovery.mock import Queued

HARMLESS = "key.index == 3"
PREVIOUS = "import numpy as np\ndef attention(p):\n    return np.eye(len(p), k=-1) + 0.01"


@pytest.fixture
def ask(studies, tmp_path):
    """Examine a head with queued answers; the outcome, the prompts and the ledger."""
    files = count()

    def run(
        *answers,
        place=1,
        rounds=3,
        spending=Spending(),  # noqa: B008
        runner=Trusted(),  # noqa: B008
        study=None,
    ):
        client = Queued(*answers)
        ledger = Ledger(
            client, tmp_path / f"{next(files)}.jsonl", spending, pause=lambda seconds: None
        )
        model = LanguageModel(ledger, "queued")
        return examine(study or studies[place], model, runner, rounds), client.prompts, ledger

    return run


def picky(text, expression):
    """A program that fails on one text."""
    body = f"    assert p.text != {text!r}\n    return {expression}\n"
    return f"import numpy as np\n\ndef attention(p):\n{body}"


def fates(outcome):
    return [(one.fate, one.kind) for one in outcome.attempts]


def test_a_better_relation_is_accepted_and_reported_on_test(ask, studies):
    outcome, prompts, _ = ask(answer(SECRET))
    assert outcome.status == "accepted"
    assert len(prompts) == 1
    assert outcome.program["relations"] == [parse(SECRET).source]
    mean, low, high = outcome.gains["formula"]
    assert 0 < low < mean < high
    test = outcome.scores["test"]
    assert test["program"] - test["formula"] == pytest.approx(mean, abs=1e-6)
    assert set(outcome.gains) == {"formula", "catalogue"}
    assert outcome.attempts[0].select_p < 0.05 / 3
    assert Outcome.from_json(outcome.to_json()) == outcome


def test_bad_json_and_prose_around_code(ask):
    outcome, prompts, _ = ask(
        "I would rather talk about it.",
        answer(SECRET)[:-5],
        f"Here it is:\n```json\n{answer(SECRET)}\n```\nGood luck!",
    )
    assert fates(outcome) == [("invalid", "no_json"), ("invalid", "bad_json"), ("accepted", "")]
    assert "could not be read: no_json" in prompts[1]
    assert "I would rather talk" in prompts[1]


def test_code_that_cannot_be_tried(ask):
    outcome, prompts, _ = ask(
        answer("nonsense ==="),
        answer(program="def attention(p):\n    return p.words.upos"),
        answer(program="import os\ndef attention(p):\n    return 1"),
    )
    assert fates(outcome) == [("invalid", "relation"), ("invalid", "needs"), ("failed", "static")]
    assert "nonsense" in prompts[1].split("What came of it")[1]
    assert outcome.status == "rejected"
    assert outcome.reason == (
        "3 proposals, none could be scored: "
        "1 failed (static), 1 invalid (needs), 1 invalid (relation)"
    )


def test_wrong_shape_and_an_error_on_one_text(ask, studies):
    material = studies[1].material
    text = material.passages[material.texts("fit")[-1]].text
    one = picky(text, "np.eye(len(p))")
    outcome, prompts, _ = ask(
        answer(program="def attention(p):\n    return [[1.0]]"), answer(program=one), answer(SECRET)
    )
    assert fates(outcome) == [("failed", "shape"), ("failed", "exception"), ("accepted", "")]
    assert "AssertionError" in prompts[2]


def test_an_error_on_an_unseen_text_is_told_without_the_text(studies, tmp_path):
    material = studies[0].material
    hidden = material.passages[material.texts("select")[0]].text
    relates = "np.array([[p.words.head[a] == p.words.head[b] for b in p.word] for a in p.word])"
    code = picky(hidden, f"{relates} * (np.array(p.by_token('dep')) == 'det')[:, None]")
    weak = replace(studies[1], rivals={"formula": studies[1].rivals["formula"] * 0})
    ledger = Ledger(Queued(answer(program=code), "none"), tmp_path / "e.jsonl")
    outcome = examine(weak, LanguageModel(ledger, "queued"), Trusted(), 2)
    assert fates(outcome)[0] == ("failed", "exception")
    assert "text that you did not see" in outcome.attempts[0].message
    assert hidden not in outcome.attempts[0].message


def test_no_improvement_is_fed_back_with_texts(ask):
    outcome, prompts, _ = ask(answer(HARMLESS), answer(program=PREVIOUS), rounds=2)
    assert [fate for fate, _ in fates(outcome)] == ["rejected", "rejected"]
    assert outcome.attempts[1].kind == "fit"
    assert "Gained most" in prompts[1]
    assert "Lost most" in prompts[1]
    assert "2 proposals, none" in outcome.reason
    assert "IoU over the formula" in outcome.reason
    assert outcome.gains == {}
    assert "program" not in outcome.scores["test"]


def test_the_proposer_learns_no_number_of_select_or_test(ask, studies):
    """With other numbers there no prompt is another, so none was in it, in whatever form."""
    material = studies[1].material
    seen, unseen = list(material.texts("fit")), np.ones(len(material.passages), bool)
    unseen[seen] = False
    easy = studies[1].rivals["formula"].copy()
    easy[seen] = 0  # so that proposals are better on `fit` and reach `select`
    study = replace(studies[1], rivals={"formula": easy})
    answers = (answer(HARMLESS), answer(program=PREVIOUS), answer("x"))
    outcome, prompts, _ = ask(*answers, study=study)
    assert fates(outcome)[:2] == [("rejected", "select")] * 2
    assert len(prompts) == 3
    for i in np.flatnonzero(unseen):
        assert f'"text":"{material.passages[i].text_id}"' not in "\n".join(prompts)

    cells = unseen[material.sample.row_text[material.sample.row]]
    attention = material.sample.attention.copy()
    attention[:, cells] = attention[:, cells][:, ::-1]
    elsewhere = replace(material, sample=replace(material.sample, attention=attention))
    other = replace(
        study, material=elsewhere, rivals={"formula": np.where(unseen, easy + 0.3, easy)}
    )
    changed, others, _ = ask(*answers, study=other)
    assert others == prompts
    assert changed.attempts[0].select_p != outcome.attempts[0].select_p
    assert changed.scores["test"] != outcome.scores["test"]
    assert "on select" in outcome.reason
    assert "IoU over the formula" in outcome.reason


def test_the_budget_stops_a_head_and_leaves_it_for_later(ask):
    outcome, prompts, ledger = ask(Reply("no json", 9000, 500), spending=Spending(tokens=14_000))
    assert outcome.status == "stopped"
    assert "could take" in outcome.reason
    assert len(prompts) == 1
    assert ledger.spent.tokens <= 14_000
    tally = Tally.of([outcome], ledger.spent)
    assert (tally.stopped, tally.proposals) == (1, 1)


def test_server_errors_and_rate_limits(ask):
    outcome, _, ledger = ask(
        TransientError("rate_limit", "slow"), TransientError("server", "oops"), answer(SECRET)
    )
    assert outcome.status == "accepted"
    tally = Tally.of([outcome], ledger.spent)
    assert (tally.rate_limits, tally.server_errors, tally.accepted) == (1, 1, 1)
    assert "1 rate limits, 1 server errors" in str(tally)


def test_a_dead_server_stops_a_head(ask):
    outcome, _, _ = ask(*[TransientError("server", "down")] * (RETRIES + 1))
    assert outcome.status == "stopped"
    assert "gave up" in outcome.reason


def test_without_a_sandbox_programs_are_refused_and_not_asked_for(ask):
    outcome, prompts, _ = ask(answer(program=PREVIOUS), rounds=1, runner=None)
    assert fates(outcome) == [("invalid", "no_sandbox")]
    assert "cannot be run here" in prompts[0]


def test_select_p_is_the_worst_of_the_rivals(studies):
    from headscribe.discovery.refit import refitted

    study = studies[1]
    made = refitted(study, [SECRET])
    texts = list(study.material.texts("select"))
    values = [
        p_value(made.iou("select") - rival[texts], np.arange(len(texts)))
        for rival in study.rivals.values()
    ]
    left = made.iou("select") - made.without.iou("select")
    values.append(p_value(left, np.arange(len(texts))))
    assert decided(study, made, Plan(3), None).p == pytest.approx(max(values))


def test_a_damaged_outcome_is_refused():
    with pytest.raises(RunError, match="outcome of a head"):
        Outcome.from_json({"head": "0.0"})
