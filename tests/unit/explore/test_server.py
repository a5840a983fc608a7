"""The server of the explorer: whom it answers, what it refuses, and that it ends."""

import http.client
import json
import re
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import headscribe as hs
from headscribe.core.errors import UsageError
from headscribe.explore import server as served
from headscribe.explore.texts import StaleError
from tests.commands import Command

TEXT = "The cat sat on the mat."


@pytest.fixture(scope="module")
def page() -> Iterator[served.Served]:
    with hs.explore("bundled:stories") as found:
        yield found


def request(
    page: served.Served, path: str, body: Any = None, method: str | None = None, **headers: str
) -> tuple[int, str, dict[str, str]]:
    """A request as the page itself would make it, but for `headers` (None: left out)."""
    parts = urlsplit(page.address)
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    own = {"Host": parts.netloc} | (
        {}
        if body is None
        else {"Origin": f"http://{parts.netloc}", "Content-Type": "application/json"}
    )
    sent = {
        k: v for k, v in (own | {k.replace("_", "-"): v for k, v in headers.items()}).items() if v
    }
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    target = path if path.startswith("/") else parts.path + path
    connection.putrequest(method or ("POST" if body is not None else "GET"), target, skip_host=True)
    for name, value in sent.items():
        connection.putheader(name, value)
    if content is not None:
        connection.putheader("Content-Length", str(len(content)))
    connection.endheaders(content)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(), {k.lower(): v for k, v in answer.getheaders()}
    connection.close()
    return found


def test_the_page_allows_itself_alone(page: served.Served):
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", page.address)
    status, content, headers = request(page, "")
    assert status == 200
    assert "default-src &#x27;none&#x27;" in content
    assert content.count("connect-src &#x27;self&#x27;") == 1
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "server" not in headers


@pytest.mark.parametrize(
    "path, body, headers",
    [
        ("/", None, {}),
        ("/wrong/", None, {}),
        ("/wrong/ask/read", {"text": TEXT}, {}),
        ("", None, {"Host": "evil.example:80"}),
        ("", None, {"Host": ""}),
        ("", None, {"Origin": "http://evil.example"}),
        ("", None, {"Sec_Fetch_Site": "cross-site"}),
        ("ask/read", {"text": TEXT}, {"Origin": "http://evil.example"}),
        ("ask/read", {"text": TEXT}, {"Origin": "null"}),
        ("ask/read", {"text": TEXT}, {"Origin": ""}),
        ("ask/read", {"text": TEXT}, {"Content_Type": "text/plain"}),
        ("ask/read", {"text": TEXT}, {"Host": "rebound.example:80", "Origin": "http://rebound.example:80"}),
    ],
)  # fmt: skip
def test_strangers_are_refused(page: served.Served, path: str, body: Any, headers: dict[str, str]):
    status, content, _ = request(page, path, body, **headers)
    assert status in (400, 403, 404)
    assert "labels" not in content
    assert "<html" not in content


def test_other_methods_and_places_are_refused(page: served.Served):
    assert request(page, "ask/read", None)[0] == 405
    assert request(page, "../../etc/passwd")[0] in (403, 404)
    assert request(page, "", None, "TRACE")[0] == 405
    assert "is no question" in json.loads(request(page, "ask/nothing", {"text": TEXT})[1])["error"]


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b'{"text": 1}', b"[" * 100_000, b"{}"])
def test_what_is_no_question_is_answered_in_a_line(page: served.Served, body: bytes):
    status, content, _ = request(page, "ask/read", body)
    assert status == 200
    assert "\n" not in json.loads(content)["error"]


def test_a_body_is_not_read_beyond_its_bound(page: served.Served):
    assert request(page, "ask/read", b" " * (served.MAX_BODY + 1))[0] == 413
    long = {"text": "<b>\u202ecat</b> " * 10_000}
    assert len(json.loads(request(page, "ask/read", long)[1])["labels"]) == 512


def test_a_flood_is_queued_or_told_to_come_back(page: served.Served):
    def once(number: int) -> int:
        body = {"text": f"A cat sat {number} times.", "page": f"p{number}", "number": 1}
        return request(page, "ask/read", body)[0]

    with ThreadPoolExecutor(60) as pool:
        found = list(pool.map(once, range(120)))
    assert set(found) <= {200, 503}
    assert found.count(200) > 0
    assert request(page, "ask/read", {"text": TEXT})[0] == 200


