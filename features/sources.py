"""Tables of any kind - frames of several libraries, files of several formats - as lazy rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import polars as pl

from recsys.features.columns import LogColumns, Role, Table
from recsys.features.errors import DataError
from recsys.features.files import format_of, paths_of, scanned
from recsys.features.forks import check_process
from recsys.features.frames import as_polars, column_names, is_frame
from recsys.features.merging import Part, merged
from recsys.features.predicate import BROKEN, expression_of, first_line, shown
from recsys.features.roles import About, typed
from recsys.features.sql_parser import parse_condition
from recsys.features.sql_steps import Condition

Source = Any
"""A polars, pandas, pyarrow or duckdb table, paths and globs of files, a list of any, or None."""

_MIXED: tuple[Role, ...] = ("category", "event", "text", "tags", "number", "price")
"""What may be read from a column of pandas whose values are of several types."""


_SHOWN = 100  # columns that a message names
_LONGEST = 300  # characters of a path that a message repeats
_TOLD = 1_000  # characters of another library's error


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of a table, read only when they are collected."""

    typed: pl.LazyFrame
    """Each column that has a role in the type of its role (see features/roles.py)."""
    raw: pl.LazyFrame
    """The same rows as they came."""
    notes: tuple[str, ...]
    """What was read otherwise than it came."""


def opened(source: Source, table: Table, data_dir: Path | None = None) -> Rows:
    """The rows of a source, whose columns mean what `table` says.

    Files that `table.path` names are read where `source` is None; relative paths begin at
    `data_dir`. Raises DataError on a missing or unreadable file, a missing column, or a column of
    a type that its role cannot have.
    """
    roles = {**table.roles, **{n: None for n in _needed(table) if n not in table.roles}}
    given = _given(source, table)
    with _readable(_named(given, table)):
        parts = _parts(given, roles, _about(table), table, data_dir)
        return _rows(parts, roles, _about(table))


def scan(source: Source, table: Table, data_dir: Path | None = None) -> pl.LazyFrame:
    """The rows of `opened`, each column in the type of its role."""
    return opened(source, table, data_dir).typed


def event_rows(source: Source, columns: LogColumns, noun: str = "sessions") -> pl.DataFrame:
    """Events that a request brings along, from any frame (or file) that a fit takes.

    The user and the item column must be there; time, order, event, weight and quantity count where
    they are. Columns keep their names and have the types of their roles: ids Int64, UInt64 or
    String and null where missing, events String, amounts Float64 (NaN for what is no number),
    times as `parse_times` reads them. Raises DataError, which calls the table `noun`.
    """
    given = _given(source, columns)
    about = _about(columns, noun)
    with _readable(f"the {noun}"):
        parts = _parts(given, {columns.user: "id", columns.item: "id"}, about, columns, None,
                       more=columns.roles)  # fmt: skip
        there = [set(part.rows.collect_schema().names()) for part in parts]
        roles = {n: role for n, role in columns.roles.items() if all(n in each for each in there)}
        rows = _rows(parts, roles, about).typed
        return rows.select(list(roles)).collect(engine="streaming")


def check_columns(table: Table, data_dir: Path | None = None) -> None:
    """Raise the DataError of `scan` where the files that `table.path` names are not there or lack a
    column: by the first of them alone, whose rows are read only where they are not in UTF-8.
    """
    paths = _found(_given(None, table), table, data_dir)
    with _readable(_named(paths, table)):
        for rows in scanned(paths[:1], table):
            _require(rows.collect_schema().names(), _needed(table), _named(paths, table))


def collected(rows: pl.LazyFrame, table: Table) -> pl.DataFrame:
    """The rows in memory, in their order; raises DataError where they cannot be read."""
    with _readable(f"the {table.noun}"):
        return rows.collect(engine="streaming")


def left_out(table: Table, rows: pl.LazyFrame) -> pl.Expr | None:
    """True for the rows that `table.where` leaves out; None where it says nothing.

    Raises DataError where it is no condition on the columns of these rows.
    """
    condition = _condition(table)
    if condition is None:
        return None
    try:
        held = expression_of(condition, rows.collect_schema())
        rows.select(held).collect_schema()  # constants that cannot be cast fail here
    except BROKEN as error:
        said = first_line(error)
        raise DataError(f"where = {shown(str(table.where))} of the {table.noun}: {said}") from None
    return ~held.fill_null(False)


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Turn the errors of reading into a DataError that says what cannot be read."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"{what} cannot be read: {str(error)[:_TOLD]}") from error


