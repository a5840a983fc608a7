"""How every command begins its run: one rule for `out` and `resume`."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscribe.core.errors import UsageError
from headscribe.core.files import is_partial
from headscribe.results.requests import config_of, equal_on_resume
from headscribe.results.run import check_free

if TYPE_CHECKING:
    from headscribe.models.inputs import Inputs
    from headscribe.results.run import Run

_LOG = logging.getLogger("headscribe")


def check_resume(request: Any) -> None:  # noqa: ANN401
    """Whether a run can be begun or resumed where it is asked for, before anything is read.

    A command that is interrupted while it loads has no run to go on with: then it begins one.

    Raises:
        UsageError: a new run where something is; `resume` without a directory, or with one that
            holds other things.
    """
    if not request.resume:
        if request.out is not None:
            check_free(Path(request.out))
        return
    if request.out is None:
        raise UsageError("expected the directory of the run to resume (--out RUN)")
    folder = Path(request.out)
    if (folder / "run.json").is_file():
        return
    if folder.exists() and (folder.is_file() or not all(map(is_partial, folder.iterdir()))):
        raise UsageError(f"expected a run to resume in {folder}, found other files")


def begin(
    request: Any,  # noqa: ANN401
    kind: str,
    names: "tuple[str, ...]",
    fingerprints: Mapping[str, Any],
    **facts: object,
) -> "Run":
    """The run of a request: a new one, always kept, or with `resume` the one that it goes on with.

    Args:
        request: with `out` and `resume`.
        kind: the kind of run.
        names: of what a folder under `runs/` is called, where no `out` is given.
        fingerprints: of what the request names; a run resumes only where all are equal.
        facts: what else `run.json` records of a new run.

    Raises:
        UsageError: `out` holds something already, or a run of another request.
    """
    from headscribe.results.run import Run, new_folder

    check_resume(request)
    config = config_of(request)
    if request.resume and not (Path(request.out) / "run.json").is_file():
        _LOG.warning("there is no run in %s yet: it begins now", request.out)
    elif request.resume:
        run = Run.open(request.out)
        equal = {name: config[name] for name in equal_on_resume(request)}
        run.check_resumable(kind, equal, fingerprints)
        return run
    folder = new_folder(*names) if request.out is None else Path(request.out)
    return Run.create(folder, kind, config, fingerprints, **facts)


def begin_study(
    request: Any,  # noqa: ANN401
    kind: str,
    inputs: "Inputs",
    fingerprints: Mapping[str, Any] | None = None,
    *,
    end: tuple[str, ...] | None = None,
    **facts: object,
) -> "Run":
    """`begin` for what reads texts: with what `run.json` says of these, of the model, of words.

    Args:
        request, kind: as in `begin`.
        inputs: the model or recording, and its texts.
        fingerprints: of what else the request names.
        end: how the name of a folder under `runs/` ends; None: with the kind.
        facts: what else `run.json` records of a new run; or says otherwise.
    """
    known: dict[str, object] = {
        "model": inputs.model_facts, "corpus": inputs.corpus, "annotator": inputs.annotator,
        "notes": list(inputs.notes),
    }  # fmt: skip
    names = inputs.source.name, str(inputs.corpus["name"]), *((kind,) if end is None else end)
    own = inputs.fingerprints | dict(fingerprints or {})
    return begin(request, kind, names, own, **known | facts)


def keep_texts(run: "Run", inputs: "Inputs") -> None:
    """Keep by what the texts that something is fitted on are known again, as `replace` does."""
    from headscribe.text.hashes import TEXTS, texts_table

    if TEXTS not in run.manifest["tables"]:
        run.write_table(
            TEXTS, texts_table((passage.text_id, passage.text) for passage in inputs.passages)
        )
