"""Record a model's attention, so that it can be surveyed and fitted without the model."""

from pathlib import Path
from typing import TYPE_CHECKING

from headscribe.api.progress import shown
from headscribe.api.replace import opened_model
from headscribe.api.requests import RecordRequest
from headscribe.core.errors import UsageError
from headscribe.models.inputs import model_inputs
from headscribe.results.requests import verb
from headscribe.text.corpora import corpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from headscribe.models.recorded import Recording
    from headscribe.text.passages import Passage


@verb(RecordRequest)
def record(request: RecordRequest) -> "Recording":
    """Write the attention of every head on every text into a folder, and open it.

    A recording holds `layers x heads x T x T` numbers of four bytes a text, zeros compressed.

    >>> import headscribe as hs
    >>> from tempfile import mkdtemp
    >>> recording = hs.record("bundled:stories", ["The cat sat."], mkdtemp() + "/recorded")
    >>> recording.layers, recording.heads, len(recording.passages)
    (6, 6, 1)

    Raises:
        UsageError: the folder holds a recording already, or wrong input.
    """
    from headscribe.models.recorded import Recording, attention_of, write_recording

    folder = Path(request.folder)
    if (folder / "attention.npz").exists():
        raise UsageError(f"{folder} holds a recording already: choose another folder")
    if request.texts is None:
        raise UsageError("expected texts for the model to read, got none")
    texts = corpus(request.texts, request.limit, request.column)
    model = opened_model(
        request.model, device=request.device, dtype=request.dtype, stack=request.stack
    )
    with shown(request.on_progress) as on_progress:
        inputs = model_inputs(
            model, texts, annotator_name=request.annotator, max_tokens=request.max_tokens,
            on_progress=on_progress,
        )  # fmt: skip

        def counted() -> "Iterator[tuple[Passage, np.ndarray]]":
            for done, item in enumerate(attention_of(model, inputs.passages), 1):
                yield item
                on_progress("recording", done, len(inputs.passages))

        write_recording(folder, counted(), model.stack.visibility)
    return Recording(folder)
