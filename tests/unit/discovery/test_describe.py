"""Descriptions and what they are worth: heads drawn around known formulas, known judges."""

import json
import re

import numpy as np
import pytest

from headscribe.behaviours.card import UNNAMED, Card, Figure
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import silent
from headscribe.discovery import simulation
from headscribe.discovery.beginning import Settings
from headscribe.discovery.clients import FREE, Replay, Reply
from headscribe.discovery.describe import describe, scored
from headscribe.discovery.describing import by_template
from headscribe.discovery.ledger import Spending
from headscribe.discovery.prompting import LONGEST, question_of
from headscribe.discovery.proposals import ParseFailure
from headscribe.discovery.questions import NEAR, OPTIONS, marked, questions
from headscribe.relations import parse
from headscribe.results.run import Run
from tests.unit.discovery.conftest import HEADS, POOL, SECRET, items
from tests.unit.discovery.mock import Queued
from tests.unit.fitting.passages import passage

SAID = {"0.0": ("It reads the previous token.", "distance == -1"),
        "0.1": ("From case markers and determiners, it reads siblings.", SECRET)}  # fmt: skip


def figure(relation, when="On a case marker", reads="words of the same head"):
    half = {"share": 0.5, "expected": 0.1, "excess": 0.4, "low": 0.3, "high": 0.5}
    return Figure(
        "case → siblings", when, reads, relation, "syntax", 90, 0.2, **half, hit=0.5,
        confirmed=half, sinks_here=0.1, part=0.2, listed=True,
    )  # fmt: skip


def card(head, name, *figures, sentence="It does so."):
    return Card(head, name, sentence, "syntax", 0.2, (("sinks", 1.0),), figures)


CARDS = {
    HEADS[0]: card(HEADS[0], "the previous token"),
    HEADS[1]: card(HEADS[1], "case → siblings", figure(SECRET)),
}


class Scripted:
    """Describes heads as `SAID` does, and judges by the relations of the description it is given.

    Attributes:
        prompts: what it was asked.
    """

    name, max_output_tokens, price = "scripted", 1000, FREE

    def __init__(self, studies, left=10**6):
        self.prompts, self.left = [], left
        self.asked = {
            json.dumps(dict(q.shown), sort_keys=True): (study, q)
            for study in studies
            for q in questions(study, 20)
        }

    def ask(self, prompt):
        if not self.left:
            raise KeyboardInterrupt
        self.left -= 1
        self.prompts.append(prompt)
        version, about = question_of(prompt)
        if version == "describe-1":
            words, relation = SAID[re.search(r"head (\S+)", about)[1]]
            return Reply(json.dumps({"description": words, "relations": [relation]}), 10, 5)
        lines = [json.loads(line) for line in prompt.split("\n") if line.startswith('{"q"')]
        said = json.loads(re.search(r'^\{"description":(.*)\}$', prompt, re.MULTILINE)[1])
        mine = [head for head, (words, _) in SAID.items() if words == said]
        answers = {}
        for line in lines:
            number = str(line.pop("q"))
            study, question = self.asked[json.dumps(line, sort_keys=True)]
            right = str(study.head) in mine
            wrong = next(name for name in question.options if name != question.truth)
            answers[number] = question.truth if right else wrong
        return Reply(json.dumps({"answers": answers}), 10, 5)

    def stop(self):
        pass


def made(folder, writer=None, judge=None, heads=HEADS, **changes):
    run = (
        Run.open(folder) if (folder / "run.json").is_file() else Run.create(folder, "describe", {})
    )
    options = {"settings": Settings(terms=3, workers=2), "number": 20, "pool": POOL} | changes
    describe(
        items, HEADS, heads, run, model="made-up", cards_of=lambda texts, layers: CARDS,
        writer=writer, judge=judge, on_progress=silent, **options,
    )  # fmt: skip
    return run


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    return made(tmp_path_factory.mktemp("describe") / "run")


def overall(run, who, against, kind="both"):
    (row,) = (
        row
        for row in run.table("overall").to_pylist()
        if (row["who"], row["against"], row["kind"]) == (who, against, kind)
    )
    return row


