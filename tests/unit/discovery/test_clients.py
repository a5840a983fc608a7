import json
import threading
import time

import pytest

from headscribe.core.errors import RunError, UsageError
from headscribe.discovery.clients import (
    Exchange,
    Price,
    Replay,
    Reply,
    TransientError,
    client_of,
    prompt_key,
    read_exchanges,
)
from headscribe.discovery.ledger import RETRIES, BudgetReachedError, Ledger, Spending
from tests.unit.discovery.mock import Queued

DEAR = Price(10.0, 1000.0)


def never(seconds):
    raise AssertionError("no pause was due")


def test_exchange_writes_the_prompt_and_waits_for_the_reply(tmp_path):
    looks = []

    def pause(seconds):
        looks.append(seconds)
        reply = tmp_path / f"{prompt_key('What?')}.reply.md"
        if len(looks) == 2:
            reply.write_text("half")
        if len(looks) == 3:
            reply.write_text("half and whole")

    client = Exchange(tmp_path, pause=pause)
    assert client.ask("What?") == Reply("half and whole")
    assert (tmp_path / f"{prompt_key('What?')}.prompt.md").read_text() == "What?"
    assert len(looks) >= 4
    assert not list(tmp_path.glob("*.partial"))


def test_exchange_gives_up_and_says_what_to_do(tmp_path):
    with pytest.raises(RunError, match=r"put the answer to .*prompt\.md into"):
        Exchange(tmp_path, wait=1, pause=lambda seconds: None).ask("What?")
    (tmp_path / f"{prompt_key('What?')}.reply.md").write_bytes(b"\xff")
    with pytest.raises(RunError, match="UTF-8"):
        Exchange(tmp_path, wait=1, pause=lambda seconds: None).ask("What?")


def test_a_wait_for_a_reply_can_be_ended(tmp_path):
    client = Exchange(tmp_path, pause=lambda seconds: client.stop())
    with pytest.raises(RunError, match="interrupted"):
        client.ask("What?")


def test_every_exchange_is_stored_and_replayed(tmp_path):
    path = tmp_path / "exchanges.jsonl"
    ledger = Ledger(Queued("one", "two"), path, pause=never)
    assert ledger.ask("# title | 1\nA").text == "one"
    assert ledger.ask("# title | 2\nB\u2028\ud800").text == "two"
    assert [record["reply"] for record in read_exchanges(path)] == ["one", "two"]
    replay = Replay(path)
    assert replay.ask("# title | 1\nA") == Reply("one", 100, 50)
    assert replay.differing == 0
    assert replay.ask("# title | 2\nother words").text == "two"
    assert replay.differing == 1
    with pytest.raises(RunError, match=r"never asked '# title \| 3'"):
        replay.ask("# title | 3")


def test_nothing_is_paid_twice(tmp_path):
    path = tmp_path / "exchanges.jsonl"
    Ledger(Queued("one", price=DEAR), path).ask("A")
    ledger = Ledger(Queued(price=DEAR), path)
    assert ledger.ask("A").text == "one"
    assert ledger.spent.usd == pytest.approx(DEAR.of(100, 50))
    assert (ledger.spent.calls, ledger.spent.repeated, ledger.spent.tokens) == (1, 1, 150)


def test_a_line_torn_by_a_kill_is_dropped_and_written_anew(tmp_path):
    path = tmp_path / "exchanges.jsonl"
    first = Ledger(Queued("one", "two"), path)
    first.ask("A")
    first.ask("B")
    data = path.read_bytes()
    path.write_bytes(data[:-7])
    ledger = Ledger(Queued("again"), path)
    assert ledger.ask("A").text == "one"
    assert ledger.ask("B").text == "again"
    assert [json.loads(line)["reply"] for line in path.read_text().splitlines()] == ["one", "again"]


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "exchanges.jsonl"
    path.write_text('{"prompt": "A"}\n')
    with pytest.raises(RunError, match="line 1"):
        Ledger(Queued(), path)
    with pytest.raises(UsageError, match="is none"):
        Replay(tmp_path / "absent.jsonl")


