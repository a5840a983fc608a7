"""The loop of one head: propose, check, run, score, feed back; accept on `select`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from headscribe.core.errors import RunError
from headscribe.discovery.acceptance import Plan, decided
from headscribe.discovery.candidates import Candidate, ProposedProgram, candidate
from headscribe.discovery.code import FailedError, InvalidError
from headscribe.discovery.feedback import example_agreement, scored_feedback
from headscribe.discovery.outcomes import Attempt, Outcome, Status
from headscribe.discovery.prompting import Attempt as Said
from headscribe.discovery.proposals import ParseFailure
from headscribe.discovery.proposers import Answer, Proposer
from headscribe.discovery.reserve import Reserve
from headscribe.discovery.study import HeadTask
from headscribe.fitting.statistics import mean_interval
from headscribe.sandbox import Runner
from headscribe.text.splits import SPLITS, Split

CLASS_PENALTY = 0.002
"""What a word class has to gain on `fit` beyond what matters: its words were chosen there."""


def examine(
    study: HeadTask,
    proposer: Proposer,
    runner: Runner | None,
    rounds: int,
    plan: Plan | None = None,
    reserve: Reserve | None = None,
) -> Outcome:
    """Ask for programs of one head until one is accepted or the rounds are over.

    A proposal that is better on `fit` by as much as matters is tested on `select`, see
    `acceptance`: it has to beat the formula, the best pattern of the catalogue and that of the
    library. The proposer never learns a number of `select`. What is accepted is then scored on
    `test`, once.

    Args:
        runner: runs programs; None: relations only.
        plan: how the tests share the error budget; by default as if there were no other head.
        reserve: further texts for the test.
    """
    plan = plan or Plan(rounds)
    attempts: list[Attempt] = []
    said: list[Said] = []
    accepted = None
    status: Status = "rejected"
    reason = ""
    for number in range(1, rounds + 1):
        try:
            answer = proposer.propose(
                study, said, python=runner is not None, rounds_left=rounds - number
            )
        except RunError as error:
            status, reason = "stopped", str(error)
            break
        if answer is None:
            break
        attempt, feedback, made = _tried(study, answer, runner, number, plan, reserve)
        attempts.append(attempt)
        if attempt.fate == "accepted":
            status, accepted = "accepted", made
            break
        said.append(Said(answer.said, feedback))
    if status == "rejected":
        reason = rejection(attempts, plan.matters(study))
    outcome = Outcome(
        str(study.head),
        status,
        reason,
        str(study.formula),
        dict(study.chosen),
        tuple(attempts),
        scores=_scores(study),
        matters=plan.matters(study),
    )
    return outcome if accepted is None else _reported(study, accepted, outcome)


def rejection(attempts: Sequence[Attempt], matters: float) -> str:
    """Why nothing was accepted, with the numbers of the proposal that came nearest."""
    several = f"{len(attempts)} proposal{'s' * (len(attempts) != 1)}"
    tested = [attempt for attempt in attempts if attempt.select_p is not None]
    scored = [attempt for attempt in attempts if attempt.fit_gain is not None]
    if tested:
        best = min(tested, key=lambda attempt: attempt.select_p or 0.0)
        return (
            f"{several}, none surely better: at best {best.fit_gain:+.3f} IoU over the formula on "
            f"fit, {best.select_gain:+.3f} on select ({best.select_texts} texts; asked: "
            f"{matters:+.3g}, and p {best.select_p:.2g} below {best.select_level:.2g}); so many "
            f"texts would have found {best.detectable:+.3f} four times in five"
        )
    if scored:
        best = max(scored, key=lambda attempt: attempt.fit_gain or 0.0)
        return (
            f"{several}, none better on fit by the {matters:.3g} that matters: at best "
            f"{best.fit_gain:+.3f} IoU over the formula"
        )
    if attempts:
        fates = Counter(f"{attempt.fate} ({attempt.kind})" for attempt in attempts)
        why = ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items()))
        return f"{several}, none could be scored: {why}"
    return "nothing to propose: 0 proposals"


def _tried(
    study: HeadTask,
    answer: Answer,
    runner: Runner | None,
    number: int,
    plan: Plan,
    reserve: Reserve | None,
) -> tuple[Attempt, str, Candidate | None]:
    """Take one answer through check, run and test: what came of it, feedback, its program."""
    proposal = answer.proposal
    if isinstance(proposal, ParseFailure):
        attempt = Attempt(number, answer.source, "invalid", proposal.kind, proposal.message)
        return attempt, f"Your answer could not be read: {proposal}", None
    written = proposal.model_dump(mode="json")
    attempt = Attempt(number, answer.source, "failed", "", "", proposal=written)
    try:
        made = candidate(study, proposal.code, runner)
        iou = made.iou("fit")
    except InvalidError as error:
        attempt = replace(attempt, fate="invalid", kind=error.kind, message=str(error))
        return attempt, f"Your code was not scored: {error}", None
    except FailedError as error:
        attempt = replace(attempt, kind=error.failure.kind, message=str(error))
        return attempt, f"Your code was not scored: {error}", None
    gain = float(iou.mean()) - study.mean(study.rivals["formula"], "fit")
    penalty = CLASS_PENALTY * len(proposal.code.classes)
    agreement = example_agreement(study, made, proposal.example)
    attempt = replace(
        attempt,
        notes=made.notes,
        fit_iou=float(iou.mean()),
        fit_gain=gain,
        example_agreement=agreement,
    )
    if gain <= 0 or gain - penalty < plan.matters(study):
        told = "Not better than the formula on the shown texts by as much as matters."
        attempt = replace(attempt, fate="rejected", kind="fit", message=told)
    else:
        attempt = _tested(study, made, attempt, plan, reserve)
    if attempt.fate == "accepted":
        return attempt, "", made
    return attempt, f"{attempt.message}\n{scored_feedback(study, made, iou, agreement)}", made


def _tested(
    study: HeadTask, made: Candidate, attempt: Attempt, plan: Plan, reserve: Reserve | None
) -> Attempt:
    try:
        verdict = decided(study, made, plan, reserve)
    except FailedError as error:
        # Not its message: a program could carry the unseen text in it.
        said = f"It failed ({error.failure.kind}) on a text that you did not see."
        return replace(attempt, fate="failed", kind=error.failure.kind, message=said)
    attempt = replace(
        attempt,
        select_p=verdict.p,
        select_level=verdict.level,
        select_gain=verdict.gain,
        select_texts=verdict.texts,
        detectable=verdict.detectable,
    )
    if verdict.better:
        return replace(attempt, fate="accepted")
    said = "Better on the shown texts, but not surely so on others."
    return replace(attempt, fate="rejected", kind="select", message=said)


def _scores(study: HeadTask) -> dict[str, dict[str, float]]:
    return {
        split: {name: study.mean(iou, split) for name, iou in study.rivals.items()}
        for split in SPLITS
    }


def _reported(study: HeadTask, made: Candidate, outcome: Outcome) -> Outcome:
    """Score an accepted program on `test`; texts on which it fails count as uniform."""
    if isinstance(made, ProposedProgram):
        made.forgiving = True
    own: dict[Split, Float[np.ndarray, " n"]] = {split: made.iou(split) for split in SPLITS}
    texts = list(study.material.texts("test"))
    group = np.unique(study.material.group[texts], return_inverse=True)[1]
    gains = {}
    for name, rival in study.rivals.items():
        mean, low, high = mean_interval(own["test"] - rival[texts], group)
        gains[name] = (float(mean), float(low), float(high))
    scores: dict[str, dict[str, float]] = {
        split: outcome.scores[split] | {"program": float(own[split].mean())} for split in SPLITS
    }
    return replace(
        outcome,
        program=made.to_json(),
        looks_ahead=made.looks_ahead,
        scores=scores,
        gains=gains,
        failed_test_texts=made.failed if isinstance(made, ProposedProgram) else 0,
    )
