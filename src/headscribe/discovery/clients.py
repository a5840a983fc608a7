"""Clients: who answers a prompt. A protocol, work by hand through files, and replay."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from headscribe.core.errors import RunError, UsageError
from headscribe.core.extensions import extensions
from headscribe.core.files import write_whole
from headscribe.discovery.prompting import question_of

ENTRY_POINTS = "headscribe.clients"
"""The entry point group by which other packages add language models."""

POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Reply:
    """What came back for a prompt.

    Attributes:
        text: the answer.
        input_tokens, output_tokens: as the server counted them; 0 where nobody did.
        usd: what it cost.
    """

    text: str
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0


@dataclass(frozen=True)
class Price:
    """US dollars a million tokens."""

    input: float
    output: float

    def of(self, input_tokens: int, output_tokens: int) -> float:
        """What so many tokens cost."""
        return (self.input * input_tokens + self.output * output_tokens) / 1e6


@runtime_checkable
class Client(Protocol):
    """Answers prompts.

    Attributes:
        name: what answers, for the record; no key is ever part of it.
        max_output_tokens: an answer is at most so long; budgets are checked with it.
        price: what tokens cost; None where that is not known.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def max_output_tokens(self) -> int: ...  # noqa: D102
    @property
    def price(self) -> Price | None: ...  # noqa: D102

    def ask(self, prompt: str) -> Reply:
        """Answer a prompt.

        Raises:
            TransientError: it may work when asked again.
            RunError: it will not.
        """
        ...

    def stop(self) -> None:
        """Give up waiting: the run is being interrupted."""
        ...


