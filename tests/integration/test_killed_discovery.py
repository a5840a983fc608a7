"""A discovery that is killed outright, again and again, ends as one that was not, and pays once."""

import json
import random
import signal
from pathlib import Path

from headscribe.models.recorded import write_recording
from tests.commands import Command
from tests.unit.discovery.answers import answer
from tests.unit.discovery.conftest import SECRET, items

PROGRAM = """
import json, os, signal, sys, threading, time
from headscribe.discovery.clients import FREE, Reply, prompt_key
from headscribe.discovery.prompting import question_of
from headscribe.discovery.run import Settings, discover
from headscribe.fitting.sources import attention_items, head_ids
from headscribe.models.recorded import Recording

folder, out, last, delay = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])
replies = json.load(open("replies.json"))

class Counting:
    name, max_output_tokens, price = "counting", 100, FREE
    asked = 0

    def ask(self, prompt):
        self.asked += 1
        if self.asked == last and delay == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.asked == last:
            timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL))
            timer.daemon = True
            timer.start()
        with open("asked", "a") as file:
            print(prompt_key(prompt), file=file)
        time.sleep(0.05)
        return Reply(replies[question_of(prompt)[1]], 10, 5, 0.01)

    def stop(self):
        pass

recording = Recording(folder)
discover(
    lambda: attention_items(recording, recording.passages), head_ids(recording), "worst:2", out,
    model="made", client=Counting(), settings=Settings(rounds=2, terms=1),
    pool=("key.is_special", "distance == -1", "distance == 1"),
)
"""


def keys(path: Path) -> list[str]:
    return path.read_text().split("\n")[:-1] if path.exists() else []


def test_a_killed_discovery_resumes_to_the_same_record(tmp_path: Path) -> None:
    """Killed at random moments; nobody is asked again what was answered."""
    from headscribe.discovery.clients import prompt_key

    write_recording(tmp_path / "made", [(text, matrix[None]) for text, matrix, _ in items(40)])
    replies = {
        f"| made | head 0.{head} | round {number}": reply
        for head, said in enumerate((["none", answer("key.index == 3")], [answer(SECRET), "{"]))
        for number, reply in enumerate(said, 1)
    }
    (tmp_path / "replies.json").write_text(json.dumps(replies))

    def ran(out: str, last: int = 0, delay: float = 0) -> int:
        done = Command("made", out, last, delay, cwd=tmp_path, code=PROGRAM).wait()
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    assert ran("whole") == 0
    (tmp_path / "asked").unlink()
    moments, killed = random.Random(0), 0
    status, stored = -1, set[str]()
    while status:
        before = len(keys(tmp_path / "asked"))
        # At the second question itself, then at some moment after the first one, then never.
        how = [(2,), (1, moments.uniform(0.01, 0.3)), ()]
        status = ran("killed", *how[min(killed, 2)])
        killed += status != 0
        again = set(keys(tmp_path / "asked")[before:]) & stored
        assert not again, "answered before"
        lines = keys(tmp_path / "killed" / "exchanges.jsonl")
        stored = {prompt_key(json.loads(line)["prompt"]) for line in lines}
    assert killed > 0
    names = [f"{table}.parquet" for table in ("discoveries", "attempts", "examples")]
    names += ["exchanges.jsonl", "library.jsonl", "heads/0.0.json", "heads/0.1.json"]
    for name in names:
        one, other = ((tmp_path / run / name) for run in ("killed", "whole"))
        assert one.read_bytes() == other.read_bytes(), name
