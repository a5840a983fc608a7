"""What a head does over the whole `fit` split, in a few small tables."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from headscribe.discovery.neutral import neutral
from headscribe.discovery.study import HeadTask
from headscribe.text.passages import Passage

REACH = 8
TABLE_ROWS = 12

Table = list[dict[str, object]]


@dataclass(frozen=True)
class Cells:
    """The `fit` rows of a head, cell by cell.

    Attributes:
        real: the head's attention; `predicted`: its formula's; `chance`: uniform attention's.
        query, key: the tokens of each cell, numbered through all texts.
        content: neither token is a sink.
        distance: key index minus query index.
    """

    real: Float[np.ndarray, " n"]
    predicted: Float[np.ndarray, " n"]
    chance: Float[np.ndarray, " n"]
    query: Int[np.ndarray, " n"]
    key: Int[np.ndarray, " n"]
    content: Bool[np.ndarray, " n"]
    distance: Int[np.ndarray, " n"]

    @classmethod
    def of(cls, study: HeadTask) -> "Cells":
        """Lay out the `fit` rows of a study."""
        sample = study.material.sample
        keep = study.material.rows("fit")[sample.row]
        query, key = sample.row_token[sample.row][keep], sample.key_token[keep]
        return cls(
            study.real[keep],
            study.predicted[keep],
            (1 / sample.lengths[sample.row])[keep],
            query,
            key,
            (sample.sinks[query] == 0) & (sample.sinks[key] == 0),
            sample.distance[keep],
        )


def fields_by_token(study: HeadTask) -> dict[str, Shaped[np.ndarray, " tokens"]]:
    """`lower`, and what the annotator knows (`upos`, `dep`, `head`, `word`), by token.

    `word` and `head` are numbered through all texts; -1 for none.
    """
    material = study.material
    found = {"lower": material.column_of(_lower)}
    for name in ("upos", "dep"):
        if name in material.provides:
            found[name] = material.column_of(lambda p, name=name: _field(p, name))  # type: ignore[misc]
    before = np.cumsum([0, *(len(passage.words) for passage in material.passages)])
    word, head = [], []
    for passage, first in zip(material.passages, before, strict=False):
        word.append(np.where(passage.word < 0, -1, passage.word + first))
        if passage.words.head is not None:
            up = np.append(passage.words.head, -1)[passage.word]
            head.append(np.where(up < 0, -1, up + first))
    found["word"] = np.concatenate(word)
    if "head" in material.provides:
        found["head"] = np.concatenate(head)
    return found


def _lower(passage: Passage) -> list[str]:
    return [
        passage.text[a:b].strip().lower() or token
        for token, (a, b) in zip(passage.tokens, passage.spans.tolist(), strict=True)
    ]


def _field(passage: Passage, name: str) -> list[str]:
    values = getattr(passage.words, name)
    return ["" if w < 0 else values[w] for w in passage.word.tolist()]


def summaries(study: HeadTask) -> dict[str, object]:
    """Where a head's attention goes: sinks, offsets, tag pairs, relations; each beside chance.

    Masses are shares of a row's attention, averaged over the rows that the table is about.
    """
    cells, fields = Cells.of(study), fields_by_token(study)
    sinks = study.material.sample.sinks
    found: dict[str, object] = {
        "mass": _masses(cells, sinks, fields),
        "by_offset": _by_offset(cells),
    }
    if "upos" in fields:
        found["by_tags"] = _by_pair(cells, fields["upos"])
    else:
        found["by_words"] = _by_pair(cells, fields["lower"])
    if "dep" in fields and "head" in fields:
        found["by_relation"] = _by_relation(cells, fields)
    return found


def residuals(study: HeadTask) -> dict[str, Table]:
    """The pairs of words, and of tags at a distance, that the formula gets wrong most.

    `missing` is the attention summed over all `fit` rows that the formula does not predict;
    `too_much` what it predicts and is not there.
    """
    cells, fields = Cells.of(study), fields_by_token(study)
    difference = cells.real.astype(np.float64) - cells.predicted
    near = np.clip(cells.distance, -REACH - 1, REACH + 1)
    kinds: dict[str, list[Shaped[np.ndarray, " n"]]] = {
        "words": [fields["lower"][cells.query], fields["lower"][cells.key]]
    }
    if "upos" in fields:
        kinds["tags"] = [fields["upos"][cells.query], fields["upos"][cells.key], near]
    found: dict[str, Table] = {}
    for kind, columns in kinds.items():
        code, values = _coded(columns)
        total = np.bincount(code, difference)
        order = np.argsort(-total, kind="stable")
        for name, picked in (("missing", order), ("too_much", order[::-1])):
            rows: Table = []
            for c in picked[:TABLE_ROWS]:
                if total[c] == 0 or (total[c] > 0) != (name == "missing"):
                    break
                row: dict[str, object] = {
                    "from": neutral(str(values[0][c])),
                    "to": neutral(str(values[1][c])),
                }
                if kind == "tags":
                    row["offset"] = _offset_name(int(values[2][c]))
                rows.append(row | {"mass": round(float(abs(total[c])), 2)})
            found[f"{name}_by_{kind}"] = rows
    return found


def _masses(
    cells: Cells, sinks: Int[np.ndarray, " tokens"], fields: dict[str, np.ndarray]
) -> dict[str, object]:
    same = (fields["lower"][cells.query] == fields["lower"][cells.key]) & (cells.distance != 0)
    own = fields["word"][cells.query]
    kinds = {
        "opening_token": sinks[cells.key] == 1,
        "other_special_tokens": sinks[cells.key] == 2,
        "self": cells.distance == 0,
        "same_token_elsewhere": same,
        "rest_of_own_word": (own == fields["word"][cells.key]) & (own >= 0) & (cells.distance != 0),
    }
    rows = sinks[cells.query] == 0
    return {name: _share(cells, rows, which) for name, which in kinds.items()}


def _by_offset(cells: Cells) -> Table:
    table: Table = []
    for offset in range(-REACH - 1, REACH + 2):
        which = np.clip(cells.distance, -REACH - 1, REACH + 1) == offset
        if (which & cells.content).any():
            table.append({"offset": _offset_name(offset), **_share(cells, cells.content, which)})
    return table


def _by_pair(cells: Cells, column: Shaped[np.ndarray, " tokens"]) -> Table:
    keep = cells.content
    code, values = _coded([column[cells.query[keep]], column[cells.key[keep]]])
    real = np.bincount(code, cells.real[keep])
    chance = np.bincount(code, cells.chance[keep])
    rows: Table = []
    for c in np.argsort(-(real - chance), kind="stable")[:TABLE_ROWS]:
        start, end = str(values[0][c]), str(values[1][c])
        queries = len(np.unique(cells.query[keep][column[cells.query[keep]] == start]))
        rows.append(
            {
                "from": neutral(start),
                "to": neutral(end),
                "mass": _rounded(real[c] / max(queries, 1)),
                "chance": _rounded(chance[c] / max(queries, 1)),
            }
        )
    return rows


def _by_relation(cells: Cells, fields: dict[str, np.ndarray]) -> Table:
    """By the label of the dependent: dependent to head, and head to dependent."""
    word, head, dep = fields["word"], fields["head"], fields["dep"]
    up = (head[cells.query] == word[cells.key]) & (head[cells.query] >= 0)
    down = (head[cells.key] == word[cells.query]) & (head[cells.key] >= 0)
    rows: list[tuple[float, dict[str, object]]] = []
    for label in sorted({str(one) for one in dep[cells.query]} - {""}):
        of_query, of_key = dep[cells.query] == label, dep[cells.key] == label
        for way, rows_of, which in (
            ("dependent to head", of_query & cells.content, up),
            ("head to dependent", _rows_with(cells, down & of_key), down & of_key),
        ):
            if not (rows_of & which).any():
                continue
            share = _share(cells, rows_of, which)
            count = len(np.unique(cells.query[rows_of]))
            over = (share["mass"] - share["chance"]) * count
            rows.append((over, {"relation": neutral(label), "way": way, **share}))
    rows.sort(key=lambda row: -row[0])
    return [row for _, row in rows[:TABLE_ROWS]]


def _rows_with(cells: Cells, which: Bool[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """All cells of the queries that have one such cell."""
    held: Bool[np.ndarray, " n"] = np.isin(cells.query, np.unique(cells.query[which]))
    return held


def _share(
    cells: Cells, rows: Bool[np.ndarray, " n"], which: Bool[np.ndarray, " n"]
) -> dict[str, float]:
    """Mean attention of the marked rows on the marked cells, beside that of uniform attention."""
    count = max(len(np.unique(cells.query[rows])), 1)
    both = rows & which
    return {
        "mass": _rounded(cells.real[both].sum(dtype=np.float64) / count),
        "chance": _rounded(cells.chance[both].sum() / count),
    }


def _coded(
    columns: list[Shaped[np.ndarray, " n"]],
) -> tuple[Int[np.ndarray, " n"], list[Shaped[np.ndarray, " c"]]]:
    """Number the combinations of columns; with the value of each column by number."""
    code = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        known, part = np.unique(column.astype(str), return_inverse=True)
        code = code * len(known) + part
    _, first, number = np.unique(code, return_index=True, return_inverse=True)
    return number, [column[first] for column in columns]


def _offset_name(offset: int) -> str:
    if abs(offset) <= REACH:
        return f"{offset:+d}" if offset else "0"
    return f"beyond {REACH if offset > 0 else -REACH:+d}"


def _rounded(value: float) -> float:
    return round(float(value), 3)
