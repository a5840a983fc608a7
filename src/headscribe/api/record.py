"""Record a model's attention, so that it can be surveyed and fitted without the model."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from headscribe.core.errors import UsageError
from headscribe.core.progress import OnProgress, silent
from headscribe.models.inputs import CorpusLike, model_inputs
from headscribe.text.corpora import corpus
from headscribe.text.passages import Passage

if TYPE_CHECKING:
    from headscribe.models.loading import Source
    from headscribe.models.model import Model
    from headscribe.models.recorded import Recording


def record(
    model: "Model | Source",
    texts: CorpusLike,
    folder: str | Path,
    *,
    annotator: str | None = None,
    limit: int | None = None,
    max_tokens: int | None = None,
    report: OnProgress = silent,
) -> "Recording":
    """Write the attention of every head on every text into a folder, and open it.

    A recording holds `layers x heads x T x T` numbers of four bytes a text, zeros compressed.

    Args:
        model: what `headscribe.load` takes or gives.
        texts: what `headscribe.corpus` takes.
        folder: a new folder.
        annotator: as in `survey`; its words and tags are recorded too.
        limit: at most so many texts.
        max_tokens: cut every text to so many tokens.
        report: hears of the progress.

    Raises:
        UsageError: the folder holds a recording already, or wrong input.
    """
    from headscribe.models.loading import load
    from headscribe.models.model import Model
    from headscribe.models.recorded import Recording, attention_of, write_recording

    if (Path(folder) / "attention.npz").exists():
        raise UsageError(f"{folder} holds a recording already: choose another folder")
    loaded = model if isinstance(model, Model) else load(model)
    inputs = model_inputs(
        loaded, corpus(texts, limit), annotator_name=annotator, max_tokens=max_tokens,
        report=report,
    )  # fmt: skip
    done = 0

    def counted() -> Iterator[tuple[Passage, np.ndarray]]:
        nonlocal done
        for item in attention_of(loaded, inputs.passages):
            yield item
            done += 1
            report("recording", done, len(inputs.passages))

    layers = [loaded.visibility(layer) for layer in range(loaded.layers)]
    write_recording(folder, counted(), layers)
    return Recording(folder)
