"""Parts of one table - files, frames - as one: columns by name, in types that hold all values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl

from recsys.features.columns import Role
from recsys.features.errors import DataError
from recsys.features.roles import About, typed

_LARGE = (pl.UInt64, pl.Int128, pl.UInt128)


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a table."""

    rows: pl.LazyFrame
    untyped: bool
    """Is all of it text, as in CSV?"""


def merged(
    parts: Sequence[Part], roles: Mapping[str, Role | None], about: About
) -> tuple[pl.LazyFrame, About, list[str]]:
    """The columns of `roles` of all parts, which of them are untyped, and notes.

    A single part keeps its other columns. Raises DataError where no type holds a column's values.
    """
    if len(parts) == 1:
        untyped = frozenset(roles) if parts[0].untyped else frozenset[str]()
        return parts[0].rows, replace(about, untyped=untyped), []
    rows = [part.rows.select(list(roles)) for part in parts]
    are_untyped = all(part.untyped for part in parts)
    notes = []
    for name, role in roles.items():
        kinds = [each.collect_schema()[name] for each in rows]
        if len({str(kind) for kind in kinds}) > 1:
            rows, mixed = _one_type(rows, parts, name, role, about)
            notes += mixed
    about = replace(about, untyped=frozenset(roles) if are_untyped else frozenset())
    return pl.concat(rows, how="vertical"), about, notes


def _one_type(
    rows: Sequence[pl.LazyFrame],
    parts: Sequence[Part],
    name: str,
    role: Role | None,
    about: About,
) -> tuple[list[pl.LazyFrame], list[str]]:
    """All parts with this column in one type."""
    rows = [_without_type(each, name) for each in rows]
    own = [
        typed(each, {name: role}, replace(about, untyped=frozenset([name] if p.untyped else [])))[0]
        for each, p in zip(rows, parts, strict=True)
    ]
    came = [each.collect_schema()[name] for each in rows]
    kinds = [
        was if was == pl.Null else each.collect_schema()[name]
        for was, each in zip(came, own, strict=True)
    ]
    kind = _common(kinds, role)
    if kind is None:
        told = ", ".join(dict.fromkeys(str(kind) for kind in came))
        raise DataError(
            f"column {name!r} of the {about.noun} must be of one type in all parts; got {told}"
        )
    notes = []
    if role == "id" and kind == pl.String and len(set(kinds) - {pl.Null()}) > 1:
        notes.append(f"ids {name!r}: text in one part and integers in another are read as text")
    return [_cast(each, name, had, kind) for each, had in zip(own, kinds, strict=True)], notes


def _without_type(rows: pl.LazyFrame, name: str) -> pl.LazyFrame:
    """A column of text that holds none, as JSON and CSV have what is missing, is of no type."""
    if rows.collect_schema()[name] != pl.String:
        return rows
    given = pl.col(name).is_not_null() & (pl.col(name) != "")
    if rows.select(given.any()).collect(engine="streaming").item():
        return rows
    return rows.with_columns(pl.lit(None).alias(name))


def _common(kinds: Sequence[pl.DataType], role: Role | None) -> pl.DataType | None:
    """The type that holds the values of all; None where there is none."""
    given = list(dict.fromkeys(kind for kind in kinds if kind != pl.Null))
    if len(given) <= 1:
        return given[0] if given else pl.Null()
    if all(kind.is_integer() for kind in given):
        return pl.Int128() if any(kind in _LARGE for kind in given) else pl.Int64()
    if all(kind.is_numeric() or (kind == pl.Boolean and role == "flag") for kind in given):
        return pl.Float64()
    if all(isinstance(kind, pl.Date | pl.Datetime) for kind in given):
        return pl.Datetime("us")
    if all(isinstance(kind, pl.List | pl.Array) for kind in given):
        inner = _common([kind.inner for kind in given], role)  # type: ignore[attr-defined]
        return None if inner is None else pl.List(inner)
    plain = all(not kind.is_nested() for kind in given) and pl.String in given
    return pl.String() if plain and role not in ("vector", "tags") else None


def _cast(rows: pl.LazyFrame, name: str, had: pl.DataType, kind: pl.DataType) -> pl.LazyFrame:
    column = pl.col(name)
    if isinstance(had, pl.Datetime) and had.time_zone is not None and had != kind:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    if isinstance(had, pl.Array):
        column = column.arr.to_list()
    return rows.with_columns(column.cast(kind).alias(name))