@pytest.mark.parametrize("place", [0, 1])
def test_questions_are_of_unseen_rows_and_their_truth_is_what_the_head_reads(studies, place):
    """Against whole matrices, cell by cell."""
    study = studies[place]
    material = study.material
    asked = questions(study, 20)
    assert [one.kind for one in asked] == ["detection"] * 10 + ["fuzzing"] * 10
    assert {material.splits[one.text] for one in asked} == {"test"}
    assert asked == questions(study, 20)
    truths = set()
    for one in asked:
        real = material.real(study.place, one.text).copy()
        real[:, material.passages[one.text].is_special] = 0
        arrows = one.options[one.truth]
        truths.add(one.truth)
        for q, k in arrows:
            assert real[q, k] == real[q].max()
        others = [arrow for name in one.options if name != one.truth for arrow in one.options[name]]
        for q, k in others:
            assert 0 <= real[q, k] < real[q].max() / 2
            assert not material.passages[one.text].is_special[[q, k]].any()
        assert len(one.options) == (OPTIONS if one.kind == "detection" else 2)
        assert sorted(q for q, _ in arrows) == sorted({q for q, _ in others}) or len(arrows) == 1
        assert one.credit(real) == 1
        assert one.credit(np.ones_like(real)) == pytest.approx(one.chance)
    assert len(truths) > 3, "the right answer stands in no fixed place"


def test_marked_text_is_what_stands_there():
    one = passage(3, length=30)
    words = one.words.form
    shown = marked(one, {2: ("{", "}"), 20: ("[1 ", "]")})
    first = " ".join([words[0], f"{{{words[1]}}}", *words[2 : 2 + NEAR]])
    second = " ".join([*words[19 - NEAR : 19], f"[1 {words[19]}]", *words[20 : 20 + NEAR]])
    assert shown == f"{first} ... {second}"


def test_true_relations_beat_those_of_another_head_and_none_are_worth_chance(offline, studies):
    own, other = (
        overall(offline, "template", "chance"),
        overall(offline, "template control", "chance"),
    )
    assert own["accuracy"] > 0.8
    assert other["accuracy"] < 0.5
    difference = overall(offline, "template", "template control")
    assert difference["beyond"] == pytest.approx(own["accuracy"] - other["accuracy"])
    assert (difference["heads"], difference["better"]) == (2, 2)
    assert overall(offline, "formula", "chance")["accuracy"] > 0.5
    nothing = by_template(studies[0], card(HEADS[0], UNNAMED))
    assert nothing.relations == ()
    asked = questions(studies[0], 20)
    credits = simulation.by_relations(studies[0].material, nothing, asked)
    assert credits == pytest.approx([one.chance for one in asked])


def test_own_and_control_answer_the_same_questions(offline):
    rows = offline.table("answers").to_pylist()
    by_who = {
        who: {(row["head"], row["question"], row["shown"]) for row in rows if row["who"] == who}
        for who in {row["who"] for row in rows}
    }
    assert set(by_who) == {"template", "template control", "formula"}
    assert by_who["template"] == by_who["template control"] == by_who["formula"]
    assert len(by_who["formula"]) == 40


def test_templates_say_what_the_card_says_in_at_most_forty_words(studies):
    made = by_template(studies[1], CARDS[HEADS[1]])
    assert made.text == "On a case marker, it reads words of the same head."
    assert [one.source for one in made.relations] == [parse(SECRET).source]
    many = card(HEADS[1], "case → siblings", *[figure(SECRET, f"On {i}") for i in range(9)])
    assert 30 <= len(by_template(studies[1], many).text.split()) <= 40
    common = card(HEADS[1], "the same from everywhere", sentence="..., most often “the” (2), “a”.")
    assert by_template(studies[1], common).written == ('key.lower in {"the", "a"}',)


def test_language_models_describe_and_judge(tmp_path, studies):
    """Each description gets all of its own head's questions right, and none of the other's."""
    client = Scripted(studies)
    run = made(tmp_path / "run", writer=client, judge=client)
    assert run.complete
    assert overall(run, "description", "chance")["accuracy"] == 1
    assert overall(run, "control", "chance")["accuracy"] == 0
    assert overall(run, "description", "control")["better"] == 2
    assert (
        "Descriptions by the language model beat those of another head for 2 of 2"
        in (run.manifest["summary"])
    )
    judged = [one for one in client.prompts if question_of(one)[0] == "judge-1"]
    assert len(judged) == 4  # a description and a template a head
    assert len(client.prompts) == 6
    assert max(map(len, client.prompts)) < LONGEST
    for prompt in judged:
        assert prompt.count('{"q":') == 40  # own and control questions in one prompt
        for told in ("control", "template", "head 0.0", "head 0.1", "another head"):
            assert told not in prompt
    described = run.table("descriptions").to_pylist()
    assert [row["writer"] for row in described] == ["scripted"] * 2 + ["template"] * 2
    replay = Replay(run.folder / "exchanges.jsonl")
    again = made(tmp_path / "again", writer=replay, judge=replay)
    assert again.table("answers").equals(run.table("answers"))
    assert replay.differing == 0


