"""A formula for every head: fitted, scored on unseen text, kept in a run directory."""

import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscribe.api.choice import choose_patterns
from headscribe.api.formulas import fit_run
from headscribe.api.inputs import CorpusLike, Inputs, open_inputs
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.results.run import Run

if TYPE_CHECKING:
    import torch

    from headscribe.fitting.atlas import Atlas
    from headscribe.fitting.examples import Examples
    from headscribe.fitting.features import Sample
    from headscribe.models.loading import Source
    from headscribe.models.model import Model
    from headscribe.models.recorded import Recording

FOLDS = 5
STAGES = "stages"
"""Where an unfinished fit keeps its finished stages, within its run directory."""


def fit(
    model: "Model | Recording | Source",
    texts: CorpusLike | None = None,
    *,
    terms: int = 12,
    test: CorpusLike | None = None,
    annotator: str | None = None,
    limit: int | None = None,
    max_tokens: int | None = None,
    look_ahead: bool | None = None,
    threshold: float = 0.05,
    seed: int = 0,
    device: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    report: OnProgress = silent,
) -> "Atlas":
    """Fit a readable formula to every head and score it on texts that it was not fitted on.

    Args:
        model: what `headscribe.load` takes or gives, or a `Recording`.
        texts: texts to fit to; None for a recording, which has its own.
        terms: a formula has at most so many.
        test: texts to score on; None: five-fold cross-fitting on `texts`.
        annotator: as in `survey`.
        limit: at most so many texts.
        max_tokens: cut every text to so many tokens.
        look_ahead: relations may read tokens after the query where the layer is causal; None: not
            in causal models, so that the formulas can replace their heads.
        threshold: a label is a pattern that gains more than that, in IoU and in Jensen-Shannon
            distance, on unseen texts.
        seed: deals texts to folds, chooses rows.
        device: where weights are fitted: `cpu` or `cuda`; None: a GPU if there is one.
        out: directory of the run; None keeps nothing on disk.
        resume: go on with the unfinished run in `out`.
        report: hears of the progress.

    Returns:
        The atlas; `atlas["7.10"]` is one head, `str()` of it its formula as code.

    Raises:
        UsageError: wrong input, or too few texts for five folds.
    """
    from headscribe.fitting.atlas import fit_heads
    from headscribe.fitting.examples import Examples
    from headscribe.fitting.findings import find
    from headscribe.fitting.selection import Budget
    from headscribe.fitting.sources import head_ids

    if terms < 1:
        raise UsageError(f"expected at least 1 term a formula, got {terms}")
    where = _device(device)
    started = time.monotonic()
    inputs = open_inputs(model, texts, annotator, limit, max_tokens, report)
    causal = any(inputs.source.visibility(i).causal for i in range(inputs.source.layers))
    ahead = not causal if look_ahead is None else look_ahead
    run = None
    if out is not None:
        config = _config(inputs, terms, seed, ahead) | {"threshold": threshold}
        run = _resumed(out, config) if resume else _create(inputs, out, config)
    elif resume:
        raise UsageError("expected the directory of the run to resume (--out RUN)")
    patterns = choose_patterns(None, inputs.provides, causal).patterns
    others = None
    if test is not None:
        others = open_inputs(inputs.source, test, annotator, None, max_tokens, report)
    examples = Examples.of((others or inputs).passages if run is not None else ())
    sample = _sample(inputs, ahead, seed, patterns, examples, report)
    unseen = None if others is None else _sample(others, ahead, seed, (), examples, report)

    def told(stage: str, done: int, stages: int) -> None:
        report("fitting", done, stages)

    atlas = fit_heads(
        sample,
        head_ids(inputs.source),
        Budget(terms=terms),
        folds=FOLDS,
        test=unseen,
        seed=seed,
        threshold=threshold,
        device=where,
        progress=told,
        checkpoint=None if run is None else run.folder / STAGES,
    )
    report("comparing heads", 0, 1)
    atlas = replace(
        atlas, findings=find(atlas.fitted, atlas.by_fold, sample, unseen, seed, threshold)
    )
    report("comparing heads", 1, 1)
    if run is not None:
        _write(run, atlas, examples, time.monotonic() - started)
    return atlas


def _device(name: str | None) -> "torch.device":
    """The device to fit on; a kind without sparse matrices in double precision gives the CPU."""
    import torch

    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"expected a device such as cpu or cuda, got {name!r}") from error
    if found.type == "cuda" and not torch.cuda.is_available():
        raise UsageError("expected a CUDA device, this machine has none: leave out --device")
    return found if found.type == "cuda" else torch.device("cpu")


def _sample(
    inputs: Inputs,
    look_ahead: bool,
    seed: int,
    patterns: Sequence[Any],
    examples: "Examples",
    report: OnProgress,
) -> "Sample":
    from headscribe.fitting.atlas import collect
    from headscribe.fitting.sources import attention_items

    def items() -> Any:  # noqa: ANN401
        for done, item in enumerate(attention_items(inputs.source, inputs.passages), 1):
            yield item
            report("reading", done, len(inputs.passages))

    return collect(examples.watching(items()), look_ahead=look_ahead, seed=seed, patterns=patterns)


def _config(inputs: Inputs, terms: int, seed: int, look_ahead: bool) -> dict[str, object]:
    return {
        "terms": terms,
        "seed": seed,
        "look_ahead": look_ahead,
        "model": inputs.source.fingerprint,
        "corpus": inputs.corpus["fingerprint"],
        "texts": inputs.corpus["texts"],
        "tokens": inputs.corpus["tokens"],
        "annotator": inputs.annotator,
    }


def _create(inputs: Inputs, out: str | Path, config: dict[str, object]) -> Run:
    run = Run.create(out, "fit", config)
    run.manifest |= {
        "model": {
            "name": inputs.source.name,
            "layers": inputs.source.layers,
            "heads": inputs.source.heads,
        },
        "corpus": inputs.corpus,
        "versions": {name: version(name) for name in ("headscribe", "torch", "numpy")},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    run.save()
    return run


def _resumed(out: str | Path, config: dict[str, object]) -> Run:
    run = Run.open(out)
    run.check_config(config)
    return run


def _write(run: Run, atlas: "Atlas", examples: "Examples", seconds: float) -> None:
    from headscribe.fitting.tables import run_tables

    assert atlas.findings is not None
    for name, table in run_tables(atlas, atlas.findings).items():
        run.write_table(name, table)
    run.write_table("examples", examples.table(atlas.heads))
    best = sorted(atlas.heads, key=lambda one: -one.scores["formula", "raw", "iou"].mean)
    run.write_text("formulas.txt", "\n\n".join(map(str, best)) + "\n")
    run.finish(atlas=atlas.to_json(), seconds=round(seconds, 2))
    shutil.rmtree(run.folder / STAGES, ignore_errors=True)


def stored_mixtures(folder: str | Path) -> "dict[HeadId, list[dict[str, Any]]]":
    """Every head of a fit as a mixture of patterns, heaviest part first.

    Returns:
        By head its parts: `pattern`, `weight`, and `gain`, `low`, `high` in IoU on unseen texts,
        None where there is none to give.

    Raises:
        UsageError: the folder holds no finished fit with mixtures.
    """
    run = fit_run(folder)
    found: dict[HeadId, list[dict[str, Any]]] = {}
    for row in run.table("mixtures").to_pylist():
        head = HeadId(row.pop("layer"), row.pop("head"))
        found.setdefault(head, []).append(row)
    return found
