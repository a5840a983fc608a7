"""The controls of a language model's discovery run: the offline search, and the model blinded.

    python benchmarks/discovery_controls.py RUN --offline FOLDER --blinded FOLDER

Both examine the heads of RUN on its texts, with its settings and against the library that it began
with. Blinded, each head is given what the language model proposed from the evidence of another one,
the next in the run: the same number of answers of the same quality, without the evidence.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import headscribe as hs
from headscribe.core.errors import RunError
from headscribe.discovery.clients import FREE, Client, Replay, Reply
from headscribe.discovery.prompting import question_of
from headscribe.results.run import Run

NOTHING = "no answer was recorded for this round"


class Blinded:
    """Answers each head's prompts with what a recorded run answered for the next head.

    Where the next head had no such round, the one after it answers, and so on; where none had,
    there is no proposal.

    Args:
        replay: the recorded run's answers.
        heads: its heads, in order.
    """

    name, max_output_tokens, price = "blinded", 0, FREE

    def __init__(self, replay: Replay, heads: list[str]) -> None:
        self._replay, self._heads = replay, heads

    @property
    def differing(self) -> int:
        """Answers that were given to another prompt: all."""
        return self._replay.differing

    def ask(self, prompt: str) -> Reply:
        """The answer to the same round of another head."""
        version, question = question_of(prompt)
        head = question.rpartition(" | ")[0].rpartition(" ")[2]
        place = self._heads.index(head)
        for other in [*self._heads[place + 1 :], *self._heads[:place]]:
            asked = question.replace(f"| head {head} |", f"| head {other} |")
            try:
                return self._replay.ask(f"# {version} {asked}\n")
            except RunError:
                continue
        return Reply(NOTHING)

    def stop(self) -> None:
        """Nothing waits."""


def control(run: Run, llm: str | Client, out: str) -> hs.Discovery:
    """The same run with another proposer."""
    asked: dict[str, Any] = dict(run.manifest["config"])
    asked["heads"] = run.manifest["examined"]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library.jsonl"  # what is found here joins nothing
        library.write_bytes((run.folder / "known.jsonl").read_bytes())
        again = {"llm": llm, "out": out, "library": library, "resume": Path(out).is_dir()}
        return hs.discover(**asked | again)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run")
    parser.add_argument("--offline")
    parser.add_argument("--blinded")
    options = parser.parse_args()
    run = Run.open(options.run)
    if options.offline:
        print(control(run, "offline", options.offline))
    if options.blinded:
        blinded = Blinded(Replay(run.folder / "exchanges.jsonl"), run.manifest["examined"])
        print(control(run, blinded, options.blinded))


if __name__ == "__main__":
    main()