def test_a_killed_run_asks_nothing_twice(tmp_path, studies):
    first = Scripted(studies, left=3)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path / "run", writer=first, judge=first, settings=Settings(terms=3))
    second = Scripted(studies)
    run = made(tmp_path / "run", writer=second, judge=second)
    assert run.complete
    assert len(first.prompts) == 3
    assert not set(first.prompts) & set(second.prompts)
    assert len(second.prompts) == 3
    assert run.manifest["spent"]["calls"] == 6


def test_a_budget_leaves_the_run_open(tmp_path, studies):
    client = Scripted(studies)
    run = made(tmp_path / "run", writer=client, spending=Spending(tokens=10))
    assert not run.complete
    assert run.manifest["stopped"]["descriptions"] == 2
    assert client.prompts == []


def test_an_answer_that_cannot_be_read_is_told_once_and_then_counted(tmp_path):
    long = json.dumps({"description": "word " * 41, "relations": ["distance == -1"]})
    wrong = json.dumps({"description": "It looks back.", "relations": ["nonsense"]})
    good = json.dumps({"description": "It looks back.", "relations": ["nonsense", "distance < 0"]})
    client = Queued(long, good, wrong, long)
    run = made(tmp_path / "run", writer=client, settings=Settings(terms=3))
    told = [prompt.rpartition("could not be read: ")[2] for prompt in client.prompts]
    assert "expected at most 40 words, got 41" in told[1]
    assert "round 2" in question_of(client.prompts[1])[1]
    first, second = run.table("descriptions").to_pylist()[:2]
    assert (first["description"], "nonsense" in first["problem"]) == ("It looks back.", True)
    assert (second["description"], "41" in second["problem"]) == ("", True)
    assert run.manifest["undescribed"] == 1
    assert overall(run, "description", "chance")["heads"] == 1


def test_answers_are_read_strictly(studies):
    asked = questions(studies[0], 4)
    names = {str(n): one.truth for n, one in enumerate(asked, 1)}
    assert simulation.read_answers(f"So: {json.dumps({'answers': names})}", asked) == [
        one.truth for one in asked
    ]
    for reply, said in (
        ("1: A", "no_json"),
        (json.dumps({"answers": {**names, "2": "7"}}), "question 2: expected one of 1, 2"),
        (json.dumps({"answers": {"1": names["1"]}}), "question 2: expected one of"),
        (json.dumps({"answers": {**names, "4": "C"}}), "question 4: expected one of A, B"),
    ):
        found = simulation.read_answers(reply, asked)
        assert isinstance(found, ParseFailure)
        assert said in str(found)


def test_scores_of_a_head_by_hand():
    rows = [
        {"layer": 0, "head": 0, "question": q, "kind": kind, "group": group, "chance": chance}
        | {"who": who, "credit": credit}
        for q, kind, group, chance, credits in (
            (1, "detection", "a", 0.2, {"description": 1.0, "control": 0.0}),
            (2, "detection", "a", 0.2, {"description": 0.0, "control": 0.0}),
            (3, "fuzzing", "b", 0.5, {"description": 1.0, "control": 1.0}),
            (4, "fuzzing", "c", 0.5, {"description": 1.0, "control": None}),
        )
        for who, credit in credits.items()
    ]
    scores, _ = scored(rows)
    by = {(row["who"], row["against"], row["kind"]): row for row in scores}
    own = by["description", "chance", "both"]
    assert own["accuracy"] == pytest.approx(0.75)
    assert own["beyond"] == pytest.approx(0.75 - 0.35)
    assert (own["questions"], own["groups"]) == (4, 3)
    # Group sums of the residual (0.8 + -0.2, 0.5, 0.5) - 0.4 n: -0.2, 0.1, 0.1; t of 2 is 4.3027.
    width = 4.302653 * np.sqrt(3 / 2 * (0.04 + 0.01 + 0.01)) / 4
    assert own["high"] - own["beyond"] == pytest.approx(width, rel=1e-5)
    against = by["description", "control", "both"]
    assert (against["questions"], against["beyond"]) == (3, pytest.approx(1 / 3))
    assert against["accuracy"] == pytest.approx(2 / 3)


def test_wrong_use(tmp_path):
    with pytest.raises(UsageError, match=r"no head 7\.7 in"):
        made(tmp_path / "run", heads=[HeadId(7, 7)])
