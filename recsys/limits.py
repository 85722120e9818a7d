"""How much one request may ask for: each bound has a default that settings raise or lower."""

from numbers import Integral

from pydantic import Field

from recsys.features.errors import DataError
from recsys.features.settings import Settings
from recsys.features.shown_values import shown
from recsys.features.sql_tokens import MAX_LENGTH


class Limits(Settings):
    """Bounds of one request to a fitted engine. They keep its time and memory in bounds too."""

    max_k: int = Field(default=1_000, ge=1)
    """Items per list, of a catalogue that has more."""
    max_users: int = Field(default=200_000, ge=1)
    """Users of one call; `recommend_all` and an export have no such bound."""
    max_sessions: int = Field(default=200_000, ge=1)
    """Sessions of one call."""
    max_session_events: int = Field(default=100_000, ge=1)
    """Events of one session, or of one user in `since`."""
    max_events: int = Field(default=5_000_000, ge=1)
    """Events of all sessions, or users in `since`, of one call."""
    max_items: int = Field(default=1_000_000, ge=1)
    """Items that `exclude`, `items` or `similar_items` name."""
    max_condition_length: int = Field(default=1_000_000, ge=1, le=MAX_LENGTH)
    """Characters of a condition in SQL; visitors' filters need no more than some thousand."""

    def check(self, name: str, value: int, what: str) -> None:
        """Raise DataError where `value` is above the limit of this name."""
        most = getattr(self, name)
        if value > most:
            raise DataError(
                f"a request may have at most {most:,} {what}; got {value:,}: "
                f"set limits.{name} to raise it"
            )

    def k(self, k: int, items: int) -> int:
        """How long a list of `k` of so many items can be; raises DataError where k is no length."""
        if not isinstance(k, Integral):
            raise DataError(f"k must be a whole number; got {shown(k)}")
        if k < 1:
            raise DataError(f"k must be at least 1; got {shown(int(k))}")
        longest = min(int(k), items)
        self.check("max_k", longest, "items per list")
        return longest


def countable(k: int) -> int:
    """A length of a list as messages tell it, however many digits it came with."""
    return min(int(k), 2**62)
