"""How a run begins, or goes on: its settings, its directory, its heads, its texts."""

import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress
from headscribe.discovery.acceptance import SMALLEST
from headscribe.discovery.evidence import TOKENS
from headscribe.discovery.library import Library
from headscribe.discovery.material import Items, Material, gather
from headscribe.discovery.prompting import VERSION
from headscribe.discovery.study import HeadTask, study_heads
from headscribe.fitting.selection import Budget
from headscribe.results.run import Run
from headscribe.sandbox import Runner
from headscribe.text.splits import SPLITS


@dataclass(frozen=True)
class Settings:
    """What a run is asked to do; kept in `run.json`.

    Attributes:
        rounds: proposals a head, at most.
        terms: terms a formula may have.
        smallest: the smallest gain in IoU that matters.
        look_ahead: whether code may read tokens after the query in a causal model.
        evidence_tokens: what the evidence of a head may take.
        seed: deals groups to splits, chooses rows.
        workers: heads at a time; more than one where answers take long.
    """

    rounds: int = 3
    terms: int = 12
    smallest: float = SMALLEST
    look_ahead: bool = True
    evidence_tokens: int = TOKENS
    seed: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        for name in ("rounds", "terms", "workers"):
            if getattr(self, name) < 1:
                raise UsageError(f"expected at least 1 for {name}, got {getattr(self, name)}")
        if not 0 <= self.smallest < 1:
            raise UsageError(f"expected a smallest gain within 0 and 1, got {self.smallest:g}")


def opened(
    folder: str | Path,
    heads: Sequence[HeadId] | str,
    model: str,
    who: str,
    settings: Settings,
    library: Library,
    runner: Runner | None,
    config: dict[str, Any],
    about: dict[str, Any],
) -> tuple[Run, Library]:
    """Start a run, or go on with one of the same configuration; with the library it began with.

    Raises:
        UsageError: the folder holds another run; names what differs.
    """
    asked = asdict(settings)
    del asked["workers"]  # changes no result
    wanted = {
        "model": model,
        "heads": heads if isinstance(heads, str) else [str(head) for head in heads],
        "proposer": who,
        "prompt": VERSION,
        "python": runner is not None,
        **asked,
        **config,
    }
    if not (Path(folder) / "run.json").is_file():
        run = Run.create(folder, "discover", fingerprints=wanted, **{"config": {}} | about)
        library.write(run.folder / "known.jsonl")
    else:
        run = Run.open(folder)
        run.check_resumable("discover", {}, wanted)
        stored = run.folder / "known.jsonl"
        known = (
            Library.read(stored) if stored.is_file() else library
        )  # killed before it was written
        if not set(known.names) <= set(library.names):
            raise UsageError(f"{folder} holds a run with another library: give another --out")
        library = known
    (run.folder / "heads").mkdir(exist_ok=True)
    return run, library


def same_texts(run: Run, material: Material) -> None:
    """Note the texts in `run.json`, or compare them with those that stand there.

    Raises:
        UsageError: the run was started on other texts.
    """
    digest = blake2b(digest_size=16)
    for passage in material.passages:
        fields = (passage.text_id, passage.group, passage.text, passage.tokens)
        digest.update(repr(fields).encode("utf-8", "surrogatepass"))
    fingerprint = digest.hexdigest()
    if run.manifest.setdefault("texts", fingerprint) != fingerprint:
        raise UsageError(f"{run.folder} holds a run on other texts: give another --out")
    run.manifest["splits"] = {split: len(material.texts(split)) for split in SPLITS}
    run.save()


def gathered(
    items: Items,
    all_heads: Sequence[HeadId],
    heads: Sequence[HeadId] | str,
    run: Run,
    settings: Settings,
    budget: Budget,
    on_progress: OnProgress,
    *,
    model: str,
    pool: Sequence[str] | None,
    testing: Collection[str],
    **kept: Any,  # noqa: ANN401
) -> Material:
    """What is known of the heads to examine, which are worked out once and kept in `run.json`.

    `kept` is what else `gather` is told of what to keep.
    """
    read = partial(
        gather, items, all_heads, model=model, look_ahead=settings.look_ahead, pool=pool,
        seed=settings.seed, testing=testing,
    )  # fmt: skip
    if "examined" not in run.manifest:
        worst = parse_heads(heads) if isinstance(heads, str) else list(dict.fromkeys(heads))
        if isinstance(worst, int):
            on_progress("all formulas", 0, 1)
            worst = least_explained(study_heads(read(all_heads, whole=False), budget), worst)
            on_progress("all formulas", 1, 1)
        if not worst:
            raise UsageError("expected at least one head to examine, got none")
        run.manifest["examined"] = [str(head) for head in worst]
        run.save()
    return read([HeadId.parse(head) for head in run.manifest["examined"]], **kept)


_COMMA = re.compile(r",(?![^(]*\))")
"""Between heads, not within one such as (7, 10)."""


def parse_heads(asked: str) -> list[HeadId] | int:
    """Heads between commas, or the number of `worst:N`.

    Raises:
        UsageError: it is neither.
    """
    kind, colon, number = asked.partition(":")
    if not colon:
        return list(dict.fromkeys(HeadId.parse(part) for part in _COMMA.split(asked)))
    if kind != "worst" or not (number.isascii() and number.isdigit()) or not 0 < int(number) < 1e6:
        raise UsageError(f"expected heads such as 7.1,7.10, or worst:N, got {asked[:80]!r}")
    return int(number)


def least_explained(studies: Sequence[HeadTask], number: int) -> list[HeadId]:
    """The heads whose formulas have the lowest mean IoU on `fit`, worst first."""
    order = sorted(
        studies,
        key=lambda head_task: (head_task.mean(head_task.rivals["formula"], "fit"), head_task.head),
    )
    return [head_task.head for head_task in order[:number]]
