"""Tables of any kind - frames of several libraries, CSV and Parquet files - as lazy rows."""

import glob
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from recsys.features.columns import Table
from recsys.features.errors import DataError
from recsys.features.predicate import expression_of, shown
from recsys.features.sql_parser import Condition, parse_condition

Source = Any
"""A polars, pandas, pyarrow or duckdb table, or paths and globs of files, or None."""

_FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".data": "csv",
    ".item": "csv",
}
_PACKED = (".gz", ".zst")
_SAMPLE = 10_000  # rows that the type of a CSV column is judged by
_CANONICAL = r"^(?:0|-?[1-9][0-9]{0,17})$"  # an integer that comes back as it was written


def scan(source: Source, table: Table, data_dir: Path | None = None) -> pl.LazyFrame:
    """The rows of a source, read only when they are collected; ids have the type they will keep.

    Files that `table.path` names are read where `source` is None; relative paths begin at
    `data_dir`. Every column of a CSV file but ids and those of `table.where` comes as text.
    Raises DataError on a missing or unreadable file, a missing column or ids of mixed types.
    """
    if source is None or isinstance(source, str | Path | list | tuple):
        return _with_ids(_scan_files(source, table, data_dir), table)
    if not isinstance(source, pl.DataFrame | pl.LazyFrame):
        return _with_ids(_foreign(source, table), table)
    with _readable(f"the {table.noun}"):
        return _with_ids(_checked(source.lazy(), table, f"the {table.noun}"), table)


def check_columns(table: Table, data_dir: Path | None = None) -> None:
    """Raise the DataError of `scan` where the files that `table.path` names are not there or lack a
    column: by the first of them alone, whose rows are read only where they are not in UTF-8.
    """
    paths = _paths(None, table, data_dir)
    with _readable(_named(paths, table)):
        _untyped(paths[:1], table)


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
    except DataError as error:
        raise DataError(f"where = {shown(str(table.where))} of the {table.noun}: {error}") from None
    return ~held.fill_null(False)


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Turn the errors of reading into a DataError that says what cannot be read."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataError(f"{what} cannot be read: {error}") from error


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


def _checked(rows: pl.LazyFrame, table: Table, what: str) -> pl.LazyFrame:
    _require(rows.collect_schema().names(), table, what)
    return rows


def _require(names: Sequence[str], table: Table, what: str) -> None:
    missing = [name for name in _needed(table) if name not in names]
    if missing:
        raise DataError(f"{what} lacks the columns {missing}; it has {list(names)}")


def _foreign(source: Source, table: Table) -> pl.LazyFrame:
    """The mapped columns of another library's table; other columns may not even be convertible."""
    try:
        frame = nw.from_native(source).lazy()
    except TypeError:
        raise DataError(
            f"the {table.noun} must be a polars, pandas, pyarrow or duckdb table or the path of a "
            f"file; got {type(source).__name__}"
        ) from None
    _require(frame.collect_schema().names(), table, f"the {table.noun}")
    try:
        rows: pl.DataFrame = frame.select(_needed(table)).collect("polars").to_native()
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"the {table.noun} has a column of mixed types: {error}") from error
    return rows.lazy()


def _scan_files(source: Source, table: Table, data_dir: Path | None) -> pl.LazyFrame:
    paths = _paths(source, table, data_dir)
    with _readable(_named(paths, table)):
        rows = _untyped(paths, table)
        return _typed(rows, paths, table) if _is_csv(paths, table) else rows


def _paths(source: Source, table: Table, data_dir: Path | None) -> list[Path]:
    """The files of a source, at least one, all of one format."""
    given = (
        table.paths if source is None else [source] if isinstance(source, str | Path) else source
    )
    paths = [path for each in given for path in _matches(str(each), data_dir, table)]
    if not paths:
        raise DataError(f"the {table.noun} needs a table or a path; got none")
    if len({_format_of(path, table) for path in paths}) > 1:
        raise DataError(f"the files of the {table.noun} must be of one format; got {paths}")
    return paths


def _named(paths: Sequence[Path], table: Table) -> str:
    named = ", ".join(map(str, paths[:3])) + (", ..." if len(paths) > 3 else "")
    return f"the {table.noun} in {named}"


def _matches(pattern: str, data_dir: Path | None, table: Table) -> list[Path]:
    """The files that a path or glob stands for, in the order of their names."""
    path = Path(pattern) if data_dir is None else data_dir / pattern
    if path.is_file():
        return [path]
    if path.is_dir():
        raise DataError(f"{path} is a folder; name its files, such as {path / '*.parquet'}")
    found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    if not found:
        raise DataError(f"no file of the {table.noun} matches {path}")
    return found


