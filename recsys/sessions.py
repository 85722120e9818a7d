"""Histories of anonymous sessions: events that a request brings along."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recsys.features import ragged
from recsys.features.accepted import weights_of
from recsys.features.arrays import PAD, Array, Floats, Mask, Rows, Times
from recsys.features.columns import UNNAMED, EventType, LogColumns
from recsys.features.dislikes import Dislikes, disliked
from recsys.features.errors import DataError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.times import parse_times
from recsys.features.vocabulary import Vocabulary, as_ids

Sessions = pl.DataFrame | Mapping[str, Sequence[str]] | Mapping[int, Sequence[int]]
"""Events with the columns of the log, or the item ids of each session, the oldest first."""

_TIME = "__time"  # a name that no column of a session has


@dataclass(frozen=True)
class ReadSessions:
    """Sessions as histories, in the order in which they first appear."""

    ids: pl.Series  # (b,)
    histories: Histories  # (b)
    remarks: pl.Series  # (b,) what was left out of each; null where nothing was


@dataclass(frozen=True)
class _Events:
    """The events of all sessions, each session's in their order."""

    names: pl.Series  # (b,) the sessions
    session: Array  # (n,) position in `names`
    items: Rows  # (n,) PAD for an item that the engine does not know
    codes: Array  # (n,)
    times: Times  # (n,) the end of the log where no times are told
    weights: Floats  # (n,)
    timed: bool  # are times told?
    disliked: Mask | None = None  # (n,) which say no, where any can


def read_sessions(
    sessions: Sessions, columns: LogColumns, log: Interactions, events: Mapping[str, EventType]
) -> ReadSessions:
    """Read sessions; unknown items are left out and counted, unknown events are a DataError.

    Times, weights and quantities count where the sessions bring those columns; without time or
    order the events of a session count in the order of their rows, as if they happened now; the
    hour and the weekday of such a now say nothing.
    """
    if isinstance(sessions, pl.DataFrame):
        read = _of_table(sessions, columns, log, events)
    else:
        read = _of_lists(sessions, log, events)
    order = np.argsort(read.session, kind="stable")
    order = order[read.items[order] != PAD]
    dislikes, order = _set_apart(read, order)
    known = np.bincount(read.session[order], minlength=len(read.names))
    now = np.full(len(read.names), log.end, np.int64)
    np.maximum.at(now, read.session, read.times)
    histories = Histories(
        users=np.full(len(read.names), PAD, np.int32),
        offsets=ragged.offsets_of(known),
        items=read.items[order],
        events=read.codes[order],
        times=read.times[order],
        weights=read.weights[order],
        now=now,
        timed=read.timed,
    ).without(dislikes)
    unknown = np.bincount(read.session[read.items == PAD], minlength=len(read.names))
    return ReadSessions(read.names, histories, _remarks(unknown, histories.lengths))


def _set_apart(read: _Events, order: Array) -> tuple[Dislikes | None, Array]:
    """The dislikes among events in an order (m,), and the order of the others."""
    if read.disliked is None:
        return None, order
    no = order[read.disliked[order]]
    of_them = (read.session[no], read.items[no], read.times[no])
    return Dislikes.of(*of_them, len(read.names)), order[~read.disliked[order]]


def _check_lists(sessions: object) -> None:
    if not isinstance(sessions, Mapping):
        raise DataError(
            "sessions must be a frame of events or map names to lists of item ids, as in "
            f"{{'a visit': ['i1', 'i2']}}; got a {type(sessions).__name__}"
        )
    for name, session in sessions.items():
        if isinstance(session, str):
            raise DataError(f"session {name!r} must be a list of item ids; got {session!r}")


def _of_lists(
    sessions: Mapping[Any, Sequence[Any]], log: Interactions, events: Mapping[str, EventType]
) -> _Events:
    _check_lists(sessions)
    names = as_ids(list(sessions), "session")
    items = log.items.rows([item for session in sessions.values() for item in session])
    codes = np.full(len(items), _least(log, events), np.uint8)
    lengths = [len(session) for session in sessions.values()]
    return _Events(
        names,
        np.repeat(np.arange(len(names)), lengths),
        items,
        codes,
        np.full(len(items), log.end, np.int64),
        weights_of(pl.DataFrame(), log.events, codes, events),
        timed=False,
    )


