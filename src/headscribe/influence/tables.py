"""What was measured of heads as the tables of a run directory, and the sentences above them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headscribe.influence.matters import HOWS, Mattered
from headscribe.influence.probes import Probed
from headscribe.influence.reads import Feeding
from headscribe.influence.statistics import GROUPS, Mean
from headscribe.influence.tokens import FLAGS
from headscribe.influence.writes import TARGETS, Written

_SAID = {
    "copies": ("copies what it reads", "copy what they read"),
    "suppresses": ("suppresses what it reads", "suppress what they read"),
    "helps": ("helps the true token", "help the true token"),
    "hurts": ("hurts the true token", "hurt the true token"),
}

_NAMES = tuple(_SAID)

_NAMED = 6
"""Heads that a summary names of each kind."""


def written_tables(written: Written) -> dict[str, pa.Table]:
    """The tables `effects` and `promoted`."""
    effects = [
        {"layer": head.layer, "head": head.head, "token": token,
         "value": float(written.value[t, k]), "expected": float(written.expected[t, k]),
         **_interval("effect", written.beyond, (t, k)),
         "rows": int(written.rows[t, k]), "named": _name(written, t, k)}
        for k, head in enumerate(written.heads)
        for t, token in enumerate(TARGETS)
    ]  # fmt: skip
    promoted = [
        {"layer": one.head.layer, "head": one.head.head, "reads": one.reads, "rows": one.rows,
         "promotes": [token for token, _ in one.up],
         "promoted_by": [size for _, size in one.up],
         "demotes": [token for token, _ in one.down],
         "demoted_by": [size for _, size in one.down]}
        for one in written.promoted
    ]  # fmt: skip
    found = {"effects": pa.Table.from_pylist(effects)}
    return found | ({"promoted": pa.Table.from_pylist(promoted)} if promoted else {})


def _name(written: Written, target: int, head: int) -> str | None:
    if target not in (0, written.predicted):
        return None
    mine = _NAMES[:2] if target == 0 else _NAMES[2:]
    return next((name for name in written.named(head) if name in mine), None)


def summary_of(rows: Sequence[Mapping[str, Any]], model: str, texts: int) -> str:
    """What the heads of a model write, in a few sentences."""
    said = []
    heads = len({(row["layer"], row["head"]) for row in rows})
    for name in _NAMES:
        mine = sorted(
            (row for row in rows if row["named"] == name), key=lambda r: -abs(r["effect"])
        )
        if mine:
            best = ", ".join(
                f"{row['layer']}.{row['head']} ({row['effect']:+.2f})" for row in mine[:_NAMED]
            )
            more = f" and {len(mine) - _NAMED} more" if len(mine) > _NAMED else ""
            said.append(f"{len(mine)} {_SAID[name][len(mine) > 1]}: {best}{more}")
    if not said:
        few = f"; of fewer than {GROUPS} none can be" if texts < GROUPS else ""
        return (
            f"None of the {heads} heads of {model} is known, on {texts} text{'s' * (texts > 1)}, "
            f"to copy or suppress what it reads, or to help or hurt the true token directly{few}."
        )
    return (
        f"Of {heads} heads of {model}, on {texts} texts, {'; '.join(said)}. In brackets the direct "
        "effect on the token's logit beyond that on other tokens of the text at the same distance."
    )


def line_of(
    effects: Sequence[Mapping[str, Any]],
    matters: Sequence[Mapping[str, Any]] = (),
    reads: Sequence[Mapping[str, Any]] = (),
) -> str:
    """One head's rows of `effects`, `matters` and `reads_from` as a line.

    >>> rows = [{"token": "reads", "named": "copies", "effect": 0.89}]
    >>> line_of(rows, [{"by": "mean", "change": 0.02, "low": 0.01, "high": 0.03, "flagged": True}])
    'Writes: copies what it reads (+0.89 logits); without it the loss is +0.020 nats a token.'
    >>> fed = {"from_layer": 1, "from_head": 2, "input": "key", "own": 0.52, "flagged": True}
    >>> line_of(rows, reads=[fed | {"change": -0.31, "behaviour": "what followed it before"}])[45:]
    'looks at what followed it before with 21% instead of 52% without 1.2 in its keys.'
    """
    whose = {"reads": "what it reads", "next": "the true next token", "current": "its own token"}
    said = [
        f"{row['named']} {whose[row['token']]} ({row['effect']:+.2f} logits)"
        for row in effects
        if row["named"]
    ] or ["nothing clear"]
    said += [
        f"{row['effect']:+.2f} logits ({row['low']:+.2f} to {row['high']:+.2f}) on what it reads"
        for row in effects
        if row["token"] == "reads" and said == ["nothing clear"] and row["rows"]
    ]
    loss = "".join(
        f"; without it the loss is {row['change']:+.3f} nats a token"
        + ("" if row["flagged"] else f" ({row['low']:+.3f} to {row['high']:+.3f}, not clear)")
        for row in matters
        if row["by"] == "mean"
    )
    sure = sorted((row for row in reads if row["flagged"]), key=lambda row: -abs(row["change"]))
    fed = "".join(
        f"; looks at {row['behaviour']} with {row['own'] + row['change']:.0%} instead of "
        f"{row['own']:.0%} without {row['from_layer']}.{row['from_head']} in its "
        f"{'keys' if row['input'] == 'key' else 'queries'}"
        for row in sure[:1]
    )
    return f"Writes: {', '.join(said)}{loss}{fed}."


def document(
    rows: Sequence[Mapping[str, Any]], matters: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """The shape of `effects --json`: an entry for every head.

    Args:
        rows: of the table `effects`; `matters`: of the table of that name, where there is one.
    """
    found: dict[tuple[int, int], dict[str, Any]] = {}
    fields = {"reads": "reads_token", "next": "next_token", "current": "current_token"}
    for row in rows:
        head = row["layer"], row["head"]
        entry = found.setdefault(head, {"head": f"{head[0]}.{head[1]}"})
        entry[fields[row["token"]]] = {
            name: None if np.isnan(row[name]) else round(row[name], 4)
            for name in ("effect", "low", "high", "expected")
        }
        entry["named"] = entry.get("named", []) + ([row["named"]] if row["named"] else [])
        entry |= {f"loss_{how}": None for how in HOWS}
    for row in matters:
        found[row["layer"], row["head"]][f"loss_{row['by']}"] = round(row["change"], 5)
    return list(found.values())


def probed_table(probed: Probed, heads: int) -> pa.Table:
    """The table `probes`; a model has `heads` heads a layer."""
    rows = [
        {"probe": probe.name, "layer": k // heads, "head": k % heads,
         "unit": "logits" if probe.effect else "attention",
         "value": float(probed.value[p, k]), "control": float(probed.control[p, k]),
         **_interval("difference", probed.difference, (p, k)),
         "pairs": int(probed.difference.freedom[p, k]) + 1,
         "flagged": bool(probed.flagged[p, k])}
        for p, probe in enumerate(probed.probes)
        for k in range(probed.value.shape[1])
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def _interval(name: str, mean: Mean, at: tuple[int, ...]) -> dict[str, float]:
    return {
        name: float(mean.mean[at]), "low": float(mean.low[at]), "high": float(mean.high[at])
    }  # fmt: skip


def probed_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """The probes that one head answers as a line, of its rows of `probes`.

    >>> row = {"probe": "induction", "unit": "attention", "value": 0.94, "control": 0.01}
    >>> probed_line([row | {"flagged": True}])
    'Probes: induction 94% (control 1%).'
    """
    said = [
        "{probe} {value:+.2f} (control {control:+.2f}) logits".format(**row)
        if row["unit"] == "logits"
        else "{probe} {value:.0%} (control {control:.0%})".format(**row)
        for row in rows
        if row["flagged"]
    ]
    return f"Probes: {', '.join(said) or 'answers none'}."


def probed_summary(rows: Sequence[Mapping[str, Any]], model: str) -> str:
    """Which probes heads of a model answer, in a sentence."""
    found: dict[str, int] = {row["probe"]: 0 for row in rows}
    for row in rows:
        found[row["probe"]] += row["flagged"]
    heads = len({(row["layer"], row["head"]) for row in rows})
    any_of = len({(row["layer"], row["head"]) for row in rows if row["flagged"]})
    each = ", ".join(f"{name} {count}" for name, count in found.items() if count)
    none = ", ".join(name for name, count in found.items() if not count)
    return (
        f"{any_of} of {heads} heads of {model} answer at least one probe"
        + (f": {each}" if each else "")
        + (f"; no head answers {none}" if none else "")
        + "."
    )


def mattered_tables(mattered: Mattered) -> dict[str, pa.Table]:
    """The tables `matters` and `suffers`."""

    def row(place: int, how: int, mean: Mean, at: tuple[int, ...]) -> dict[str, Any]:
        head = mattered.heads[place]
        own = {"layer": head.layer, "head": head.head, "by": HOWS[how]}
        return own | _interval("change", mean, at)

    places = range(len(mattered.heads))
    matters = [
        row(k, how, mattered.change, (how, k))
        | {"loss": mattered.loss, "tokens": mattered.tokens}
        | {"flagged": bool(mattered.flagged[how, k])}
        for k in places
        for how in range(len(HOWS))
    ]
    suffers = [
        row(k, how, mattered.of_kind, (how, f, k))
        | {"token": FLAGS[f], "tokens": int(mattered.kind_tokens[f])}
        for k in places
        for how in range(len(HOWS))
        for f in range(len(FLAGS))
        if mattered.kind_tokens[f]
    ]
    return {"matters": pa.Table.from_pylist(matters), "suffers": pa.Table.from_pylist(suffers)}


def feeding_table(feedings: Sequence[Feeding]) -> pa.Table:
    """The table `reads_from`, the largest change of each head and input first."""
    names = ("own", "estimated", "change", "low", "high", "texts", "flagged")
    rows = [
        {"layer": feeding.head.layer, "head": feeding.head.head, "behaviour": feeding.behaviour,
         "input": feeding.input, "from_layer": feeding.source.layer,
         "from_head": feeding.source.head}
        | {name: getattr(feeding, name) for name in names}
        for feeding in feedings
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def also(matters: Sequence[Mapping[str, Any]], reads: Sequence[Mapping[str, Any]]) -> str:
    """What stands behind the summary where heads were taken out."""
    said = []
    mine = [row for row in matters if row["by"] == "mean"]
    sure = sorted((row for row in mine if row["flagged"]), key=lambda row: -row["change"])
    if mine:
        best = ", ".join(
            f"{row['layer']}.{row['head']} ({row['change']:+.3f})" for row in sure[:_NAMED]
        )
        said.append(
            f" Taken out one at a time, {len(sure)} of {len(mine)} change the loss of "
            f"{mine[0]['loss']:.2f} nats a token clearly" + (f", most {best}." if sure else ".")
        )
    if reads:
        fed = {(row["layer"], row["head"]) for row in reads if row["flagged"]}
        heads = {(row["layer"], row["head"]) for row in reads}
        said.append(
            f" {len(fed)} of {len(heads)} heads that were asked look elsewhere without an earlier "
            "one in their queries or keys."
        )
    return "".join(said)
