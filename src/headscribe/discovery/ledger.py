"""The ledger: every exchange stored, nothing paid twice, budgets kept, retries in one place."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from headscribe.core.errors import RunError, UsageError
from headscribe.discovery.clients import (
    FREE,
    Client,
    Reply,
    TransientError,
    prompt_key,
    read_exchanges,
)
from headscribe.discovery.neutral import count_tokens

RETRIES = 5
"""Times that a prompt is asked again after a failure that may pass."""

FIRST_PAUSE = 2.0
LONGEST_PAUSE = 60.0


class BudgetReachedError(RunError):
    """The next call could cost more than is left; nothing was asked."""


@dataclass(frozen=True)
class Spending:
    """What a run may cost; None: no limit.

    Attributes:
        usd: US dollars.
        tokens: prompts and answers together.
    """

    usd: float | None = None
    tokens: int | None = None

    def check(self, client: Client) -> None:
        """Whether the budget can be kept with a client.

        Raises:
            UsageError: a limit in money, and a client whose prices are not known.
        """
        if self.usd is not None and client.price is None:
            raise UsageError(
                f"expected a budget in tokens: the prices of {client.name} are not known"
            )


@dataclass
class Spent:
    """What a run has cost so far, all exchanges of its ledger together."""

    usd: float = 0.0
    tokens: int = 0
    calls: int = 0
    repeated: int = 0
    rate_limits: int = 0
    server_errors: int = 0


class Ledger:
    """Asks a client, through what is stored and within a budget; threads may share it.

    An exchange is one line of JSON, written in one piece and flushed to disk before the answer is
    used. A prompt that was answered before is answered from the file. Before a call the most that
    it can cost is set aside: if that is more than is left, nothing is asked. Prompts are counted
    as `neutral.count_tokens` does, answers at their longest. Once a prompt was given up after
    `RETRIES`, others are asked once only until one is answered: a server that is away is not waited
    for again with every head.

    Args:
        path: the file; made if need be, gone on from if it exists.
        pause: waits before asking again; by default until `stop`.

    Raises:
        UsageError: a limit in money, and a client whose prices are not known.
        RunError: the file is damaged.
    """

    def __init__(
        self,
        client: Client,
        path: Path,
        limit: Spending = Spending(),
        pause: Callable[[float], object] | None = None,
    ) -> None:
        limit.check(client)
        self._client, self._path, self._limit = client, path, limit
        self._lock, self._stopped = threading.Lock(), threading.Event()
        self._pause = pause or self._stopped.wait
        self._away = False
        self._reserved_usd, self._reserved_tokens = 0.0, 0
        self.spent = Spent()
        self._known: dict[str, Reply] = {}
        if path.is_file():
            for record in read_exchanges(path):
                reply = Reply(
                    record["reply"], record["input_tokens"], record["output_tokens"], record["usd"]
                )
                self._known[prompt_key(record["prompt"])] = reply
                self._count(reply)
            _cut_torn_line(path)

    def ask(self, prompt: str) -> Reply:
        """Answer a prompt from the file, else from the client.

        Raises:
            BudgetReachedError: it could cost more than is left.
            RunError: no answer, also after asking again.
        """
        with self._lock:
            known = self._known.get(prompt_key(prompt))
            if known is not None:
                self.spent.repeated += 1
                return known
            usd, tokens = self._most(prompt)
            self._check(usd, tokens)
            self._reserved_usd += usd
            self._reserved_tokens += tokens
        reply = None
        try:
            reply = self._patiently(prompt)
        finally:
            with self._lock:
                self._reserved_usd -= usd
                self._reserved_tokens -= tokens
                if reply is not None:
                    self._store(prompt, reply)
                    self._known[prompt_key(prompt)] = reply
                    self._count(reply)
        return reply

    def stop(self) -> None:
        """End all waits: the run is being interrupted."""
        self._stopped.set()
        self._client.stop()

    def _most(self, prompt: str) -> tuple[float, int]:
        """The most that a call can cost: dollars, tokens."""
        asked, answered = count_tokens(prompt), self._client.max_output_tokens
        return (self._client.price or FREE).of(asked, answered), asked + answered

    def _check(self, usd: float, tokens: int) -> None:
        left = self._limit
        if left.usd is not None and self.spent.usd + self._reserved_usd + usd > left.usd:
            raise BudgetReachedError(
                f"the next call could cost {usd:.4f} USD; {self.spent.usd:.4f} of "
                f"{left.usd:.4f} USD are spent"
            )
        if (
            left.tokens is not None
            and self.spent.tokens + self._reserved_tokens + tokens > left.tokens
        ):
            raise BudgetReachedError(
                f"the next call could take {tokens} tokens; {self.spent.tokens} of {left.tokens} "
                "are spent"
            )

    def _patiently(self, prompt: str) -> Reply:
        """Ask, and ask again after failures that may pass, with growing pauses."""
        pause, tries = FIRST_PAUSE, 1 if self._away else RETRIES + 1
        for left in reversed(range(tries)):
            if self._stopped.is_set():
                raise RunError("interrupted before there was an answer")
            try:
                reply = self._client.ask(prompt)
                self._away = False
                return reply
            except TransientError as error:
                with self._lock:
                    self.spent.rate_limits += error.kind == "rate_limit"
                    self.spent.server_errors += error.kind != "rate_limit"
                if not left:
                    self._away = True
                    many = "1 call" if tries == 1 else f"{tries} calls"
                    raise RunError(f"gave up after {many}: {error}") from error
                asked = error.wait if error.wait is not None else pause
                self._pause(min(max(asked, 0.0), LONGEST_PAUSE))
                pause = min(pause * 2, LONGEST_PAUSE)
        raise AssertionError  # the last turn returns or raises

    def _count(self, reply: Reply) -> None:
        self.spent.usd += reply.usd
        self.spent.tokens += reply.input_tokens + reply.output_tokens
        self.spent.calls += 1

    def _store(self, prompt: str, reply: Reply) -> None:
        record = {
            "client": self._client.name,
            "prompt": prompt,
            "reply": reply.text,
            "input_tokens": reply.input_tokens,
            "output_tokens": reply.output_tokens,
            "usd": reply.usd,
        }
        line = json.dumps(record).encode() + b"\n"
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(line)
                os.fsync(file.fileno())
        except OSError as error:
            raise RunError(f"cannot write {self._path}: {error.strerror or error}") from error


def _cut_torn_line(path: Path) -> None:
    """Remove what a kill left of a last line."""
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        with path.open("r+b") as file:
            file.truncate(whole)
