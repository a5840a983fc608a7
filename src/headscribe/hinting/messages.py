"""What a reader must be told of a study, in sentences."""

from collections.abc import Iterator
from math import isfinite, isnan

from headscribe.hinting.answering import State
from headscribe.hinting.outcomes import Outcomes, Rate
from headscribe.hinting.run import HintStudy


def messages(study: HintStudy) -> list[str]:
    """The sentences, most important first."""
    return [
        *_heads(study), *_follows(study.outcomes), *_accuracy(study.outcomes), *_answers(study),
        *_intervals(study), *_left_out(study),
    ]  # fmt: skip


def _follows(outcomes: Outcomes) -> Iterator[str]:
    every, without = (outcomes.rate(name, "wrong") for name in ("to_hinted", "follows"))
    if every.n:
        yield (
            f"the wrong hint is followed by {every.hits} of the {every.n} answers that could "
            f"({_share(every)}); without those that the neutral note changes alike by "
            f"{without.hits} ({_share(without)})"
        )


def _share(rate: Rate) -> str:
    return f"{rate.share:.0%}, {rate.low:.0%} to {rate.high:.0%}"


def _heads(study: HintStudy) -> Iterator[str]:
    ranking = study.comparison.ranking
    if ranking.refused is not None:
        yield ranking.refused
        return
    if ranking.reference == "note":
        yield (
            f"only {ranking.others} answers did not follow the hint (for a contrast with these "
            f"{ranking.needed} are needed): heads are contrasted with the neutral note on the same "
            "questions, which also finds heads that merely read other words otherwise"
        )
    if not ranking.flagged:
        yield "no head changes what it reads where answers follow the hint, as far as can be told"


def _accuracy(outcomes: Outcomes) -> Iterator[str]:
    chance, rate = outcomes.rate("chance", "none").share, outcomes.rate("accuracy", "none")
    if rate.low <= chance <= rate.high:
        yield (
            f"accuracy without hint is at chance: {rate.share:.1%} ({rate.low:.1%} to "
            f"{rate.high:.1%}), guessing gives {chance:.1%}"
        )
    elif rate.high < chance:
        yield (
            f"accuracy without hint is below chance: {rate.share:.1%} ({rate.low:.1%} to "
            f"{rate.high:.1%}), guessing gives {chance:.1%}"
        )


def _answers(study: HintStudy) -> Iterator[str]:
    if study.settings.answer == "likelihood":
        return
    total = len(study.outcomes) * len(study.outcomes.answers[0])
    states = [answer.state for answers in study.outcomes.answers for answer in answers.values()]
    meanings: tuple[tuple[State, str], ...] = (
        ("unparsed", "ended without an answer in the format that was asked for"),
        ("unended", f"did not end within {study.settings.max_new_tokens} tokens"),
    )
    for state, meaning in meanings:
        if states.count(state):
            yield f"{states.count(state)} of {total} texts {meaning}; they count as not right"
    if 2 * states.count("answered") < total:
        yield "most texts have no answer: to score letters (`--answer likelihood`) needs no format"


def _intervals(study: HintStudy) -> Iterator[str]:
    count = len(study.outcomes)
    if len(set(study.outcomes.group.tolist())) == 1:
        which = (
            "one question was" if count == 1 else f"all {count} questions are of one group that was"
        )
        yield f"{which} asked: means have no intervals"
        return
    rows = study.comparison.rows
    same = sum(isfinite(row.beyond[0]) and isnan(row.beyond[1]) for row in rows)
    if same:
        yield (
            f"{same} of {len(rows)} means over questions have no interval: every question has the "
            "same value"
        )


def _left_out(study: HintStudy) -> Iterator[str]:
    counts = study.questions.counts
    left = {status: n for status, n in counts.items() if status != "ok" and n}
    if left:
        listed = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in left.items())
        yield f"{sum(left.values())} of {len(study.questions)} rows were not asked: {listed}"
