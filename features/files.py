"""Files of tables: found, refused by kind and size before they are read, unpacked and decoded."""

import codecs
import glob
import gzip
import stat
import zlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import IO, Any, cast

import polars as pl

from recsys.features.columns import Table
from recsys.features.errors import DataError

Opened = BytesIO | Path
"""What polars reads: a file, or the unpacked and decoded bytes of one."""

_FORMATS = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".data": "csv",
    ".item": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_PACKED = (".gz", ".zst")
_MAGIC = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd")  # how packed files begin
_LONGEST = 300  # characters of a path or an error that a message repeats
_CHUNK = 1 << 20
_ALWAYS = 64 << 20  # bytes that any packed file may unpack to
_HELD = 256 << 20  # unpacked bytes that are kept, not unpacked again at every pass
_MOST_ROWS_PER_BYTE = 100  # of Parquet; a real log has a fraction of one
_ROWS_ALWAYS = 10_000_000
_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFSOCK: "a socket",
}


def paths_of(given: Sequence[str | Path], table: Table, data_dir: Path | None) -> list[Path]:
    """The files that paths and globs stand for, at least one, each a regular file."""
    paths = [path for each in given for path in _matches(str(each), data_dir, table)]
    if not paths:
        raise DataError(f"the {table.noun} needs a table or a path; got none")
    for path in paths:
        _check_kind(path, table)
    return paths


def format_of(path: Path, table: Table) -> str:
    """The format of a file: as the settings say, else by its suffix."""
    if table.format is not None:
        return table.format
    name = _unpacked(path)
    if name.suffix.lower() not in _FORMATS:
        raise DataError(
            f"the format of {path} is not known by its suffix ({', '.join(_FORMATS)}); "
            'set format = "csv", "jsonl" or "parquet"'
        )
    return _FORMATS[name.suffix.lower()]


def scanned(paths: Sequence[Path], table: Table) -> list[pl.LazyFrame]:
    """The rows of files: as one table where all have the same columns in the same order, else a
    table of each. Those of CSV are all text.
    """
    kinds = [format_of(path, table) for path in paths]
    separators = {separator_of(path, table) for path in paths}
    opened = [
        _opened(path, kind, table, len(paths)) for path, kind in zip(paths, kinds, strict=True)
    ]
    each = [
        _scan([file], kind, separator_of(path, table), table)
        for file, kind, path in zip(opened, kinds, paths, strict=True)
    ]
    alike = len(set(kinds)) == len(separators) == len(set(map(type, opened))) == 1
    if len(each) == 1 or not alike or kinds[0] == "jsonl":
        return each
    schemas = [list(rows.collect_schema().items()) for rows in each]
    if any(schema != schemas[0] for schema in schemas):
        return each
    return [_scan(opened, kinds[0], separator_of(paths[0], table), table)]


