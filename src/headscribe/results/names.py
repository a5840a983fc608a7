"""The names of the same heads on two corpora: which of them hold."""

from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

from headscribe.core.errors import UsageError
from headscribe.results.run import Run

Holds = Literal["same name", "does it too", "not there"]
"""How a head's name on one corpus fares on another: it is the name there as well; its behaviour is
confirmed there beside another name; neither."""


@dataclass(frozen=True)
class Pair:
    """A head that has a name on the first corpus.

    Attributes:
        head: which.
        first, second: its names; `second` is empty where it has none.
        family, second_family: of the names.
        holds: how the first name fares on the second corpus.
    """

    head: str
    first: str
    second: str
    family: str
    second_family: str
    holds: Holds


@dataclass(frozen=True)
class Names:
    """What two runs call the same heads.

    Attributes:
        runs: names of the runs' folders; `models`: of what they are of.
        heads: heads of both.
        pairs: those with a name in the first run, in order.
        new: heads with a name in the second run alone.
    """

    runs: tuple[str, str]
    models: tuple[str, str]
    heads: int
    pairs: tuple[Pair, ...]
    new: int

    @cached_property
    def counts(self) -> Counter[Holds]:
        """Heads by how their names fare."""
        return Counter(pair.holds for pair in self.pairs)

    @property
    def families(self) -> dict[str, Counter[Holds]]:
        """The same by family, the largest first."""
        sizes = Counter(pair.family for pair in self.pairs)
        return {
            family: Counter(pair.holds for pair in self.pairs if pair.family == family)
            for family, _ in sizes.most_common()
        }

    @property
    def sentence(self) -> str:
        """The finding in words."""
        first, second = self.runs
        if not self.pairs:
            return f"No head has a name in {first}."
        total = len(self.pairs)
        same, too, lost = (self.counts[how] for how in get_args(Holds))

        def share(count: int) -> str:
            return f"({count / total:.0%})".replace("%", " %")

        kin = sum(
            pair.family == pair.second_family for pair in self.pairs if pair.holds == "not there"
        )
        one, other = self.models
        of_two = (
            ""
            if one == other
            else (f"{first} is of {one}, {second} of {other}: these are different heads. ")
        )
        return of_two + (
            f"{same} of {total} heads named in {first} keep their name in {second} {share(same)}. "
            f"{too} {share(too)} do the same there under another name, {lost} {share(lost)} do "
            f"not; of these {kin} have another name of the same family. Named in {second} alone: "
            f"{self.new}."
        )

    def to_json(self) -> dict[str, Any]:
        """What `diff --json` says of names."""
        return {
            "sentence": self.sentence,
            "heads": self.heads,
            **{how.replace(" ", "_"): count for how, count in self.counts.items()},
            "new": self.new,
            "pairs": [asdict(pair) for pair in self.pairs],
        }


def names_of(first: Run, second: Run) -> Names | None:
    """Compare the names of two runs; None where one of them says none.

    Raises:
        UsageError: the runs have no head in common.
        RunError: a table is damaged.
    """
    runs = first, second
    if not all("named" in run.manifest and "cards" in run.manifest["tables"] for run in runs):
        return None
    mine, theirs = (_cards(run) for run in runs)
    both = [head for head in mine if head in theirs]
    if not both:
        raise UsageError(f"{first.folder} and {second.folder} have no head in common")
    there = _listed(second)
    pairs = tuple(
        Pair(
            f"{head[0]}.{head[1]}", mine[head][0], theirs[head][0] if theirs[head][1] else "",
            mine[head][1], theirs[head][1],
            _holds(mine[head][0], theirs[head], there.get(head, set())),
        )
        for head in both
        if mine[head][1]
    )  # fmt: skip
    new = sum(bool(theirs[head][1]) and not mine[head][1] for head in both)
    models = [str(run.manifest["model"]["name"]) for run in runs]
    return Names(
        (first.folder.name, second.folder.name), (models[0], models[1]), len(both), pairs, new
    )


_FIGURES = ("behaviour", "rows", "confirmed_share", "confirmed_excess", "confirmed_low",
            "confirmed_high")  # fmt: skip


def heads_of_behaviours(run: Run, k: int) -> dict[str, list[dict[str, Any]]]:
    """The `k` heads with the largest excess of every behaviour that cards list, clearest first.

    Empty where the run says of no head what it does. Figures are those of the second half.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    rows = run.table("behaviours").to_pylist() if "behaviours" in run.manifest["tables"] else []
    for row in sorted(rows, key=lambda row: -row["confirmed_excess"]):
        if row["listed"]:
            figures = {name.removeprefix("confirmed_"): row[name] for name in _FIGURES}
            head = f"{row['layer']}.{row['head']}"
            found.setdefault(row["behaviour"], []).append({"head": head} | figures)
    return {name: heads[:k] for name, heads in found.items()}


def _holds(name: str, there: tuple[str, str], listed: set[str]) -> Holds:
    if name == there[0]:
        return "same name"
    return "does it too" if name in listed else "not there"


_Head = tuple[int, int]


def _cards(run: Run) -> dict[_Head, tuple[str, str]]:
    """Name and family of each head; an empty family: it has no name."""
    return {
        (row["layer"], row["head"]): (row["name"], row["family"])
        for row in run.table("cards").to_pylist()
    }


def _listed(run: Run) -> dict[_Head, set[str]]:
    """The behaviours of each head that are listed on its card."""
    found: dict[_Head, set[str]] = {}
    if "behaviours" in run.manifest["tables"]:
        for row in run.table("behaviours").to_pylist():
            if row["listed"]:
                found.setdefault((row["layer"], row["head"]), set()).add(row["behaviour"])
    return found
