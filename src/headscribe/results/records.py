"""Tables of records: the fields of a dataclass are the columns.

A head has three columns, `head` (`7.10`), `layer` and `index`; an estimate `x` with its interval
has `x`, `x_low` and `x_high`. What is not known, NaN or infinity, is null.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from math import isfinite, nan
from types import UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import pyarrow as pa

from headscribe.core.heads import HeadId

R = TypeVar("R")

Interval = tuple[float, float, float]
"""Mean and the ends of its 95 % interval; NaN for none."""

_ENDS = ("", "_low", "_high")
_KINDS = {int: pa.int64(), float: pa.float64(), bool: pa.bool_(), str: pa.string()}


def table_of(kind: type[R], records: Iterable[R], **more: tuple[Any, Iterable[Any]]) -> pa.Table:
    """The table of some records.

    >>> from dataclasses import dataclass
    >>> @dataclass
    ... class Read:
    ...     head: HeadId
    ...     share: Interval
    >>> table_of(Read, [Read(HeadId(7, 1), (0.5, nan, nan))]).to_pylist()
    [{'head': '7.1', 'layer': 7, 'index': 1, 'share': 0.5, 'share_low': None, 'share_high': None}]

    Args:
        more: further columns by name: their type and their values.
    """
    listed, hints = list(records), get_type_hints(kind)
    columns: dict[str, pa.Array] = {}
    for field in fields(kind):  # type: ignore[arg-type]  # a dataclass
        values = [getattr(record, field.name) for record in listed]
        columns |= _columns(field.name, hints[field.name], values)
    for name, (hint, given) in more.items():
        columns |= _columns(name, hint, list(given))
    return pa.table(columns)


def records_of(kind: type[R], table: pa.Table) -> tuple[R, ...]:
    """The records of a table that `table_of` wrote; a number that is not known is NaN."""
    hints = get_type_hints(kind)
    return tuple(
        kind(**{field.name: _value(field.name, hints[field.name], row) for field in fields(kind)})  # type: ignore[arg-type]
        for row in table.to_pylist()
    )


def _columns(name: str, hint: Any, values: list[Any]) -> dict[str, pa.Array]:  # noqa: ANN401
    if hint is HeadId:
        layer, index = [head.layer for head in values], [head.head for head in values]
        return _columns(name, str, list(map(str, values))) | {
            "layer": pa.array(layer, pa.int64()), "index": pa.array(index, pa.int64()),
        }  # fmt: skip
    if hint == Interval:
        ends = enumerate(_ENDS)
        return {name + end: _numbers([value[at] for value in values]) for at, end in ends}
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        if inner is HeadId:
            inner, values = str, [list(map(str, value)) for value in values]
        return {name: pa.array(values, pa.list_(_KINDS[inner]))}
    plain = _plain(hint)
    return {name: _numbers(values) if plain is float else pa.array(values, _KINDS[plain])}


def _plain(hint: Any) -> Any:  # noqa: ANN401
    """The type of a single value, that of `int | None` or of a literal too."""
    if get_origin(hint) is Literal:
        return type(get_args(hint)[0])
    if isinstance(hint, UnionType):
        return next(arg for arg in get_args(hint) if arg is not type(None))
    return hint


def _numbers(values: list[float | None]) -> pa.Array:
    known = [value if value is not None and isfinite(value) else None for value in values]
    return pa.array(known, pa.float64())


def _value(name: str, hint: Any, row: Mapping[str, Any]) -> Any:  # noqa: ANN401
    if hint is HeadId:
        return HeadId(row["layer"], row["index"])
    if hint == Interval:
        return tuple(nan if row[name + end] is None else row[name + end] for end in _ENDS)
    return nan if hint is float and row[name] is None else row[name]
