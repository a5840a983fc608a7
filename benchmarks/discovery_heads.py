"""Which heads a real run of `discover` examines, and a treebank's documents in a random order.

    python -m benchmarks.discovery_heads FIT_RUN [--each 8] [--seed 0]
    python -m benchmarks.discovery_heads --deal train.conllu.gz OUT.conllu.gz

Of a fit's heads: the `each` that its formulas explain least (IoU on unseen texts), as many around
the median, as many at random of the others, in that order. A treebank lists its documents by kind
of text; dealt anew, any first part of it holds all kinds.
"""

import argparse
import gzip
import random
import re
from pathlib import Path

import pyarrow.parquet as pq

from headscribe.core.heads import HeadId


def chosen(fit: Path, each: int, seed: int) -> list[HeadId]:
    """The worst, the middling and some heads at random."""
    columns = ["layer", "head", "formula_raw_iou_mean"]
    rows = pq.read_table(fit / "formulas.parquet", columns=columns).to_pylist()
    rows.sort(key=lambda row: row["formula_raw_iou_mean"])
    heads = [HeadId(row["layer"], row["head"]) for row in rows]
    middle = (len(heads) - each) // 2
    taken = heads[:each] + heads[middle : middle + each]
    rest = sorted(set(heads) - set(taken))
    return taken + sorted(random.Random(seed).sample(rest, each))


def deal(treebank: Path, out: Path, seed: int) -> None:
    """Write the documents of a treebank in a random order."""
    with gzip.open(treebank, "rt", encoding="utf-8") as file:
        documents = re.split(r"(?m)^(?=# newdoc)", file.read())
    documents = [one for one in documents if one.strip()]
    random.Random(seed).shuffle(documents)
    with gzip.open(out, "wt", encoding="utf-8") as file:
        file.write("".join(documents))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("fit", type=Path, nargs="?")
    parser.add_argument("--deal", type=Path, nargs=2)
    parser.add_argument("--each", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.deal:
        deal(*given.deal, given.seed)
    if given.fit:
        print(",".join(map(str, chosen(given.fit, given.each, given.seed))))


if __name__ == "__main__":
    main()
