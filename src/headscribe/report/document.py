"""Everything that a page shows, as one JSON document: runs put together by the model they read."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from headscribe.core.errors import HeadscribeError, RunError
from headscribe.fitting.headline import over
from headscribe.report.packing import clean
from headscribe.report.parts import examples
from headscribe.report.reading import MAX_HEADS, facts
from headscribe.report.schema import check, writer
from headscribe.report.theme import THEMES
from headscribe.results.kinds import Kind, kinds
from headscribe.results.run import Run

FORMAT = 1
"""Version of the document; the script of the page reads this one."""


def document(runs: Sequence[Run]) -> dict[str, Any]:
    """The document of a page.

    Runs that read the same model (by fingerprint and name) are one subject. A part that a run
    lacks, or that is damaged, is left out and named under `missing`.
    """
    subjects: list[dict[str, Any]] = []
    for run in runs:
        subject = _subject_of(run, subjects)
        kind = kinds().get(run.kind)
        content = _content(run, kind, subject["missing"])
        name = run.kind if kind is None else kind.subject
        if kind is not None and kind.single:
            subject[name] = content
        else:
            subject.setdefault(name, []).append(content)
        if run.kind != "explain" and "cards" in run.manifest.get("tables", []):
            # A survey that says what heads do; a run that does nothing else comes before it.
            answer = kinds()["explain"]
            if answer.subject not in subject:
                subject[answer.subject] = _content(run, answer, subject["missing"])
        subject["runs"].append(content["run"])
    colours = ("families", "attention", "difference", "surface", "ink")
    themes = {
        name: {part: getattr(theme, part) for part in colours} for name, theme in THEMES.items()
    }
    for subject in subjects:
        _complete(subject)
        name_by_formulas(subject)
        kept = (_mapping(subject.get(kind)).get("examples") for kind in ("fit", "survey"))
        texts, others = (_mapping(found).get("texts", []) for found in kept)
        examples.without_repeats(texts, others)
    return {
        "format": FORMAT,
        "version": version("headscribe"),
        "subjects": clean(subjects),
        "themes": themes,
    }


def _subject_of(run: Run, subjects: list[dict[str, Any]]) -> dict[str, Any]:
    """The subject that a run belongs to, a new one where there is none yet."""
    name = str(_mapping(run.manifest.get("model")).get("name", "a model that was not recorded"))
    fingerprint = _fingerprint(run)
    kind = kinds().get(run.kind)
    for subject in subjects:
        known = subject["fingerprint"]
        same = fingerprint == known if fingerprint and known else name == subject["name"]
        if same and not (kind is not None and kind.single and kind.subject in subject):
            subject["fingerprint"] = known or fingerprint
            return subject
    subject = {
        "name": name, "fingerprint": fingerprint, "runs": [], "missing": [],
        "layers": 0, "heads": 0, "causal": None,
    }  # fmt: skip
    subjects.append(subject)
    return subject


def _fingerprint(run: Run) -> str:
    """The model's fingerprint; empty where the run has none."""
    known = _mapping(run.manifest.get("model")).get("fingerprint")
    return known if isinstance(known, str) else ""


def _content(run: Run, kind: Kind | None, missing: list[dict[str, str]]) -> dict[str, Any]:
    """What one run holds as a run of a kind; what it lacks is added to `missing`."""
    folder = run.folder.name
    content: dict[str, Any] = {"run": _about(run)}
    if kind is None:
        why = f"this version reads no run of kind {run.kind!r}"
        missing.append(_lack(folder, run.kind, why))
        return content
    for name, build in kind.report_parts().items():
        try:
            part = build(run)
            check(part, name)
            content[name] = part
        except HeadscribeError as error:
            missing.append(_lack(folder, name, str(error)))
        except _ODD as error:
            why = f"expected what this version writes, got a value of {writer(run)} that it does "
            missing.append(_lack(folder, name, f"{why}not know ({type(error).__name__}: {error})"))
    return content


_ODD = (
    KeyError, TypeError, ValueError, AttributeError, IndexError, NotImplementedError,
    RecursionError, OverflowError,
)  # fmt: skip
"""What values of a kind that no version writes lead to; Arrow's errors are among them."""


def _lack(folder: str, part: str, why: str) -> dict[str, str]:
    return {"run": folder, "part": part, "why": why}


def _about(run: Run) -> dict[str, Any]:
    """What a reader must know of every number of a run."""
    manifest = run.manifest
    model, corpus = _mapping(manifest.get("model")), _mapping(manifest.get("corpus"))
    config = _mapping(manifest.get("config"))
    said = ("damaged", "skipped", "failures", "notes", "versions", "started", "seconds")
    return {key: manifest.get(key) for key in said} | {
        "folder": run.folder.name,
        "kind": run.kind,
        "complete": run.complete,
        "facts": facts(run),
        "model": {key: model.get(key) for key in ("name", "layers", "heads", "causal")},
        "corpus": {key: corpus.get(key) for key in ("name", "texts", "groups", "tokens", "cut")},
        "skippedTexts": corpus.get("skipped"),
        "crossFitted": manifest.get("cross_fitted"),
        "settings": {
            key: value
            for key, value in config.items()
            if isinstance(value, (str, int, float, bool)) and key not in ("corpus", "model")
        },
    }


def _complete(subject: dict[str, Any]) -> None:
    """Sizes of the model, from whichever run tells them."""
    for run in subject["runs"]:
        for key in ("layers", "heads", "causal"):
            value = run["model"].get(key)
            if value is not None and not subject[key]:
                subject[key] = value
    for key in ("layers", "heads"):
        if not isinstance(subject[key], int):
            subject[key] = 0
    if not 0 <= subject["layers"] * subject["heads"] <= MAX_HEADS:
        raise RunError(
            f"expected at most {MAX_HEADS:,} heads, got {subject['layers']} layers of "
            f"{subject['heads']}"
        )


def name_by_formulas(subject: dict[str, Any]) -> None:
    """Cards under the names that formulas give them, where these are all that there is to say."""
    formulas = _mapping(_mapping(subject.get("fit")).get("formulas"))
    cards = _mapping(_mapping(subject.get("explanation")).get("cards"))
    columns = cards.get("columns", [])
    for place, row in enumerate(cards.get("rows", [])):
        card = dict(zip(columns, row, strict=True))
        found = _mapping(formulas.get(card["head"]))
        words = found.get("inWords")
        if words and words != card["name"]:
            iou = found["scores"]["formula_raw_iou"][0]
            card |= {"name": words, "sentence": over(words, iou, card["sentence"])}
            cards["rows"][place] = [card[name] for name in columns]


def _mapping(value: Any) -> Mapping[str, Any]:  # noqa: ANN401
    return value if isinstance(value, dict) else {}