def _format_of(path: Path, table: Table) -> str:
    if table.format is not None:
        return table.format
    name = _unpacked(path)
    if name.suffix.lower() not in _FORMATS:
        raise DataError(
            f"the format of {path} is not known by its suffix ({', '.join(_FORMATS)}); "
            'set format = "csv" or "parquet"'
        )
    return _FORMATS[name.suffix.lower()]


def _unpacked(path: Path) -> Path:
    return path.with_suffix("") if path.suffix in _PACKED else path


def _is_csv(paths: Sequence[Path], table: Table) -> bool:
    return _format_of(paths[0], table) == "csv"


def _untyped(paths: Sequence[Path], table: Table) -> pl.LazyFrame:
    """The rows of files that have the columns they need; those of CSV are all text."""
    if _is_csv(paths, table):
        rows = _csv(paths, table, infer=False)
    else:
        rows = pl.scan_parquet(list(paths), glob=False)
    return _checked(rows, table, _named(paths, table))


def _typed(rows: pl.LazyFrame, paths: Sequence[Path], table: Table) -> pl.LazyFrame:
    """All columns as text, except ids of canonical integers and what `where` compares."""
    types: dict[str, pl.DataType] = {
        name: pl.Int64() for name in table.ids if _are_integers(rows, name, table)
    }
    condition = _condition(table)
    if condition is not None:
        read = set(condition.columns) - set(table.ids)
        inferred = _csv(paths[:1], table, infer=True).collect_schema()
        types |= {name: _wide(inferred[name]) for name in read}
    return rows.with_columns(pl.col(name).cast(kind, strict=False) for name, kind in types.items())


def _wide(kind: pl.DataType) -> pl.DataType:
    """Numbers that began whole may go on with fractions: they are compared as fractions."""
    return pl.Float64() if kind.is_integer() else kind


def _csv(paths: Sequence[Path], table: Table, infer: bool) -> pl.LazyFrame:
    tabs = (
        "separator" not in table.model_fields_set and _unpacked(paths[0]).suffix.lower() == ".tsv"
    )
    is_utf8 = table.encoding.lower().replace("-", "") == "utf8"
    files: list[Any] = [path if is_utf8 else _decoded(path, table.encoding) for path in paths]
    return pl.scan_csv(
        files,
        separator="\t" if tabs else table.separator,
        has_header=table.header,
        new_columns=list(table.names) or None,
        quote_char=table.quote,
        infer_schema=infer,
        infer_schema_length=_SAMPLE,
        glob=False,
    )


def _decoded(path: Path, encoding: str) -> BytesIO:
    """A file as UTF-8."""
    try:
        return BytesIO(path.read_text(encoding=encoding).encode())
    except (LookupError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as encoding {encoding!r}: {error}") from None


def _are_integers(rows: pl.LazyFrame, name: str, table: Table) -> bool:
    if table.id_type != "auto":
        return False
    canonical = pl.col(name).str.contains(_CANONICAL)
    verdict = canonical.all() & (canonical.count() > 0)
    sample = rows.select(name).drop_nulls().head(_SAMPLE).select(verdict)
    return bool(sample.collect().item()) and bool(
        rows.select(verdict).collect(engine="streaming").item()
    )


def _with_ids(rows: pl.LazyFrame, table: Table) -> pl.LazyFrame:
    """Bring ids to text or integers, or say why that cannot be."""
    schema = rows.collect_schema()
    return rows.with_columns(_id(name, schema[name], table) for name in table.ids)


def _id(name: str, kind: pl.DataType, table: Table) -> pl.Expr:
    column = pl.col(name)
    if table.id_type == "integer" and kind.is_float():
        return pl.when(column == column.round()).then(column).cast(pl.Int64)
    if table.id_type == "integer" and kind == pl.String:
        return column.cast(pl.Int64)
    if table.id_type == "string" and kind.is_integer():
        return column.cast(pl.String)
    if kind == pl.String or kind.is_integer() or kind == pl.Null:
        return column
    if isinstance(kind, pl.Categorical | pl.Enum):
        return column.cast(pl.String)
    if kind == pl.Object:
        raise DataError(f"column {name!r} of the {table.noun} mixes types; ids must be of one type")
    hint = '; set id_type = "integer" if they are whole' if kind.is_float() else ""
    raise DataError(
        f"column {name!r} of the {table.noun} must hold strings or integers as ids; "
        f"got {kind}{hint}"
    )
