"""Who asks an engine for lists: users of the log, sessions, and users with what they did since."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from recsys.features.arrays import PAD, Rows
from recsys.features.errors import DataError
from recsys.features.histories import Histories
from recsys.features.ids import Ids
from recsys.learnt import Learnt
from recsys.sent_events import EventReader
from recsys.sessions import NO_EVENTS, Sessions, joined, read_sessions, since_the_fit
from recsys.settings import EngineSettings
from recsys.tables import Asked

_UNKNOWN = "unknown user: popular items"
_ONLY_SINCE = "unknown user: since is all that counts"


@dataclass(frozen=True)
class Asking:
    """Reads who asks, in the terms of what an engine has learnt."""

    learnt: Learnt
    settings: EngineSettings

    def asked(
        self,
        users: Ids | None,
        sessions: Sessions | None = None,
        since: Sessions | None = None,
    ) -> Asked:
        """Raises DataError where it cannot be read, or is more than the limits allow."""
        if (users is None) == (sessions is None):
            raise DataError("give either users or sessions")
        if sessions is not None and since is not None:
            raise DataError("since is what users of the log did since the fit; give it with users")
        if users is None:
            return self._sessions(sessions)
        limits = self.settings.limits
        ids, rows = self.learnt.log.users.found(users, limits.max_users)
        limits.check("max_users", len(ids), "users")
        stored = Histories.of(self.learnt.log, rows)
        if since is None:
            return Asked(ids, stored, _REMARKS[_kinds(rows, stored)])
        return self._since(ids, rows, stored, since)

    def _sessions(self, sessions: Sessions) -> Asked:
        settings = self.settings
        read = read_sessions(
            sessions, settings.interactions, self.learnt.log, settings.events, settings.limits
        )
        return Asked(read.ids, read.histories, read.remarks)

    def _since(self, ids: pl.Series, rows: Rows, stored: Histories, since: Sessions) -> Asked:
        settings, log = self.settings, self.learnt.log
        sent = EventReader(settings.interactions, log, settings.events, settings.limits).read(
            since, "since"
        )
        if not sent.mixed:
            log.users.found(sent.names)  # raises where they are of another type
        whole, left_out = since_the_fit(stored, ids, sent, self.learnt.policy.hides)
        whole = replace(whole, now=np.maximum(whole.now, log.end))
        kinds = _kinds(rows, whole)
        kinds[(rows == PAD) & (whole.lengths > 0)] = 3
        said = [
            [*([] if first is None else [first]), *more]
            for first, more in zip(_REMARKS[kinds], left_out, strict=True)
        ]
        return Asked(ids, whole, joined(said))


_REMARKS = pl.Series([_UNKNOWN, NO_EVENTS, None, _ONLY_SINCE], dtype=pl.String)


def _kinds(rows: Rows, histories: Histories) -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
    """(b,) the remark on each by its place among `_REMARKS`."""
    known = rows != PAD
    kinds: np.ndarray[tuple[int], np.dtype[np.uint32]] = known.astype(np.uint32) + (
        known & (histories.lengths > 0)
    )
    return kinds
