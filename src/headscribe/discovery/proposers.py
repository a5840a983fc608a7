"""Proposers: what is asked for a program of a head, a language model or a search."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from headscribe.core.files import lines_of
from headscribe.discovery.clients import prompt_key
from headscribe.discovery.evidence import TOKENS, evidence
from headscribe.discovery.ledger import Ledger
from headscribe.discovery.neutral import neutral
from headscribe.discovery.prompting import VERSION, Attempt, proposal_prompt
from headscribe.discovery.proposals import ParseFailure, Proposal, parse_proposal
from headscribe.discovery.study import HeadTask

LONGEST_QUOTE = 600
"""Characters of an earlier reply that a prompt repeats."""


@dataclass(frozen=True)
class Answer:
    """What a proposer said in one round.

    Attributes:
        said: the reply, as later rounds repeat it.
        proposal: the proposal, or why there is none.
        source: where it came from: the prompt's version and the exchange's key, or a search.
    """

    said: str
    proposal: Proposal | ParseFailure
    source: str


@runtime_checkable
class Proposer(Protocol):
    """Proposes code for a head, round by round; reads nothing but the `fit` split."""

    @property
    def name(self) -> str: ...  # noqa: D102

    def propose(
        self, study: HeadTask, attempts: Sequence[Attempt], *, python: bool, rounds_left: int
    ) -> Answer | None:
        """Propose code, given what came of earlier answers; None: there is no more to propose.

        Raises:
            BudgetReachedError: the next call could cost more than is left.
            RunError: no answer.
        """
        ...


class LanguageModel:
    """Asks a language model through a ledger."""

    def __init__(self, ledger: Ledger, name: str, tokens: int = TOKENS) -> None:
        self._ledger, self.name, self._tokens = ledger, name, tokens

    def propose(
        self, study: HeadTask, attempts: Sequence[Attempt], *, python: bool, rounds_left: int
    ) -> Answer | None:
        """Show the evidence and what was tried; read the answer."""
        prompt = proposal_prompt(
            evidence(study, self._tokens), attempts, python=python, rounds_left=rounds_left
        )
        reply = self._ledger.ask(prompt)
        proposal = parse_proposal(reply.text)
        said = neutral_lines(reply.text) if isinstance(proposal, ParseFailure) else brief(proposal)
        return Answer(said, proposal, f"{VERSION}:{prompt_key(prompt)}")


def brief(proposal: Proposal) -> str:
    """What a later prompt repeats of a proposal: the chosen hypothesis and the code."""
    code = proposal.code
    lines = [neutral(proposal.hypotheses[proposal.chosen].statement, 200)]
    lines += [f"class {c.name}: {len(c.words)} words, {neutral(c.rule, 80)}" for c in code.classes]
    lines += [neutral(relation, 200) for relation in code.relations]
    return neutral_lines("\n".join([*lines, code.program]).rstrip())


def neutral_lines(text: str) -> str:
    """A reply as a later prompt repeats it: line by line visible, cut at `LONGEST_QUOTE`."""
    cut = text[:LONGEST_QUOTE]
    more = "\n(cut)" if len(text) > LONGEST_QUOTE else ""
    return "\n".join(neutral(line, LONGEST_QUOTE) for line in lines_of(cut)) + more
