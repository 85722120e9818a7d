"""Ids, seeds and files of users as a command is given them: as text."""

import codecs
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.features.errors import DataError, SettingsError
from recsys.features.outputs import shortened
from recsys.features.small_files import USERS_BYTES, read_small

if TYPE_CHECKING:
    import polars as pl

    from recsys.engine import Engine


def seeds(text: str | None) -> list[int]:
    """Seeds between commas, none without text; raises SettingsError."""
    if text is None:
        return []
    try:
        numbers = [int(each) for each in split(text)]
    except ValueError:
        numbers = []
    if not numbers:
        raise SettingsError(f"--seeds must be whole numbers such as 0,1,2; got {text!r}")
    return numbers


def split(text: str, flag: str | None = None) -> list[str]:
    """What stands between commas; raises DataError where it is nothing and a `flag` needs some."""
    found = [each.strip() for each in text.split(",") if each.strip()]
    if flag is not None and not found:
        raise DataError(f"{flag} names nobody; got {text!r}")
    return found


def lines(path: Path | None) -> list[str] | None:
    """The user ids of a file, one a line, None without a file.

    It is text in UTF-8, or in UTF-16 that says so; blank lines count for nothing, and a line in
    double quotes is what stands in them. Raises DataError where it cannot be read or names nobody.
    """
    if path is None:
        return None
    try:
        text = _decoded(read_small(path, USERS_BYTES))
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise DataError(f"--users-file {shortened(path)} cannot be read: {said}") from None
    found = [_unquoted(line.strip()) for line in re.split(r"\r\n|\n|\r", text) if line.strip()]
    if not found:
        raise DataError(f"--users-file {path} holds no user; nothing was written")
    if odd := next((n for n, each in enumerate(found, 1) if "\0" in each), None):
        raise DataError(f"--users-file {path}: user {odd} holds a NUL; the file must be text")
    return found


def _decoded(data: bytes) -> str:
    """Text whose encoding its first bytes tell, as Windows and spreadsheets write it."""
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return data.decode("utf-16" if wide else "utf-8-sig")


def _unquoted(line: str) -> str:
    quoted = len(line) > 2 and line[0] == line[-1] == '"'
    return line[1:-1].replace('""', '"') if quoted else line


def ids(texts: Sequence[str], known: "pl.Series", noun: str) -> "pl.Series":
    """Ids that came as text, of the type of those the engine knows; raises DataError."""
    import polars as pl

    try:
        own = pl.Series(texts, dtype=pl.String)
    except UnicodeEncodeError:  # bytes of the command line that are no UTF-8
        odd = next(each for each in texts if not each.isprintable())
        raise DataError(f"{noun} ids must be text in UTF-8; got {odd!r}") from None
    if not known.dtype.is_integer():
        return own
    wide = pl.UInt64 if known.dtype == pl.UInt64 else pl.Int64
    numbers = own.cast(wide, strict=False)
    if numbers.null_count():
        strange = own.filter(numbers.is_null())[0]
        raise DataError(f"{noun} ids of this engine are integers; got {strange!r}")
    return numbers


def events(path: Path | None, engine: "Engine") -> "pl.DataFrame | None":
    """The events of a file with the columns of the log, ids in the types of those the engine knows;
    None without a file. Raises DataError where it cannot be read.
    """
    if path is None:
        return None
    from recsys.features.sources import event_rows

    known = {"user_type": engine.users, "item_type": engine.items}
    types = {name: "integer" if own.dtype.is_integer() else "string" for name, own in known.items()}
    columns = engine.settings.interactions.model_copy(update=types)
    return event_rows(path, columns, f"table of --since {shortened(path)}")