def test_the_budget_is_checked_before_the_call(tmp_path):
    client = Queued("one", "two", "three", price=DEAR)
    most = DEAR.of(2, 1000)
    ledger = Ledger(client, tmp_path / "a.jsonl", Spending(usd=most + 0.06))
    ledger.ask("AAAA")
    ledger.ask("BBBB")
    with pytest.raises(BudgetReachedError, match="USD are spent"):
        ledger.ask("CCCC")
    assert len(client.prompts) == 2
    tokens = Ledger(Queued("one", "two"), tmp_path / "b.jsonl", Spending(tokens=1100))
    tokens.ask("A")
    with pytest.raises(BudgetReachedError, match="150 of 1100"):
        tokens.ask("B")
    assert tokens.ask("A").text == "one"  # what is stored is free


def test_a_budget_in_money_needs_prices(tmp_path):
    client = Queued()
    client.price = None
    with pytest.raises(UsageError, match="budget in tokens"):
        Ledger(client, tmp_path / "a.jsonl", Spending(usd=1.0))


def test_calls_at_the_same_time_share_the_budget(tmp_path):
    started, go = threading.Event(), threading.Event()

    class Slow(Queued):
        def ask(self, prompt):
            started.set()
            go.wait(5)
            return super().ask(prompt)

    ledger = Ledger(Slow("one"), tmp_path / "a.jsonl", Spending(tokens=1500))
    thread = threading.Thread(target=ledger.ask, args=("A",))
    thread.start()
    started.wait(5)
    with pytest.raises(BudgetReachedError):
        ledger.ask("B")
    go.set()
    thread.join()
    assert ledger.spent.calls == 1


def test_failures_that_may_pass_are_asked_again_with_growing_pauses(tmp_path):
    pauses = []
    client = Queued(
        TransientError("rate_limit", "slow down", wait=7.0),
        TransientError("server", "overloaded"),
        TransientError("server", "overloaded"),
        "fine",
    )
    ledger = Ledger(client, tmp_path / "a.jsonl", pause=pauses.append)
    assert ledger.ask("A").text == "fine"
    assert pauses == [7.0, 4.0, 8.0]
    assert (ledger.spent.rate_limits, ledger.spent.server_errors) == (1, 2)


def test_it_gives_up_in_the_end_and_sets_nothing_aside(tmp_path):
    client = Queued(*[TransientError("server", "down")] * (RETRIES + 1), RunError("refused"), "ok")
    path = tmp_path / "a.jsonl"
    ledger = Ledger(client, path, Spending(tokens=1100), pause=lambda seconds: None)
    with pytest.raises(RunError, match=f"gave up after {RETRIES + 1} calls: down"):
        ledger.ask("A")
    with pytest.raises(RunError, match="refused"):
        ledger.ask("A")
    assert not path.exists()
    assert ledger.ask("A").text == "ok"


def test_a_server_that_is_away_is_not_waited_for_with_every_prompt(tmp_path):
    pauses = []
    down = TransientError("server", "down")
    client = Queued(*[down] * (RETRIES + 1), down, "back", down, "again")
    ledger = Ledger(client, tmp_path / "a.jsonl", pause=pauses.append)
    with pytest.raises(RunError, match=f"gave up after {RETRIES + 1} calls"):
        ledger.ask("A")
    with pytest.raises(RunError, match="gave up after 1 call: down"):
        ledger.ask("B")
    assert len(pauses) == RETRIES
    assert ledger.ask("B").text == "back"
    assert ledger.ask("C").text == "again", "asked patiently once more"


def test_a_pause_can_be_ended(tmp_path):
    client = Queued(TransientError("rate_limit", "slow", wait=60.0), "never")
    ledger = Ledger(client, tmp_path / "a.jsonl")
    threading.Timer(0.1, ledger.stop).start()
    started = time.monotonic()
    with pytest.raises(RunError, match="interrupted"):
        ledger.ask("A")
    assert time.monotonic() - started < 30
    assert client.stopped


def test_specifications(tmp_path):
    assert client_of(f"exchange:{tmp_path}").name == "exchange"
    Ledger(Queued("one"), tmp_path / "e.jsonl").ask("A")
    assert client_of(f"replay:{tmp_path / 'e.jsonl'}").ask("A").text == "one"
    for wrong in ("exchange:", "nobody:x", ""):
        with pytest.raises(UsageError, match="no language model"):
            client_of(wrong)
