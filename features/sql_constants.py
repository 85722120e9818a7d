"""Numbers, dates and lengths of time as a condition in SQL writes them."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from recsys.features.errors import DataError

Temporal = date | datetime | time

_MOST_DIGITS = 38  # of an integer of 128 bits
_PIECE = re.compile(r"\s*([+-]?[0-9]{1,9})\s*([a-z]+)\s*", re.IGNORECASE)
_MONTHS = {"month": 1, "mon": 1, "mo": 1, "year": 12, "yr": 12, "y": 12, "quarter": 3}
_SECONDS = {
    "second": 1,
    "sec": 1,
    "s": 1,
    "minute": 60,
    "min": 60,
    "m": 60,
    "hour": 3_600,
    "h": 3_600,
    "day": 86_400,
    "d": 86_400,
    "week": 604_800,
    "w": 604_800,
}


@dataclass(frozen=True, slots=True)
class Interval:
    """A length of time; months are no fixed number of days."""

    months: int
    rest: timedelta

    def __neg__(self) -> "Interval":
        return Interval(-self.months, -self.rest)


def number_of(written: str) -> int | float:
    """A number; one with more digits than any integer of a table is a float."""
    digits = written.replace("_", "")
    if digits.isdigit() and len(digits) <= _MOST_DIGITS:
        return int(digits)
    return float(digits)


def interval_of(written: str) -> Interval:
    """A length of time, such as "30 days" or "1 year 2 months"."""
    months, seconds, place = 0, 0, 0
    while place < len(written) or place == 0:
        piece = _PIECE.match(written, place)
        unit = "" if piece is None else piece[2].lower()
        unit = unit if unit in _MONTHS or unit in _SECONDS else unit.removesuffix("s")
        if piece is None or not (unit in _MONTHS or unit in _SECONDS):
            raise DataError(f"INTERVAL {written!r:.60} is no length of time, such as '30 days'")
        months += int(piece[1]) * _MONTHS.get(unit, 0)
        seconds += int(piece[1]) * _SECONDS.get(unit, 0)
        place = piece.end()
    if abs(months) > 12_000 or abs(seconds) > 4e10:
        raise DataError(f"INTERVAL {written!r:.60} is longer than 1,000 years")
    return Interval(months, timedelta(seconds=seconds))


def temporal_of(kind: str, written: str) -> Temporal:
    """A DATE, TIMESTAMP (UTC, without a zone) or TIME in ISO 8601."""
    readers: dict[str, Callable[[str], Temporal]] = {
        "DATE": lambda text: datetime.fromisoformat(text).date(),
        "TIMESTAMP": lambda text: in_utc(datetime.fromisoformat(text)),
        "TIME": time.fromisoformat,
    }
    name = "TIMESTAMP" if kind == "DATETIME" else kind
    try:
        return readers[name](written.strip())
    except (ValueError, OverflowError):
        example = {"DATE": "2024-12-31", "TIMESTAMP": "2024-12-31 18:00:00", "TIME": "18:00"}[name]
        raise DataError(f"{kind} {written!r:.60} cannot be read; write it as {example!r}") from None


def in_utc(moment: datetime) -> datetime:
    """The same moment without a zone."""
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
