import json
import shutil
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

from headscribe.core.errors import RunError, UsageError
from headscribe.core.heads import HeadId
from headscribe.discovery.clients import Replay, Reply
from headscribe.discovery.ledger import Spending
from headscribe.discovery.run import Settings, discover
from headscribe.results.examples import read_examples
from headscribe.results.run import Run
from headscribe.sandbox import Trusted
from tests.unit.discovery.answers import answer
from tests.unit.discovery.conftest import HEADS, POOL, SECRET, items
from tests.unit.discovery.mock import Queued

SETTINGS = Settings(rounds=2, terms=3)


def found(folder, heads=HEADS, read=items, **changes):
    options = {"model": "made-up", "settings": SETTINGS, "pool": POOL} | changes
    return discover(read, HEADS, heads, folder, **options)


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("offline") / "run"
    return folder, found(folder)


def test_the_offline_search_end_to_end(offline):
    folder, result = offline
    assert result["0.1"].status == "accepted"
    assert result["0.1"].gains["formula"][1] > 0.01
    assert result["0.0"].status == "rejected"  # its formula says all there is to say
    assert result.tally.heads == 2
    assert result.tally.usd == 0
    assert "gain +" in str(result)
    run = Run.open(folder)
    assert run.complete
    assert run.manifest["tally"]["accepted"] == result.tally.accepted
    assert sum(run.manifest["splits"].values()) == 100
    assert min(run.manifest["splits"].values()) > 0
    rows = {(row["layer"], row["head"]): row for row in run.table("discoveries").to_pylist()}
    assert rows[0, 1]["status"] == "accepted"
    scored = run.table("all_heads").to_pylist()
    own = next(row for row in scored if (row["program"], row["head"]) == ("0.1", 1))
    assert own["iou"] == pytest.approx(result["0.1"].scores["test"]["program"], abs=1e-4)


def test_every_head_has_a_picture(offline):
    folder, result = offline
    examples = read_examples(Run.open(folder))
    for outcome in result.outcomes:
        own = [one for one in examples.values() if outcome.head in one.heads]
        assert len(own) >= 1
        names = {name for one in own for name in one.patterns}
        assert f"{outcome.head}:formula" in names
        assert (f"{outcome.head}:program" in names) == (outcome.status == "accepted")
        real = own[0].heads[outcome.head].matrix()
        np.testing.assert_allclose(real.sum(axis=1), 1, atol=1e-3)


def test_finished_heads_are_not_examined_again(offline, tmp_path):
    folder, result = offline
    again = found(folder)
    assert again.outcomes == result.outcomes
    with pytest.raises(UsageError, match="terms differ from the unfinished run"):
        found(folder, settings=Settings(rounds=2, terms=4))
    path = folder / "heads" / "0.0.json"
    kept = path.read_text()
    path.write_text("{")
    with pytest.raises(RunError, match="damaged"):
        found(folder)
    path.write_text(kept)


