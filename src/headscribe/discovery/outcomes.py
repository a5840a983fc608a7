"""What came of each head, attempt by attempt, and one table that counts everything."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from headscribe.core.errors import RunError
from headscribe.core.files import write_whole
from headscribe.core.heads import HeadId
from headscribe.discovery.ledger import Spent

Fate = Literal["invalid", "failed", "rejected", "accepted"]
"""`invalid`: never tried; `failed`: gave no matrix; `rejected`: tried and not better."""

Status = Literal["accepted", "rejected", "stopped"]
"""`stopped`: the budget was reached or nobody answered; a resumed run goes on with such heads."""


@dataclass(frozen=True)
class Attempt:
    """One proposal and what came of it.

    Attributes:
        round: from 1.
        source: the prompt's version and the exchange's key, or the search.
        fate: what came of it.
        kind: why: the kind of a parse failure, of invalid code or of a sandbox's failure;
            `fit` or `select` for where it was not better; "" if accepted.
        message: the same in words.
        proposal: the whole proposal, its three hypotheses and its example included; None where the
            answer held none.
        notes: what was left out of it.
        fit_iou: mean IoU on `fit`; None where it was not scored.
        fit_gain: the same minus the formula's.
        select_p: the largest p-value over the rivals on `select`; None where not tested.
        select_level: what it had to be below at the look that decided.
        select_gain: the mean gain over the formula there, and `select_texts` of how many texts.
        detectable: the gain that so many texts find 80 % of the time.
        example_agreement: of the example matrix with what the code returns.
    """

    round: int
    source: str
    fate: Fate
    kind: str
    message: str
    proposal: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    fit_iou: float | None = None
    fit_gain: float | None = None
    select_p: float | None = None
    select_level: float | None = None
    select_gain: float | None = None
    select_texts: int | None = None
    detectable: float | None = None
    example_agreement: float | None = None

    @property
    def statement(self) -> str:
        """The chosen hypothesis; "" where there is none."""
        if self.proposal is None:
            return ""
        said: str = self.proposal["hypotheses"][self.proposal["chosen"]]["statement"]
        return said

    @property
    def code(self) -> dict[str, Any] | None:
        """The code as proposed."""
        return None if self.proposal is None else self.proposal["code"]


@dataclass(frozen=True)
class Outcome:
    """What came of one head.

    Attributes:
        head: the head, `7.10`.
        status: whether a program was accepted.
        reason: why not; "" if one was.
        formula: the head's formula before, as printed.
        rivals: the best pattern of the catalogue and of the library, by name.
        attempts: every proposal.
        program: what was accepted.
        looks_ahead: a row of it may depend on later tokens.
        scores: mean IoU by split and by what was scored (`formula`, `catalogue`, `library`,
            `program`); the program's only if it was accepted.
        gains: gain of the program over each rival on `test`: mean, low, high.
        failed_test_texts: texts of `test` on which the program failed, counted as uniform.
        matters: the smallest gain that matters; None in records before there was one.
    """

    head: str
    status: Status
    reason: str
    formula: str
    rivals: dict[str, str]
    attempts: tuple[Attempt, ...] = ()
    program: dict[str, Any] | None = None
    looks_ahead: bool = False
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    gains: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    failed_test_texts: int = 0
    matters: float | None = None

    @property
    def confirmed(self) -> bool:
        """Whether a program was accepted and its gains on `test` have intervals above 0."""
        return self.program is not None and all(low > 0 for _, low, _ in self.gains.values())

    @property
    def head_id(self) -> HeadId:
        """The head."""
        return HeadId.parse(self.head)

    def to_json(self) -> dict[str, Any]:
        """Everything that is known."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Outcome":
        """Read what `to_json` gave.

        Raises:
            RunError: a field is missing or unknown.
        """
        try:
            attempts = tuple(
                Attempt(**one | {"notes": tuple(one["notes"])}) for one in stored["attempts"]
            )
            for attempt in attempts:
                attempt.statement, attempt.code  # noqa: B018  (a damaged proposal is found here)
            gains = {name: tuple(value) for name, value in stored["gains"].items()}
            return cls(**stored | {"attempts": attempts, "gains": gains})
        except (TypeError, KeyError, IndexError, AttributeError) as error:
            raise RunError(f"expected the outcome of a head, got {error}") from error


def read_outcome(path: Path) -> Outcome | None:
    """The outcome of a head that was finished before, None if it was not.

    Raises:
        RunError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        return Outcome.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, RunError) as error:
        raise RunError(f"{path} is damaged ({error}): remove it and resume") from error


def keep_outcome(path: Path, outcome: Outcome) -> None:
    """Write the outcome of a head as a whole."""
    write_whole(path, json.dumps(outcome.to_json()))


@dataclass(frozen=True)
class Tally:
    """One table that counts everything.

    Attributes:
        heads: examined; `stopped`: of these left unfinished.
        proposals: answers; each is one of the following.
        invalid, failed, rejected: by kind.
        accepted: programs.
        calls, repeated: exchanges made, and answered from what was stored.
        tokens, usd: what the exchanges cost.
        rate_limits, server_errors: failures that passed.
    """

    heads: int
    stopped: int
    proposals: int
    invalid: dict[str, int]
    failed: dict[str, int]
    rejected: dict[str, int]
    accepted: int
    calls: int
    repeated: int
    tokens: int
    usd: float
    rate_limits: int
    server_errors: int

    @classmethod
    def of(cls, outcomes: Iterable[Outcome], spent: Spent) -> "Tally":
        """Count."""
        listed = list(outcomes)
        counts: dict[str, Counter[str]] = {fate: Counter() for fate in get_args(Fate)}
        for outcome in listed:
            for attempt in outcome.attempts:
                counts[attempt.fate][attempt.kind] += 1
        return cls(
            heads=len(listed),
            stopped=sum(one.status == "stopped" for one in listed),
            proposals=sum(len(one.attempts) for one in listed),
            invalid=dict(sorted(counts["invalid"].items())),
            failed=dict(sorted(counts["failed"].items())),
            rejected=dict(sorted(counts["rejected"].items())),
            accepted=counts["accepted"].total(),
            **asdict(spent) | {"usd": round(spent.usd, 6)},
        )

    def __str__(self) -> str:
        """The table as a person reads it."""
        lines = [f"heads          {self.heads} ({self.stopped} unfinished)"]
        lines.append(f"proposals      {self.proposals}")
        for name in ("invalid", "failed", "rejected"):
            kinds: dict[str, int] = getattr(self, name)
            detail = ", ".join(f"{kind} {count}" for kind, count in kinds.items())
            lines.append(f"  {name:<12} {sum(kinds.values())}" + (f" ({detail})" if detail else ""))
        lines.append(f"  {'accepted':<12} {self.accepted}")
        lines.append(
            f"exchanges      {self.calls} ({self.repeated} answered from the file, "
            f"{self.rate_limits} rate limits, {self.server_errors} server errors)"
        )
        lines.append(f"cost           {self.tokens} tokens, {self.usd:.4f} USD")
        return "\n".join(lines)
