"""Histories that a request brings along: anonymous sessions, and what known users did since."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from recsys.features import ragged
from recsys.features.arrays import PAD, Array, Mask
from recsys.features.columns import EventType, LogColumns
from recsys.features.dislikes import Dislikes
from recsys.features.errors import DataError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.vocabulary import Vocabulary
from recsys.limits import Limits
from recsys.sent_events import EventReader, SentEvents

Sessions = Any | Mapping[str, Sequence[str]] | Mapping[int, Sequence[int]]
"""Events with the columns of the log in a frame of any library that `fit` takes, or the item ids of
each session, the oldest first."""


NO_EVENTS = "no events: popular items"
"""What is said of a history without any."""


@dataclass(frozen=True)
class ReadSessions:
    """Sessions as histories, in the order in which they first appear."""

    ids: pl.Series  # (b,)
    histories: Histories  # (b)
    remarks: pl.Series  # (b,) what is to be said of each; null where nothing is


def read_sessions(
    sessions: Sessions,
    columns: LogColumns,
    log: Interactions,
    events: Mapping[str, EventType],
    limits: Limits | None = None,
) -> ReadSessions:
    """Read sessions; events of unknown items or kinds are left out and counted.

    The hour and the weekday of sessions without times say nothing.
    """
    read = EventReader(columns, log, events, limits or Limits()).read(sessions, "sessions")
    histories, said = _histories(read.known(), log.end), read.remarks()
    for number in np.flatnonzero(histories.lengths == 0):
        said[number].append("popular items" if said[number] else NO_EVENTS)
    for number in np.flatnonzero(_are_users(read.names, log.users)):
        said[number].append(
            "a session under a customer's id: the stored history does not count; give users with "
            "since for both"
        )
    return ReadSessions(read.names, histories, joined(said))


def since_the_fit(
    stored: Histories, ids: pl.Series, sent: SentEvents, hides: Mask
) -> tuple[Histories, list[list[str]]]:
    """Stored histories of users with `ids` (b,), and behind them what was sent of these users.

    Of a user whom the log does not know, what was sent is the history. `hides` (events,) says which
    of the log's events hide their items. With them comes what was left out of each, in words.
    """
    if sent.names.null_count():
        raise DataError("since: every event needs the id of a user; got None")
    names = Vocabulary(sent.names.cast(pl.String), "user")
    of_whom = names.rows(ids.cast(pl.String))
    of_whom = np.where(of_whom == PAD, len(names), of_whom)  # who did nothing since
    more = _histories(sent.known(), np.iinfo(np.int64).min, nobody=1).take(of_whom)
    left_out = [*sent.remarks(), []]
    return _behind(stored, more, hides), [left_out[place] for place in of_whom]


def joined(said: Sequence[Sequence[str]]) -> pl.Series:
    """What is to be said of each (b,); null where nothing is."""
    return pl.Series("note", ["; ".join(own) or None for own in said], dtype=pl.String)


def _are_users(names: pl.Series, users: Vocabulary) -> Mask:
    """Which sessions (b,) have a customer's id."""
    try:
        are: Mask = users.found(names)[1] != PAD
    except DataError:  # of another type: none of them is
        return np.zeros(len(names), np.bool_)
    return are


def _histories(known: SentEvents, end: int, nobody: int = 0) -> Histories:
    """Of events of known items the histories of anonymous visitors, and so many empty ones; now is
    not before `end`.
    """
    named = len(known.names) + nobody
    now = np.full(named, end, np.int64)
    np.maximum.at(now, known.owners, known.times)
    dislikes = None
    if known.disliked is not None:
        no = known.at(np.flatnonzero(known.disliked))
        known = known.at(np.flatnonzero(~known.disliked))
        dislikes = Dislikes.of(no.owners, no.items, no.times, named)
    return Histories(
        users=np.full(named, PAD, np.int32),
        offsets=ragged.offsets_of(np.bincount(known.owners, minlength=named)),
        items=known.items,
        events=known.codes,
        times=known.times,
        weights=known.weights,
        now=now,
        timed=known.timed,
        hides=known.hides,
    ).without(dislikes)


def _behind(stored: Histories, more: Histories, hides: Mask) -> Histories:
    """Two histories of each as one, by time; those of one moment in this order."""
    owners = [ragged.owners(each.offsets) for each in (stored, more)]
    times = np.concatenate([stored.times, more.times])
    order = np.lexsort((times, np.concatenate(owners)))  # it is stable

    def both(one: Array, other: Array) -> Array:
        return np.concatenate([one, other])[order]

    own = None if more.hides is None else both(hides[stored.events], more.hides)
    dislikes = [each.dislikes for each in (stored, more) if each.dislikes is not None]
    no = None
    if dislikes:
        no = Dislikes.of(
            np.concatenate([each.owners for each in dislikes]),
            np.concatenate([each.items for each in dislikes]),
            np.concatenate([each.times for each in dislikes]),
            len(stored),
        )
    return replace(
        stored,
        offsets=ragged.offsets_of(stored.lengths + more.lengths),
        items=both(stored.items, more.items),
        events=both(stored.events, more.events),
        times=times[order],
        weights=both(stored.weights, more.weights),
        now=np.maximum(stored.now, more.now),
        hides=own,
        dislikes=None,
    ).without(no)