def _of_table(
    table: pl.DataFrame, columns: LogColumns, log: Interactions, events: Mapping[str, EventType]
) -> _Events:
    missing = {columns.user, columns.item} - set(table.columns)
    if missing:
        raise DataError(f"sessions lack the columns {sorted(missing)}; they have {table.columns}")
    names = table[columns.user].unique(maintain_order=True)
    table, timed = _in_order(_without_impressions(table, columns, events), columns, log)
    said_no = _disliked(table, columns, events)
    codes = _codes(table, columns, log, events)
    return _Events(
        names,
        Vocabulary(names, "session").rows(table[columns.user]),
        log.items.rows(as_ids(table[columns.item], "item")),
        codes,
        table[_TIME].to_numpy(),
        weights_of(_amounts(table, columns, said_no), log.events, codes, events),
        timed,
        said_no,
    )


def _disliked(
    table: pl.DataFrame, columns: LogColumns, events: Mapping[str, EventType]
) -> Mask | None:
    """(n,) which rows say no, by the columns that the sessions bring; None where none can."""
    named = {name: getattr(columns, name) for name in ("event", "rating")}
    lacking = {name: None for name, column in named.items() if column not in table.columns}
    saying = disliked(columns.model_copy(update=lacking), events)
    return None if saying is None else table.select(saying).to_series().to_numpy()


def _without_impressions(
    table: pl.DataFrame, columns: LogColumns, events: Mapping[str, EventType]
) -> pl.DataFrame:
    """The rows of what a visitor did, not of what was only shown."""
    shown = [name for name, event in events.items() if event.impression]
    if not shown or columns.event not in table.columns:
        return table
    is_shown = pl.col(str(columns.event)).cast(pl.String).is_in(shown)
    return table.filter(~is_shown.fill_null(False))


def _in_order(
    table: pl.DataFrame, columns: LogColumns, log: Interactions
) -> tuple[pl.DataFrame, bool]:
    """The rows by time or order, with their moments as the log counts them; are any told?"""
    end = pl.lit(log.end)
    if columns.order in table.columns:
        table = table.sort(columns.order, maintain_order=True)
    if log.clock != "time" or columns.time not in table.columns or not len(table):
        return table.with_columns(end.alias(_TIME)), False
    moments = parse_times(table.lazy(), str(columns.time), columns.time_format)
    table = table.with_columns(moments.value.alias(_TIME))
    if table[_TIME].null_count():
        raise DataError(f"sessions hold {table[_TIME].null_count()} times that cannot be read")
    return table.sort(_TIME, maintain_order=True), True


def _amounts(table: pl.DataFrame, columns: LogColumns, no: Mask | None = None) -> pl.DataFrame:
    """The columns of weight and quantity under those names, as far as the sessions bring them.

    Those of a dislike say nothing, whatever they are.
    """
    named = {"weight": columns.weight, "quantity": columns.quantity}
    there = [pl.col(c).alias(name) for name, c in named.items() if c and c in table.columns]
    amounts = table.select(there)
    if no is not None and amounts.width:
        said_no = pl.lit(pl.Series(no))
        amounts = amounts.select(pl.when(said_no).then(1).otherwise(pl.all()).name.keep())
    for column in amounts.get_columns():
        if column.null_count() or not (column.is_finite() & (column > 0)).all():
            raise DataError(f"a session's {column.name} must be a number above 0")
    return amounts


def _least(log: Interactions, events: Mapping[str, EventType]) -> int:
    """The event that says least, which is what an event of no known kind counts as."""
    return int(np.argmin([events.get(name, UNNAMED).weight for name in log.events]))


def _codes(
    table: pl.DataFrame, columns: LogColumns, log: Interactions, events: Mapping[str, EventType]
) -> Array:
    """The code of each event; without a column of events that of the least weight."""
    if columns.event is None or columns.event not in table.columns:
        return np.full(len(table), _least(log, events), np.uint8)
    places = {name: place for place, name in enumerate(log.events)}
    places |= {name: 0 for name, event in events.items() if event.dislike}  # none that is read
    codes = (
        table[columns.event]
        .cast(pl.String)
        .replace_strict(places, default=None, return_dtype=pl.UInt8)
    )
    if codes.null_count():
        strange = table[columns.event].filter(codes.is_null())[0]
        raise DataError(
            f"unknown event {strange!r} in a session; known are {', '.join(log.events)}"
        )
    return codes.to_numpy()


def _remarks(unknown: Array, known: Array) -> pl.Series:
    """What there is to say of each session; null where all is well."""
    said: list[str | None] = [None] * len(known)
    for number in np.flatnonzero((unknown > 0) | (known == 0)):
        if not unknown[number]:
            said[number] = "no events: popular items"
        else:
            instead = "" if known[number] else "; popular items"
            said[number] = f"{unknown[number]} events of unknown items left out{instead}"
    return pl.Series("note", said, dtype=pl.String)
