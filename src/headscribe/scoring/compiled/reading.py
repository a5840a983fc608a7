"""What the metrics need of whole real rows, for one head."""

import numpy as np
from jaxtyping import Float, Int

from headscribe.scoring.compiled.arithmetic import reducing

TOTAL, CONTENT, SCALE, PEAK, CONTENT_PEAK, SINK, LAST = range(7)
"""Lines of what is read: a row's sum, its sum over content keys (sinks aside), 1 over that (1 where
it is 0), the largest probability, that among content keys, the sum over sinks, the last key's."""
READINGS = 7


@reducing
def read_rows(
    attention: Float[np.ndarray, "B H rows T"],
    head: int,
    begin: int,
    lengths: Int[np.ndarray, " B"],
    segment_of: Int[np.ndarray, " B+1"],
    segments: Int[np.ndarray, "n 3"],
    real: Float[np.ndarray, "readings B*T"],
) -> None:
    """Sum every row over its content keys and over its sinks, and find its largest entries.

    Args:
        attention: probabilities, float32.
        segment_of: where each text's segments begin.
        segments: runs of keys of one kind: first, last + 1, whether they are sinks.
        real: where the readings go; padded rows are left alone.
    """
    width = attention.shape[3]
    for b in range(len(lengths)):
        for i in range(min(attention.shape[2], lengths[b] - begin)):
            row = attention[b, head, i]
            content, sink = np.float32(0), np.float32(0)
            peak, sink_peak = np.float32(0), np.float32(0)
            for s in range(segment_of[b], segment_of[b + 1]):
                total, most = np.float32(0), np.float32(0)
                for j in range(segments[s, 0], segments[s, 1]):
                    total += row[j]
                    most = max(most, row[j])
                if segments[s, 2]:
                    sink += total
                    sink_peak = max(sink_peak, most)
                else:
                    content += total
                    peak = max(peak, most)
            f = b * width + begin + i
            real[TOTAL, f] = content + sink
            real[CONTENT, f] = content
            real[SCALE, f] = np.float32(1) / content if content > 0 else np.float32(1)
            real[PEAK, f] = max(peak, sink_peak)
            real[CONTENT_PEAK, f] = peak
            real[SINK, f] = sink
            real[LAST, f] = row[lengths[b] - 1]
