"""Sessions: what one user does without a long silence."""

import numpy as np

from recsys.features.arrays import MINUTE, Rows
from recsys.features.errors import SettingsError
from recsys.features.interactions import Interactions


def check_gap(minutes: float | None) -> None:
    """Raises SettingsError where a silence is below 0."""
    if minutes is not None and not minutes >= 0:
        raise SettingsError(f"session_gap must be at least 0 minutes or None; got {minutes}")


def sessions_of(log: Interactions, minutes: float | None) -> Rows:
    """(n,) the number of each event's session, ascending.

    A silence of more than `minutes` ends one; with 0 a session is one moment of one user. Without
    `minutes`, or in a log without a clock, it is all that a user did.
    """
    if minutes is None or log.clock != "time":
        return log.user_rows
    begins = np.ones(len(log), bool)
    begins[1:] = (np.diff(log.user_rows) != 0) | (np.diff(log.times) > minutes * MINUTE)
    return (np.cumsum(begins) - 1).astype(np.int32)