class TransientError(RunError):
    """A failure that may pass: worth asking again after a pause.

    Attributes:
        kind: `rate_limit` or `server`.
        wait: seconds that the server asked to wait, if it did.
    """

    def __init__(self, kind: str, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.kind, self.wait = kind, wait


FREE = Price(0.0, 0.0)


def prompt_key(prompt: str) -> str:
    """The identity of a prompt: a hash of its text."""
    return blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Exchange:
    """Work by hand in any chat: each prompt becomes a file, the answer is read from another.

    `FOLDER/<key>.prompt.md` is written, `FOLDER/<key>.reply.md` waited for. A reply counts once
    it is not empty and has not changed for a moment.

    Args:
        folder: where the files lie; made if need be.
        wait: seconds to wait for a reply; None: for ever.
        pause: waits between two looks.
        tell: told once a prompt which file waits for an answer.
    """

    name, max_output_tokens = "exchange", 0
    price: Price | None = FREE

    def __init__(
        self,
        folder: str | Path,
        wait: float | None = None,
        pause: Callable[[float], None] = time.sleep,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._folder, self._wait, self._pause = Path(folder), wait, pause
        self._tell = tell
        self._stopped = threading.Event()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {folder}: {error.strerror}") from error

    def ask(self, prompt: str) -> Reply:
        """Write the prompt and wait for the reply.

        Raises:
            RunError: no reply in time, or one that is no UTF-8 text; names the file.
        """
        key = prompt_key(prompt)
        asked = self._folder / f"{key}.prompt.md"
        answered = self._folder / f"{key}.reply.md"
        if not asked.is_file():
            write_whole(asked, prompt)
        if self._tell is not None and not answered.is_file():
            version, question = question_of(prompt)
            self._tell(
                f"{version} {question}: put the answer to {asked} into {answered.name} beside it"
            )
        waited, before = 0.0, b""
        while True:
            data = answered.read_bytes() if answered.is_file() else b""
            if data.strip() and data == before:
                break
            if self._stopped.is_set():
                raise RunError(f"interrupted before there was an answer to {asked}")
            if self._wait is not None and waited > self._wait:
                raise RunError(
                    f"no reply after {self._wait:g} s: put the answer to {asked} into "
                    f"{answered.name} beside it, then resume"
                )
            before = data
            self._pause(POLL_SECONDS)
            waited += POLL_SECONDS
        try:
            return Reply(data.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise RunError(f"{answered}: expected UTF-8 text: {error}") from error

    def stop(self) -> None:
        """Give up waiting for replies."""
        self._stopped.set()


class Replay:
    """Repeats a recorded run: the stored exchanges answer, without a network.

    A prompt is looked up as it is; where it is another by now (rounding, formulas, the words around
    it), by the model, head and round that it names. Such answers were given to another prompt than
    the one that is asked: `differing` counts them, and `tell` is told.

    Args:
        tell: told of every answer that was given to another prompt.

    Raises:
        UsageError: no such file.
        RunError: a damaged line; names it.
    """

    name, max_output_tokens = "replay", 0
    price: Price | None = FREE

    def __init__(self, path: str | Path, tell: Callable[[str], None] | None = None) -> None:
        self._by_key: dict[str, Reply] = {}
        self._by_title: dict[tuple[str, str], tuple[str, Reply]] = {}
        self._tell = tell
        self.differing = 0
        for record in read_exchanges(Path(path)):
            reply = Reply(record["reply"], record["input_tokens"], record["output_tokens"])
            self._by_key[prompt_key(record["prompt"])] = reply
            version, question = question_of(record["prompt"])
            self._by_title[version.rpartition("-")[0], question] = version, reply

    def ask(self, prompt: str) -> Reply:
        """Return the recorded answer.

        Raises:
            RunError: the recorded run was not asked this.
        """
        found = self._by_key.get(prompt_key(prompt))
        if found is not None:
            return found
        asked, question = question_of(prompt)
        kind = asked.rpartition("-")[0]
        if (kind, question) not in self._by_title:
            raise RunError(f"the recorded run was never asked {question!r}; record it anew")
        version, reply = self._by_title[kind, question]
        self.differing += 1
        if self._tell is not None:
            self._tell(
                f"replayed for another prompt than {version or 'the one recorded'}: {question}"
            )
        return reply

    def stop(self) -> None:
        """Nothing waits."""


def read_exchanges(path: Path) -> list[dict[str, Any]]:
    """The stored exchanges of a run, in order; a last line cut short by a kill is left out.

    Raises:
        UsageError: no such file.
        RunError: a damaged line; names it.
    """
    if not path.is_file():
        raise UsageError(f"expected a file of recorded exchanges, {path} is none")
    lines = path.read_bytes().split(b"\n")
    found = []
    for number, line in enumerate(lines[:-1], 1):  # what follows the last line break is cut short
        try:
            record = json.loads(line)
            if not {"prompt", "reply", "input_tokens", "output_tokens", "usd"} <= record.keys():
                raise ValueError("fields are missing")
        except (ValueError, AttributeError) as error:
            raise RunError(f"{path}, line {number}: expected an exchange, got {error}") from error
        found.append(record)
    return found


def client_of(spec: str, tell: Callable[[str], None] | None = None) -> Client:
    """The client of a specification.

    Args:
        spec: `exchange:FOLDER`, `replay:FILE`, or `PROVIDER:MODEL` with a provider of
            `providers.KEYS` (extra `llm`), such as `anthropic:MODEL` or `compatible:URL#MODEL`;
            or `NAME:REST` with the name of an entry point of the group `headscribe.clients`, which
            is called with the rest.

    Raises:
        UsageError: it is none of these, the extra is not installed, or no key is set.
    """
    kind, _, rest = spec.partition(":")
    if rest and kind == "exchange":
        return Exchange(rest, tell=tell)
    if rest and kind == "replay":
        return Replay(rest, tell)
    from headscribe.discovery.providers import KEYS, provider_client

    if rest and kind in KEYS:
        return provider_client(kind, rest)
    added: dict[str, Any] = {**extensions(ENTRY_POINTS, object)}
    if rest and kind in added:
        made: Client = added[kind](rest)
        return made
    own = (f"{one}:..." for one in added)
    known = ", ".join(["exchange:FOLDER", "replay:FILE", *(f"{key}:MODEL" for key in KEYS), *own])
    raise UsageError(f"`{spec[:80]}` is no language model; known: offline, {known}")
