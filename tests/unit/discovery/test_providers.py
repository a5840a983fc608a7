"""Providers against a server on this machine; needs the extra `llm`."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from headscribe.core.errors import RunError, UsageError
from headscribe.discovery.clients import TransientError, client_of
from headscribe.discovery.ledger import Ledger, Spending

pytest.importorskip("pydantic_ai", reason='needs the extra: pip install "headscribe[llm]"')

OPENAI = {
    "id": "1",
    "object": "chat.completion",
    "created": 1,
    "model": "tiny",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "fine"}}
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}
ANTHROPIC = {
    "id": "1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-5-5",
    "content": [{"type": "text", "text": "fine"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 7, "output_tokens": 3},
}


GOOGLE = {
    "candidates": [
        {"content": {"parts": [{"text": "fine"}], "role": "model"}, "finishReason": "STOP"}
    ],
    "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10},
    "modelVersion": "gemini-2.5-pro",
    "responseId": "1",
}


@pytest.fixture
def server():
    """Answers what is queued; keeps what it was asked."""
    queue, asked = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.append((self.path, json.loads(body), dict(self.headers)))
            status, document, headers = queue.pop(0)
            data = json.dumps(document).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *arguments):
            pass

    running = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}", queue, asked
    running.shutdown()
    thread.join()
    running.server_close()


def test_a_compatible_server(server):
    url, queue, asked = server
    queue.append((200, OPENAI, {}))
    client = client_of(f"compatible:{url}/v1#tiny")
    reply = client.ask("Question?")
    assert (reply.text, reply.input_tokens, reply.output_tokens, reply.usd) == ("fine", 7, 3, 0.0)
    path, body, _ = asked[0]
    assert path == "/v1/chat/completions"
    assert body["model"] == "tiny"
    assert "Question?" in json.dumps(body["messages"])
    assert client.price is None


def test_anthropic_with_a_key_from_the_environment_and_a_price(server, monkeypatch, tmp_path):
    url, queue, asked = server
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-secret")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
    queue.append((200, ANTHROPIC, {}))
    client = client_of("anthropic:claude-sonnet-5-5")
    ledger = Ledger(client, tmp_path / "e.jsonl", Spending(usd=1.0))
    assert ledger.ask("Question?").text == "fine"
    assert ledger.spent.usd == pytest.approx(client.price.of(7, 3))
    assert any("sk-secret" in value for value in asked[0][2].values())
    assert "sk-secret" not in (tmp_path / "e.jsonl").read_text()


def test_google(server, monkeypatch):
    url, queue, asked = server
    monkeypatch.setenv("GOOGLE_API_KEY", "sk-secret")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", url)
    queue += [(200, GOOGLE, {}), (503, {"error": {"message": "busy"}}, {})]
    client = client_of("google:gemini-2.5-pro")
    reply = client.ask("Question?")
    assert (reply.text, reply.input_tokens, reply.output_tokens) == ("fine", 7, 3)
    assert reply.usd == pytest.approx(client.price.of(7, 3), rel=1)
    with pytest.raises(TransientError):
        client.ask("Question?")
    assert len(asked) == 2


def test_failures_are_typed_and_retried_in_one_place_only(server):
    url, queue, asked = server
    client = client_of(f"compatible:{url}/v1#tiny")
    queue.append((429, {"error": {"message": "slow"}}, {"retry-after": "7"}))
    with pytest.raises(TransientError) as caught:
        client.ask("A")
    assert (caught.value.kind, caught.value.wait) == ("rate_limit", 7.0)
    queue.append((503, {"error": {"message": "busy"}}, {}))
    with pytest.raises(TransientError) as caught:
        client.ask("A")
    assert caught.value.kind == "server"
    queue.append((400, {"error": {"message": "too long"}}, {}))
    with pytest.raises(RunError, match="refused") as refused:
        client.ask("A")
    assert not isinstance(refused.value, TransientError)
    assert len(asked) == 3


def test_a_call_under_way_can_be_ended():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = client_of(f"compatible:http://127.0.0.1:{silent.getsockname()[1]}/v1#tiny")

        def stop():
            connection, _ = silent.accept()
            client.stop()
            connection.close()

        thread = threading.Thread(target=stop)
        thread.start()
        started = time.monotonic()
        with pytest.raises(RunError, match="interrupted"):
            client.ask("A")
        assert time.monotonic() - started < client.seconds / 10
        thread.join()


def test_keys_never_show(server, monkeypatch):
    url, queue, _ = server
    monkeypatch.setenv("HEADSCRIBE_API_KEY", "sk-secret")
    queue.append((401, {"error": {"message": "bad key sk-secret"}}, {}))
    with pytest.raises(RunError) as caught:
        client_of(f"compatible:{url}/v1#tiny").ask("A")
    assert "sk-secret" not in str(caught.value)
    assert "(key)" in str(caught.value)


def test_a_server_out_of_reach():
    with pytest.raises(TransientError) as caught:
        client_of("compatible:http://127.0.0.1:9/v1#tiny").ask("A")
    assert caught.value.kind == "server"


def test_wrong_use(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UsageError, match="set OPENAI_API_KEY"):
        client_of("openai:some-model")
    with pytest.raises(UsageError, match="compatible:URL#MODEL"):
        client_of("compatible:some-model")
    with pytest.raises(UsageError, match="in the environment") as caught:
        client_of("compatible:http://me:secret@localhost/v1#tiny")
    assert "secret" not in str(caught.value)
