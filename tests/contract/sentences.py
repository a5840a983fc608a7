"""Two sentences annotated by hand, and how expected matrices are written.

    story    0 [CLS]  1 The  2 cat  3 saw  4 unha  5 ##ppy  6 dogs  7 ,  8 the  9 cat  10 ran
             11 .  12 [SEP]
    quote    0 [CLS]  1 He  2 saw  3 Ann  4 (  5 in  6 12  7 )  8 .  9 She  10 "  11 ran  12 "
             13 off  14 .  15 [SEP]

`1>2 2>1,3` reads: row 1 is all on key 2, row 2 evenly on keys 1 and 3, other rows are uncovered;
`2>1:0.25,3:0.75` gives weights; `1-4>0` and `1>2-4` are ranges.
"""

import numpy as np
from numpy.typing import NDArray

from tests.passages import make


def _split(words: str) -> list[str]:
    return words.split()


STORY = make(
    "The cat saw unhappy dogs, the cat ran.",
    head=[1, 2, -1, 4, 2, 8, 7, 8, 2, 2],
    dep=_split("det nsubj root amod obj punct det nsubj parataxis punct"),
    upos=_split("DET NOUN VERB ADJ NOUN PUNCT DET NOUN VERB PUNCT"),
    lemma=_split("the cat see unhappy dog , the cat run ."),
    morph=["", "Number=Sing", "", "", "Number=Plur", "", "", "Number=Sing", "", ""],
    sentence=[0] * 10,
)

QUOTE = make(
    'He saw Ann (in 12). She "ran" off.',
    head=[1, -1, 1, 5, 5, 1, 5, 1, 10, 10, -1, 10, 10, 10],
    dep=_split("nsubj root obj punct case obl punct punct nsubj punct root punct advmod punct"),
    upos=_split("PRON VERB PROPN PUNCT ADP NUM PUNCT PUNCT PRON PUNCT VERB PUNCT ADP PUNCT"),
    lemma=_split('he see Ann ( in 12 ) . she " run " off .'),
    morph=["Number=Sing", "", "Number=Sing", *[""] * 5, "Number=Sing", *[""] * 5],
    sentence=[0] * 8 + [1] * 6,
)

LINES = make("Cats ran.\nThey hid\n\nFar", piece=9)
"""Line breaks are its tokens 4, 7 and 8."""

TINY = make("a b c", special=False)
"""Three tokens, of which `c` has the highest vocabulary id."""


def matrix(written: str, length: int) -> NDArray[np.float64]:
    """The matrix that is written; uncovered rows are 0."""
    result = np.zeros((length, length))
    for row in written.split():
        queries, keys = row.split(">")
        cells = [(key.partition(":")[0], key.partition(":")[2]) for key in keys.split(",")]
        for query in _range(queries):
            for key, weight in cells:
                for one in _range(key):
                    result[query, one] = float(weight or 1)
            result[query] /= result[query].sum()
    return result


def _range(written: str) -> range:
    first, _, last = written.partition("-")
    return range(int(first), int(last or first) + 1)
