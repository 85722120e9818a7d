"""Histories of anonymous sessions: events that a request brings along."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recsys.features import ragged
from recsys.features.arrays import PAD, Array
from recsys.features.columns import EventType, LogColumns
from recsys.features.errors import DataError
from recsys.features.histories import Histories
from recsys.features.interactions import Interactions
from recsys.features.vocabulary import Vocabulary, as_ids

Sessions = pl.DataFrame | Mapping[str, Sequence[str]] | Mapping[int, Sequence[int]]
"""Events with the columns of the log, or the item ids of each session, the oldest first."""


@dataclass(frozen=True)
class ReadSessions:
    """Sessions as histories, in the order in which they first appear."""

    ids: pl.Series  # (b,)
    histories: Histories  # (b)
    remarks: pl.Series  # (b,) what was left out of each; null where nothing was


def read_sessions(
    sessions: Sessions, columns: LogColumns, log: Interactions, events: Mapping[str, EventType]
) -> ReadSessions:
    """Read sessions; unknown items are left out and counted, unknown events are a DataError.

    Without a column of time or order the events of a session count in the order of their rows.
    """
    table = _as_table(sessions, columns)
    missing = {columns.user, columns.item} - set(table.columns)
    if missing:
        raise DataError(f"sessions lack the columns {sorted(missing)}; they have {table.columns}")
    by = next(
        (c for c in (columns.time, columns.order) if c is not None and c in table.columns), None
    )
    if by is not None:
        table = table.sort(by, maintain_order=True)
    names = table[columns.user].unique(maintain_order=True)
    items = log.items.rows(as_ids(table[columns.item], "item"))
    session = Vocabulary(names, "session").rows(table[columns.user])
    codes = _codes(table, columns, log)
    order = np.argsort(session, kind="stable")
    order = order[items[order] != PAD]
    known = np.bincount(session[order], minlength=len(names))
    weights = np.array([events.get(name, EventType()).weight for name in log.events], np.float32)
    now = int(log.times.max(initial=0))
    histories = Histories(
        users=np.full(len(names), PAD, np.int32),
        offsets=ragged.offsets_of(known),
        items=items[order],
        events=codes[order],
        times=np.full(len(order), now, np.int64),
        weights=weights[codes[order]],
        now=np.full(len(names), now, np.int64),
    )
    given = table[columns.item].is_not_null().to_numpy()  # an empty session is a row without item
    total = np.bincount(session[given], minlength=len(names))
    return ReadSessions(names, histories, _remarks(total - known, known))


def _as_table(sessions: Sessions, columns: LogColumns) -> pl.DataFrame:
    if isinstance(sessions, pl.DataFrame):
        return sessions
    lists = pl.DataFrame(
        {columns.user: list(sessions), columns.item: [list(s) for s in sessions.values()]}
    )
    return lists.explode(columns.item, empty_as_null=True)


def _codes(table: pl.DataFrame, columns: LogColumns, log: Interactions) -> Array:
    """The code of each event; without a column of events the first that the log knows of."""
    if columns.event is None or columns.event not in table.columns:
        return np.zeros(len(table), np.uint8)
    known = pl.Series(log.events)
    codes = (
        table[columns.event]
        .cast(pl.String)
        .replace_strict(
            known, pl.int_range(len(known), eager=True), default=None, return_dtype=pl.UInt8
        )
    )
    if codes.null_count():
        strange = table[columns.event].filter(codes.is_null())[0]
        raise DataError(
            f"unknown event {strange!r} in a session; known are {', '.join(log.events)}"
        )
    return codes.to_numpy()


def _remarks(unknown: Array, known: Array) -> pl.Series:
    left_out, kept = pl.lit(pl.Series(unknown)), pl.lit(pl.Series(known))
    said = pl.when(left_out > 0).then(pl.format("{} events of unknown items left out", left_out))
    silent = pl.when(kept == 0).then(
        pl.when(left_out > 0)
        .then(pl.lit("popular items"))
        .otherwise(pl.lit("no events: popular items"))
    )
    joined = pl.concat_str([said, silent], separator="; ", ignore_nulls=True)
    return pl.select(pl.when(joined != "").then(joined).alias("note")).to_series()
