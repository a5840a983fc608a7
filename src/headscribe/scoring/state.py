"""The state of a survey as named arrays, for storage and for sending."""

from pathlib import Path

import numpy as np
import pyarrow as pa

from headscribe.results.examples import rows_of, table_of
from headscribe.scoring.accumulators import Accumulators
from headscribe.scoring.engine import Progress
from headscribe.scoring.relation_accuracy import RelationSums


def arrays_of(progress: Progress) -> dict[str, np.ndarray]:
    """Everything that a progress holds; the sums are not copied."""
    table = table_of(progress.examples)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return (
        progress.sums.arrays()
        | progress.relations.arrays()
        | {
            "position": np.array([progress.phase, progress.batches]),
            "examples": np.frombuffer(sink.getvalue(), np.uint8),
        }
    )


def progress_of(arrays: dict[str, np.ndarray], heads: int, where: Path) -> Progress:
    """Read back what `arrays_of` gave, for so many heads in all.

    Raises:
        RunError: a sum is missing.
    """
    phase, batches = (int(number) for number in arrays["position"])
    with pa.ipc.open_stream(pa.py_buffer(arrays["examples"].tobytes())) as reader:
        examples = rows_of(reader.read_all())
    sums = Accumulators.from_arrays(arrays, where)
    return Progress(sums, RelationSums.from_arrays(arrays, heads), examples, phase, batches)
