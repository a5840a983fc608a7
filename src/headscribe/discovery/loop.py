"""The loop of one head: propose, check, run, score, feed back; accept on `select`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float

from headscribe.core.errors import RunError
from headscribe.discovery.candidates import ProposedProgram, candidate
from headscribe.discovery.code import Candidate, FailedError, InvalidError
from headscribe.discovery.feedback import example_agreement, scored_feedback
from headscribe.discovery.outcomes import Attempt, Outcome, Status
from headscribe.discovery.prompting import Attempt as Said
from headscribe.discovery.proposals import ParseFailure
from headscribe.discovery.proposers import Answer, Proposer
from headscribe.discovery.study import HeadTask
from headscribe.fitting.statistics import mean_interval, one_sided
from headscribe.sandbox import Runner
from headscribe.text.splits import SPLITS, Split

LEVEL = 0.05
"""Chance that a head without any better program has one accepted, over all its rounds."""


@dataclass
class _Round:
    """What is passed on from round to round."""

    said: list[Said] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)


def examine(study: HeadTask, proposer: Proposer, runner: Runner | None, rounds: int) -> Outcome:
    """Ask for programs of one head until one is accepted or the rounds are over.

    A proposal that is better on `fit` is tested once on `select`: it has to beat the formula, the
    best pattern of the catalogue and that of the library, each by a paired one-sided t-test
    clustered by group, at the level 0.05 divided by the number of rounds (Bonferroni). The proposer
    never learns a number of `select`. What is accepted is then scored on `test`, once.

    Args:
        study: the head.
        proposer: asked for code.
        runner: runs programs; None: relations only.
        rounds: at most so many proposals.
    """
    passed, accepted = _Round(), None
    status: Status = "rejected"
    reason = ""
    for number in range(1, rounds + 1):
        try:
            answer = proposer.propose(
                study, passed.said, python=runner is not None, rounds_left=rounds - number
            )
        except RunError as error:
            status, reason = "stopped", str(error)
            break
        if answer is None:
            break
        accepted = _try(study, answer, runner, number, LEVEL / rounds, passed)
        if accepted is not None:
            status = "accepted"
            break
    if status == "rejected":
        reason = rejection(passed.attempts, LEVEL / rounds)
    outcome = Outcome(
        str(study.head),
        status,
        reason,
        str(study.formula),
        dict(study.chosen),
        tuple(passed.attempts),
        scores=_scores(study),
    )
    return outcome if accepted is None else _reported(study, accepted, outcome)


def rejection(attempts: Sequence[Attempt], level: float) -> str:
    """Why nothing was accepted, with the numbers of the proposal that came nearest.

    Args:
        attempts: all proposals of the head.
        level: the p-value below which one would have been accepted.
    """
    several = f"{len(attempts)} proposal{'s' * (len(attempts) != 1)}"
    tested = [one for one in attempts if one.select_p is not None]
    scored = [one for one in attempts if one.fit_gain is not None]
    if tested:
        best = min(tested, key=lambda one: one.select_p or 0.0)
        return (
            f"{several}, none surely better: at best {best.fit_gain:+.3f} IoU over the formula on "
            f"fit, p {best.select_p:.2g} on select (below {level:.2g} was asked)"
        )
    if scored:
        best = max(scored, key=lambda one: one.fit_gain or 0.0)
        return f"{several}, none better on fit: at best {best.fit_gain:+.3f} IoU over the formula"
    if attempts:
        fates = Counter(f"{one.fate} ({one.kind})" for one in attempts)
        why = ", ".join(f"{count} {fate}" for fate, count in sorted(fates.items()))
        return f"{several}, none could be scored: {why}"
    return "nothing to propose: 0 proposals"


def _try(
    study: HeadTask,
    answer: Answer,
    runner: Runner | None,
    number: int,
    level: float,
    passed: _Round,
) -> Candidate | None:
    """Take one answer through check, run and test; the program if it is accepted."""
    proposal = answer.proposal
    if isinstance(proposal, ParseFailure):
        passed.attempts.append(
            Attempt(number, answer.source, "invalid", proposal.kind, proposal.message)
        )
        passed.said.append(Said(answer.said, f"Your answer could not be read: {proposal}"))
        return None
    attempt = Attempt(
        number,
        answer.source,
        "failed",
        "",
        "",
        proposal=proposal.model_dump(mode="json"),
    )
    try:
        made = candidate(study, proposal.code, runner)
        iou = made.iou("fit")
    except InvalidError as error:
        attempt = replace(attempt, fate="invalid", kind=error.kind, message=str(error))
    except FailedError as error:
        attempt = replace(attempt, kind=error.failure.kind, message=str(error))
    else:
        return _judged(study, made, iou, attempt, answer, level, passed)
    passed.attempts.append(attempt)
    passed.said.append(Said(answer.said, f"Your code was not scored: {attempt.message}"))
    return None


def _judged(
    study: HeadTask,
    made: Candidate,
    iou: Float[np.ndarray, " n"],
    attempt: Attempt,
    answer: Answer,
    level: float,
    passed: _Round,
) -> Candidate | None:
    """Test a candidate that was scored on `fit`; the program if it is accepted."""
    gain = float(iou.mean()) - study.mean(study.rivals["formula"], "fit")
    agreement = None
    if not isinstance(answer.proposal, ParseFailure):
        agreement = example_agreement(study, made, answer.proposal.example)
    attempt = replace(
        attempt,
        notes=made.notes,
        fit_iou=float(iou.mean()),
        fit_gain=gain,
        example_agreement=agreement,
    )
    if gain <= 0:
        said = "Not better than the formula on the shown texts."
        attempt = replace(attempt, fate="rejected", kind="fit", message=said)
    else:
        attempt = _tested(study, made, attempt, level)
    passed.attempts.append(attempt)
    if attempt.fate == "accepted":
        return made
    feedback = scored_feedback(study, made, iou, agreement)
    passed.said.append(Said(answer.said, f"{attempt.message}\n{feedback}"))
    return None


def _tested(study: HeadTask, made: Candidate, attempt: Attempt, level: float) -> Attempt:
    try:
        p = select_p(study, made)
    except FailedError as error:
        # Not its message: a program could carry the unseen text in it.
        said = f"It failed ({error.failure.kind}) on a text that you did not see."
        return replace(attempt, fate="failed", kind=error.failure.kind, message=said)
    if p < level:
        return replace(attempt, fate="accepted", select_p=p)
    said = "Better on the shown texts, but not surely so on others."
    return replace(attempt, fate="rejected", kind="select", message=said, select_p=p)


def select_p(study: HeadTask, made: Candidate) -> float:
    """The largest p-value of "not better than this rival" on `select`.

    All must be beaten, so that the largest decides without a correction (an intersection-union
    test, Berger 1982).

    Raises:
        FailedError: the program gave no matrix for a text.
    """
    texts = list(study.material.texts("select"))
    group = np.unique(study.material.group[texts], return_inverse=True)[1]
    own = made.iou("select")
    return max(float(one_sided(own - rival[texts], group, 0.0)) for rival in study.rivals.values())


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
