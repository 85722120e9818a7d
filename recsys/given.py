"""Ids, seeds and files of users as a command is given them: as text."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.features.errors import DataError, SettingsError

if TYPE_CHECKING:
    import polars as pl


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


def split(text: str) -> list[str]:
    """What stands between commas."""
    return [each.strip() for each in text.split(",") if each.strip()]


def lines(path: Path | None) -> list[str] | None:
    """The lines of a file of users that hold anything, None without a file; raises DataError."""
    if path is None:
        return None
    try:
        return [line.strip() for line in path.read_text("utf8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"--users-file {path} cannot be read: {error}") from None


def ids(texts: Sequence[str], known: "pl.Series", noun: str) -> "pl.Series":
    """Ids that came as text, of the type of those the engine knows; raises DataError."""
    import polars as pl

    own = pl.Series(texts, dtype=pl.String)
    if not known.dtype.is_integer():
        return own
    wide = pl.UInt64 if known.dtype == pl.UInt64 else pl.Int64
    numbers = own.cast(wide, strict=False)
    if numbers.null_count():
        strange = own.filter(numbers.is_null())[0]
        raise DataError(f"{noun} ids of this engine are integers; got {strange!r}")
    return numbers