def _condition(table: Table) -> Condition | None:
    if table.where is None:
        return None
    try:
        return parse_condition(table.where)
    except DataError as error:
        raise DataError(
            f"where = {shown(table.where)} is not a condition in SQL: {error}"
        ) from None


def _needed(table: Table) -> list[str]:
    """The columns that are mapped, and those that `where` reads."""
    condition = _condition(table)
    read = () if condition is None else condition.columns
    return list(dict.fromkeys([*table.mapped, *read]))


def _require(names: Sequence[str], needed: Sequence[str], what: str) -> None:
    missing = [name for name in needed if name not in names]
    if missing:
        shown = [name[:_LONGEST] for name in names[:_SHOWN]]
        shown += ["..."] if len(names) > _SHOWN else []
        raise DataError(f"{what} lacks the columns {missing}; it has {shown}")
    twice = [name for name in needed if f"{name}_duplicated_0" in names]  # polars' word for it
    if twice:
        raise DataError(f"{what} has several columns of one name: {twice}; name each apart")


def _about(table: Table, noun: str | None = None) -> About:
    return About(
        noun=noun or table.noun,
        key=table.key,
        id_types=table.id_types,
        missing_ids=tuple(table.missing_ids),
        tag_separator=getattr(table, "tag_separator", "|"),
    )


def _given(source: Source, table: Table) -> list[Any]:
    """What a source consists of: frames, paths and globs."""
    if source is None:
        return list(table.paths)
    return list(source) if isinstance(source, list | tuple) else [source]


def _found(given: Sequence[Any], table: Table, data_dir: Path | None) -> list[Path]:
    paths = paths_of(given, table, data_dir)
    if len({format_of(path, table) for path in paths}) > 1:
        raise DataError(f"the files of the {table.noun} must be of one format; got {paths}")
    return paths


def _parts(
    given: Sequence[Any],
    roles: Mapping[str, Role | None],
    about: About,
    table: Table,
    data_dir: Path | None,
    more: Mapping[str, Role | None] = MappingProxyType({}),
) -> list[Part]:
    """The parts of a table, each of which has the columns of `roles`, and of `more` what it has."""
    check_process()
    parts = []
    files = [each for each in given if isinstance(each, str | Path)]
    if files or not given:
        paths = _found(files, table, data_dir)
        untyped = format_of(paths[0], table) == "csv"
        for rows in scanned(paths, table):
            _require(rows.collect_schema().names(), list(roles), _named(paths, table))
            parts.append(Part(rows, untyped))
    for frame in given:
        if isinstance(frame, str | Path):
            continue
        if not is_frame(frame):
            raise DataError(
                f"the {about.noun} must be a polars, pandas, pyarrow or duckdb table or the path "
                f"of a file; got {type(frame).__name__}"
            )
        names = column_names(frame, about.noun)
        _require(names, list(roles), f"the {about.noun}")
        wanted = {**roles, **{name: role for name, role in more.items() if name in names}}
        texts = [name for name, role in wanted.items() if _may_mix(name, role, about)]
        parts.append(Part(as_polars(frame, list(wanted), texts, about.noun), untyped=False))
    return parts


def _may_mix(name: str, role: Role | None, about: About) -> bool:
    return role in _MIXED or about.id_types.get(name, ("", "auto"))[1] == "string"


def _rows(parts: Sequence[Part], roles: Mapping[str, Role | None], about: About) -> Rows:
    raw, about, mixed = merged(parts, roles, about)
    rows, notes = typed(raw, roles, about)
    return Rows(rows, raw, (*mixed, *notes))


def _named(given: Sequence[Any], table: Table) -> str:
    """What messages call a source."""
    paths = [str(each)[:_LONGEST] for each in given if isinstance(each, str | Path)]
    if not paths:
        return f"the {table.noun}"
    return f"the {table.noun} in {', '.join(paths[:3])}" + (", ..." if len(paths) > 3 else "")