def test_two_pages_do_not_disturb_each_other(page: served.Served):
    def once(number: int) -> dict[str, Any]:
        body = {"text": TEXT, "at": number % 8, "page": "ab"[number % 2], "number": number}
        found: dict[str, Any] = json.loads(request(page, "ask/words", body)[1])
        return found

    alone = [once(104 + number) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(once, range(200, 208)))
    for number, found in enumerate(together):
        assert found in (alone[number], {"stale": True})
    # A page that is loaded again begins to count anew, under a name of its own.
    body = {"text": TEXT, "at": 1, "page": "a again", "number": 1}
    assert json.loads(request(page, "ask/words", body)[1]) == alone[1]


async def _taken(turns: served.Turns, log: list[str]) -> list[Any]:
    import asyncio

    begun, free = threading.Event(), threading.Event()

    def slow(going: Any) -> str:
        begun.set()
        free.wait(10)
        going()
        return "slow"

    first = asyncio.create_task(turns.take("a", "read", 1, slow))
    await asyncio.to_thread(begun.wait, 10)
    kinds = [("a", "read", 2), ("a", "read", 3), ("b", "read", 1), ("a", "words", 1)]
    others = [
        asyncio.create_task(turns.take(*one, lambda _, one=one: log.append(str(one)) or one))
        for one in kinds
    ]
    await asyncio.sleep(0)
    free.set()
    return await asyncio.gather(first, *others, return_exceptions=True)


def test_what_a_page_no_longer_waits_for_is_given_up():
    import asyncio

    log: list[str] = []
    found = asyncio.run(_taken(served.Turns(), log))
    assert isinstance(found[0], StaleError)
    assert isinstance(found[1], StaleError)
    assert found[2:] == [("a", "read", 3), ("b", "read", 1), ("a", "words", 1)]
    assert len(log) == 3


def test_a_saved_page_holds_its_answers_and_asks_nothing(page: served.Served):
    key = "read " + json.dumps({"text": TEXT})
    status, content, _ = request(
        page, "save", {"asked": [key, 'read {"text": ""}'], "at": "#view=words"}
    )
    assert status == 200
    assert "connect-src" not in content.partition("<style>")[0]
    document = json.loads(content.partition('id="data">')[2].partition("</script>")[0])
    assert list(document["explorer"]["saved"]) == [key]
    assert document["explorer"]["saved"][key]["labels"][:2] == ["<s>", "The"]
    for wrong in (
        {"asked": [1], "at": ""},
        {"asked": ["read {"], "at": ""},
        {"asked": ["x"] * 65, "at": ""},
    ):
        assert "error" in json.loads(request(page, "save", wrong)[1])


def test_the_last_page_closed_ends_the_server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(served, "LEFT_ALONE", 0.05)
    said: list[str] = []
    explorer = served.opened("bundled:stories", ())
    thread = threading.Thread(target=served.serve, args=(explorer, 0, said.append), daemon=True)
    thread.start()
    while not said:
        time.sleep(0.005)
    page = served.Served(said[0], None)
    assert request(page, "")[0] == 200
    for here in (True, False, True):  # a reload
        assert request(page, "pages", {"page": "a", "here": here})[0] == 200
    time.sleep(0.2)
    assert thread.is_alive()
    request(page, "pages", {"page": "a", "here": False})
    thread.join(20)
    assert not thread.is_alive()


def test_a_port_that_is_taken_is_named(page: served.Served):
    port = urlsplit(page.address).port or 0
    with pytest.raises(UsageError, match=f"expected a free port of this machine, got {port}"):
        hs.explore("bundled:stories", port=port)


def test_interrupted_the_command_ends_cleanly(tmp_path: Path):
    command = Command("explore", "bundled:stories", cwd=tmp_path)
    out = command._files / "stdout"
    while not (found := re.search(r"http://\S+", out.read_text() if out.exists() else "")):
        assert command.running()
        time.sleep(0.01)
    assert request(served.Served(found[0], None), "")[0] == 200
    import os

    os.kill(command.pid, signal.SIGINT)
    done = command.wait()
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("ended\n")
    assert done.stderr == ""