def _opened(path: Path, kind: str, table: Table, parts: int) -> Opened:
    if kind != "parquet":
        return _as_utf8(path, table, _HELD // parts, kind)
    _check_parquet(path)
    return path


def _scan(files: Sequence[Opened], kind: str, separator: str, table: Table) -> pl.LazyFrame:
    if kind == "parquet":
        return pl.scan_parquet(cast(Any, list(files)), glob=False)
    if kind == "jsonl":
        return pl.scan_ndjson(cast(Any, list(files)), infer_schema_length=None)
    return pl.scan_csv(
        cast(Any, list(files)),
        separator=separator,
        has_header=table.header,
        new_columns=list(table.names) or None,
        quote_char=table.quote,
        infer_schema=False,
        glob=False,
    )


def separator_of(path: Path, table: Table) -> str:
    """What divides the columns of a CSV file: as the settings say, and tabs in a .tsv."""
    tabs = "separator" not in table.model_fields_set and _unpacked(path).suffix.lower() == ".tsv"
    return "\t" if tabs else table.separator


def _matches(pattern: str, data_dir: Path | None, table: Table) -> list[Path]:
    """The files that a path or glob stands for, in the order of their names."""
    path = Path(pattern) if data_dir is None else data_dir / pattern
    try:
        if path.is_dir():
            raise DataError(f"{path} is a folder; name its files, such as {path / '*.parquet'}")
        if path.exists():
            return [path]
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    except (OSError, ValueError) as error:  # a name too long, NUL or half a character in it
        rule = getattr(error, "strerror", None) or f"{error}"[:_LONGEST]
        raise DataError(f"the {table.noun} cannot be at {_short(path)!r}: {rule}") from None
    if not found:
        raise DataError(f"no file of the {table.noun} matches {_short(path)}")
    return found


def _short(path: Path) -> str:
    name = str(path)
    return name if len(name) <= _LONGEST else f"{name[:100]}...{name[-100:]}"


def _check_kind(path: Path, table: Table) -> None:
    """A pipe never ends, a device may not: the one is no table, the other no file."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise DataError(f"the {table.noun} in {path} cannot be read: {error}") from None
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "a folder")
        raise DataError(f"{path} is {kind}; the {table.noun} must be in regular files")


def _check_parquet(path: Path) -> None:
    """Refuse a file of a few bytes that says it holds billions of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_metadata(path).num_rows
    except (pa.ArrowException, OSError, ValueError):
        return  # polars says what is wrong
    size = path.stat().st_size
    if rows > _ROWS_ALWAYS and rows > size * _MOST_ROWS_PER_BYTE:
        raise DataError(
            f"{path} says that it holds {rows:,} rows in {size:,} bytes; no log and no catalogue "
            f"has more than {_MOST_ROWS_PER_BYTE} rows a byte"
        )


def _unpacked(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in _PACKED else path


def _as_utf8(path: Path, table: Table, most_held: int, kind: str) -> Opened:
    """A file as polars reads it: unpacked, and its text in UTF-8."""
    opened: Opened = path
    is_packed = path.suffix.lower() in _PACKED and _start_of(path).startswith(_MAGIC)
    if is_packed:  # what another program has unpacked under its name is read as it is
        opened = _unpack(path, table, most_held)
    encoding = table.encoding.lower().replace("-", "").replace("_", "")
    if encoding in ("utf8", "utf8sig"):
        start = _start_of(opened)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            encoding = "utf16"  # no text in UTF-8 begins so
        elif kind != "jsonl" or not start.startswith(codecs.BOM_UTF8):  # CSV may have its mark
            return opened
    else:
        encoding = table.encoding
    if isinstance(opened, Path) and is_packed:
        raise DataError(
            f"{path} unpacks to more than {most_held >> 20} MiB; packed files so large are read in "
            "UTF-8 alone: unpack it first"
        )
    raw = opened.read_bytes() if isinstance(opened, Path) else opened.getvalue()
    try:
        return BytesIO(raw.decode(encoding).lstrip("\ufeff").encode())
    except (LookupError, ValueError) as error:
        raise DataError(f"{path} cannot be read as encoding {table.encoding!r}: {error}") from None


def _start_of(opened: Opened) -> bytes:
    if isinstance(opened, Path):
        with opened.open("rb") as file:
            return file.read(4)
    return opened.getvalue()[:4]


def _unpack(path: Path, table: Table, most_held: int) -> Opened:
    """The unpacked bytes of a file, or the file where polars had better unpack it as it reads.

    It is read in pieces, so that one that unpacks without end is refused before memory is.
    """
    most = max(_ALWAYS, int(path.stat().st_size * table.max_unpack_ratio))
    pieces: list[bytes] = []
    total = 0
    try:
        with _stream(path) as file:
            while piece := file.read(_CHUNK):
                total += len(piece)
                if total > most:
                    raise DataError(
                        f"{path} unpacks to more than {table.max_unpack_ratio:g} times its size; "
                        f"if it is meant, set [{table.key}] max_unpack_ratio, or unpack it first"
                    )
                pieces.append(piece)
                if total > most_held:
                    pieces.clear()
    except (EOFError, zlib.error) as error:
        raise DataError(f"the {table.noun} in {path} cannot be read: {error}") from None
    return path if total > most_held else BytesIO(b"".join(pieces))


def _stream(path: Path) -> IO[bytes]:
    if path.suffix.lower() == ".gz":
        return cast(IO[bytes], gzip.open(path, "rb"))
    import pyarrow as pa  # its codec of zstandard, which Python has from 3.14 on

    return cast(IO[bytes], pa.input_stream(str(path), compression="zstd"))