def test_kill_resume_and_replay(tmp_path):
    """Killed in the second head, resumed without paying twice, replayed to the same outcomes."""
    folder = tmp_path / "run"
    first = Queued("no json", answer("key.index == 3"), "still none", KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        found(folder, client=first, runner=Trusted())
    assert not Run.open(folder).complete
    assert [path.name for path in (folder / "heads").iterdir()] == ["0.0.json"]
    second = Queued(answer(SECRET))
    result = found(folder, client=second, runner=Trusted())
    assert len(second.prompts) == 1
    assert result["0.1"].status == "accepted"
    assert result.tally.calls == 4
    assert result.tally.invalid == {"no_json": 2}
    replay = Replay(folder / "exchanges.jsonl")
    repeated = found(tmp_path / "replayed", client=replay, runner=Trusted())
    assert repeated.outcomes == result.outcomes
    assert replay.differing == 0
    assert repeated.tally.usd == 0


def test_killed_in_the_last_stretch(tmp_path, monkeypatch):
    """What a kill leaves is what stands on disk: copied at every write, and gone on from."""
    options = {
        "read": lambda: items(40),
        "runner": Trusted(),
        "settings": Settings(rounds=1, terms=4),
        "pool": POOL[:3],
    }
    run, library, states = tmp_path / "run", tmp_path / "library.jsonl", []
    rename = Path.replace

    def copied(self, target):
        shutil.copytree(run, tmp_path / f"{len(states)}" / "run")
        if library.exists():
            shutil.copy(library, tmp_path / f"{len(states)}")
        states.append(Path(target).name)
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", copied)
    client = Queued(answer("key.index == 3"), answer(SECRET))
    whole = found(run, client=client, join=library, **options)
    monkeypatch.undo()
    assert whole["0.1"].status == "accepted"
    assert library.exists()
    last = len(states) - states[::-1].index("0.1.json")
    tables = ["discoveries", "attempts", "examples", "all_heads"]
    written = ["library.jsonl", *(n for t in tables for n in (f"{t}.parquet", "run.json"))]
    assert states[last:] == ["library.jsonl", *written, "run.json"]
    # Before the library has it, before and after a table, before the run is called complete.
    for state in (last, last + 2, last + 3, len(states) - 1):
        folder = tmp_path / f"{state}"
        assert not Run.open(folder / "run").complete
        idle = Queued()
        again = found(folder / "run", client=idle, join=folder / "library.jsonl", **options)
        assert idle.prompts == []
        assert again.outcomes == whole.outcomes
        assert (folder / "library.jsonl").read_bytes() == library.read_bytes()
        for name in [*(f"{table}.parquet" for table in tables), "library.jsonl", "exchanges.jsonl"]:
            assert (folder / "run" / name).read_bytes() == (run / name).read_bytes(), name
        assert Run.open(folder / "run").complete
        assert not list((folder / "run").glob(".*.partial"))


def test_a_budget_leaves_the_run_open(tmp_path):
    result = found(
        tmp_path, client=Queued(Reply("none", 9000, 500)), spending=Spending(tokens=14_000)
    )
    assert [one.status for one in result.outcomes] == ["stopped", "stopped"]
    assert not Run.open(tmp_path).complete
    assert not list((tmp_path / "heads").iterdir())
    more = found(tmp_path, client=Queued(answer(SECRET), answer(SECRET), answer(SECRET)))
    assert more["0.1"].status == "accepted"
    assert Run.open(tmp_path).complete


def test_a_run_draws_further_texts_until_it_is_sure(tmp_path):
    """With a budget spread over so many rounds nothing is ever sure: all there is was read."""
    more = list(items(130))[100:]
    result = found(
        tmp_path,
        heads=HEADS[1:],
        client=Queued(answer(SECRET), RunError("enough")),
        settings=Settings(rounds=10**60, terms=3),
        reserve=(len(more), lambda start, stop: more[start:stop]),
    )
    (attempt,) = result["0.1"].attempts
    assert attempt.kind == "select"
    assert attempt.select_texts == Run.open(tmp_path).manifest["splits"]["select"] + len(more)
    assert attempt.select_gain > 0.01
    assert attempt.select_p > attempt.select_level > 0
    (said,) = Run.open(tmp_path).manifest["notes"]
    assert "too few texts to accept anything" in said


def test_texts_to_test_on_may_be_apart(tmp_path):
    """What is shown and fitted is as without them; the former texts of `test` select."""
    more = [(replace(one, text_id=f"new {n}"), *rest) for n, (one, *rest) in enumerate(items(12))]
    client, plain = Queued(answer(SECRET)), Queued(answer(SECRET))
    options = {"heads": HEADS[1:], "settings": Settings(rounds=1, terms=3)}
    result = found(
        tmp_path / "apart",
        client=client,
        read=lambda: chain(items(), more),
        testing=frozenset(one.text_id for one, *_ in more),
        **options,
    )
    before = found(tmp_path / "plain", client=plain, **options)
    assert client.prompts == plain.prompts
    old, new = (Run.open(tmp_path / one).manifest["splits"] for one in ("plain", "apart"))
    assert new == {"fit": old["fit"], "select": old["select"] + old["test"], "test": 12}
    one, other = result["0.1"].scores, before["0.1"].scores
    assert one["fit"] == pytest.approx(other["fit"], abs=1e-6)
    for name, score in one["select"].items():
        parts = [old[part] * other[part][name] for part in ("select", "test")]
        assert score == pytest.approx(sum(parts) / new["select"], abs=1e-6)
    assert {
        row["texts"] for row in Run.open(tmp_path / "apart").table("all_heads").to_pylist()
    } == {12}


def test_an_interrupt_ends_the_waits_of_all_workers(tmp_path):
    client = Queued(KeyboardInterrupt(), "none", "none", "none")
    with pytest.raises(KeyboardInterrupt):
        found(tmp_path, client=client, settings=Settings(rounds=1, terms=3, workers=2))
    assert client.stopped


def test_the_worst_heads_are_picked_on_fit(tmp_path, studies):
    result = found(tmp_path, heads="worst:1")
    scores = [study.mean(study.rivals["formula"], "fit") for study in studies]
    assert [one.head for one in result.outcomes] == [str(HEADS[int(np.argmin(scores))])]
    assert Run.open(tmp_path).manifest["examined"] == [result.outcomes[0].head]


def test_workers_change_nothing(offline, tmp_path):
    settings = Settings(rounds=2, terms=3, workers=2)
    assert found(tmp_path, settings=settings).outcomes == offline[1].outcomes


def test_wrong_use(tmp_path):
    for heads, said in (((), "at least one head"), ((HeadId(7, 7),), "no head 7.7 in")):
        with pytest.raises(UsageError, match=said):
            found(tmp_path / said.replace(" ", ""), heads=heads)
    with pytest.raises(UsageError, match="at least 1 for rounds"):
        Settings(rounds=0)
    with pytest.raises(UsageError, match="in each of the splits"):
        discover(lambda: items(2), HEADS, HEADS, tmp_path / "few", model="m", pool=POOL)


def test_another_text_is_another_run(offline):
    folder, _ = offline
    with pytest.raises(UsageError, match="other texts"):
        discover(
            lambda: items(50), HEADS, HEADS, folder, model="made-up", settings=SETTINGS, pool=POOL
        )


def test_outcomes_are_plain_json(offline):
    document = json.loads(json.dumps(offline[1].to_json(), allow_nan=False))
    assert {one["head"] for one in document["by_head"]} == {"0.0", "0.1"}
